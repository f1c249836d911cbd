"""What the pages that hand out files have in common: who asks for what, refusals, and headers.

Source: metadata.md 7; X-Road 7.8 AsicContainerClientRequestProcessor.java for the texts.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from aiohttp import web

from catalog.services import ServerConf
from node.exchange.clients import authenticate, tls_facts
from node.log.containers import StampSource
from trust.errors import ExchangeError, MalformedMessage, StorageError
from trust.ids import ClientId

log = logging.getLogger("sacbe.downloads")

_PIECE = 64 * 1024
_PATIENCE = 60.0  # seconds for a time-stamp that somebody waits for
_RETRY_AFTER = "60"  # seconds; a round of time-stamps is never shorter

NOT_STAMPED = "Message signature has not been timestamped yet!"


class Refused(Exception):
    """Why there is no file: a status and what to tell."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": _RETRY_AFTER} if self.status == 503 else {}


class StampMaker(StampSource, Protocol):
    """Where time-stamps are looked up and made: `node.stamping.stamps.Stamps`."""

    async def stamp_now(self, numbers: Sequence[int] = ()) -> None:
        """Have these records stamped; raises ExchangeError or StorageError."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may have the files of a hosted client.

    Attributes:
        own_certificate: DER of the node's internal certificate, which may speak for every client.
    """

    services: Callable[[], ServerConf]
    clock: Callable[[], datetime]
    own_certificate: bytes

    def check(self, request: web.BaseRequest, client: ClientId) -> None:
        """Raise Refused unless the caller is the client's information system."""
        hosted = self.services().client(client)
        if hosted is None:
            raise Refused(401, f"Client '{client}' not found")
        facts = tls_facts(request.transport)
        try:
            authenticate(hosted, facts, self.clock(), own_certificate=self.own_certificate)
        except ExchangeError as error:
            raise Refused(401, error.text) from error


async def stamp_while_they_wait(stamps: StampMaker, numbers: Sequence[int], page: str) -> None:
    """Have records stamped for somebody who asked with `force`; raises Refused."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await stamps.stamp_now(numbers)
    except (ExchangeError, StorageError, TimeoutError) as error:
        reason = str(error) or f"no answer within {_PATIENCE:.0f} seconds"
        log.warning("GET %s: no time-stamp for %d records: %s", page, len(numbers), reason)
        raise Refused(503, "Could not create missing timestamp!") from error


def file_headers(content_type: str, disposition: str) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", content_type), ("Content-Disposition", disposition))


def parameter(request: web.BaseRequest, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        # two spaces, as the reference server has them
        raise Refused(400, f'Parameter "{name}"  must be specified.')
    return value


def client_of(request: web.BaseRequest) -> ClientId:
    parts = [parameter(request, name) for name in ("xRoadInstance", "memberClass", "memberCode")]
    subsystem = request.query.get("subsystemCode")
    try:
        return ClientId(*parts, *([subsystem] if subsystem else []))
    except MalformedMessage as error:
        raise Refused(400, error.text) from error


async def pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE):
        yield piece
