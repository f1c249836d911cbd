"""`getSecurityServerOperationalData`: the records of a time, as far as the asker may see them.

Source: monitoring.md 4, 7; X-Road 7.8 OperationalDataRequestHandler.java,
OperationalDataRecordManager.java, OpMonitoringServiceHandlerImpl.java.
"""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg
import msgspec
from lxml import etree

from catalog.services import ServiceType
from node.exchange.builtin import AnswerPart, Call, SoapAnswer
from node.messages.soap import SoapMessage
from node.messages.soap_answer import build_answer
from node.monitoring.calls import OPERATIONAL_GROUP, add_child, is_for, read_soap
from node.monitoring.queries import OPERATIONAL_DATA, OperationalDataQuery
from node.monitoring.record import INTERNAL_IP, OUTPUT_FIELDS, columns_of, told
from node.monitoring.record_search import Wanted, read_records
from node.monitoring.settings import MonitoringSettings
from trust.database import Pool
from trust.errors import ExchangeError, StorageError
from trust.ids import ClientId, ServerId

_CONTENT_ID = "operational-monitoring-data.json.gz"
_GZIP = "application/gzip"
_AT_ONCE = 2  # queries; each takes a connection to the database
_PATIENCE = 30.0  # seconds that a query waits for its turn


@dataclass(slots=True)
class _Selection:
    """What of a time goes into one answer."""

    wanted: Wanted
    fields: frozenset[str]
    next: int | None = None  # where a later query goes on


@dataclass(slots=True)
class _Payload:
    """Records as compressed JSON, made piece by piece."""

    fields: frozenset[str]
    count: int = 0
    pieces: list[bytes] = field(default_factory=list)
    _gzip: "zlib._Compress" = field(
        default_factory=lambda: zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    )

    def add(self, rows: Sequence[asyncpg.Record]) -> None:
        """Called in a thread."""
        if rows:
            self._write(b"," if self.count else b'{"records":[')
            self._write(b",".join(msgspec.json.encode(told(row, self.fields)) for row in rows))
            self.count += len(rows)

    def end(self) -> bytes:
        self._write(b"]}" if self.count else b'{"records":[]}')
        return b"".join([*self.pieces, self._gzip.flush()])

    def _write(self, data: bytes) -> None:
        if piece := self._gzip.compress(data):
            self.pieces.append(piece)


class OperationalDataService:
    """Answers from the records in the database.

    Args:
        server: this node; its owner provides the service.
    """

    type = ServiceType.WSDL

    def __init__(
        self,
        server: ServerId,
        pool: Pool,
        settings: MonitoringSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._server = server
        self._pool = pool
        self._settings = settings
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def takes(self, call: Call) -> bool:
        return is_for(call, self._server, OPERATIONAL_DATA)

    def check_access(self, call: Call) -> None:
        """Everybody may ask; what they see differs."""

    async def answer(self, call: Call) -> SoapAnswer:
        """The records as an attachment; raises ExchangeError for a query that can't be answered."""
        request = read_soap(call)
        query = OperationalDataQuery.parse(request)
        available = int(self._clock().timestamp() - self._settings.available_after.total_seconds())
        query.check(available)
        selection = _select(query, available, self._visible_to(call, request))
        payload = await self._read(selection)
        data = await asyncio.to_thread(payload.end)

        def fill(body: etree._Element) -> None:
            add_child(body, "recordsCount", str(payload.count))
            add_child(body, "records", f"cid:{_CONTENT_ID}")
            if selection.next is not None:
                add_child(body, "nextRecordsFrom", str(selection.next))

        part = AnswerPart(
            _GZIP,
            (("content-transfer-encoding", "binary"), ("content-id", f"<{_CONTENT_ID}>")),
            data,
        )
        return SoapAnswer(build_answer(request, fill), (part,))

    def _visible_to(self, call: Call, request: SoapMessage) -> ClientId | None:
        """Whose records alone the asker may see; None for everybody's."""
        client, server = request.client, request.header.security_server
        snapshot = call.snapshot
        if client == snapshot.conf.monitoring_client:
            return None
        known = server is not None and snapshot.conf.server(server, snapshot.at) is not None
        if known and server is not None and server.owner == client:
            return None
        return client

    async def _read(self, selection: _Selection) -> _Payload:
        """All records of the selection, up to the second in which the limit is reached."""
        payload = _Payload(selection.fields)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._turns.acquire()
        except TimeoutError:
            raise _unreadable("too many queries at once") from None
        try:
            await self._fill(payload, selection)
        except StorageError as error:
            raise _unreadable(str(error)) from error
        finally:
            self._turns.release()
        return payload

    async def _fill(self, payload: _Payload, selection: _Selection) -> None:
        limit = self._settings.records_in_answer
        last: int | None = None  # the second in which the limit was reached
        columns = columns_of(selection.fields)
        async with aclosing(read_records(self._pool, selection.wanted, columns)) as pages:
            async for rows in pages:
                if last is None and payload.count + len(rows) >= limit:
                    last = rows[limit - payload.count - 1]["monitoring_data_ts"]
                taken = rows
                if last is not None:
                    taken = [row for row in rows if row["monitoring_data_ts"] <= last]
                await asyncio.to_thread(payload.add, taken)
                if last is not None and len(taken) < len(rows):
                    selection.next = last + 1
                    return


def _select(query: OperationalDataQuery, available: int, party: ClientId | None) -> _Selection:
    """Lower the end of the time to what is available, and leave out what the asker may not see."""
    until, goes_on = query.until, None
    if until >= available:
        until, goes_on = available - 1, available
    fields = query.fields or OUTPUT_FIELDS
    if party is not None:
        fields -= {INTERNAL_IP}
    wanted = Wanted(since=query.since, until=until, party=party, provider=query.provider)
    return _Selection(wanted, fields, goes_on)


def _unreadable(why: str) -> ExchangeError:
    return ExchangeError(
        f"Failed to get records for response: {why}", f"{OPERATIONAL_GROUP}.internal_error"
    )
