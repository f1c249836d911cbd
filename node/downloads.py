"""What information systems download from their own node: containers and the trust list.

Source: metadata.md 7, 8; X-Road 7.8 AsicContainerClientRequestProcessor.java. Answers are files or
plain text with a real status; there is no fault code. Both work with an expired trust list.

A container is handed out with its time-stamp. What has none yet is answered with 503 and a time to
try again, or stamped first when `force` asks for it
(docs/decisions/0098-containers-wait-for-their-time-stamp.md).
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from aiohttp import web

from node.archive.archived import ArchivedContainers, ArchivedMessage
from node.download_requests import (
    NOT_STAMPED,
    Gate,
    Refused,
    StampMaker,
    client_of,
    file_headers,
    log,
    parameter,
    pieces,
    stamp_while_they_wait,
)
from node.exchange.respond import respond
from node.log.containers import (
    MAX_RECORDS,
    ArchiveTooLarge,
    Document,
    archive_name,
    stamped_documents,
    write_archive,
)
from node.log.listing import Standing
from node.log.messagelog import MessageLog, Place, RecordQuery
from node.spool import Spool
from trust.configuration.confstore import verification_zip
from trust.errors import SacbeError, StorageError
from trust.globalconf import GlobalConf
from trust.ids import ClientId

_IN_MEMORY = 4 << 20  # bytes of an answer that is built without a file
_CONTAINER = "application/vnd.etsi.asic-e+zip"
_FLAGS = ("requestOnly", "responseOnly", "unique", "force")
_NOTHING = "No signed documents found"
_PAGE = 200


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
        gate: who may have a client's containers.
        spool: where large answers are built; an archive is at most as large as one body may be.
        archive: where containers are whose records have left the log; None without a store.
    """

    log: MessageLog
    stamps: StampMaker
    conf: Callable[[], GlobalConf | None]
    gate: Gate
    spool: Spool
    archive: ArchivedContainers | None = None

    async def asic(self, request: web.BaseRequest) -> web.StreamResponse:
        """The containers of a message id, as a ZIP, or one of them alone."""
        try:
            client = client_of(request)
            self.gate.check(request, client)
            wanted = _wanted(request, client)
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self.spool.folder)) as spool:
                target = cast(BinaryIO, spool)  # which it is in all but name
                headers = await self._build(wanted, target)
                length = target.tell()
                return await respond(request, 200, headers, pieces(target), length)
        except Refused as error:
            return web.Response(status=error.status, text=str(error), headers=error.headers)
        except StorageError as error:
            log.warning("GET /asic: %s", error)
            return web.Response(status=500, text=str(error))
        except SacbeError as error:
            return web.Response(status=500, text=str(error))

    async def _build(self, wanted: _Wanted, target: BinaryIO) -> tuple[tuple[str, str], ...]:
        """Write what is wanted; says in a sentence what the disk or the bounds do not allow."""
        try:
            return await self._write(wanted, target)
        except ArchiveTooLarge as error:
            hint = 'ask for each alone, with "unique", or for less, with "requestOnly"'
            raise Refused(413, f'{error}: {hint} or "responseOnly"') from error
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
                raise Refused(404, _NOTHING)
            target.seek(0, 2)
            name = archive_name(wanted.message_id, wanted.response)
            return file_headers("application/zip", f'attachment; filename="{name}"')
        if wanted.response is None:  # told only when there is something, as the reference does
            raise Refused(
                400, 'Parameter "unique" not applicable without "requestOnly" or "responseOnly".'
            )
        if (count := len(archived) + len(places)) > 1:
            raise Refused(500, f"There are {count} signed documents, not one")
        async for document in documents:
            await document.write(target)
            target.seek(0, 2)
            return file_headers(_CONTAINER, f'attachment; filename="{document.name}"')
        raise Refused(404, _NOTHING)

    async def _found(self, wanted: _Wanted) -> tuple[list[ArchivedMessage], list[Place]]:
        """What the archive alone has and what the log has, when that has its time-stamps."""
        places, unstamped = await self._places(wanted)
        archived: list[ArchivedMessage] = []
        if self.archive is not None:
            archived = await self.archive.find(
                wanted.message_id, wanted.client, wanted.response, MAX_RECORDS + 1
            )
        if not places and not archived:
            raise Refused(404, _NOTHING)
        if unstamped and not wanted.force:
            raise Refused(503, NOT_STAMPED)
        if unstamped:
            await stamp_while_they_wait(self.stamps, unstamped, "/asic")
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

    async def verification_conf(self, request: web.BaseRequest) -> web.StreamResponse:
        """Everything needed to judge a container offline, as the trust list is now."""
        conf = self.conf()
        if conf is None:
            return web.Response(status=500, text="There is no global configuration")
        body = await asyncio.to_thread(verification_zip, conf)
        headers = file_headers("application/zip", 'filename="verificationconf.zip"')
        return web.Response(body=body, headers=dict(headers))


def _wanted(request: web.BaseRequest, client: ClientId) -> _Wanted:
    message_id = parameter(request, "queryId")
    flags = {name for name in _FLAGS if name in request.query}
    if {"requestOnly", "responseOnly"} <= flags:
        raise Refused(
            400, 'Parameters "requestOnly" and "responseOnly" cannot be used at the same time.'
        )
    response = None
    if "responseOnly" in flags or "requestOnly" in flags:
        response = "responseOnly" in flags
    return _Wanted(message_id, client, response, "unique" in flags, "force" in flags)
