"""Look-ups in the message log, page by page."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from node.log.column_keys import NO_KEYS, KeyRing
from node.log.records import BodyPlace, Side, StoredRecord
from node.log.rows import READ_ATTACHMENT_COLUMNS, READ_COLUMNS, read_row
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError
from trust.ids import ClientId, ServiceId

LARGEST_PAGE = 500


class Place(NamedTuple):
    """Where a page ended: the time and number of its last record."""

    time: datetime
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """What is looked for; everything that is given must hold.

    Attributes:
        provider: the services of one provider; `service` is narrower.
        since, until: from this moment on; before that moment.
    """

    message_id: str | None = None
    exchange_id: str | None = None
    local: ClientId | None = None
    side: Side | None = None
    response: bool | None = None
    client: ClientId | None = None
    provider: ClientId | None = None
    service: ServiceId | None = None
    peer: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[tuple[str, object]]:
        """SQL with `{}` for the parameter, and its value."""
        service = self.service
        found: list[tuple[str, object]] = [
            ("message_id = {}", self.message_id),
            ("exchange_id = {}", self.exchange_id),
            ("local_client = {}", self.local and self.local.path),
            ("side = {}", self.side and self.side.value),
            ("response = {}", self.response),
            ("client = {}", self.client and self.client.path),
            ("provider = {}", self.provider and self.provider.path),
            ("provider = {}", service and service.provider.path),
            ("service_code = {}", service and service.service_code),
            ("coalesce(service_version, '') = {}", service and (service.service_version or "")),
            ("peer = {}", self.peer),
            ("time >= {}", self.since),
            ("time < {}", self.until),
        ]
        return [(sql, value) for sql, value in found if value is not None]


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Some records in order of time; `next` leads to those after them."""

    records: tuple[StoredRecord, ...]
    next: Place | None


class RecordSearch:
    """Reads the message log; it never holds up those who write it."""

    def __init__(self, pool: Pool, keys: KeyRing = NO_KEYS) -> None:
        self._pool = pool
        self._keys = keys

    async def find(
        self,
        query: RecordQuery,
        *,
        after: Place | None = None,
        limit: int = 100,
        newest_first: bool = False,
    ) -> RecordPage:
        """One page of what `query` describes; raises StorageError.

        Args:
            after: the `next` of the page before.
            limit: records on a page, 500 at the most.
        """
        limit = max(1, min(limit, LARGEST_PAGE))
        sql, values = build_select(query, after=after, limit=limit, newest_first=newest_first)
        try:
            rows = await self._pool.fetch(sql, *values)
            further = await self._further([row for row in rows if row["further_attachments"]])
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        records = tuple(read_row(row, further[row["number"]], self._keys) for row in rows)
        full = len(records) == limit
        return RecordPage(records, Place(records[-1].time, records[-1].number) if full else None)

    async def read(self, places: Sequence[Place]) -> tuple[StoredRecord, ...]:
        """The records at these places that are there, in order of time; raises StorageError."""
        # Only our own words stand in the text.
        sql = (
            f"SELECT {READ_COLUMNS} FROM message_record"  # noqa: S608
            " JOIN unnest($1::timestamptz[], $2::bigint[]) AS wanted (time, number)"
            " USING (time, number) ORDER BY time, number"
        )
        try:
            rows = await self._pool.fetch(
                sql, [place.time for place in places], [place.number for place in places]
            )
            further = await self._further([row for row in rows if row["further_attachments"]])
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        return tuple(read_row(row, further[row["number"]], self._keys) for row in rows)

    async def _further(
        self, rows: Sequence[asyncpg.Record]
    ) -> defaultdict[int, list[asyncpg.Record]]:
        """All but the first attachment of each record, in order, by record number."""
        found: defaultdict[int, list[asyncpg.Record]] = defaultdict(list)
        if rows:
            times = [row["time"] for row in rows]
            # Only our own words stand in the text.
            sql = (
                f"SELECT {READ_ATTACHMENT_COLUMNS} FROM message_attachment"  # noqa: S608
                " WHERE time BETWEEN $1 AND $2 AND number = ANY($3) ORDER BY position"
            )
            numbers = [row["number"] for row in rows]
            for body in await self._pool.fetch(sql, min(times), max(times), numbers):
                found[body["number"]].append(body)
        for row in rows:
            if len(found[row["number"]]) != row["further_attachments"]:
                raise StorageError(f"Attachments of record {row['number']} are missing")
        return found

    async def body_of(self, record: StoredRecord, position: int) -> bytes | None:
        """An attachment, counted from 1, that is in the record; None for one that is not."""
        if len(record.attachments) < position:
            return None
        stored = record.attachments[position - 1]
        if stored.place is not BodyPlace.RECORD:
            return None
        if position == 1:
            sql = "SELECT body FROM message_record WHERE time = $1 AND number = $2"
            values: list[object] = [record.time, record.number]
        else:
            sql = (
                "SELECT body FROM message_attachment"
                " WHERE time = $1 AND number = $2 AND position = $3"
            )
            values = [record.time, record.number, position]
        try:
            body: bytes | None = await self._pool.fetchval(sql, *values)
        except DATABASE_ERRORS as error:
            raise _unreadable(error) from error
        return None if body is None else self._keys.open(stored.seal, body)


def build_select(
    query: RecordQuery, *, after: Place | None, limit: int, newest_first: bool
) -> tuple[str, list[object]]:
    """The statement of a look-up with its parameters."""
    values: list[object] = []
    parts = []
    for condition, value in query.conditions():
        values.append(value)
        parts.append(condition.format(f"${len(values)}"))
    if after is not None:
        values += after
        sign = "<" if newest_first else ">"
        parts.append(f"(time, number) {sign} (${len(values) - 1}, ${len(values)})")
    values.append(limit)
    where = f" WHERE {' AND '.join(parts)}" if parts else ""
    order = "time DESC, number DESC" if newest_first else "time, number"
    # Only our own words stand in the text; every value is a parameter.
    sql = f"SELECT {READ_COLUMNS} FROM message_record{where} ORDER BY {order} LIMIT ${len(values)}"  # noqa: S608
    return sql, values


def _unreadable(error: BaseException) -> StorageError:
    return StorageError(f"The message log can't be read: {describe(error)}")
