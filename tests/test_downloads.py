"""`GET /asic` and `GET /verificationconf` of a real node, after real exchanges."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node import download_requests, downloads
from node.log import containers
from node.network.tsa_client import TimestampingFailed, TsaClient
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import NAME, PROVIDER, utc_now
from tests.node_pair import PACKAGE, REQUEST, Pair, attachments, node_pair
from tests.soap_stage import TEXT, packed
from trust.configuration.confstore import load_configuration
from trust.errors import NetworkFailure
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.report import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Pair]:
    async with node_pair(tmp_path_factory.mktemp("instance"), postgres_server) as nodes:
        yield nodes


async def test_both_nodes_hand_out_containers_that_hold(pair: Pair) -> None:
    await pair.call("hold/1", b'{"code":1}')
    for node in (pair.civil, pair.muni):
        status, disposition, body = await pair.asic(node, "hold/1")
        assert status == 200, body
        assert disposition == 'attachment; filename="hold%2F1.zip"'
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            names = archive.namelist()
            containers = [archive.read(name) for name in names]
        assert [name.rpartition("-")[0] for name in names] == [
            "hold%2F1-request", "hold%2F1-response",
        ]  # fmt: skip
        conf = load_configuration(node.settings.data / "globalconf")
        signers = []
        for raw in containers:
            verdict = verify_container(parse_container(raw), conf, utc_now())
            assert verdict.verdict is Outcome.PASSED, verdict.reason
            assert verdict.timestamp is not None
            assert all(part.covered for part in verdict.parts)
            signers.append(str(verdict.signer))
        assert signers == [f"MEMBER:{NAME}/MUN/2001", f"MEMBER:{NAME}/GOV/1001"]


async def test_a_container_holds_every_attachment_of_its_message(pair: Pair) -> None:
    sent, answered = [b"form", b"x" * 70_000], [b"scan", b"", b"letter"]
    body = packed("xyz", [Part(TEXT, REQUEST), *attachments(*sent)])
    answer = await pair.session.post(pair.muni.url, data=body, headers={"Content-Type": PACKAGE})
    assert b"getStateResponse" in await answer.read()
    for node in (pair.civil, pair.muni):
        conf = load_configuration(node.settings.data / "globalconf")
        for direction, message, contents in (
            ("requestOnly", REQUEST, sent), ("responseOnly", None, answered),
        ):  # fmt: skip
            status, _, raw = await pair.asic(node, "with attachments", direction, "unique")
            assert status == 200, raw
            container = parse_container(raw, keep_attachments=True)
            assert message is None or container.message == message
            assert [one.name for one in container.attachments] == [
                f"attachment{number}" for number in range(1, len(contents) + 1)
            ]
            assert [one.data for one in container.attachments] == contents
            verdict = verify_container(container, conf, utc_now())
            assert verdict.verdict is Outcome.PASSED, verdict.reason
            assert all(part.covered for part in verdict.parts)
            assert len(verdict.parts) == len(contents) + 1


async def test_one_container_is_handed_out_alone(pair: Pair) -> None:
    await pair.call("alone")
    status, disposition, body = await pair.asic(pair.muni, "alone", "requestOnly", "unique")
    assert status == 200
    assert disposition.startswith('attachment; filename="alone-request-')
    assert parse_container(body).message.startswith(b"GET\r\n")
    status, disposition, body = await pair.asic(pair.muni, "alone", "responseOnly", "force")
    assert status == 200
    assert disposition == 'attachment; filename="alone-response.zip"'


async def test_what_has_no_time_stamp_yet_is_to_be_asked_for_again(pair: Pair) -> None:
    await pair.call("waiting")
    for flags in ((), ("requestOnly",), ("responseOnly", "unique"), ("unique",)):
        answer = await pair.asked(pair.muni, "waiting", *flags)
        text = await answer.text()
        assert (answer.status, text) == (503, "Message signature has not been timestamped yet!")
        assert answer.headers["Retry-After"] == "60"
    assert (await pair.asked(pair.muni, "never sent")).status == 404
    first = await pair.asked(pair.muni, "waiting", "force", "requestOnly", "unique")
    raw = await first.read()
    assert parse_container(raw).timestamp_chain_result is not None  # stamped with its answer
    again = await pair.asked(pair.muni, "waiting", "requestOnly", "unique")
    assert (again.status, await again.read()) == (200, raw)


async def test_a_time_stamp_that_can_not_be_had_is_told(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused(*_: object) -> None:
        raise TimestampingFailed({"http://tsa.example": NetworkFailure("nobody there")})

    async def never(*_: object) -> None:
        await asyncio.sleep(1)

    await pair.call("unlucky")
    for stamp, reason in (
        (refused, "Failed to get time stamp"),
        (never, "no answer within 0 seconds"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(TsaClient, "stamp", stamp)
            patch.setattr(download_requests, "_PATIENCE", 0.2 if stamp is never else 20)
            answer = await pair.asked(pair.muni, "unlucky", "force")
        text = await answer.text()
        assert (answer.status, text) == (503, "Could not create missing timestamp!")
        assert answer.headers["Retry-After"] == "60"
        assert any(
            entry.name == "sacbe.downloads" and reason in entry.getMessage()
            for entry in caplog.records
        )


@pytest.mark.parametrize(
    ("flags", "changes", "status", "text"),
    [
        ((), {"xRoadInstance": ""}, 400, 'Parameter "xRoadInstance"  must be specified.'),
        ((), {"queryId": ""}, 400, 'Parameter "queryId"  must be specified.'),
        (
            ("requestOnly", "responseOnly"), {}, 400,
            'Parameters "requestOnly" and "responseOnly" cannot be used at the same time.',
        ),
        (
            ("unique",), {}, 400,
            'Parameter "unique" not applicable without "requestOnly" or "responseOnly".',
        ),
        ((), {"queryId": "never sent"}, 404, "No signed documents found"),
        (("unique",), {"queryId": "never sent"}, 404, "No signed documents found"),
        (
            (), {"subsystemCode": "other"}, 401,
            f"Client 'SUBSYSTEM:{NAME}/MUN/2001/other' not found",
        ),
    ],
)  # fmt: skip
async def test_what_can_not_be_handed_out_is_said_in_plain_text(
    pair: Pair, flags: tuple[str, ...], changes: dict[str, str], status: int, text: str
) -> None:
    await pair.call("asked")
    found, _, body = await pair.asic(pair.muni, "asked", *flags, **changes)
    assert (found, body.decode()) == (status, text)


async def test_another_party_s_messages_are_not_found(pair: Pair) -> None:
    await pair.call("private")
    parts = dict(
        zip(("memberClass", "memberCode", "subsystemCode"), PROVIDER.parts[1:], strict=True)
    )
    status, _, body = await pair.asic(pair.muni, "private", **parts)
    assert status == 401, body


async def test_a_repeated_message_id_has_no_unique_container(pair: Pair) -> None:
    await pair.call("twice")
    await pair.call("twice")
    status, _, body = await pair.asic(pair.muni, "twice", "requestOnly", "unique")
    assert (status, body) == (500, b"There are 2 signed documents, not one")


async def test_more_than_an_archive_may_hold_is_413(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.call("both")
    monkeypatch.setattr(containers, "MAX_RECORDS", 1)
    status, _, body = await pair.asic(pair.muni, "both")
    assert status == 413
    assert body.startswith(b'There are more than 1 signed documents: ask for each alone, with "un')
    assert (await pair.asic(pair.muni, "both", "requestOnly"))[0] == 200


async def test_a_spool_that_can_not_be_written_is_told_in_a_sentence(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await pair.call("full")
    spool = pair.muni.settings.data / "spool"
    monkeypatch.setattr(downloads, "_IN_MEMORY", 100)
    for flags in ((), ("requestOnly", "unique")):
        caplog.clear()
        spool.rename(spool.with_name("away"))
        try:
            status, _, body = await pair.asic(pair.muni, "full", *flags)
        finally:
            spool.with_name("away").rename(spool)
        sentence = f"The answer can't be kept in {spool}: No such file or directory"
        assert (status, body.decode()) == (500, sentence)
        told = [entry for entry in caplog.records if entry.name == "sacbe.downloads"]
        assert [(entry.levelname, entry.getMessage()) for entry in told] == [
            ("WARNING", f"GET /asic: {sentence}")
        ]
        assert not any(entry.exc_info for entry in caplog.records)
    assert (await pair.asic(pair.muni, "full"))[0] == 200


async def test_the_verification_configuration_is_enough_to_judge_by(
    pair: Pair, tmp_path: Path
) -> None:
    answer = await pair.session.get(f"{pair.muni.url}/verificationconf")
    assert answer.headers["Content-Disposition"] == 'filename="verificationconf.zip"'
    with zipfile.ZipFile(io.BytesIO(await answer.read())) as archive:
        assert f"verificationconf/{NAME}/shared-params.xml" in archive.namelist()
        archive.extractall(tmp_path)
    await pair.call("judged")
    _, _, body = await pair.asic(pair.civil, "judged", "responseOnly", "unique")
    conf = load_configuration(tmp_path / "verificationconf")
    assert verify_container(parse_container(body), conf, utc_now()).verdict is Outcome.PASSED


async def test_other_paths_and_methods_are_soap_and_refused_as_such(pair: Pair) -> None:
    for method, path, code in (
        ("GET", "/wsdl", "client.invalid_http_method"),
        ("POST", "/asic", "client.invalid_content_type"),
        ("POST", "/", "client.invalid_content_type"),
    ):
        answer = await pair.session.request(method, f"{pair.muni.url}{path}", data=b"<x/>")
        assert answer.status == 200
        assert f"<faultcode>{code}</faultcode>" in await answer.text()
