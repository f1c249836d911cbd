"""May A call B for P, and why: for now and for moments before and after every change."""

import argparse
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from catalog.mapping import EndpointMapping, FieldMapping, Rule, ServiceMapping, View
from catalog.services import AccessRight, Endpoint, LocalGroup
from catalog.terms import Quota, Terms
from node.once.enforcement.policy import CallFacts
from node.once.explaining.explainer import Explainer, NothingKnown
from node.once.explaining.page import ExplainPage
from node.once.explaining.question import Explanation, Question
from node.settings import DatabaseSettings
from scripts import explain
from scripts.postgres import PostgresServer
from tests.grants_stage import (
    OTHER,
    PURPOSE,
    STRANGER,
    GrantStage,
    asked,
    by,
    grants_stage,
    offered,
)
from tests.instance import CONSUMER, NAME, PROVIDER, SERVICE, rest_service
from tests.soap_stage import wsdl_service
from trust.errors import MalformedMessage
from trust.ids import ClientId, GlobalGroupId, LocalGroupId, ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOWNS = GlobalGroupId(NAME, "towns")
PERSON = EndpointMapping(
    "GET",
    "/people/{id}",
    fields=(FieldMapping("name", "/name"), FieldMapping("age", "/age", "urn:x:age")),
    views=(View("adult", "age", Rule.AT_LEAST, "18"),),
)
TERMS = Terms(("name", "adult"), (PURPOSE,), "School Act 4", Quota(2, timedelta(hours=1)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[GrantStage]:
    async with grants_stage(tmp_path_factory.mktemp("explain"), postgres_server) as found:
        yield found


async def declare(stage: GrantStage, *rights: AccessRight, **changes: object) -> datetime:
    """Put these rights in the place of all; the moment after."""
    hosted = offered(stage.system, *rights)
    service = replace(hosted.services[0], mapping=ServiceMapping((PERSON,)))
    hosted = replace(hosted, services=(service,))
    await stage.instance.apply(stage.civil.node, [replace(hosted, **changes)])  # type: ignore[arg-type]
    return await now(stage)


async def now(stage: GrantStage) -> datetime:
    found: datetime = await stage.civil.pool.fetchval("SELECT clock_timestamp()")
    return found


def explainer(stage: GrantStage) -> Explainer:
    lists = stage.civil.node.settings.data / "trust-lists"
    return Explainer(stage.civil.pool, lists, lambda: datetime.now(UTC))


def question(**changes: object) -> Question:
    usual = Question(client=CONSUMER, service=SERVICE, path="/people/7", purpose=PURPOSE)
    return replace(usual, **changes)  # type: ignore[arg-type]


async def answer(stage: GrantStage, **changes: object) -> Explanation:
    return await explainer(stage).explain(question(**changes))


async def test_a_past_moment_is_judged_by_what_was_so_then(stage: GrantStage) -> None:
    nothing = await declare(stage)
    _, number = await stage.ask()
    await stage.civil.deciding.approve(number, by(), asked().terms)
    granted = await now(stage)
    declared = await declare(stage, AccessRight(CONSUMER, SERVICE.service_code))
    await stage.civil.deciding.revoke(number, by(), "No more")
    revoked = await now(stage)
    after = await declare(stage)

    at = [await answer(stage, at=moment) for moment in (nothing, granted, declared, revoked, after)]
    assert [one.allowed for one in at] == [False, True, True, True, False]
    assert [one.refusal for one in at] == ["no_right", "", "", "", "no_right"]
    assert (at[1].said, at[1].fields) == (
        f"Grant {number} to {CONSUMER} allows it", ("name",),
    )  # fmt: skip
    assert [(right.origin, right.decides) for right in at[1].rights] == [("granted", True)]
    assert at[2].fields is None
    assert [(right.origin, right.decides) for right in at[2].rights] == [
        ("declared", True), ("granted", False),
    ]  # fmt: skip
    assert at[2].rights[1].fails == (f"another right comes first: {at[2].rights[0].number}",)
    assert len(at[3].rights) == 1
    assert not at[4].rights
    assert "sacbe grant request --client" in at[0].help[0]
    assert not (await answer(stage)).allowed


async def test_groups_are_those_of_the_trust_list_of_that_moment(stage: GrantStage) -> None:
    await declare(stage, AccessRight(TOWNS, SERVICE.service_code))
    moments = [await now(stage)]
    for members in ({CONSUMER}, {OTHER}):
        stage.instance.groups["towns"] = frozenset(members)
        await stage.instance.publish()
        moments.append(datetime.now(UTC))
    found = [await answer(stage, at=moment) for moment in moments]
    assert [one.allowed for one in found] == [False, True, False]
    assert found[2].rights[0].fails == (f"the client is not in the group {TOWNS.colons}",)
    assert any("takes it into the group" in one for one in found[2].help)
    assert any(one.startswith("Trust list as of") for one in found[1].notes)


async def test_every_right_says_why_it_fails(stage: GrantStage) -> None:
    soon, ago = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(days=1)
    code = SERVICE.service_code
    await declare(
        stage,
        AccessRight(STRANGER, code),
        AccessRight(LocalGroupId("clerks"), code),
        AccessRight(CONSUMER, code, Endpoint("GET", "/houses/*")),
        AccessRight(CONSUMER, code, terms=Terms(valid_from=soon)),
        AccessRight(CONSUMER, code, terms=Terms(valid_until=ago)),
        AccessRight(CONSUMER, code, terms=Terms(("name",), ("urn:x:other",), "Act")),
        local_groups=(LocalGroup("clerks", "", frozenset({OTHER})),),
    )
    found = await answer(stage)
    assert found.refusal == "purpose_not_granted"
    assert found.help == ("The request states one of the purposes: urn:x:other",)
    fails = [right.fails[0] for right in found.rights]
    assert fails[:3] == [
        "it is another client's",
        "the client is not in the local group clerks",
        "it is for GET /houses/* alone",
    ]
    assert fails[3].startswith("it holds from ")
    assert fails[4].startswith("it held until ")
    assert fails[5] == f"it is for other purposes than {PURPOSE}"
    missing = await answer(stage, purpose="")
    assert missing.refusal == "purpose_missing"


@pytest.mark.parametrize(
    ("terms", "refusal", "helps"),
    [
        (Terms(valid_from=datetime(2100, 1, 1, tzinfo=UTC)), "grant_not_yet_valid", "from 2100-01"),
        (Terms(valid_until=datetime(2020, 1, 1, tzinfo=UTC)), "grant_expired", "asks for a grant"),
    ],
)
async def test_dates_are_told(stage: GrantStage, terms: Terms, refusal: str, helps: str) -> None:
    await declare(stage, AccessRight(CONSUMER, SERVICE.service_code, terms=terms))
    found = await answer(stage)
    assert (found.refusal, helps in found.help[0]) == (refusal, True)


async def test_the_fields_that_would_go_out_are_told(stage: GrantStage) -> None:
    await declare(stage, AccessRight(CONSUMER, SERVICE.service_code, terms=TERMS))
    assert (await answer(stage)).fields == ("adult", "name")
    less = await answer(stage, fields=("name", "urn:x:age"))
    assert (less.fields, less.not_granted) == (("name",), ("/age",))
    none = await answer(stage, fields=("age",))
    assert (none.refusal, none.help) == (
        "fields_not_granted", ("The request asks for what is granted: adult, name",),
    )  # fmt: skip
    unmapped = await answer(stage, path="/houses/7")
    assert unmapped.refusal == "answer_not_reducible"


async def test_calls_are_counted_up_to_the_moment(stage: GrantStage) -> None:
    before = await declare(stage, AccessRight(CONSUMER, SERVICE.service_code, terms=TERMS))
    number = (await answer(stage)).rights[0].number
    for place in (1, 2):
        await stage.civil.pool.execute(
            "INSERT INTO quota_call VALUES ($1, $2, clock_timestamp())", number, place
        )
    used = await answer(stage)
    assert used.refusal == "quota_used_up"
    assert used.rights[0].fails == ("2 of 2 calls per 1h made",)
    assert (await answer(stage, at=before)).allowed
    assert (await answer(stage, at=datetime.now(UTC) + timedelta(hours=2))).allowed


async def test_a_policy_has_its_word(stage: GrantStage) -> None:
    seen: list[CallFacts] = []

    async def judge(facts: CallFacts, groups: object) -> str | None:
        seen.append(facts)
        return "forbidden by night.cedar:3"

    terms = replace(TERMS, quota=None)
    await declare(stage, AccessRight(CONSUMER, SERVICE.service_code, terms=terms))
    found = await replace(explainer(stage), policies=judge).explain(question())
    assert (found.refusal, "night.cedar:3" in found.said) == ("refused_by_policy", True)
    assert found.rights[0].fails == ("a policy refuses: forbidden by night.cedar:3",)
    (facts,) = seen
    assert (facts.method, facts.path, facts.fields) == ("GET", "/people/7", ("name", "adult"))
    assert any("Policies as they are now" in one for one in found.notes)


async def test_a_policy_sees_every_reading_of_a_path(stage: GrantStage) -> None:
    async def judge(facts: CallFacts, groups: object) -> str | None:
        return "forbidden" if facts.path == "/people/7/8" else None

    await declare(stage, AccessRight(CONSUMER, SERVICE.service_code, terms=TERMS))
    asked = replace(explainer(stage), policies=judge)
    assert (await asked.explain(question(path="/people/7"))).refusal != "refused_by_policy"
    found = await asked.explain(question(path="/people/7%2F8"))
    assert found.rights[0].fails == ("a policy refuses: forbidden",)


async def test_what_is_not_there_is_told_with_what_is(stage: GrantStage) -> None:
    await declare(stage)
    unknown = await answer(stage, service=ServiceId(PROVIDER, "nothing"))
    assert (unknown.refusal, unknown.help) == ("unknown_service", (f"It has: {SERVICE.colons}",))
    elsewhere = await answer(stage, service=ServiceId(STRANGER, "x"))
    assert "hosts no" in elsewhere.help[0]
    nobody = await answer(stage, client=ClientId("TEST", "GOV", "9", "nobody"))
    assert any("No server may speak for" in one for one in nobody.notes)
    disabled = rest_service(stage.system.url, notice="Out of order")
    right = AccessRight(CONSUMER, SERVICE.service_code)
    await declare(stage, right, services=(disabled,))
    assert (await answer(stage)).refusal == "service_disabled"


async def test_a_soap_service_is_asked_for_as_a_whole(stage: GrantStage) -> None:
    service = wsdl_service(stage.system.url, "getState")
    await declare(stage, AccessRight(CONSUMER, "getState"), services=(service,))
    assert (await answer(stage, service=service.id, path="")).allowed


async def test_nothing_is_told_of_before_the_history(stage: GrantStage) -> None:
    with pytest.raises(NothingKnown, match="is known since"):
        await answer(stage, at=datetime(2020, 1, 1, tzinfo=UTC))


async def test_a_path_that_no_call_has_is_no_question(stage: GrantStage) -> None:
    await declare(stage, AccessRight(CONSUMER, SERVICE.service_code))
    for path in ("people", "/%zz", "/" + "x" * 9000):
        with pytest.raises(MalformedMessage):
            await answer(stage, path=path)
    assert not (await answer(stage, path="/../people")).allowed


# --- command and page -----------------------------------------------------------------------------


async def command(stage: GrantStage, folder: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    explain.add_arguments(parser)
    usual = ("--config", "x", "--client", CONSUMER.colons, "--service", SERVICE.colons)
    file = folder / "database.dsn"
    file.touch(0o600)
    file.write_text(stage.civil.node.dsn, encoding="ascii")
    settings = replace(stage.civil.node.settings, database=DatabaseSettings(dsn_file=file))
    return await explain.tell(settings, parser.parse_args([*usual, *words]))


async def test_the_command_says_it_in_words(
    stage: GrantStage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await declare(stage)
    terms = replace(TERMS, quota=None)
    await declare(stage, AccessRight(CONSUMER, SERVICE.service_code, terms=terms))
    words = ("--path", "/people/7", "--purpose", PURPOSE)
    assert await command(stage, tmp_path, *words) == 0
    told = capsys.readouterr().out
    assert f"{CONSUMER.colons} may call {SERVICE.colons}" in told
    assert "what goes out: adult, name" in told
    assert "✓" in told
    assert await command(stage, tmp_path, *words, "--at", before.isoformat()) == 1
    told = capsys.readouterr().out
    assert "may not (no_right)" in told
    assert "There is no right to the service." in told
    assert "What would help:" in told
    assert await command(stage, tmp_path, *words, "--json", "--fields", "age") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["allowed"], found["refusal"]) == (False, "fields_not_granted")
    assert found["client"] == CONSUMER.colons


async def test_the_page_says_it_in_json(stage: GrantStage) -> None:
    await declare(stage, AccessRight(CONSUMER, SERVICE.service_code, terms=TERMS))
    page = ExplainPage(explainer(stage))
    start = f"/explain?client={CONSUMER.colons}&service={SERVICE.colons}"
    for query, status, said in (
        (f"{start}&path=/people/7&purpose={PURPOSE}&field=name", 200, '"allowed": true'),
        (f"{start}&colour=red", 400, "colour"),
        ("/explain?client=x", 400, "problem"),
        (f"{start}&at=yesterday", 400, "no question"),
        (f"{start}&at=2020-01-01", 404, "known since"),
    ):
        response = await page(make_mocked_request("GET", query))
        assert isinstance(response, web.Response)
        assert isinstance(response.body, bytes)
        assert (response.status, said in response.body.decode()) == (status, True), query
