"""The operator's port: metrics and health. Everything else that administrators need comes here."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from node.operate.health import Health
from node.operate.metrics import NodeMetrics

Page = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_HIDDEN = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class AdminPages:
    """Answers `GET /metrics`, `/health/live`, `/health/ready` and what else there is.

    Args:
        further: pages by their path; only GET and HEAD come to them.
    """

    def __init__(
        self, metrics: NodeMetrics, health: Health, further: Mapping[str, Page] | None = None
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._further = further or {}

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="Only GET\n", headers={"Allow": "GET, HEAD"})
        match request.path:
            case "/metrics":
                page = generate_latest(self._metrics.registry)
                return web.Response(
                    body=page, headers={**_HIDDEN, "Content-Type": CONTENT_TYPE_LATEST}
                )
            case "/health/live":
                return _json(200, {"live": True})
            case "/health/ready":
                found = await self._health.readiness()
                status = 200 if found.ready else 503
                shown = {"ready": found.ready, "reasons": dict(found.reasons)}
                if found.warnings:
                    shown["warnings"] = dict(found.warnings)
                return _json(status, shown)
        further = self._further.get(request.path)
        if further is not None:
            return await further(request)
        return web.Response(status=404, text="There is nothing here\n")


def _json(status: int, value: object) -> web.Response:
    return web.Response(
        status=status,
        body=msgspec.json.encode(value),
        headers={**_HIDDEN, "Content-Type": "application/json"},
    )
