"""An adapter as a whole: a small information system of its own, behind plain HTTP or HTTPS.

It works behind this node and behind any other X-Road server. Whoever reaches its port may ask,
unless the certificates of the callers are pinned; who may call what is for the node to decide.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from adapters.account import Account, AdapterMetrics, Measuring
from adapters.calls import Calls, Refusal
from adapters.faces.openapi import describe
from adapters.faces.rest import RestFace, caller_of, refuse
from adapters.faces.soap import SoapFace
from adapters.operations import Noticing, Source
from adapters.settings import AdapterSettings, TlsSettings
from node.network.tls import TlsIdentity, systems_listener
from trust.errors import ConfigurationError, ConfigurationProblem
from trust.secrets import read_secret

_PROBE_SECONDS = 5
_PINNED: web.AppKey[frozenset[bytes]] = web.AppKey("pinned")
_METRICS: web.AppKey[AdapterMetrics] = web.AppKey("metrics")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_app(settings: AdapterSettings, source: Source) -> web.Application:
    """Everything an adapter answers, in front of a source that is open."""
    metrics = AdapterMetrics()
    if isinstance(source, Measuring):
        metrics.registry.register(_SourceCollector(source))
    calls = Calls(source, settings.limits, metrics)
    app = web.Application(
        client_max_size=int(settings.limits.body), middlewares=[_only_pinned, _unknown_addresses]
    )
    app[_METRICS] = metrics
    app[_PINNED] = _pinned(settings.tls)
    description = msgspec.json.encode(describe(settings.title, settings.version, source.operations))

    async def openapi(request: web.Request) -> web.Response:
        return web.Response(body=description, content_type="application/json")

    async def ready(request: web.Request) -> web.Response:
        problem = await _problem(source)
        if problem is None:
            notices = [*source.notices()] if isinstance(source, Noticing) else []
            return web.json_response({"ready": True} | ({"notices": notices} if notices else {}))
        return web.json_response({"ready": False, "reasons": [problem]}, status=503)

    async def live(request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def numbers(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), content_type="text/plain")

    app.router.add_get("/openapi.json", openapi)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", numbers)
    if settings.soap.enabled:
        SoapFace(calls, settings, metrics).add_routes(app)
    RestFace(calls, settings.limits, metrics).add_routes(app)
    return app


@dataclass(frozen=True)
class _SourceCollector(Collector):
    source: Measuring

    def collect(self) -> Iterator[Metric]:
        return self.source.metrics()


async def _problem(source: Source) -> str | None:
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            return await source.problem()
    except TimeoutError:
        return f"the source does not answer within {_PROBE_SECONDS} s"


@web.middleware
async def _only_pinned(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let only the pinned certificates in, where some are; TLS itself takes any."""
    pinned = request.app[_PINNED]
    open_to_all = request.path.startswith("/health/")
    if pinned and not open_to_all and _certificate(request) not in pinned:
        with Account("rest", request.app[_METRICS]) as account:
            return refuse(Refusal(403, "your certificate is not known here"), account)
    return await handler(request)


def _certificate(request: web.Request) -> bytes | None:
    """DER of what the other end showed, whose key it has."""
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return None
    return tls.getpeercert(binary_form=True)


@web.middleware
async def _unknown_addresses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors of the router in the same words as all others."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        with Account("rest", request.app[_METRICS], caller_of(request)) as account:
            text = _ROUTER_TEXTS.get(error.status, "the request can't be answered")
            response = refuse(Refusal(error.status, text), account)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response


_ROUTER_TEXTS = {404: "there is no such address", 405: "this address has other methods"}


@asynccontextmanager
async def serving(settings: AdapterSettings, app: web.Application) -> AsyncIterator[str]:
    """Listen until the block ends; yields the address."""
    context = _tls_context(settings.tls) if settings.tls is not None else None
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=context)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{'https' if context else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


def _pinned(tls: TlsSettings | None) -> frozenset[bytes]:
    """DER of the only certificates that may ask; none when everybody may."""
    return frozenset(
        certificate.public_bytes(Encoding.DER)
        for path in (tls.clients if tls is not None else ())
        for certificate in _certificates(path)
    )


def _tls_context(tls: TlsSettings) -> ssl.SSLContext:
    chain = _certificates(tls.certificate)
    try:
        key = load_pem_private_key(read_secret(tls.key), None)
        return systems_listener(TlsIdentity.from_key(chain, key)).context
    except (ValueError, TypeError, ssl.SSLError) as error:
        problem = ConfigurationProblem(
            str(tls.key), 0, "no key of that certificate", "an unencrypted PEM key of it"
        )
        raise ConfigurationError([problem]) from error


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError) as error:
        problem = ConfigurationProblem(str(path), 0, "no certificate", "certificates in PEM")
        raise ConfigurationError([problem]) from error
