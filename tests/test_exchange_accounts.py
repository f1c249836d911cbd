"""What is known of an exchange at its end: the facts of operational monitoring, on both sides.

Source: monitoring.md 2.
"""

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest
import pytest_asyncio

from catalog.services import Endpoint, ServiceType
from node.exchange.account import Account, MessageSize
from node.messages.represented_party import RepresentedParty
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import CONSUMER, PROVIDER
from tests.raw_http import ask, build_head
from tests.scene import CLIENT, answering, call, unexpected
from tests.soap_messages import STATE, Envelope, answer_to
from tests.soap_stage import TEXT, Stage, packed, soap_stage
from trust.ids import ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")

NUMBERS = itertools.count()
REST = ServiceId(PROVIDER, "rest")
PARTY = (
    "<repr:representedParty><repr:partyClass>COM</repr:partyClass>"
    "<repr:partyCode>7</repr:partyCode></repr:representedParty>"
)


@dataclass
class Books:
    """The accounts that both nodes closed, oldest first."""

    consumer: list[Account]
    provider: list[Account]

    @property
    def pair(self) -> tuple[Account, Account]:
        (ours,), (theirs,) = self.consumer, self.provider
        return ours, theirs


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with soap_stage(tmp_path_factory.mktemp("accounts"), postgres_server) as found:
        yield found


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.reset()
    return module_stage


@pytest.fixture
def books(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Books:
    found = Books([], [])
    monkeypatch.setattr(
        stage.consumer.running.systems_port.consumer, "ended", found.consumer.append
    )
    monkeypatch.setattr(stage.provider.running.exchanges.provider, "ended", found.provider.append)
    return found


def size(message: bytes, *others: bytes) -> MessageSize:
    return MessageSize(len(message), sum(map(len, others)), len(others))


async def test_what_both_sides_know_of_a_soap_exchange(stage: Stage, books: Books) -> None:
    request = Envelope(message_id=f"account-{next(NUMBERS)}", issue="case 7", more=PARTY)
    before = time.time() * 1000
    told = await stage.call(request.raw)
    after = time.time() * 1000
    for account in books.pair:
        assert account.exchange_id == books.consumer[0].exchange_id
        assert account.message_id == request.message_id
        assert (account.client, account.service_id) == (CONSUMER, STATE)
        assert (account.user_id, account.issue) == ("EX60001019906", "case 7")
        assert account.represented_party == RepresentedParty("COM", "7")
        assert account.protocol_version == "4.0"
        assert account.client_server == stage.consumer.address
        assert account.service_server == stage.provider.address
        assert account.request_size == size(request.raw)
        assert account.response_size == size(told.body)
        assert account.request_out is not None
        assert account.response_in is not None
        assert account.response_out is not None
        assert before - 1 <= account.request_in <= account.request_out <= account.response_in
        assert account.response_in <= account.response_out <= after + 1
        assert (account.rest_method, account.rest_path, account.status_code) == (None,) * 3
        assert account.succeeded
    ours, theirs = books.pair
    assert (ours.role, ours.peer, ours.service_type) == ("consumer", stage.provider.server, None)
    assert (theirs.role, theirs.peer) == ("provider", stage.consumer.server)
    assert theirs.service_type is ServiceType.WSDL


async def test_attachments_are_counted_and_weighed(stage: Stage, books: Books) -> None:
    request = Envelope(message_id=f"account-{next(NUMBERS)}")
    others = [Part("a/b", b"x" * 10), Part("a/b", b"y" * 30)]
    kind = "multipart/related; boundary=b"
    said = packed("b", [Part(TEXT, answer_to(request.raw)), others[0]])
    stage.system.answer = lambda _: answering(said, headers=(("Content-Type", kind),))
    await stage.call(packed("b", [Part(TEXT, request.raw), *others]), kind)
    for account in books.pair:
        assert account.request_size == size(request.raw, b"x" * 10, b"y" * 30)
        assert account.response_size is not None
        assert (account.response_size.payload, account.response_size.attachments) == (10, 1)


@pytest.mark.parametrize(
    ("status", "succeeded"),
    [("200 OK", True), ("404 No", False), ("302 Found", True), ("503 Busy", False)],
)
async def test_what_both_sides_know_of_a_rest_exchange(
    stage: Stage, books: Books, status: str, succeeded: bool
) -> None:
    stage.system.answer = lambda _: answering(b"12345", status)
    headers = (CLIENT, ("X-Road-UserId", "me"), ("X-Road-Issue", "case"),
               ("X-Road-Represented-Party", "code"))  # fmt: skip
    await call(stage.consumer, "POST", f"/r1/{REST.path}/a/b", headers, b"body")
    for account in books.pair:
        assert (account.client, account.service_id) == (CONSUMER, REST)
        assert (account.user_id, account.issue) == ("me", "case")
        assert account.represented_party == RepresentedParty(None, "code")
        assert account.protocol_version == "1"
        assert account.rest_method == "POST"
        assert account.status_code == int(status[:3])
        assert account.succeeded is succeeded
        assert account.request_size is not None
        assert account.response_size is not None
        assert (account.request_size.payload, account.response_size.payload) == (4, 5)
        assert account.request_size.attachments == account.response_size.attachments == 0
    ours, theirs = books.pair
    assert (ours.rest_path, theirs.rest_path) == (None, None)  # no endpoint is known
    assert theirs.service_type is ServiceType.REST


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/pets/first", "/pets/first"),
        ("GET", "/pets/1", "/pets/*"),
        ("POST", "/pets/1", "/pets/*"),
        ("GET", "/other", None),
        ("GET", "/p%65ts/1", "/pets/*"),
    ],
)
async def test_the_pattern_that_covers_a_rest_call(
    stage: Stage, books: Books, method: str, path: str, expected: str | None
) -> None:
    (offered,) = stage.provider.running.services.conf.clients
    known = (Endpoint("GET", "/pets/first"), Endpoint("GET", "/pets/*"), Endpoint("*", "/pets/*"))
    described = tuple(
        replace(one, endpoints=known) if one.id == REST else one for one in offered.services
    )
    await stage.instance.apply(stage.provider, [replace(offered, services=described)])
    try:
        stage.system.answer = lambda _: answering(b"")
        await call(stage.consumer, method, f"/r1/{REST.path}{path}")
    finally:
        await stage.instance.apply(stage.provider, [offered])
    assert books.provider[0].rest_path == expected


async def test_a_refused_call_is_told_of_by_whom_it_reached(stage: Stage, books: Books) -> None:
    request = Envelope(service=ServiceId(PROVIDER, "closed", "v1"))
    await stage.call(request.raw)
    for account in books.pair:
        assert account.failure is not None
        assert account.failure.code == "server.serverproxy.access_denied"
        assert account.failure.text.startswith("Request is not allowed: ")
        assert not account.succeeded
        assert account.client == CONSUMER
        assert account.response_out is not None
    assert books.provider[0].request_out is None


async def test_a_fault_of_the_system_is_a_failure_on_both_sides(stage: Stage, books: Books) -> None:
    fault = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        b"<faultcode>s:No</faultcode><faultstring>no</faultstring></s:Fault></s:Body></s:Envelope>"
    )
    stage.system.answer = lambda _: answering(fault, headers=(("Content-Type", TEXT),))
    await stage.call(Envelope().raw)
    for account in books.pair:
        assert account.failure is not None
        assert (account.failure.code, account.failure.text) == ("s:No", "no")
        assert not account.succeeded


async def test_what_is_no_request_is_an_exchange_of_nobody(stage: Stage, books: Books) -> None:
    await stage.call(b"<a/>")
    (account,) = books.consumer
    assert books.provider == []
    assert (account.client, account.service_id, account.request_out) == (None, None, None)
    assert (account.succeeded, account.request_size) == (False, None)


async def test_pages_of_the_node_are_no_exchanges(stage: Stage, books: Books) -> None:
    port = stage.consumer.running.ports["systems http"].number
    for path in ("/asic", "/verificationconf"):
        await ask("127.0.0.1", port, build_head(f"GET {path} HTTP/1.1", [("Host", "x")]))
    assert books == Books([], [])
