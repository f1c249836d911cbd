"""SOAP exchanges when something that they need is not there: trust list, keys, log, identity.

Source: messages.md 1 and 7; errors.md 5 and 7; transport.md 2.1.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import pytest_asyncio

from catalog.services import ConnectionType, HostedClient
from node.exchange.snapshot import Snapshots
from node.log.messagelog import MessageLog
from node.log.records import MessageRecord
from scripts.postgres import PostgresServer
from tests.drafts import Part, text_of
from tests.instance import CONSUMER
from tests.raw_http import RawMessage, build_head, connected, read_message
from tests.scene import answering, records, unexpected
from tests.soap_messages import Envelope, answer_to
from tests.soap_stage import TEXT, Stage, packed, proven, soap_stage, without_hash
from trust.errors import LoggingFailed

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count()
PACKAGE = "multipart/related; boundary=b"
OTHERS = [Part("a/b", b"first"), Part("c/d", b"")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with soap_stage(tmp_path_factory.mktemp("conditions"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.reset()
    return module_stage


def new() -> Envelope:
    return Envelope(message_id=f"condition-{next(NUMBERS)}")


def told(answer: RawMessage) -> tuple[str, str]:
    assert answer.status == 200
    return text_of(answer.body, "faultcode"), text_of(answer.body, "faultstring")


def blind(snapshots: Snapshots) -> Snapshots:
    return replace(snapshots, conf=lambda: None)


async def test_without_a_trust_list_nothing_is_exchanged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    outdated = "Global configuration is expired"
    provider = stage.provider.running.exchanges.provider
    with monkeypatch.context() as patch:
        patch.setattr(provider, "snapshots", blind(provider.snapshots))
        answer = await stage.call(new().raw)
        assert told(answer) == ("server.serverproxy.global_conf_outdated", outdated)
    consumer = stage.consumer.running.systems_port.consumer
    monkeypatch.setattr(consumer, "snapshots", blind(consumer.snapshots))
    answer = await stage.call(new().raw)
    assert told(answer) == ("server.clientproxy.global_conf_outdated", outdated)
    answer = await stage.call(b"what is not read yet", "nonsense")
    assert told(answer)[0] == "server.clientproxy.global_conf_outdated"
    answer = await stage.call(b"", method="GET")  # the method comes first
    assert told(answer)[0] == "client.invalid_http_method"
    assert stage.system.connections == 0


async def test_a_node_without_identity_says_so_in_the_words_of_soap(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.consumer.running.exchanges.peers, "_identity", lambda: None)
    answer = await stage.call(b"what is not read yet")
    assert told(answer) == (
        "server.clientproxy.ssl_authentication_failed",
        "Security server has no valid authentication certificate",
    )


@pytest.mark.parametrize("side", ["provider", "consumer"])
async def test_a_member_without_a_signing_key_exchanges_nothing(stage: Stage, side: str) -> None:
    node = stage.provider if side == "provider" else stage.consumer
    keys = node.running.who.keys
    signing = next(entry for entry in keys.entries if entry.use == "sign")
    keys.set_active(signing.id, False)
    await stage.instance.publish()  # what was found out about keys is forgotten
    request = new()
    code, text = told(await stage.call(request.raw))
    assert (
        code
        == {
            "provider": "server.serverproxy.service_failed.cannot_create_signature",
            "consumer": "server.clientproxy.cannot_create_signature",
        }[side]
    )
    assert "is not active" in text
    assert stage.system.connections == 0
    assert await records(stage.provider, message_id=request.message_id) == ()
    keys.set_active(signing.id, True)
    await stage.instance.publish()
    without_hash((await stage.call(request.raw)).body, request.raw)


@dataclass
class FullLog:
    """A message log that takes so many records and no more."""

    log: MessageLog
    room: int

    async def append(self, record: MessageRecord) -> int:
        if not self.room:
            raise LoggingFailed("The message log takes no more at the moment")
        self.room -= 1
        return await self.log.append(record)

    @property
    def replay_retention(self) -> timedelta:
        return self.log.replay_retention


@pytest.mark.parametrize(
    ("side", "most", "kept"),
    [
        ("consumer", 0, ([], [])),
        ("provider", 0, ([False], [])),
        ("provider", 1, ([False], [False])),
        ("consumer", 1, ([False], [False, True])),
    ],
)
@pytest.mark.parametrize("package", [False, True])
async def test_what_can_not_be_logged_does_not_happen(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    side: str,
    most: int,
    kept: tuple[list[bool], list[bool]],
    package: bool,
) -> None:
    request = new()
    said = answer_to(request.raw)
    body, kind = request.raw, TEXT
    if package:
        body, kind = packed("b", [Part(TEXT, body), *OTHERS]), PACKAGE
        said = packed("b", [Part(TEXT, said), *OTHERS])
    stage.system.answer = lambda _: answering(said, headers=(("Content-Type", kind),))
    node = stage.consumer if side == "consumer" else stage.provider
    evidence = node.running.exchanges.provider.evidence  # of both sides
    monkeypatch.setattr(evidence, "log", FullLog(evidence.log, most))
    answer = await stage.call(body, kind)
    proxy = "clientproxy" if side == "consumer" else "serverproxy"
    assert told(answer)[0] == f"server.{proxy}.logging_failed"
    found = []
    for one in (stage.consumer, stage.provider):
        stored = await records(one, message_id=request.message_id)
        found.append([record.response for record in stored])
    assert tuple(found) == kept
    assert len(stage.system.requests) == (1 if kept[1] else 0)


@pytest.mark.parametrize("others", [[], OTHERS], ids=["alone", "package"])
async def test_old_servers_get_hash_chains(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, others: list[Part]
) -> None:
    consumer = stage.consumer.running.systems_port.consumer
    monkeypatch.setattr(consumer, "hash_chain_servers", frozenset({stage.provider.server}))
    request = new()
    stage.system.answer = lambda _: answering(
        answer_to(request.raw), headers=(("Content-Type", TEXT),)
    )
    answer = await stage.call(packed("b", [Part(TEXT, request.raw), *others]), PACKAGE)
    without_hash(answer.body, request.raw)
    sent, _ = await proven(stage, request.message_id, [part.data for part in others], [])
    assert (sent.hash_chain is not None) == bool(others)


@pytest.mark.parametrize(
    ("connection", "text"),
    [
        (
            ConnectionType.HTTPS_NO_AUTH,
            "specifies HTTPS NO AUTH but client made plaintext connection",
        ),
        (ConnectionType.HTTPS, "specifies HTTPS but did not supply TLS certificate"),
    ],
)
async def test_a_system_must_connect_as_its_client_says(
    stage: Stage, connection: ConnectionType, text: str
) -> None:
    clients = stage.consumer.running.services.conf.clients
    await stage.instance.apply(stage.consumer, [HostedClient(CONSUMER, connection=connection)])
    try:
        answer = await stage.call(new().raw)
    finally:
        await stage.instance.apply(stage.consumer, clients)
    expected = f"Client ({CONSUMER}) {text}"
    assert told(answer) == ("server.clientproxy.ssl_authentication_failed", expected)
    assert stage.system.connections == 0


# --- systems that go away or stand still ----------------------------------------------------------


def half_a_package(request: Envelope) -> bytes:
    whole = packed("b", [Part(TEXT, request.raw), Part("a/b", bytes(200_000))])
    length = ("Content-Length", str(len(whole)))
    headers = [("Host", "x"), ("Content-Type", PACKAGE), length]
    return build_head("POST / HTTP/1.1", headers) + whole[: len(whole) // 2]


async def test_a_system_that_goes_away_among_attachments_leaves_nothing(stage: Stage) -> None:
    request = new()
    port = stage.consumer.running.ports["systems http"].number
    async with connected("127.0.0.1", port) as (_, writer):
        writer.write(half_a_package(request))
        await writer.drain()
        await until_running(stage, 1)
    await until_running(stage, 0)
    for node in (stage.consumer, stage.provider):
        assert await records(node, message_id=request.message_id) == ()
    assert stage.system.connections == 0


async def test_a_system_that_stands_still_among_attachments_is_told_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = stage.consumer.running.systems_port.consumer
    monkeypatch.setattr(consumer, "patience", timedelta(seconds=0.5))
    request = new()
    port = stage.consumer.running.ports["systems http"].number
    async with asyncio.timeout(20), connected("127.0.0.1", port) as (reader, writer):
        writer.write(half_a_package(request))
        answer = await read_message(reader, answer_to="POST")
    assert answer is not None
    assert told(answer) == ("client.io_error", "Read timed out")
    await until_running(stage, 0)
    assert await records(stage.provider, message_id=request.message_id) == ()


async def until_running(stage: Stage, count: int) -> None:
    """Wait until both nodes have so many exchanges under way."""
    async with asyncio.timeout(20):
        for node, role in ((stage.consumer, "consumer"), (stage.provider, "provider")):
            read = node.running.metrics.registry.get_sample_value
            while (read("sacbe_exchanges_running", {"role": role}) or 0) != count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
