"""What every adapter does around its source: limits, errors, TLS, metrics, log lines."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapters.faces.openapi import describe
from adapters.operations import (
    Content,
    Method,
    NotThere,
    Operation,
    SourceUnavailable,
    UpstreamRefused,
)
from adapters.settings import AdapterSettings, LimitSettings, TlsSettings
from adapters.shapes import AnyValue, Document, Field, ListOf, Record, Scalar, ValueType
from adapters.shell import build_app, serving
from node.internal_tls import _self_signed
from tests.memory_source import MemorySource
from trust.errors import ConfigurationError
from trust.pki.keys import generate_key
from trust.settings import ByteSize

Client = TestClient[web.Request, web.Application]
ASK = Operation(
    name="ask",
    path="/ask/{id}",
    parameters=(
        Field("id", Scalar(ValueType.INTEGER)),
        Field("tag", ListOf(Scalar()), required=False),
        Field("from", Scalar(), required=False, example="now"),
    ),
    answer=AnyValue(),
)
FIXED = Operation(name="fixed", path="/ask/all", answer=AnyValue())
PUT = Operation(
    name="put", path="/put", method=Method.PUT, body=Record((Field("a"),)), answer=AnyValue()
)
FILE = Operation(name="file", path="/file", answer=Document("text/csv"))
OPERATIONS = (ASK, FIXED, PUT, FILE)


def settings(**limits: object) -> AdapterSettings:
    values = {"timeout": timedelta(seconds=5)} | limits
    return AdapterSettings(title="Any", port=0, limits=LimitSettings(**values))  # type: ignore[arg-type]  # by name


@asynccontextmanager
async def client_of(
    source: MemorySource, chosen: AdapterSettings | None = None
) -> AsyncIterator[Client]:
    opened: Client = TestClient(TestServer(build_app(chosen or settings(), source)))
    async with opened:
        yield opened


@pytest.fixture
def source() -> MemorySource:
    return MemorySource(OPERATIONS, answers={"ask": {"ok": True}, "fixed": 1, "put": 2})


async def test_values_come_from_path_query_and_body(source: MemorySource) -> None:
    async with client_of(source) as client:
        headers = {"X-Road-Client": "EX/GOV/1", "Once-Purpose": "benefit", "Other": "x"}
        answer = await client.get("/ask/7?tag=a&tag=b&from=x", headers=headers)
        assert (answer.status, await answer.json()) == (200, {"ok": True})
        assert (await client.get("/ask/all")).status == 200
        assert (await client.put("/put", json={"a": "b"})).status == 200
    (name, values, caller), fixed, put = source.asked
    assert (name, values) == ("ask", {"id": 7, "tag": ["a", "b"], "from": "x"})
    assert caller.headers == (("X-Road-Client", "EX/GOV/1"), ("Once-Purpose", "benefit"))
    assert (fixed[0], put[1]) == ("fixed", {"a": "b"})


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "parameter"),
    [
        ("GET", "/ask/x", None, 400, "id"),
        ("GET", "/ask/1?from=a&from=b", None, 400, "from"),
        ("GET", "/ask/1?id=2", None, 400, "id"),
        ("GET", "/ask/1?other=2", None, 400, "other"),
        ("GET", "/ask/1", b"{}", 400, None),
        ("PUT", "/put?a=1", b'{"a": "b"}', 400, "a"),
        ("PUT", "/put", b'{"a": "' + b"x" * 70000 + b'"}', 413, None),
        ("GET", "/nothing", None, 404, None),
        ("POST", "/put", None, 405, None),
    ],
)
async def test_what_can_t_be_answered_is_said_as_json(
    source: MemorySource, method: str, target: str, body: bytes | None, status: int,
    parameter: str | None,
) -> None:  # fmt: skip
    async with client_of(source, settings(body=ByteSize(65536))) as client:
        answer = await client.request(method, target, data=body)
        told = await answer.json()
        assert (answer.status, told.get("parameter")) == (status, parameter)
        assert told["error"]
    assert source.asked == []


@pytest.mark.parametrize(
    ("failure", "status", "told"),
    [
        (NotThere(), 404, {"error": "there is nothing that fits"}),
        (SourceUnavailable("10.0.0.1 refused"), 503, {"error": "the source does not answer"}),
        (UpstreamRefused(409, "taken", "E1"), 409, {"error": "taken", "code": "E1"}),
        (TimeoutError(), 504, {"error": "the source took too long"}),
    ],
)
async def test_failures_of_the_source_have_their_status(
    source: MemorySource, failure: Exception, status: int, told: dict[str, str]
) -> None:
    source.answers["ask"] = failure
    async with client_of(source) as client:
        answer = await client.get("/ask/1")
        assert (answer.status, await answer.json()) == (status, told)


async def test_an_error_that_nobody_foresaw_is_told_by_an_id_that_stands_in_the_log(
    source: MemorySource, caplog: pytest.LogCaptureFixture
) -> None:
    source.answers["ask"] = RuntimeError("personal 38001010000")
    async with client_of(source) as client:
        answer = await client.get("/ask/1")
        error = (await answer.json())["error"]
    assert answer.status == 500
    assert error.startswith("internal error ")
    assert f"error {error.removeprefix('internal error ')}: RuntimeError at" in caplog.text
    assert "38001010000" not in caplog.text


async def test_only_so_many_are_worked_on_and_only_so_many_wait(source: MemorySource) -> None:
    going = asyncio.Event()

    async def slowly() -> int:
        await going.wait()
        return 1

    source.answers["fixed"] = slowly
    async with client_of(source, settings(running=2, waiting=1)) as client:
        calls = [asyncio.create_task(client.get("/ask/all")) for _ in range(3)]
        numbers = ""
        for _ in range(200):
            numbers = await (await client.get("/metrics")).text()
            if "sacbe_adapter_waiting 1.0" in numbers:
                break
            await asyncio.sleep(0.01)
        assert "sacbe_adapter_waiting 1.0" in numbers
        assert "sacbe_adapter_running 2.0" in numbers
        refused = await client.get("/ask/all")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        going.set()
        assert [(await call).status for call in calls] == [200, 200, 200]
        numbers = await (await client.get("/metrics")).text()
    assert 'calls_total{face="rest",operation="fixed",status="200"} 3.0' in numbers
    assert 'calls_total{face="rest",operation="fixed",status="503"} 1.0' in numbers


async def test_a_request_has_a_time_and_gives_its_place_back(source: MemorySource) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    source.answers["fixed"] = never
    limits = settings(running=1, timeout=timedelta(milliseconds=100))
    async with client_of(source, limits) as client:
        assert (await client.get("/ask/all")).status == 504
        assert (await client.get("/ask/1")).status == 200


async def test_an_answer_has_a_longest_length(source: MemorySource) -> None:
    source.answers["fixed"] = "x" * 1000
    async with client_of(source, settings(answer=ByteSize(512))) as client:
        answer = await client.get("/ask/all")
        assert (answer.status, await answer.json()) == (500, {"error": "the answer is too large"})


async def test_a_document_comes_whole_or_in_chunks(source: MemorySource) -> None:
    closed = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"a;b\n"
            yield b"1;2\n"
        finally:
            closed.set()

    async with client_of(source) as client:
        source.answers["file"] = Content("text/csv", b"whole", headers=(("ETag", '"1"'),))
        answer = await client.get("/file")
        assert (await answer.read(), answer.headers["ETag"]) == (b"whole", '"1"')
        source.answers["file"] = Content("text/csv; charset=utf-8", chunks(), length=8)
        answer = await client.get("/file")
        assert (await answer.read(), answer.content_length) == (b"a;b\n1;2\n", 8)
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert closed.is_set()


async def test_a_document_that_breaks_off_is_no_short_answer(
    source: MemorySource, caplog: pytest.LogCaptureFixture
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a;b\n"
        raise OSError("personal 38001010000")

    async with client_of(source) as client:
        source.answers["file"] = Content("text/csv", chunks())
        with pytest.raises(aiohttp.ClientPayloadError):
            await (await client.get("/file")).read()
    assert "OSError at" in caplog.text
    assert "38001010000" not in caplog.text


async def test_a_body_that_does_not_come_is_not_waited_for(source: MemorySource) -> None:
    limits = settings(timeout=timedelta(milliseconds=100))
    async with client_of(source, limits) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"PUT /put HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


async def test_a_host_that_is_none_gets_no_description(source: MemorySource) -> None:
    async with client_of(source) as client:
        answer = await client.get("/soap?wsdl", headers={"Host": "a:b"})
        assert answer.status == 400


async def test_a_line_for_each_call_names_the_operation_and_no_value(
    source: MemorySource, caplog: pytest.LogCaptureFixture
) -> None:
    async with client_of(source) as client:
        with caplog.at_level("INFO", "sacbe.adapter"):
            headers = {"X-Road-Client": "EX/GOV/1", "X-Road-Id": "\t\x85" + "x" * 5000}
            await client.get("/ask/60001019906", headers=headers)
            await client.get("/nothing/60001019906")
            await client.get("/health/live")
    told = [entry.getMessage() for entry in caplog.records if entry.name == "sacbe.adapter"]
    assert len(told) == 2
    assert told[0].startswith("operation=ask face=rest status=200 in=0 out=11 ms=")
    assert "client='EX/GOV/1'" in told[0]
    assert told[1].startswith("operation=unknown face=rest status=404")
    assert all(line.isprintable() and len(line) < 700 for line in told)
    assert "60001019906" not in "".join(told)


async def test_readiness_is_that_of_the_source(source: MemorySource) -> None:
    async with client_of(source) as client:
        assert await (await client.get("/health/ready")).json() == {"ready": True}
        source.trouble = "the disk is full"
        answer = await client.get("/health/ready")
        assert (answer.status, await answer.json()) == (
            503, {"ready": False, "reasons": ["the disk is full"]},
        )  # fmt: skip


def test_the_description_is_one_by_the_rules_of_openapi() -> None:
    validate = pytest.importorskip("openapi_spec_validator").validate
    validate(describe("Any", "1", OPERATIONS))


def _pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate, as a node's internal one, and its key."""
    key = generate_key("p256")
    certificate = _self_signed(key, name, datetime.now(UTC))
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # fmt: skip
    paths[1].chmod(0o600)
    return paths


async def test_https_lets_in_the_node_alone_where_its_certificate_is_pinned(
    source: MemorySource, tmp_path: Path
) -> None:
    own, node, stranger = (_pair(tmp_path, name) for name in ("own", "node", "stranger"))
    tls = TlsSettings(certificate=own[0], key=own[1], clients=(node[0],))
    chosen = AdapterSettings(title="Any", port=0, tls=tls)
    statuses = {}
    async with serving(chosen, build_app(chosen, source)) as address:
        assert address.startswith("https://")
        for name, pair in (("node", node), ("stranger", stranger), ("nobody", None)):
            context = ssl.create_default_context(cafile=str(own[0]))
            if pair is not None:
                context.load_cert_chain(*pair)
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.get(f"{address}/ask/1") as answer:
                    statuses[name] = answer.status
                async with session.get(f"{address}/health/live") as answer:
                    assert answer.status == 200
    assert statuses == {"node": 200, "stranger": 403, "nobody": 403}
    assert len(source.asked) == 1


async def test_a_key_of_another_certificate_is_told_by_its_file(
    source: MemorySource, tmp_path: Path
) -> None:
    own, other = _pair(tmp_path, "own"), _pair(tmp_path, "other")
    tls = TlsSettings(certificate=own[0], key=other[1])
    chosen = AdapterSettings(title="Any", port=0, tls=tls)
    with pytest.raises(ConfigurationError, match=r"other\.key: found no key of that certificate"):
        async with serving(chosen, build_app(chosen, source)):
            pass
