"""Evidence that waits for the citizen: seen, confirmed, fetched once; encrypted and soon gone."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from node.once.resolver.waiting.preview_pages import PreviewPages
from node.once.resolver.waiting.preview_token import PreviewToken
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, utc_now
from tests.once_stage import (
    BORN,
    DOG,
    HEIGHT,
    NAME,
    NUMBER,
    PORTAL,
    STRANGER,
    Stage,
    answer,
    once_stage,
    question,
)
from trust.database import open_pool

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with once_stage(tmp_path_factory.mktemp("previews"), postgres_server) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> Stage:
    shared.system.reset()
    shared.system.answer = answer
    shared.now = None
    await shared.pool.execute("DELETE FROM once_preview")
    return shared


class Waiting:
    """A preview of three facts, one of which is not to be had."""

    def __init__(self, stage: Stage, said: Any) -> None:  # noqa: ANN401 - JSON
        self.stage, self.said = stage, said
        self.id, self.token = said["preview"]["id"], said["preview"]["token"]

    async def ask(
        self,
        method: str,
        action: str = "",
        body: object = None,
        client: object = None,
        token: str | None = None,
    ) -> tuple[int, Any]:
        said = {"Once_Preview_Token": self.token if token is None else token}
        path = f"/once/v1/previews/{self.id}{action}"
        client = client or (CONSUMER if action == "/evidence" else PORTAL)
        return await self.stage.ask(method, path, body, client, **said)  # type: ignore[arg-type]

    async def confirm(self, *concepts: str) -> int:
        body = {"concepts": list(concepts)}
        return (await self.ask("POST", "/confirm", body, PORTAL))[0]

    async def fetch(self) -> tuple[int, Any]:
        return await self.ask("POST", "/evidence")


async def waiting(stage: Stage) -> Waiting:
    return Waiting(stage, await stage.evidence(NAME, BORN, DOG, HEIGHT, preview=True))


async def test_values_are_not_told_before_the_citizen_has_confirmed(stage: Stage) -> None:
    held = await waiting(stage)
    assert held.said["found"] == [NAME, BORN, DOG]
    assert [one["concept"] for one in held.said["missing"]] == [HEIGHT]
    assert "Ana" not in str(held.said)
    assert (await held.fetch())[0] == 409
    row = await stage.pool.fetchrow("SELECT * FROM once_preview")
    assert row is not None
    for secret in (b"Ana", NUMBER.encode(), held.token.encode()):
        assert secret not in row["sealed"]
    assert held.token not in str(row)


async def test_the_portal_shows_it_and_the_citizen_chooses(stage: Stage) -> None:
    held = await waiting(stage)
    status, shown = await held.ask("GET", client=PORTAL)
    assert status == 200
    assert [one["value"] for one in shown["evidence"]] == ["Ana Chel", "2001-02-03", "Bo"]
    assert shown["subject"]["value"] == NUMBER
    assert shown["client"] == CONSUMER.path
    assert shown["preview"]["confirmed"] is False
    assert await held.confirm(BORN, DOG) == 200
    status, found = await held.fetch()
    assert status == 200
    assert [one["concept"] for one in found["evidence"]] == [BORN, DOG]
    reasons = {one["concept"]: one["reason"] for one in found["missing"]}
    assert reasons == {HEIGHT: "wrong_type", NAME: "not_confirmed"}
    assert found["spared"] == 1, "half a paper is none"
    assert await stage.pool.fetchval("SELECT count(*) FROM once_preview") == 0


async def test_who_asked_neither_looks_nor_decides_where_there_is_a_portal(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await waiting(stage)
    assert (await held.ask("GET", client=CONSUMER))[0] == 404
    choice = {"concepts": [NAME]}
    assert (await held.ask("POST", "/confirm", choice, client=CONSUMER))[0] == 404
    monkeypatch.setattr(
        stage.api, "previews", PreviewPages(stage.api.previews.previews, frozenset())
    )
    assert (await held.ask("GET", client=PORTAL))[0] == 404
    assert (await held.ask("GET", client=CONSUMER))[0] == 200
    assert (await held.ask("POST", "/confirm", choice, client=CONSUMER))[0] == 200


async def test_it_is_fetched_once(stage: Stage) -> None:
    held = await waiting(stage)
    assert await held.confirm(NAME, BORN) == 200
    found = await asyncio.gather(*(held.fetch() for _ in range(4)))
    assert sorted(status for status, _ in found) == [200, 404, 404, 404]
    told = next(answer for status, answer in found if status == 200)
    assert told["spared"] == 1
    exchanges = [one["exchange_id"] for one in told["evidence"]]
    spared = await stage.pool.fetchval(
        "SELECT sum(spared) FROM data_use WHERE exchange_id = ANY($1)", exchanges
    )
    assert spared == 1


async def test_what_is_rejected_is_gone(stage: Stage) -> None:
    held = await waiting(stage)
    exchanges = [one["exchange_id"] for one in (await held.ask("GET"))[1]["evidence"]]
    assert (await held.ask("POST", "/reject", client=PORTAL))[0] == 200
    assert (await held.ask("GET"))[0] == 404
    assert await stage.pool.fetchval("SELECT count(*) FROM once_preview") == 0
    counts = await stage.pool.fetch(
        "SELECT spared FROM data_use WHERE exchange_id = ANY($1)", exchanges
    )
    assert {row["spared"] for row in counts} == {0}, "the exchanges are counted, nothing spared"


async def test_a_decision_is_made_once(stage: Stage) -> None:
    held = await waiting(stage)
    assert await held.confirm(NAME) == 200
    assert await held.confirm(NAME) == 404
    assert (await held.ask("POST", "/reject"))[0] == 404
    assert (await held.fetch())[0] == 200


async def test_nobody_else_gets_it(stage: Stage) -> None:
    held = await waiting(stage)
    other = PreviewToken.fresh().text
    assert (await held.ask("GET", client=STRANGER))[0] == 404
    assert (await held.ask("GET", token=other))[0] == 404
    assert (await held.ask("GET", token="short"))[0] == 404
    assert (await stage.ask("GET", f"/once/v1/previews/{held.id}"))[0] == 401
    assert await held.confirm(NAME) == 200
    assert (await held.ask("POST", "/evidence", client=PORTAL))[0] == 404
    assert (await held.ask("POST", "/evidence", token=other))[0] == 404
    assert (await held.fetch())[0] == 200, "wrong attempts take nothing away"


async def test_what_is_expired_is_gone(stage: Stage) -> None:
    held = await waiting(stage)
    stage.now = utc_now() + timedelta(hours=2)
    assert (await held.ask("GET"))[0] == 404
    assert await held.confirm(NAME) == 404
    await stage.api.previews.previews.remove_expired()
    assert await stage.pool.fetchval("SELECT count(*) FROM once_preview") == 0


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"concepts": 1}', b'{"concepts": [1]}', b'{"concepts": ["urn:t:x"]}']
)
async def test_what_is_no_choice_is_refused(stage: Stage, body: bytes) -> None:
    held = await waiting(stage)
    status, told = await held.ask("POST", "/confirm", body, PORTAL)
    assert (status, len(told["errors"])) == (400, 1)
    assert (await held.ask("POST", "/other"))[0] == 404


async def test_previews_are_bounded_and_one_client_does_not_take_the_places_of_all(
    stage: Stage,
) -> None:
    for _ in range(3):
        await waiting(stage)
    body = {
        "concepts": [NAME],
        "purpose": "urn:t:purpose",
        "subject": {"scheme": "urn:t:person", "value": NUMBER},
        "case": "1",
        "official": "x",
        "preview": True,
    }
    asked = [await stage.ask("POST", "/once/v1/evidence", body, one) for one in (CONSUMER, PORTAL)]
    assert [status for status, _ in asked] == [503, 201]
    assert asked[0][1]["detail"] == "Too many previews wait for citizens"
    assert (await stage.ask("POST", "/once/v1/evidence", body, PORTAL))[0] == 503


async def test_a_database_that_is_away_is_told(stage: Stage) -> None:
    held = await waiting(stage)
    pages = stage.api.previews
    closed = await open_pool(stage.consumer.dsn, "test")
    await closed.close()
    stage.api.previews = replace(pages, previews=replace(pages.previews, pool=closed))
    try:
        assert (await held.ask("GET"))[0] == 503
        asked = stage.post("/once/v1/evidence", question(NAME, preview=True))
        assert (await asked)[0] == 503
    finally:
        stage.api.previews = pages
    assert (await held.ask("GET"))[0] == 200
