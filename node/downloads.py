"""What information systems download from their own node: containers and the trust list.

Source: metadata.md 7, 8; X-Road 7.8 AsicContainerClientRequestProcessor.java. Answers are files or
plain text with a real status; there is no fault code. Both work with an expired trust list.

A container is handed out with its time-stamp. What has none yet is answered with 503 and a time to
try again, or stamped first when `force` asks for it
(docs/decisions/0098-containers-wait-for-their-time-stamp.md).
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import BinaryIO, Protocol, cast

from aiohttp import web

from catalog.services import ServerConf
from node.exchange.clients import authenticate, tls_facts
from node.exchange.respond import respond
from node.log.archived import ArchivedContainers, ArchivedMessage
from node.log.containers import (
    MAX_RECORDS,
    ArchiveTooLarge,
    Document,
    StampSource,
    archive_name,
    stamped_documents,
    write_archive,
)
from node.log.listing import Standing
from node.log.messagelog import MessageLog, Place, RecordQuery
from node.spool import Spool
from trust.configuration.confstore import verification_zip
from trust.errors import ExchangeError, MalformedMessage, SacbeError, StorageError
from trust.globalconf import GlobalConf
from trust.ids import ClientId

log = logging.getLogger("sacbe.downloads")

_IN_MEMORY = 4 << 20  # bytes of an answer that is built without a file
_PIECE = 64 * 1024
_CONTAINER = "application/vnd.etsi.asic-e+zip"
_FLAGS = ("requestOnly", "responseOnly", "unique", "force")
_NOTHING = "No signed documents found"
_PAGE = 200
_PATIENCE = 60.0  # seconds for a time-stamp that somebody waits for
_RETRY_AFTER = "60"  # seconds; a round of time-stamps is never shorter


class _Refused(Exception):
    """Why there is no file: a status and what to tell."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": _RETRY_AFTER} if self.status == 503 else {}


class StampMaker(StampSource, Protocol):
    """Where time-stamps are looked up and made: `node.log.stamps.Stamps`."""

    async def stamp_now(self, numbers: Sequence[int] = ()) -> None:
        """Have these records stamped; raises ExchangeError or StorageError."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The parameters of `GET /asic`, judged."""

    message_id: str
    client: ClientId
    response: bool | None  # one direction alone, or both
    unique: bool
    force: bool  # what has no time-stamp gets one first


@dataclass(frozen=True, slots=True)
class Downloads:
    """`GET /asic` and `GET /verificationconf`.

    Attributes:
        own_certificate: DER of the node's internal certificate, which may speak for every client.
        spool: where large answers are built; an archive is at most as large as one body may be.
        archive: where containers are whose records have left the log; None without a store.
    """

    log: MessageLog
    stamps: StampMaker
    conf: Callable[[], GlobalConf | None]
    services: Callable[[], ServerConf]
    clock: Callable[[], datetime]
    own_certificate: bytes
    spool: Spool
    archive: ArchivedContainers | None = None

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
            return web.Response(status=error.status, text=str(error), headers=error.headers)
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
        archived, places = await self._found(wanted)
        documents = self._documents(archived, places)
        if not wanted.unique:
            spool = self.spool
            if not await write_archive(
                documents, target, folder=spool.folder, largest=spool.largest
            ):
                raise _Refused(404, _NOTHING)
            target.seek(0, 2)
            name = archive_name(wanted.message_id, wanted.response)
            return _file("application/zip", f'attachment; filename="{name}"')
        if wanted.response is None:  # told only when there is something, as the reference does
            raise _Refused(
                400, 'Parameter "unique" not applicable without "requestOnly" or "responseOnly".'
            )
        if (count := len(archived) + len(places)) > 1:
            raise _Refused(500, f"There are {count} signed documents, not one")
        async for document in documents:
            await document.write(target)
            target.seek(0, 2)
            return _file(_CONTAINER, f'attachment; filename="{document.name}"')
        raise _Refused(404, _NOTHING)

    async def _found(self, wanted: _Wanted) -> tuple[list[ArchivedMessage], list[Place]]:
        """What the archive alone has and what the log has, when that has its time-stamps."""
        places, unstamped = await self._places(wanted)
        archived: list[ArchivedMessage] = []
        if self.archive is not None:
            archived = await self.archive.find(
                wanted.message_id, wanted.client, wanted.response, MAX_RECORDS + 1
            )
        if not places and not archived:
            raise _Refused(404, _NOTHING)
        if unstamped and not wanted.force:
            raise _Refused(503, "Message signature has not been timestamped yet!")
        if unstamped:
            await self._stamp(unstamped)
        return archived, places

    async def _documents(
        self, archived: Sequence[ArchivedMessage], places: Sequence[Place]
    ) -> AsyncIterator[Document]:
        if self.archive is not None:
            for message in archived:
                yield Document(message.name, message.time, partial(self.archive.write, message))
        async for document in stamped_documents(self.log, self.stamps, places):
            yield document

    async def _places(self, wanted: _Wanted) -> tuple[list[Place], list[int]]:
        """Where the wanted records are, and the numbers of those that have no time-stamp."""
        query = RecordQuery(
            message_id=wanted.message_id, local=wanted.client, response=wanted.response
        )
        places: list[Place] = []
        unstamped: list[int] = []
        after: Place | None = None
        while True:
            page = await self.log.listing(query, after=after, limit=_PAGE)
            for message in page.messages:
                places.append(Place(message.time, message.number))
                if message.standing is not Standing.STAMPED:
                    unstamped.append(message.number)
            after = page.next
            if len(places) > MAX_RECORDS:
                raise ArchiveTooLarge(f"There are more than {MAX_RECORDS} signed documents")
            if after is None:
                return places, unstamped

    async def _stamp(self, numbers: Sequence[int]) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.stamps.stamp_now(numbers)
        except (ExchangeError, StorageError, TimeoutError) as error:
            reason = str(error) or f"no answer within {_PATIENCE:.0f} seconds"
            log.warning("GET /asic: no time-stamp for %d records: %s", len(numbers), reason)
            raise _Refused(503, "Could not create missing timestamp!") from error

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
    flags = {name for name in _FLAGS if name in request.query}
    if {"requestOnly", "responseOnly"} <= flags:
        raise _Refused(
            400, 'Parameters "requestOnly" and "responseOnly" cannot be used at the same time.'
        )
    response = None
    if "responseOnly" in flags or "requestOnly" in flags:
        response = "responseOnly" in flags
    return _Wanted(message_id, client, response, "unique" in flags, "force" in flags)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    file.seek(0)
    while piece := file.read(_PIECE):
        yield piece
