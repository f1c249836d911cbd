"""Run a certification authority for tests: CA, OCSP responder and TSA in one process."""

import argparse
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from scripts.arguments import add_action, port_number, whole_number
from scripts.authority import DEFAULT_LIFE, TestAuthority
from scripts.service import log_to_stderr, run_service, run_until_stopped
from trust.errors import ExchangeError, MalformedMessage
from trust.pki.keys import KeyUse
from trust.pki.profiles import profile_named

MAX_BODY = 64 * 1024
_PEM = "application/x-pem-file"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    run_parser = add_action(
        actions, "run", "serve /ocsp, /tsa, /sign/auth, /sign/sign, /revoke and the certificates"
    )
    run_parser.add_argument(
        "--dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="the CA's folder, made when it is missing",
    )
    run_parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    run_parser.add_argument("--port", type=port_number, required=True, help="0: any free one")
    run_parser.add_argument(
        "--intermediate", action="store_true", help="issue from an intermediate CA"
    )
    run_parser.add_argument(
        "--next-update", type=whole_number(1, 31_536_000), default=3600, metavar="SECONDS",
        help="how long an OCSP response says it is current (default %(default)s)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    log_to_stderr()
    return run_service(_serve(arguments))


async def _serve(arguments: argparse.Namespace) -> int:
    authority = TestAuthority.open(
        arguments.dir,
        datetime.now(UTC),
        intermediate=arguments.intermediate,
        next_update=timedelta(seconds=arguments.next_update),
    )
    async with running(authority, arguments.host, arguments.port) as url:
        print(f"test CA: {url}", file=sys.stderr, flush=True)
        await run_until_stopped()
    return 0


@asynccontextmanager
async def running(
    authority: TestAuthority, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[str]:
    """Serve an authority while the block runs; gives its URL, which its certificates will name."""
    listener = socket.create_server((host, port))
    url = f"http://{host}:{listener.getsockname()[1]}"
    app = build_app(replace(authority, ocsp_url=f"{url}/ocsp"))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield url
    finally:
        await runner.cleanup()
        listener.close()


def build_app(
    authority: TestAuthority, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> web.Application:
    """The HTTP face of an authority."""

    async def ocsp(request: web.Request) -> web.Response:
        answer = authority.answer_ocsp(await request.read(), clock())
        return web.Response(body=answer, content_type="application/ocsp-response")

    async def stamp(request: web.Request) -> web.Response:
        answer = authority.stamp(await request.read(), clock())
        return web.Response(body=answer, content_type="application/timestamp-reply")

    async def certify(request: web.Request) -> web.Response:
        use: KeyUse = "auth" if request.match_info["use"] == "auth" else "sign"
        profile = request.query.get("profile")
        certificate = authority.certify(
            await request.read(),
            use,
            clock(),
            profile=None if profile is None else profile_named(profile),
            life=_life(request.query.get("days")),
        )
        return web.Response(body=certificate.public_bytes(Encoding.PEM), content_type=_PEM)

    async def revoke(request: web.Request) -> web.Response:
        authority.revoke(_serial(request.query.get("serial", "")), clock())
        return web.Response(text="revoked\n")

    async def show(request: web.Request) -> web.Response:
        certificate = authority.certificates[request.match_info["name"]]
        return web.Response(body=certificate.public_bytes(Encoding.PEM), content_type=_PEM)

    app = web.Application(client_max_size=MAX_BODY, middlewares=[_explain])
    app.router.add_post("/ocsp", ocsp)
    app.router.add_post("/tsa", stamp)
    app.router.add_post("/sign/{use:auth|sign}", certify)
    app.router.add_post("/revoke", revoke)
    app.router.add_get("/{name:root|issuing|ocsp|tsa}.pem", show)
    return app


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ExchangeError as error:
        return web.Response(status=400, text=f"{error.code}: {error}\n")


def _life(days: str | None) -> timedelta:
    if days is None:
        return DEFAULT_LIFE
    try:
        return timedelta(days=float(days))
    except (ValueError, OverflowError) as error:
        raise MalformedMessage(f"'{days}' is no number of days", "invalid_request") from error


def _serial(text: str) -> int:
    """A serial number, decimal or hexadecimal after `0x`."""
    try:
        return int(text, 0)
    except ValueError as error:
        raise MalformedMessage(f"'{text}' is no serial number", "invalid_request") from error
