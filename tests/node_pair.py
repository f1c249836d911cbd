"""Two nodes with real exchanges of every form, whose containers are asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.archive.settings import ArchiveSettings
from node.log.settings import TimestampingSettings
from scripts.postgres import PostgresServer
from tests.drafts import Part
from tests.instance import (
    CONSUMER,
    PROVIDER,
    SERVICE,
    Instance,
    NodeUnderTest,
    rest_service,
)
from tests.soap_messages import Envelope, answer_to
from tests.soap_stage import TEXT, packed, wsdl_service

PACKAGE = 'multipart/related; type="text/xml"; boundary=xyz'
REQUEST = Envelope(message_id="with attachments").raw


def attachments(*contents: bytes) -> list[Part]:
    return [
        Part("application/octet-stream", data, (("Content-ID", f"<{number}>"),))
        for number, data in enumerate(contents)
    ]


@dataclass
class Pair:
    civil: NodeUnderTest
    muni: NodeUnderTest
    session: aiohttp.ClientSession

    async def call(self, message_id: str, body: bytes | None = None) -> None:
        headers = {"X-Road-Client": CONSUMER.path, "X-Road-Id": message_id}
        url = f"{self.muni.url}/r1/{SERVICE.path}/echo"
        method = "GET" if body is None else "POST"
        answer = await self.session.request(method, url, headers=headers, data=body)
        assert answer.status == 200, await answer.text()

    async def asic(
        self, node: NodeUnderTest, message_id: str, *flags: str, **changes: str
    ) -> tuple[int, str, bytes]:
        """What is handed out, time-stamped first where it must be."""
        answer = await self.asked(node, message_id, "force", *flags, **changes)
        return answer.status, answer.headers.get("Content-Disposition", ""), await answer.read()

    async def asked(
        self, node: NodeUnderTest, message_id: str, *flags: str, **changes: str
    ) -> aiohttp.ClientResponse:
        client = CONSUMER if node is self.muni else PROVIDER
        names = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
        wanted = dict(zip(names, client.parts, strict=True)) | {"queryId": message_id} | changes
        query = "&".join([urlencode({k: v for k, v in wanted.items() if v}), *flags])
        return await self.session.get(f"{node.url}/asic?{query}")


@asynccontextmanager
async def node_pair(
    folder: Path,
    postgres: PostgresServer,
    *,
    civil_immediately: bool = False,
    muni_archive: ArchiveSettings | None = None,
) -> AsyncIterator[Pair]:
    """MUNI asks, CIVIL answers with what it was sent, or to SOAP with three attachments.

    Args:
        civil_immediately: CIVIL has each message stamped alone before it goes on.
        muni_archive: where MUNI's records go.
    """

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        if request.content_type == "multipart/related":
            parts = [Part(TEXT, answer_to(REQUEST)), *attachments(b"scan", b"", b"letter")]
            return web.Response(body=packed("xyz", parts), headers={"Content-Type": PACKAGE})
        return web.Response(body=await request.read() or b"{}", content_type="application/json")

    runner = web.ServerRunner(web.Server(echo, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with (
        Instance(folder, postgres) as instance,
        aiohttp.ClientSession() as session,
    ):
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(url), wsdl_service(url, "getState")),
            rights=(AccessRight(CONSUMER, SERVICE.service_code), AccessRight(CONSUMER, "getState")),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        muni = await instance.add("MUNI", CONSUMER)
        civil.settings = replace(
            civil.settings, timestamping=TimestampingSettings(immediately=civil_immediately)
        )
        muni.settings = replace(muni.settings, archive=muni_archive or ArchiveSettings())
        await instance.start()
        yield Pair(civil, muni, session)
    await runner.cleanup()
