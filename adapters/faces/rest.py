"""The REST face: operations under their own methods and paths, JSON in and out."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import msgspec
from aiohttp import web

from adapters.account import Account, AdapterMetrics
from adapters.calls import Calls, Refusal, unforeseen
from adapters.operations import Caller, Content, Operation
from adapters.settings import LimitSettings
from adapters.shapes import ListOf

_encode = msgspec.json.Encoder(decimal_format="string", enc_hook=str).encode
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PASSED_ON = ("x-road-", "once-")


class RestFace:
    """Answers the operations of one source."""

    def __init__(self, calls: Calls, limits: LimitSettings, metrics: AdapterMetrics) -> None:
        self._calls = calls
        self._limits = limits
        self._metrics = metrics

    def add_routes(self, app: web.Application) -> None:
        """Every operation under its path; the ones without parameters in it win."""
        ordered = sorted(self._calls.source.operations, key=lambda one: len(one.path_parameters))
        for operation in ordered:
            app.router.add_route(operation.method.value, operation.path, self._handler(operation))

    def _handler(self, operation: Operation) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            with Account("rest", self._metrics, caller_of(request), operation.name) as account:
                try:
                    given = await self._given(operation, request, account)
                    answer = await self._calls.run(operation, given, account)
                    return await self._respond(request, answer, account)
                except Refusal as refusal:
                    return refuse(refusal, account)

        return handle

    async def _given(
        self, operation: Operation, request: web.Request, account: Account
    ) -> dict[str, object]:
        """What the caller gave, by name; raises Refusal for what has no form at all."""
        body = await read_body(request, account, self._limits.timeout)
        given = _json_object(body) if operation.body is not None else {}
        if operation.body is None and body:
            raise Refusal(400, "there must be no body")
        lists = {f.name for f in operation.parameters if isinstance(f.shape, ListOf)}
        in_path = operation.path_parameters
        in_query = {f.name for f in operation.parameters} - set(in_path)
        for name in request.query:
            if name not in in_query:
                told = "is given twice" if name in given or name in in_path else "is unknown"
                raise Refusal(400, f"parameter '{name:.100}' {told}", parameter=name[:100])
            values = request.query.getall(name)
            if name not in lists and len(values) > 1:
                raise Refusal(400, f"parameter '{name}' is given twice", parameter=name)
            given[name] = [*values] if name in lists else values[0]
        for name, value in request.match_info.items():
            if name in given:
                raise Refusal(400, f"parameter '{name}' is given twice", parameter=name)
            given[name] = value
        return given

    async def _respond(
        self, request: web.Request, answer: object, account: Account
    ) -> web.StreamResponse:
        if isinstance(answer, Content):
            return await _respond_content(request, answer, account)
        try:
            encoded = _encode(answer)
        except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise unforeseen(error, account) from None
        if len(encoded) > self._limits.answer:
            account.failure = f"the answer is longer than limits.answer ({self._limits.answer})"
            raise Refusal(500, "the answer is too large")
        account.status, account.response_bytes = 200, len(encoded)
        return web.Response(body=encoded, content_type="application/json")


async def read_body(request: web.Request, account: Account, longest: timedelta) -> bytes:
    """The whole body, within the size that the application allows and a time; raises Refusal."""
    try:
        async with asyncio.timeout(longest.total_seconds()):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, "the body is too large") from None
    except TimeoutError:
        raise Refusal(408, "the body did not come in time") from None
    account.request_bytes = len(body)
    return body


def caller_of(request: web.Request) -> Caller:
    """Who the node says is asking."""
    headers = request.headers
    passed_on = (pair for pair in headers.items() if pair[0].lower().startswith(_PASSED_ON))
    return Caller(
        client=headers.get("X-Road-Client", ""),
        message_id=headers.get("X-Road-Id", ""),
        user_id=headers.get("X-Road-UserId", ""),
        issue=headers.get("X-Road-Issue", ""),
        headers=tuple(passed_on),
    )


def refuse(refusal: Refusal, account: Account) -> web.Response:
    """An error as JSON."""
    body = {"error": refusal.text}
    body |= {"parameter": refusal.parameter} if refusal.parameter else {}
    body |= {"code": refusal.code} if refusal.code else {}
    headers = {"Retry-After": str(refusal.retry)} if refusal.retry else {}
    encoded = _encode(body)
    account.status, account.response_bytes = refusal.status, len(encoded)
    return web.Response(
        status=refusal.status, body=encoded, headers=headers, content_type="application/json"
    )


def _json_object(body: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        raise Refusal(400, "the body must be a JSON object") from None


async def _respond_content(
    request: web.Request, content: Content, account: Account
) -> web.StreamResponse:
    """Hand on bytes; a source that breaks off leaves a broken connection, not a short answer."""
    headers = {**dict(content.headers), "Content-Type": content.media_type}
    account.status = 200
    if isinstance(content.data, bytes):
        account.response_bytes = len(content.data)
        return web.Response(body=content.data, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = content.length
    await response.prepare(request)
    try:
        async for chunk in _closing(content.data):
            account.response_bytes += len(chunk)
            await response.write(chunk)
        await response.write_eof()
    except Exception as error:  # noqa: BLE001 - it is too late for another answer
        unforeseen(error, account)
        if request.transport is not None:
            request.transport.abort()
    return response


async def _closing(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()
