"""A REST service with people, and a token endpoint, for the tests of the REST adapter."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from adapters.operations import Caller
from adapters.rest.settings import (
    AnswerField,
    AnswerKind,
    FieldType,
    RestOperation,
    RestParameter,
    RestSettings,
    Target,
    UpstreamSettings,
)
from adapters.rest.source import RestSource
from adapters.shapes import ValueType

PERSON_FIELDS = (
    AnswerField(name="id"),
    AnswerField(name="first_name", at="/name/first"),
    AnswerField(name="born", type=FieldType.DATE),
    AnswerField(name="income", type=FieldType.DECIMAL, required=False),
)
PERSON = RestOperation(
    name="person",
    path="/persons/{id}",
    ask="/people/{id}",
    parameters=(RestParameter(name="id", example="1"),),
    rows="/data",
    fields=PERSON_FIELDS,
)
PEOPLE = RestOperation(
    name="people",
    path="/persons",
    ask="/people",
    constant={"format": "full"},
    parameters=(
        RestParameter(name="county", called="region", many=True),
        RestParameter(name="since", type=ValueType.DATE, required=False),
        RestParameter(name="language", required=False, to=Target.HEADER, called="Accept-Language"),
    ),
    answer=AnswerKind.LIST,
    rows="/data",
    fields=PERSON_FIELDS[:1],
    max_items=3,
)
ANN = {
    "id": "1", "name": {"first": "Ann", "last": "A"}, "born": "1990-05-01", "income": 10.50,
    "secret": "not declared",
}  # fmt: skip


@dataclass
class Upstream:
    """What the service was asked, and what it will answer."""

    port: int = 0
    scheme: str = "http"
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answers: dict[str, web.Response] = field(default_factory=dict)
    delay: float = 0
    tokens: list[dict[str, str]] = field(default_factory=list)
    token_answer: dict[str, Any] = field(
        default_factory=lambda: {"access_token": "t1", "token_type": "Bearer", "expires_in": 3600}
    )
    token_status: int = 200
    token_delay: float = 0
    accepted: set[str] | None = None  # tokens; None: nobody is asked for one

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.accepted is not None:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if given not in self.accepted:
                return web.json_response({"message": "who are you"}, status=401)
        made = self.answers.get(request.path)
        if made is not None:
            return web.Response(
                status=made.status,
                body=made.body,
                headers=made.headers,
            )
        if request.path == "/people/1":
            return web.json_response({"data": ANN}, headers={"ETag": '"7"'})
        if request.path == "/people":
            return web.json_response({"data": [ANN, {**ANN, "id": "2"}]})
        return web.json_response({"message": "no such thing", "code": 17}, status=404)

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.tokens.append({**form, "auth": request.headers.get("Authorization", "")})
        await asyncio.sleep(self.token_delay)
        return web.json_response(self.token_answer, status=self.token_status)


@asynccontextmanager
async def upstream_at(tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    state = Upstream(scheme="https" if tls else "http")
    app = web.Application()
    app.router.add_post("/oauth/token", state.token)
    app.router.add_route("*", "/{rest:.*}", state.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    state.port = runner.addresses[0][1]
    try:
        yield state
    finally:
        await runner.cleanup()


def declared(
    url: str,
    *operations: RestOperation,
    upstream: dict[str, Any] | None = None,
    **more: Any,  # noqa: ANN401 - settings
) -> RestSettings:
    chosen = {
        "timeout": timedelta(seconds=5), "connect_timeout": timedelta(seconds=2),
        **(upstream or {}),
    }  # fmt: skip
    return RestSettings(
        kind="rest",
        title="People",
        upstream=UpstreamSettings(url=url, **chosen),
        operation=operations or (PERSON, PEOPLE),
        **more,
    )


async def ask(source: RestSource, name: str, /, **values: object) -> Any:  # noqa: ANN401 - any answer
    """Call an operation with typed values, the rest being absent."""
    operation = next(one for one in source.operations if one.name == name)
    given = {one.name: values.get(one.name) for one in operation.inputs}
    headers = (("X-Road-Id", "m-1"), ("X-Road-UserId", "EE1"), ("X-Road-Client", "EX/GOV/1"))
    return await source.run(operation, given, Caller(headers=headers))


def secret(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path
