"""Another REST service behind an adapter: mapping, credentials, bounds, and a hostile service."""

import asyncio
import base64
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from adapters.operations import (
    BadParameter,
    Content,
    Method,
    NotThere,
    SourceTimeout,
    SourceUnavailable,
    UpstreamRefused,
)
from adapters.rest.answer import UnfitAnswer, fit
from adapters.rest.credentials import ClientCredentials, Proof
from adapters.rest.request import text_of
from adapters.rest.settings import (
    AnswerField,
    AnswerKind,
    BasicSettings,
    ErrorSettings,
    FieldType,
    HeaderSettings,
    KeySettings,
    OauthSettings,
    RestOperation,
    RestParameter,
    Target,
    UpstreamTls,
)
from adapters.rest.source import RestSource, open_rest
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, Shape, ValueType
from node.network.outbound import HttpConnection
from node.network.tls import systems_listener
from tests.rest_upstream import PEOPLE, PERSON, Upstream, ask, declared, secret, upstream_at
from tests.scripted_server import Scripted, serving
from tests.tls_certificates import Issued, identity, issue
from trust.errors import ConfigurationError

Opened = Callable[..., Awaitable[RestSource]]
Script = Callable[[Scripted, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with upstream_at() as state:
        yield state


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens sources and closes them at the end."""
    sources: list[RestSource] = []

    async def open_it(
        url: str, *operations: RestOperation, upstream: dict[str, Any] | None = None, **more: object
    ) -> RestSource:
        source = await open_rest(declared(url, *operations, upstream=upstream, **more))
        sources.append(source)
        return source

    yield open_it
    for source in sources:
        await source.close()


# --- mapping --------------------------------------------------------------------------------------


async def test_a_record_is_picked_from_the_answer(upstream: Upstream, opened: Opened) -> None:
    source = await opened(upstream.url)
    assert await ask(source, "person", id="1") == {
        "id": "1", "first_name": "Ann", "born": date(1990, 5, 1), "income": Decimal("10.5"),
    }  # fmt: skip
    (asked,) = upstream.requests
    assert (asked.method, asked.raw_path) == ("GET", "/people/1")
    assert asked.headers["Accept"] == "application/json"


async def test_a_list_and_where_values_go(upstream: Upstream, opened: Opened) -> None:
    source = await opened(upstream.url + "/", PERSON, PEOPLE)
    found = await ask(source, "people", county=["A&B", "é/"], since=date(2020, 1, 2), language="et")
    assert found == {"items": [{"id": "1"}, {"id": "2"}]}
    (asked,) = upstream.requests
    assert asked.raw_path == ("/people?format=full&region=A%26B&region=%C3%A9%2F&since=2020-01-02")
    assert asked.headers["Accept-Language"] == "et"


async def test_values_in_a_body(upstream: Upstream, opened: Opened) -> None:
    search = RestOperation(
        name="search", path="/search", method=Method.POST, ask="/people",
        parameters=(
            RestParameter(name="code", called="/person/id"),
            RestParameter(name="born", type=ValueType.DATE, called="/person/born"),
            RestParameter(name="least", type=ValueType.NUMBER, required=False),
            RestParameter(name="exact", type=ValueType.DECIMAL, required=False),
            RestParameter(name="page", type=ValueType.INTEGER, to=Target.QUERY),
        ),
        answer=AnswerKind.ANY,
    )  # fmt: skip
    source = await opened(upstream.url, search)
    body = next(iter(source.operations)).body
    assert body is not None
    assert len(body.fields) == 5
    await ask(source, "search", code="7", born=date(2020, 1, 2), least=Decimal("1.50"), page=2)
    assert upstream.bodies == [b'{"person":{"id":"7","born":"2020-01-02"},"least":1.50}']
    assert upstream.requests[0].raw_path == "/people?page=2"
    assert upstream.requests[0].content_type == "application/json"
    await ask(source, "search", code="7", born=date(2020, 1, 2), exact=Decimal("1.50"), page=2)
    assert b'"exact":"1.50"' in upstream.bodies[1]


async def test_our_post_may_be_the_service_s_get(upstream: Upstream, opened: Opened) -> None:
    search = replace(
        PEOPLE, name="search", path="/search", method=Method.POST, ask_method=Method.GET
    )
    source = await opened(upstream.url, search)
    (operation,) = source.operations
    assert operation.body is not None
    assert [one.name for one in operation.body.fields] == ["county", "since", "language"]
    assert await ask(source, "search", county=["A"])
    assert (upstream.requests[0].method, upstream.bodies) == ("GET", [b""])
    assert upstream.requests[0].raw_path == "/people?format=full&region=A"


@pytest.mark.parametrize(
    ("shape", "raw", "value"),
    [
        (Scalar(ValueType.INTEGER), Decimal("7.0"), 7),
        (Scalar(ValueType.NUMBER), Decimal("1.5"), 1.5),
        (Scalar(ValueType.DECIMAL), "1.50", Decimal("1.50")),
        (Scalar(ValueType.BOOLEAN), False, False),
        (Scalar(ValueType.UUID), "0" * 32, UUID(int=0)),
        (Scalar(ValueType.BINARY), "aGk=", b"hi"),
        (Scalar(ValueType.DATETIME), "2020-01-01T00:00:00Z", datetime(2020, 1, 1, tzinfo=UTC)),
        (Scalar(nullable=True), None, None),
        (Scalar(choices=("a",)), "a", "a"),
        (ListOf(Scalar()), ["a"], ["a"]),
        (ListOf(Scalar(), nullable=True), None, None),
        (AnyValue(), {"x": [1]}, {"x": [1]}),
        (Record((Field("a"), Field("b", required=False))), {"a": "1", "c": 2}, {"a": "1"}),
    ],
)
def test_a_value_that_fits_its_shape(shape: Shape, raw: object, value: object) -> None:
    assert fit(shape, raw, "") == value


@pytest.mark.parametrize(
    ("shape", "raw", "told"),
    [
        (Scalar(), None, "found nothing, expected a value of type text"),
        (Scalar(), "\ud800", "found a text"),
        (Scalar(ValueType.INTEGER), Decimal("7.5"), "found a number"),
        (Scalar(ValueType.INTEGER), True, "found true or false"),
        (Scalar(ValueType.INTEGER), 1 << 63, "found a number"),
        (Scalar(ValueType.NUMBER), "1", "found a text"),
        (Scalar(ValueType.NUMBER), Decimal("1e999"), "found a number"),
        (Scalar(ValueType.DECIMAL), "1_0", "found a text"),
        (Scalar(ValueType.DECIMAL), False, "found true or false"),
        (Scalar(ValueType.BOOLEAN), 1, "found a number"),
        (Scalar(ValueType.DATE), "soon", "expected a value of type date"),
        (Scalar(ValueType.BINARY), "a", "found a text"),
        (Scalar(ValueType.UUID), {}, "found an object"),
        (Scalar(choices=("a",)), "b", "found another value, expected one of a"),
        (ListOf(Scalar()), {}, "found an object, expected a list"),
        (ListOf(Scalar()), None, "found nothing, expected a list"),
        (ListOf(Scalar()), ["a", 1], "at /1: found a number"),
        (Record((Field("a"),)), [], "found a list, expected an object"),
        (Record((Field("a"),)), None, "found nothing, expected an object"),
        (Record((Field("a"),)), {}, "at /a: found nothing"),
    ],
)
def test_a_value_that_does_not_fit_is_told(shape: Shape, raw: object, told: str) -> None:
    with pytest.raises(UnfitAnswer) as caught:
        fit(shape, raw, "")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (Decimal("1E+2"), "100"),
        (b"hi", "aGk="),
        (datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01T00:00:00+00:00"),
        (7, "7"),
    ],
)
def test_a_value_as_text_in_an_address(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("value", ["", ".", "..", "...", "a\nb", "\0"])
async def test_a_value_can_t_become_another_path(
    upstream: Upstream, opened: Opened, value: str
) -> None:
    source = await opened(upstream.url)
    with pytest.raises(BadParameter) as caught:
        await ask(source, "person", id=value)
    assert caught.value.parameter == "id"
    assert not upstream.requests


async def test_what_stands_in_a_path_stays_one_segment(upstream: Upstream, opened: Opened) -> None:
    source = await opened(upstream.url)
    with pytest.raises(NotThere):
        await ask(source, "person", id="../admin?x=1#y/%2e")
    assert upstream.requests[0].raw_path == "/people/..%2Fadmin%3Fx%3D1%23y%2F%252e"


@pytest.mark.parametrize("value", ["a\r\nX: y", "é", " a"])
async def test_a_value_can_t_become_another_header(
    upstream: Upstream, opened: Opened, value: str
) -> None:
    source = await opened(upstream.url)
    with pytest.raises(BadParameter) as caught:
        await ask(source, "people", county=["A"], language=value)
    assert caught.value.parameter == "language"
    assert not upstream.requests


async def test_a_header_of_the_answer_and_a_list_inside_it(
    upstream: Upstream, opened: Opened
) -> None:
    person = replace(
        PERSON,
        rows="",
        fields=(
            AnswerField(name="version", header="ETag"),
            AnswerField(name="first", at="/data/name/first"),
            AnswerField(name="names", at="/data/name", type=FieldType.ANY),
            AnswerField(name="tags", many=True, required=False),
        ),
    )
    source = await opened(upstream.url, person)
    assert await ask(source, "person", id="1") == {
        "version": '"7"', "first": "Ann", "names": {"first": "Ann", "last": "A"}, "tags": None,
    }  # fmt: skip


async def test_a_document_comes_with_its_type(upstream: Upstream, opened: Opened) -> None:
    upstream.answers["/files/1"] = web.Response(
        body=b"%PDF", headers={"Content-Type": "application/pdf", "ETag": '"1"', "Set-Cookie": "a"}
    )
    operation = RestOperation(
        name="file", path="/f/{id}", ask="/files/{id}", parameters=(RestParameter(name="id"),),
        answer=AnswerKind.DOCUMENT,
    )  # fmt: skip
    source = await opened(upstream.url, operation)
    assert await ask(source, "file", id="1") == Content(
        "application/pdf", b"%PDF", 4, (("etag", '"1"'),)
    )


async def test_only_declared_headers_of_the_caller_go_on(
    upstream: Upstream, opened: Opened
) -> None:
    headers = HeaderSettings(constant={"X-System": "sacbe"}, passed_on=("x-road-id",))
    source = await opened(upstream.url, headers=headers)
    await ask(source, "person", id="1")
    sent = upstream.requests[0].headers
    assert sent["X-System"] == "sacbe"
    assert sent["X-Road-Id"] == "m-1"
    assert sorted(sent) == [
        "Accept", "Accept-Encoding", "Host", "User-Agent", "X-Road-Id", "X-System",
    ]  # fmt: skip


# --- what the service answers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "ours"),
    [
        (404, NotThere, None),
        (400, UpstreamRefused, 400),
        (422, UpstreamRefused, 400),
        (409, UpstreamRefused, 409),
        (401, UpstreamRefused, 502),
        (403, UpstreamRefused, 502),
        (418, UpstreamRefused, 502),
        (302, UpstreamRefused, 502),
        (500, UpstreamRefused, 502),
        (429, SourceUnavailable, None),
        (503, SourceUnavailable, None),
        (504, SourceTimeout, None),
    ],
)
async def test_a_status_is_told_in_our_words(
    upstream: Upstream, opened: Opened, status: int, kind: type[Exception], ours: int | None
) -> None:
    upstream.answers["/people/1"] = web.Response(
        status=status, body=b'{"message": "38001010000", "code": "E1"}', headers={"Location": "/x"}
    )
    source = await opened(upstream.url)
    with pytest.raises(kind) as caught:
        await ask(source, "person", id="1")
    assert getattr(caught.value, "status", None) == ours
    assert "38001010000" not in str(caught.value)
    assert len(upstream.requests) == 1


async def test_the_service_s_own_words_are_told_where_that_is_declared(
    upstream: Upstream, opened: Opened
) -> None:
    upstream.answers["/people/1"] = web.json_response(
        {"error": {"text": "no such\ncounty" + "!" * 1000}, "code": 17}, status=400
    )
    errors = ErrorSettings(text="/error/text", code="/code")
    source = await opened(upstream.url, errors=errors)
    with pytest.raises(UpstreamRefused) as caught:
        await ask(source, "person", id="1")
    assert caught.value.text.startswith("no suchcounty!")
    assert len(caught.value.text) < 500
    assert caught.value.code == "17"
    upstream.answers["/people/1"] = web.Response(status=400, body=b"{")
    with pytest.raises(UpstreamRefused, match="does not take these values"):
        await ask(source, "person", id="1")


def as_json(text: str | bytes, kind: str = "application/json", **headers: str) -> web.Response:
    raw = text.encode() if isinstance(text, str) else text
    return web.Response(body=raw, headers={"Content-Type": kind, **headers})


GOOD = '"id": "1", "name": {"first": "A"}, "born": "1990-05-01"'


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (as_json("{" + GOOD + "}"), "at /data: found nothing, expected an object"),
        (as_json('{"data": []}'), "at /data: found a list, expected an object"),
        (as_json('{"data": {"id": 1}}'), "at /data/id: found a number, expected a value of type"),
        (as_json('{"data": {' + GOOD + ', "income": "much"}}'), "at /data/income: found a text"),
        (as_json('{"data": {' + GOOD + ', "income": true}}'), "found true or false"),
        (as_json('{"data": {' + GOOD + ', "id": "2"}}'), "a name twice in one object"),
        (as_json('{"data": {' + GOOD + ', "income": NaN}}'), "a number that is none"),
        (
            as_json(GOOD.replace("1990-05-01", "1.5.1990").join(['{"data": {', "}}"])),
            "at /data/born",
        ),
        (as_json("<html>", "text/html"), "found another media type"),
        (as_json("", "application/json"), "at /data: found nothing"),
        (as_json("{"), "no JSON"),
        (as_json(b"\xff"), "bytes that are no UTF-8"),
        (as_json('{"data": ' + "[" * 40 + "]" * 40 + "}"), "nested too deeply"),
        (as_json(b"\x1f\x8b", **{"Content-Encoding": "gzip"}), "header Content-Encoding"),
    ],
)
async def test_an_answer_that_is_not_as_declared_is_502_and_told_without_values(
    upstream: Upstream, opened: Opened, caplog: pytest.LogCaptureFixture,
    answer: web.Response, told: str,
) -> None:  # fmt: skip
    upstream.answers["/people/1"] = answer
    source = await opened(upstream.url)
    with pytest.raises(UpstreamRefused, match="something else") as caught:
        await ask(source, "person", id="1")
    assert caught.value.status == 502
    assert told in caplog.text
    assert "much" not in caplog.text.replace("found", "")


async def test_a_list_longer_than_declared_is_refused(upstream: Upstream, opened: Opened) -> None:
    upstream.answers["/people"] = web.json_response({"data": [{"id": "1"}] * 4})
    source = await opened(upstream.url)
    with pytest.raises(UpstreamRefused):
        await ask(source, "people", county=["A"])


# --- a hostile or absent service ------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def flood(
    state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await state.read_request(reader)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await writer.drain()


async def drip(state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await state.read_request(reader)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def cut(state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await state.read_request(reader)
    writer.write(HEAD + b"Content-Length: 1000\r\n\r\n{")
    await writer.drain()


async def redirect(
    state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        await state.read_request(reader)
        target = f"Location: http://127.0.0.1:{state.port}/people/1\r\n".encode()
        writer.write(b"HTTP/1.1 307 Again\r\n" + target + b"Content-Length: 0\r\n\r\n")
        await writer.drain()


async def silent(
    state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await state.read_request(reader)
    await reader.read()


async def hang_up(
    state: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await state.read_request(reader)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (flood, UpstreamRefused),
        (drip, SourceTimeout),
        (silent, SourceTimeout),
        (cut, SourceUnavailable),
        (hang_up, SourceUnavailable),
        (redirect, UpstreamRefused),
    ],
)
async def test_a_hostile_service_is_bounded_and_asked_once(
    opened: Opened, script: Script, kind: type[Exception]
) -> None:
    async with serving(script) as state:
        limits = {"timeout": timedelta(milliseconds=500), "retries": 3}
        source = await opened(f"http://127.0.0.1:{state.port}", upstream=limits)
        started = time.monotonic()
        with pytest.raises(kind):
            await ask(source, "person", id="1")
        assert time.monotonic() - started < 3
        assert len(state.requests) == 1  # what was sent is never sent again


async def test_connecting_is_tried_again_for_what_may_be_repeated(opened: Opened) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        post = replace(PERSON, name="post", path="/p", method=Method.POST, ask="/p")
        source = await opened(url, PERSON, post, upstream={"retries": 2})
        attempts = 0
        real = source._client._open

        async def counting() -> HttpConnection:
            nonlocal attempts
            attempts += 1
            return await real()

        source._client._open = counting  # type: ignore[method-assign]
        with pytest.raises(SourceUnavailable, match="can't be asked"):
            await ask(source, "person", id="1")
        assert attempts == 3
        with pytest.raises(SourceUnavailable):
            await ask(source, "post", id="1")
        assert attempts == 4
        assert "can't be asked" in str(await source.problem())


async def test_no_more_connections_than_allowed(upstream: Upstream, opened: Opened) -> None:
    upstream.delay = 0.2
    source = await opened(
        upstream.url, upstream={"connections": 1, "connect_timeout": timedelta(milliseconds=50)}
    )
    answers = await asyncio.gather(
        *(ask(source, "person", id="1") for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(one, SourceUnavailable) for one in answers) == 2
    upstream.delay = 0
    assert await ask(source, "person", id="1")


async def test_a_call_that_is_abandoned_leaves_nothing_open(
    upstream: Upstream, opened: Opened
) -> None:
    upstream.delay = 10
    source = await opened(upstream.url)
    asking = asyncio.create_task(ask(source, "person", id="1"))
    while not upstream.requests:  # noqa: ASYNC110 - the request has no event
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert source._client.in_use == 0


# --- who we are -----------------------------------------------------------------------------------


async def test_an_api_key_in_a_header_or_in_the_query(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    file = secret(tmp_path, "key", "k&1\n")
    in_header = KeySettings(file=file, name="Authorization", prefix="ApiKey ")
    await ask(await opened(upstream.url, upstream={"key": in_header}), "person", id="1")
    assert upstream.requests[0].headers["Authorization"] == "ApiKey k&1"
    in_query = KeySettings(file=file, at="query", name="key")
    source = await opened(upstream.url, upstream={"key": in_query})
    await ask(source, "people", county=["A"])
    assert upstream.requests[1].raw_path == "/people?format=full&region=A&key=k%261"


async def test_a_password_and_its_replacement(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    file = secret(tmp_path, "password", "old")
    basic = BasicSettings(user="us:er", password_file=file)
    source = await opened(upstream.url, upstream={"basic": basic})
    upstream.answers["/people/1"] = web.Response(status=401)
    secret(tmp_path, "password", "new")
    with pytest.raises(UpstreamRefused, match="does not let this adapter in"):
        await ask(source, "person", id="1")
    upstream.answers.clear()
    await ask(source, "person", id="1")
    sent = [one.headers["Authorization"].removeprefix("Basic ") for one in upstream.requests]
    assert [base64.b64decode(one) for one in sent] == [b"us:er:old", b"us:er:new"]


@pytest.mark.parametrize(("text", "mode"), [("", 0o600), ("a\nb", 0o600), ("ok", 0o644)])
async def test_a_secret_that_can_t_be_used_ends_the_start(
    tmp_path: Path, text: str, mode: int
) -> None:
    file = secret(tmp_path, "key", text)
    file.chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        await open_rest(declared("https://x.test", upstream={"key": KeySettings(file=file)}))
    assert "key" in str(caught.value)


def oauth(upstream: Upstream, folder: Path, **more: object) -> dict[str, Any]:
    file = secret(folder, "secret", "s3cret/+")
    settings = OauthSettings(
        token_url=f"{upstream.url}/oauth/token",
        client_id="me",
        secret_file=file,
        scope="read",
        parameters={"audience": "people"},
        **more,  # type: ignore[arg-type]  # whatever a test changes
    )
    return {"oauth": settings}


async def test_one_token_serves_many_calls_at_once(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    upstream.accepted = {"t1"}
    upstream.token_delay = 0.1
    source = await opened(upstream.url, upstream=oauth(upstream, tmp_path))
    await asyncio.gather(*(ask(source, "person", id="1") for _ in range(10)))
    (asked,) = upstream.tokens
    basic = base64.b64encode(b"me:s3cret%2F%2B").decode()
    assert asked == {
        "grant_type": "client_credentials", "scope": "read", "audience": "people",
        "auth": f"Basic {basic}",
    }  # fmt: skip
    assert {one.headers["Authorization"] for one in upstream.requests} == {"Bearer t1"}


async def test_name_and_secret_in_the_body(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    source = await opened(upstream.url, upstream=oauth(upstream, tmp_path, send="body"))
    await ask(source, "person", id="1")
    (asked,) = upstream.tokens
    assert (asked["client_id"], asked["client_secret"], asked["auth"]) == ("me", "s3cret/+", "")


async def test_a_token_is_replaced_before_its_end(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    upstream.token_answer["expires_in"] = "2"
    renew = timedelta(milliseconds=1500)
    source = await opened(upstream.url, upstream=oauth(upstream, tmp_path, renew=renew))
    await ask(source, "person", id="1")
    upstream.token_answer["access_token"] = "t2"
    await ask(source, "person", id="1")
    await asyncio.sleep(0.6)
    await ask(source, "person", id="1")
    sent = [one.headers["Authorization"] for one in upstream.requests]
    assert sent == ["Bearer t1", "Bearer t1", "Bearer t2"]


async def test_a_token_that_is_still_good_outlives_the_token_endpoint(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    upstream.token_answer["expires_in"] = 1
    source = await opened(upstream.url, upstream=oauth(upstream, tmp_path))
    await ask(source, "person", id="1")
    upstream.token_status = 500
    await ask(source, "person", id="1")
    await ask(source, "person", id="1")
    assert len(upstream.tokens) == 2  # after a failure there is a pause
    await asyncio.sleep(1.1)
    with pytest.raises(SourceUnavailable, match="token endpoint answered with status 500"):
        await ask(source, "person", id="1")
    assert "token endpoint" in str(await source.problem())
    assert counted(source, "sacbe_adapter_tokens_total", outcome="failed") == 1


def counted(source: RestSource, name: str, **labels: str) -> float:
    return next(
        one.value
        for family in source.metrics()
        for one in family.samples
        if one.name == name and one.labels == labels
    )


async def test_a_refused_token_is_replaced_for_the_next_call(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    upstream.accepted = {"t2"}
    source = await opened(upstream.url, upstream=oauth(upstream, tmp_path))
    with pytest.raises(UpstreamRefused):
        await ask(source, "person", id="1")
    upstream.token_answer["access_token"] = "t2"
    assert await ask(source, "person", id="1")
    assert len(upstream.requests) == 2  # the refused call was not sent again
    source._credentials.refused(Proof((("Authorization", "Bearer t1"),)))
    assert await ask(source, "person", id="1")
    assert len(upstream.tokens) == 2  # an old token's refusal is not the new one's


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": "a b"},
        {"access_token": "a\r\nX: y"},
        {"access_token": ""},
        {"access_token": 7},
        {"token_type": "mac"},
        {"access_token": "x" * 20_000},
        {"access_token": "x" * 100_000},
    ],
)
async def test_a_bad_token_answer_is_no_token(
    upstream: Upstream, opened: Opened, tmp_path: Path, change: dict[str, Any]
) -> None:
    upstream.token_answer |= change
    source = await opened(upstream.url, upstream=oauth(upstream, tmp_path))
    with pytest.raises(SourceUnavailable, match="token"):
        await ask(source, "person", id="1")
    assert not upstream.requests


async def test_a_token_endpoint_that_hangs_or_is_down(
    upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    upstream.token_delay = 5
    within = timedelta(milliseconds=200)
    source = await opened(upstream.url, upstream=oauth(upstream, tmp_path, timeout=within))
    with pytest.raises(SourceUnavailable, match="token endpoint did not answer in time"):
        await ask(source, "person", id="1")
    assert not upstream.requests
    down = oauth(upstream, tmp_path)
    down["oauth"] = replace(down["oauth"], token_url="http://127.0.0.1:9/token")
    with pytest.raises(SourceUnavailable, match="no token"):
        await ask(await opened(upstream.url, upstream=down), "person", id="1")


async def test_secrets_stand_in_no_text(
    upstream: Upstream, opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.accepted = set()
    upstream.token_answer["access_token"] = "tok-5ecret"
    with caplog.at_level("DEBUG"):
        source = await opened(upstream.url, upstream=oauth(upstream, tmp_path))
        with pytest.raises(UpstreamRefused) as caught:
            await ask(source, "person", id="1")
        assert isinstance(source._credentials, ClientCredentials)
        told = f"{caught.value!r} {await source._credentials.proof()!r} {caplog.text}"
    assert "5ecret" not in told
    assert "s3cret" not in told


# --- TLS ------------------------------------------------------------------------------------------


def pem(folder: Path, name: str, *certificates: Issued) -> Path:
    path = folder / f"{name}.crt"
    path.write_bytes(b"".join(one.certificate.public_bytes(Encoding.PEM) for one in certificates))
    return path


@pytest.fixture
async def tls_upstream() -> AsyncIterator[Upstream]:
    server = issue("127.0.0.1", None, "p256")
    async with upstream_at(systems_listener(identity(server)).context) as state:
        yield state


async def test_a_pinned_certificate_is_enough_and_another_one_is_refused(
    tls_upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    server, other = issue("127.0.0.1", None, "p256"), issue("other")
    good = UpstreamTls(pinned=(pem(tmp_path, "server", server),))
    assert await ask(await opened(tls_upstream.url, upstream={"tls": good}), "person", id="1")
    bad = UpstreamTls(pinned=(pem(tmp_path, "other", other),))
    with pytest.raises(SourceUnavailable, match="another certificate"):
        await ask(await opened(tls_upstream.url, upstream={"tls": bad}), "person", id="1")
    with pytest.raises(SourceUnavailable, match="TLS handshake failed"):
        await ask(await opened(tls_upstream.url), "person", id="1")
    assert len(tls_upstream.requests) == 1


async def test_the_name_counts_when_authorities_are_believed(
    tls_upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    """The certificate names 127.0.0.1 as common name alone, which is no name of a server."""
    tls = UpstreamTls(ca=pem(tmp_path, "ca", issue("127.0.0.1", None, "p256")))
    with pytest.raises(SourceUnavailable, match="TLS handshake failed"):
        await ask(await opened(tls_upstream.url, upstream={"tls": tls}), "person", id="1")
    assert not tls_upstream.requests


async def test_our_certificate_is_shown(
    tls_upstream: Upstream, opened: Opened, tmp_path: Path
) -> None:
    ours = issue("us")
    key = tmp_path / "us.key"
    key.write_bytes(identity(ours).private_key_pem)
    key.chmod(0o600)
    tls = UpstreamTls(
        pinned=(pem(tmp_path, "server", issue("127.0.0.1", None, "p256")),),
        certificate=pem(tmp_path, "us", ours),
        key=key,
    )
    source = await opened(tls_upstream.url, upstream={"tls": tls})
    assert await ask(source, "person", id="1")
    (asked,) = tls_upstream.requests
    assert asked.transport is not None
    found = asked.transport.get_extra_info("ssl_object")
    assert isinstance(found, ssl.SSLObject)
    assert found.getpeercert(binary_form=True) == ours.der


async def test_a_key_of_another_certificate_ends_the_start(tmp_path: Path) -> None:
    key = tmp_path / "us.key"
    key.write_bytes(identity(issue("other")).private_key_pem)
    key.chmod(0o600)
    tls = UpstreamTls(certificate=pem(tmp_path, "us", issue("us")), key=key)
    with pytest.raises(ConfigurationError, match="no key of that certificate"):
        await open_rest(declared("https://x.test", upstream={"tls": tls}))


# --- what operators ask ---------------------------------------------------------------------------


async def test_check_asks_every_operation_that_has_examples(
    upstream: Upstream, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    source = await opened(upstream.url)
    with caplog.at_level("INFO", "sacbe.adapter"):
        assert await source.check() == []
    assert [one.path for one in upstream.requests] == ["/people/1"]
    assert "operation 'people' was not tried: no example of county" in caplog.text
    upstream.answers["/people/1"] = as_json('{"data": {}}')
    assert await source.check() == [
        "operation 'person': the source answered something else than it should"
    ]
    assert "at /data/id: found nothing" in caplog.text


async def test_the_health_path_is_asked(upstream: Upstream, opened: Opened) -> None:
    source = await opened(upstream.url, upstream={"health": "/health"})
    assert await source.problem() == "the service answered its health path with status 404"
    assert await source.problem()
    assert len(upstream.requests) == 1
    upstream.answers["/health"] = web.Response(body=b"ok")
    source._probed_at = float("-inf")
    assert await source.problem() is None
    assert counted_calls(source) == {}


def counted_calls(source: RestSource) -> dict[str, float]:
    return {
        one.labels["outcome"]: one.value
        for family in source.metrics()
        for one in family.samples
        if one.name == "sacbe_adapter_upstream_answers_total"
    }


async def test_answers_are_counted(upstream: Upstream, opened: Opened) -> None:
    source = await opened(upstream.url)
    await ask(source, "person", id="1")
    with pytest.raises(NotThere):
        await ask(source, "person", id="2")
    assert counted_calls(source) == {"2xx": 1, "4xx": 1}


def test_what_a_call_costs() -> None:
    """Run as `python -m tests.rest_load 2000` for the figures."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.rest_load", "50"],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parent.parent,
    )
    assert 0 < json.loads(ran.stdout)["cpu_us_per_call"] < 5000
