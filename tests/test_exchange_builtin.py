"""Services that the node itself answers, called by SOAP and by REST through two real nodes.

Source: messages.md 8.1; metadata.md 1.
"""

import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from catalog.services import ServiceType
from node.exchange.account import Account
from node.exchange.builtin import AnswerPart, Call, RestAnswer, SoapAnswer
from node.messages.soap import SoapMessage
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import PROVIDER
from tests.scene import CLIENT, call, records, unexpected
from tests.soap_messages import Envelope, answer_to
from tests.soap_stage import TEXT, Stage, packed, proven, repacked, soap_stage, without_hash
from trust.errors import AccessDenied, ExchangeError
from trust.ids import ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = ServiceId(PROVIDER.member, "listMethods")
NUMBERS = itertools.count()
PARTS = (
    AnswerPart("text/xml", (("content-id", "<a>"), ("X-Two", "2")), b"<a/>"),
    AnswerPart("application/gzip", (), bytes(100_000)),
)


@dataclass
class Listing:
    """Takes every call of its code; does what a test says."""

    soap: SoapAnswer | None = None
    rest: RestAnswer | None = None
    refusal: ExchangeError | None = None
    failure: ExchangeError | None = None
    calls: list[Call] = field(default_factory=list)
    type: ServiceType = ServiceType.WSDL

    def takes(self, call: Call) -> bool:
        return call.request.service.service_code == LIST.service_code

    def check_access(self, call: Call) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def answer(self, call: Call) -> SoapAnswer | RestAnswer:
        self.calls.append(call)
        if self.failure is not None:
            raise self.failure
        found = self.soap if isinstance(call.request, SoapMessage) else self.rest
        assert found is not None
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with soap_stage(tmp_path_factory.mktemp("builtin"), postgres_server) as found:
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
def listing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Listing:
    found = Listing()
    monkeypatch.setattr(stage.provider.running.exchanges.provider, "built_in", (found,))
    return found


@pytest.fixture
def accounts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> list[Account]:
    found: list[Account] = []
    monkeypatch.setattr(stage.provider.running.exchanges.provider, "ended", found.append)
    return found


def request() -> Envelope:
    return Envelope(service=LIST, message_id=f"list-{next(NUMBERS)}")


async def test_a_soap_call_is_answered_with_hash_and_signature(
    stage: Stage, listing: Listing, accounts: list[Account]
) -> None:
    asked = request()
    listing.soap = SoapAnswer(answer_to(asked.raw))
    answer = await stage.call(asked.raw)
    assert without_hash(answer.body, asked.raw) == answer_to(asked.raw)
    assert answer.first("content-type") == TEXT
    assert stage.system.connections == 0
    assert [one.request.raw for one in listing.calls] == [asked.raw]
    await proven(stage, asked.message_id, [], [])
    (account,) = accounts
    assert account.succeeded
    assert account.service_type is ServiceType.WSDL
    assert account.request_out == account.request_in
    assert account.response_in == account.response_out


async def test_attachments_come_in_a_package_of_the_node(stage: Stage, listing: Listing) -> None:
    asked = request()
    listing.soap = SoapAnswer(answer_to(asked.raw), PARTS)
    answer = await stage.call(asked.raw)
    kind = answer.first("content-type") or ""
    found = re.fullmatch(
        r'multipart/related; type="text/xml"; boundary=(xroad[A-Za-z]{30});charset=utf-8', kind
    )
    assert found is not None, kind
    envelope = answer.body.partition(b"\r\n\r\n")[2].partition(b"\r\n--xroad")[0]
    assert without_hash(envelope, asked.raw) == answer_to(asked.raw)
    others = [Part(part.content_type, part.data, part.fields) for part in PARTS]
    assert answer.body == repacked(found[1], [Part(TEXT, envelope), *others])
    await proven(stage, asked.message_id, [], [part.data for part in PARTS])


async def test_the_request_may_be_a_package(stage: Stage, listing: Listing) -> None:
    asked = request()
    listing.soap = SoapAnswer(answer_to(asked.raw))
    parts = [Part(TEXT, asked.raw), Part("a/b", b"x")]
    answer = await stage.call(packed("b", parts), "multipart/related; boundary=b")
    assert without_hash(answer.body, asked.raw) == answer_to(asked.raw)
    await proven(stage, asked.message_id, [b"x"], [])


@pytest.mark.parametrize("package", [False, True])
async def test_who_may_not_call_is_refused_before_anything_is_kept(
    stage: Stage, listing: Listing, package: bool
) -> None:
    asked = request()
    listing.refusal = AccessDenied(f"Request is not allowed: {LIST}")
    parts = [Part(TEXT, asked.raw), Part("a/b", b"x")]
    answer = await (
        stage.call(packed("b", parts), "multipart/related; boundary=b")
        if package
        else stage.call(asked.raw)
    )
    assert b"<faultcode>server.serverproxy.access_denied</faultcode>" in answer.body
    assert listing.calls == []
    assert await records(stage.provider, message_id=asked.message_id) == ()


async def test_its_failure_is_told_without_a_group(
    stage: Stage, listing: Listing, accounts: list[Account]
) -> None:
    asked = request()
    listing.failure = ExchangeError("No such service", "invalid_request")
    answer = await stage.call(asked.raw)
    assert b"<faultcode>server.serverproxy.invalid_request</faultcode>" in answer.body
    kept = await records(stage.provider, message_id=asked.message_id)
    assert [one.response for one in kept] == [False]
    assert [account.succeeded for account in accounts] == [False]


@pytest.mark.parametrize("status", [200, 404])
async def test_a_rest_call_is_answered(
    stage: Stage, listing: Listing, accounts: list[Account], status: int
) -> None:
    headers = ((b"Content-Type", b"application/json"),)
    listing.rest = RestAnswer(status, headers, b'{"service":[]}')
    path = f"/r1/{PROVIDER.path}/listMethods"
    answer = await call(stage.consumer, "GET", path, (CLIENT,))
    assert answer.status == status
    assert json.loads(answer.body) == {"service": []}
    assert answer.first("x-road-service") == f"{PROVIDER.path}/listMethods"
    assert answer.first("x-road-error") is None
    (account,) = accounts
    assert (account.status_code, account.succeeded) == (status, status == 200)


async def test_what_it_does_not_take_is_looked_up_as_usual(stage: Stage, listing: Listing) -> None:
    asked = Envelope(message_id=f"list-{next(NUMBERS)}")
    answer = await stage.call(asked.raw)
    assert without_hash(answer.body, asked.raw) == answer_to(asked.raw)
    assert listing.calls == []
