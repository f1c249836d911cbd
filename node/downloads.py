"""What information systems download from their own node: containers and the trust list.

Source: metadata.md 7, 8; X-Road 7.8 AsicContainerClientRequestProcessor.java. The answers are plain
text or files, with a real status and no fault code.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from node.exchange.snapshot import Snapshots
from node.log.messagelog import MessageLog
from trust.confstore import verification_zip
from trust.globalconf import GlobalConf


@dataclass(frozen=True, slots=True)
class Downloads:
    """`GET /asic` and `GET /verificationconf`."""

    snapshots: Snapshots
    log: MessageLog
    conf: Callable[[], GlobalConf | None]

    async def asic(self, request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=500, text="not yet\n")

    async def verification_conf(self, request: web.BaseRequest) -> web.StreamResponse:
        """The trust list, expired or not, for judging containers offline."""
        conf = self.conf()
        if conf is None:
            return web.Response(status=500, text="There is no global configuration\n")
        return web.Response(
            body=verification_zip(conf),
            headers={
                "Content-Type": "application/zip",
                "Content-Disposition": 'filename="verificationconf.zip"',
            },
        )
