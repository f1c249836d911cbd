"""What information systems download from their own node: containers and the trust list.

Source: metadata.md 7, 8; X-Road 7.8 AsicContainerClientRequestProcessor.java. Answers are files or
plain text with a real status; there is no fault code. Both work with an expired trust list.

Containers carry no time-stamp yet, so `force` has nothing to do and nothing waits for one.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, cast

from aiohttp import web

from catalog.services import ServerConf
from node.exchange.clients import authenticate, tls_facts
from node.exchange.respond import respond
from node.log.containers import (
    ArchiveTooLarge,
    archive_name,
    documents,
    name_of,
    write_archive,
    write_record_container,
)
from node.log.messagelog import MessageLog
from node.log.records import StoredRecord
from node.spool import Spool
from trust.configuration.confstore import verification_zip
from trust.errors import ExchangeError, MalformedMessage, SacbeError, StorageError
from trust.globalconf import GlobalConf
from trust.ids import ClientId

log = logging.getLogger("sacbe.downloads")

_IN_MEMORY = 4 << 20  # bytes of an answer that is built without a file
_PIECE = 64 * 1024
_CONTAINER = "application/vnd.etsi.asic-e+zip"


class _Refused(Exception):
    """Why there is no file: a status and what to tell."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The parameters of `GET /asic`, judged."""

    message_id: str
    client: ClientId
    response: bool | None  # one direction alone, or both
    unique: bool


@dataclass(frozen=True, slots=True)
class Downloads:
    """`GET /asic` and `GET /verificationconf`.

    Attributes:
        own_certificate: DER of the node's internal certificate, which may speak for every client.
        spool: where large answers are built; an archive is at most as large as one body may be.
    """

    log: MessageLog
    conf: Callable[[], GlobalConf | None]
    services: Callable[[], ServerConf]
    clock: Callable[[], datetime]
    own_certificate: bytes
    spool: Spool

    async def asic(self, request: web.BaseRequest) -> web.StreamResponse:
        """The containers of a message id, as a ZIP, or one of them alone."""
        try:
            client = _client_of(request)
            self._authenticate(request, client)
            wanted = _wanted(request, client)
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.spool.folder)) as spool:
                target = cast(BinaryIO, spool)  # which it is in all but name
                headers = await self._build(wanted, target)
                length = target.tell()
                return await respond(request, 200, headers, _pieces(target), length)
        except _Refused as error:
            return web.Response(status=error.status, text=str(error))
        except StorageError as error:
            log.warning("GET /asic: %s", error)
            return web.Response(status=500, text=str(error))
        except SacbeError as error:
            return web.Response(status=500, text=str(error))

    def _authenticate(self, request: web.BaseRequest, client: ClientId) -> None:
        hosted = self.services().client(client)
        if hosted is None:
            raise _Refused(401, f"Client '{client}' not found")
        facts = tls_facts(request.transport)
        try:
            authenticate(hosted, facts, self.clock(), own_certificate=self.own_certificate)
        except ExchangeError as error:
            raise _Refused(401, error.text) from error

    async def _build(self, wanted: _Wanted, target: BinaryIO) -> tuple[tuple[str, str], ...]:
        """Write what is wanted; says in a sentence what the disk or the bounds do not allow."""
        try:
            return await self._write(wanted, target)
        except ArchiveTooLarge as error:
            hint = 'ask for each alone, with "unique", or for less, with "requestOnly"'
            raise _Refused(413, f'{error}: {hint} or "responseOnly"') from error
        except OSError as error:
            raise StorageError(
                f"The answer can't be kept in {self.spool.folder}: {error.strerror}"
            ) from error

    async def _write(self, wanted: _Wanted, target: BinaryIO) -> tuple[tuple[str, str], ...]:
        """Write what is wanted and leave the file at its end; returns the answer's headers."""
        found = documents(self.log, wanted.message_id, wanted.client, wanted.response)
        if not wanted.unique:
            if not await self._archive(found, target):
                raise _Refused(404, "No signed documents found")
            target.seek(0, 2)
            name = archive_name(wanted.message_id, wanted.response)
            return _file("application/zip", f'attachment; filename="{name}"')
        record = await _first(found) if wanted.response is None else await _only(found)
        if wanted.response is None:  # told only when there is something, as the reference does
            raise _Refused(
                400, 'Parameter "unique" not applicable without "requestOnly" or "responseOnly".'
            )
        await write_record_container(self.log, record, target, None)
        target.seek(0, 2)
        return _file(_CONTAINER, f'attachment; filename="{name_of(record)}"')

    async def _archive(self, found: AsyncIterator[StoredRecord], target: BinaryIO) -> int:
        spool = self.spool
        return await write_archive(
            self.log, found, target, folder=spool.folder, largest=spool.largest
        )

    async def verification_conf(self, request: web.BaseRequest) -> web.StreamResponse:
        """Everything needed to judge a container offline, as the trust list is now."""
        conf = self.conf()
        if conf is None:
            return web.Response(status=500, text="There is no global configuration")
        body = await asyncio.to_thread(verification_zip, conf)
        headers = _file("application/zip", 'filename="verificationconf.zip"')
        return web.Response(body=body, headers=dict(headers))


def _file(content_type: str, disposition: str) -> tuple[tuple[str, str], ...]:
    return (("Content-Type", content_type), ("Content-Disposition", disposition))


def _parameter(request: web.BaseRequest, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        # two spaces, as the reference server has them
        raise _Refused(400, f'Parameter "{name}"  must be specified.')
    return value


def _client_of(request: web.BaseRequest) -> ClientId:
    parts = [_parameter(request, name) for name in ("xRoadInstance", "memberClass", "memberCode")]
    subsystem = request.query.get("subsystemCode")
    try:
        return ClientId(*parts, *([subsystem] if subsystem else []))
    except MalformedMessage as error:
        raise _Refused(400, error.text) from error


def _wanted(request: web.BaseRequest, client: ClientId) -> _Wanted:
    message_id = _parameter(request, "queryId")
    flags = {name for name in ("requestOnly", "responseOnly", "unique") if name in request.query}
    if {"requestOnly", "responseOnly"} <= flags:
        raise _Refused(
            400, 'Parameters "requestOnly" and "responseOnly" cannot be used at the same time.'
        )
    response = None
    if "responseOnly" in flags or "requestOnly" in flags:
        response = "responseOnly" in flags
    return _Wanted(message_id, client, response, "unique" in flags)


async def _first(found: AsyncIterator[StoredRecord]) -> StoredRecord:
    async for record in found:
        return record
    raise _Refused(404, "No signed documents found")


async def _only(found: AsyncIterator[StoredRecord]) -> StoredRecord:
    records = [record async for record in found]
    if not records:
        raise _Refused(404, "No signed documents found")
    if len(records) > 1:
        raise _Refused(500, f"There are {len(records)} signed documents, not one")
    return records[0]


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE):
        yield piece
