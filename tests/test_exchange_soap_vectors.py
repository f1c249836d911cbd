"""Messages of the reference server's own tests, carried through two of our nodes.

Only the names of the instance and its members are replaced by ours.
Source: messages.md 10; X-Road 7.8 proxy-core, src/test/queries and its test cases.
"""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient, Service, ServiceType
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import CONSUMER, PROVIDER, Instance
from tests.scene import System, answering, unexpected
from tests.soap_stage import TEXT, Stage, repacked, without_hash
from tests.vector_files import vector_path
from trust.ids import ServiceId

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.interop]

QUERIES = "asic/src/service/proxy/proxy-core/src/test/queries"
BOUNDARY = "jetty771207119h3h10dty"
PACKAGE = f"multipart/related; charset=UTF-8; boundary={BOUNDARY}"
BOM = "\ufeff".encode()
_OURS = (
    (rb"(xRoadInstance>)EE<", rb"\1TEST<"),
    (rb"BUSINESS(</\w+:memberClass>\s*<\w+:memberCode>)consumer<", rb"MUN\g<1>2001<"),
    (
        rb"BUSINESS(</\w+:memberClass>\s*<\w+:memberCode>)(?:producer|attachment)<",
        rb"GOV\g<1>1001<",
    ),
    (rb">9876543210<", rb">1234567890<"),  # the reference's tests give both files one id
    (rb">subsys1<", rb">benefits<"),
    (rb">subsys2<", rb">persons<"),
)


@dataclass(frozen=True)
class Pair:
    """A request and its answer; empty when the answer's file says nothing of interest."""

    query: str
    answer: str
    packed: bool = False  # the request
    answer_packed: bool = False
    bom: bool = False

    def __str__(self) -> str:
        return f"{'BOM ' if self.bom else ''}{self.query} {self.answer}"


PAIRS = (
    Pair("getstate.query", "getstate.answer"),
    Pair("getstate-subsystem.query", "getstate-subsystem.answer"),
    Pair("getstate-subsystem.query", "getstate-subsystem.answer", bom=True),
    Pair("missing-userId.query", "missing-userId.answer"),
    Pair("getstate.query", "requesthash.answer"),
    Pair("simple.query", "simple.answer"),
    Pair("attachm.query", "attachm.answer", packed=True),
    Pair("attachm2.query", "attachm2.answer", packed=True, answer_packed=True),
    Pair("attachments.query", "attachm.answer", packed=True),
    Pair("attachm.query", "attachments.answer", packed=True, answer_packed=True),
    Pair("attachm-mtom.query", "attachm-mtom.answer", packed=True, answer_packed=True),
    Pair("smallAttachment.query", "smallAttachment.answer", packed=True),
    Pair("bigAttachment.query", "bigAttachment.answer"),
)


def ours(name: str) -> bytes:
    found = vector_path(f"{QUERIES}/{name}").read_bytes()
    for pattern, replacement in _OURS:
        found = re.sub(pattern, replacement, found)
    return found


def split(package: bytes) -> list[Part]:
    """The parts of one of those files, whose lines end with LF."""
    inner = package.partition(f"--{BOUNDARY}\n".encode())[2]
    inner = inner.rpartition(f"\n--{BOUNDARY}--".encode())[0]
    found = []
    for piece in inner.split(f"\n--{BOUNDARY}\n".encode()):
        head, _, data = piece.partition(b"\n\n")
        lines = [line.partition(": ") for line in head.decode().split("\n")]
        kind = next(value for name, _, value in lines if name.lower() == "content-type")
        others = tuple((n, v) for n, _, v in lines if n.lower() != "content-type")
        found.append(Part(kind, data, others))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("vectors")
        instance = await stack.enter_async_context(Instance(folder, postgres_server))
        system = await stack.enter_async_context(System().listening())
        codes = ("getState", "test", "testQuery")
        offered = [
            HostedClient(
                provider,
                connection=ConnectionType.HTTP,
                services=tuple(
                    Service(ServiceId(provider, code), ServiceType.WSDL, system.url)
                    for code in codes
                ),
                rights=tuple(
                    AccessRight(caller, code)
                    for caller in (CONSUMER, CONSUMER.member)
                    for code in codes
                ),
            )
            for provider in (PROVIDER, PROVIDER.member)
        ]
        hosted = [
            HostedClient(one, connection=ConnectionType.HTTP) for one in (CONSUMER, CONSUMER.member)
        ]
        civil = await instance.add("CIVIL", PROVIDER, hosted=offered)
        muni = await instance.add("MUNI", CONSUMER, hosted=hosted)
        await instance.start()
        yield Stage(instance, civil, muni, system)


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


@pytest.fixture
def stage(module_stage: Stage) -> Stage:
    module_stage.system.reset()
    return module_stage


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_what_the_reference_carries(stage: Stage, pair: Pair) -> None:
    query, answer = ours(pair.query), ours(pair.answer)
    if pair.bom:
        query = BOM + query
    kind = PACKAGE if pair.answer_packed else "text/xml"
    stage.system.answer = lambda _: answering(answer, headers=(("Content-Type", kind),))
    told = await stage.call(query, PACKAGE if pair.packed else "text/xml; charset=UTF-8")
    request = split(query) if pair.packed else [Part("", query)]
    expected = split(answer) if pair.answer_packed else [Part("", answer)]
    asked = stage.system.last
    assert asked.body == (repacked(BOUNDARY, request) if pair.packed else query)
    assert asked.first("content-type") == (PACKAGE if pair.packed else TEXT)
    if pair.answer_packed:
        start = told.body.index(b"\r\n\r\n") + 4
        envelope = told.body[start : told.body.index(f"\r\n--{BOUNDARY}".encode(), start)]
        hashed = Part(expected[0].content_type, envelope, expected[0].fields)
        assert told.body == repacked(BOUNDARY, [hashed, *expected[1:]])
        assert told.first("content-type") == f"multipart/related; boundary={BOUNDARY};charset=utf-8"
    else:
        envelope = told.body
        assert told.first("content-type") == TEXT
    stale = re.compile(rb"\s*<\w+:requestHash [^>]*>foo</\w+:requestHash>")
    assert without_hash(envelope, request[0].data) == stale.sub(b"", expected[0].data)


@pytest.mark.parametrize("name", ["faulty-fault.answer", "customfault.answer"])
async def test_faults_of_services_pass_byte_for_byte(stage: Stage, name: str) -> None:
    fault = ours(name)
    stage.system.answer = lambda _: answering(fault, headers=(("Content-Type", "text/xml"),))
    told = await stage.call(ours("getstate.query"))
    assert told.status == 200
    assert told.body == fault
