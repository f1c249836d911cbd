"""What was archived and where, what is still to be, and who is at it: the archive's tables."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import asyncpg

from node.archive.settings import Grouping
from node.log.search import Place
from trust.database import DATABASE_ERRORS, Pool, PooledConnection, describe
from trust.errors import StorageError
from trust.evidence.linkinginfo import START, ArchiveEnd

_LOOKED_AT = 100_000  # leaves that a look at the backlog takes in at the most
_PAGE = 200
_RETRY = timedelta(hours=1)  # of records that could not be put into a container

# Only these words, never a value, are put into a statement.
_PARTY = {
    Grouping.NONE: "''",
    Grouping.MEMBER: "substring(r.local_client from '^[^/]*/[^/]*/[^/]*')",
    Grouping.SUBSYSTEM: "r.local_client",
}
_SIZE = """
octet_length(r.message) + octet_length(r.signature) + coalesce(octet_length(r.hash_chain), 0)
+ CASE WHEN r.body IS NULL AND r.body_file IS NULL THEN 0 ELSE r.body_size END
+ CASE WHEN r.further_attachments IS NULL THEN 0 ELSE coalesce((
    SELECT sum(a.body_size) FROM message_attachment AS a
    WHERE a.time = r.time AND a.number = r.number
    AND (a.body IS NOT NULL OR a.body_file IS NOT NULL)
  ), 0) END
"""
# Leaves from $1 up to $2 that are in no file, and those that failed before $3.
_OPEN = """
(SELECT leaf FROM log_leaf AS c WHERE leaf >= $1 AND leaf < $2
 AND NOT EXISTS (SELECT FROM archive_entry AS e WHERE e.leaf = c.leaf)
 AND NOT EXISTS (SELECT FROM archive_trouble AS t WHERE t.leaf = c.leaf)
 UNION ALL
 SELECT leaf FROM archive_trouble AS c WHERE tried < $3 AND leaf < $2
 AND NOT EXISTS (SELECT FROM archive_entry AS e WHERE e.leaf = c.leaf)) AS open
"""
_RECORDS = "log_leaf AS l USING (leaf) JOIN message_record AS r USING (time, number)"


class WorkerReplaced(StorageError):
    """Another process has taken over the archive."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Stamped records of one party that are in no archive file.

    Attributes:
        party: in path form; empty without grouping.
        size: about as many bytes as their containers have.
    """

    party: str
    records: int
    size: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Leaf:
    """A record in line for the archive."""

    leaf: int
    place: Place
    hash: bytes  # evidence_leaf.py
    size: int


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """An archive file, in work or stored.

    Attributes:
        bytes: SHA-256 of the file as it is in the store.
        stored: when it had been read back from there.
    """

    id: int
    party: str
    name: str
    digest: str
    bytes: bytes
    size: int
    containers: int
    first_leaf: int
    last_leaf: int
    first_time: datetime
    last_time: datetime
    made: datetime
    stored: datetime | None


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """How archiving goes, for all processes of a cluster."""

    stamped: int
    done: int  # every leaf below is in a file or in trouble
    archived: int  # leaves at or above `done` that are in a file
    troubles: int
    last_success: datetime | None
    failing_since: datetime | None
    failure: str | None

    @property
    def backlog(self) -> int:
        """Stamped records that are in no file."""
        return max(0, self.stamped - self.done - self.archived)


class ArchiveBook:
    """The tables, for one process. Every method raises StorageError."""

    def __init__(self, pool: Pool, grouping: Grouping, life: timedelta) -> None:
        self._pool = pool
        self._party = _PARTY[grouping]
        self._worker = uuid.uuid4()
        self._life = life

    # --- who is at it -----------------------------------------------------------------------------

    async def take(self) -> bool:
        """Become the one process that archives, or stay it; False while another one is."""
        return bool(
            await self._value(
                "UPDATE archive_state SET worker = $1, worker_until = clock_timestamp() + $2"
                " WHERE worker = $1 OR worker_until < clock_timestamp() RETURNING true",
                self._worker,
                self._life,
            )
        )

    async def give_up(self) -> None:
        await self._value(
            "UPDATE archive_state SET worker = NULL, worker_until = 'epoch' WHERE worker = $1",
            self._worker,
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[PooledConnection]:
        """A transaction that ends well only while we are the one process that archives."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                ours = await connection.fetchval(
                    "SELECT true FROM archive_state"
                    " WHERE worker = $1 AND worker_until > clock_timestamp() FOR UPDATE",
                    self._worker,
                )
                if not ours:
                    raise WorkerReplaced("Another process has taken over the archive")
                yield connection
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error

    # --- what is to be done -----------------------------------------------------------------------

    async def backlog(self, state: ArchiveState, at: datetime) -> list[Backlog]:
        """What was to be archived at a state, by party; of very much the oldest part."""
        sql = (
            "SELECT party, count(*) AS records, sum(size)::bigint AS size, min(time) AS oldest"  # noqa: S608
            f" FROM (SELECT {self._party} AS party, {_SIZE} AS size, time"
            f" FROM {_OPEN} JOIN {_RECORDS} ORDER BY leaf LIMIT $4) AS oldest"
            " GROUP BY party ORDER BY party"
        )
        rows = await self._rows(sql, state.done, state.stamped, at - _RETRY, _LOOKED_AT)
        return [Backlog(row["party"], row["records"], row["size"], row["oldest"]) for row in rows]

    async def open_leaves(
        self, party: str, state: ArchiveState, at: datetime
    ) -> AsyncIterator[Leaf]:
        """Those of a party's records that are in no file, in order of their leaves.

        Records that were stamped after `state` are left for another time.
        """
        sql = (
            f"SELECT leaf, time, number, l.leaf_hash, {_SIZE} AS size"  # noqa: S608
            f" FROM {_OPEN} JOIN {_RECORDS} WHERE leaf > $5 AND {self._party} = $4"
            f" ORDER BY leaf LIMIT {_PAGE}"
        )
        after = -1
        while True:
            rows = await self._rows(sql, state.done, state.stamped, at - _RETRY, party, after)
            for row in rows:
                yield _leaf(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["leaf"]

    async def planned_leaves(self, file: ArchiveFile) -> AsyncIterator[Leaf]:
        """The records of a file, in order of their leaves."""
        sql = (
            f"SELECT leaf, time, number, l.leaf_hash, {_SIZE} AS size"  # noqa: S608
            f" FROM archive_entry AS e JOIN {_RECORDS}"
            f" WHERE e.file = $1 AND leaf > $2 ORDER BY leaf LIMIT {_PAGE}"
        )
        after = -1
        while True:
            rows = await self._rows(sql, file.id, after)
            for row in rows:
                yield _leaf(row)
            if len(rows) < _PAGE:
                return
            after = rows[-1]["leaf"]

    async def in_work(self) -> ArchiveFile | None:
        """The file that was written down and has not been read back."""
        rows = await self._rows("SELECT * FROM archive_file WHERE stored IS NULL")
        return _file(rows[0]) if rows else None

    async def end_of(self, party: str) -> ArchiveEnd:
        """Where the next file of a party goes on."""
        rows = await self._rows("SELECT digest, file FROM archive_end WHERE party = $1", party)
        return ArchiveEnd(rows[0]["digest"], rows[0]["file"]) if rows else START

    # --- what was done ----------------------------------------------------------------------------

    async def plan(self, file: ArchiveFile, leaves: Sequence[int]) -> ArchiveFile:
        """Write a file down before it is stored; the same with its id."""
        async with self.working() as connection:
            number = await connection.fetchval(
                "INSERT INTO archive_file (party, name, digest, bytes, size, containers,"
                " first_leaf, last_leaf, first_time, last_time, made)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
                *_columns(file),
            )
            await connection.execute(
                "INSERT INTO archive_entry SELECT unnest($1::bigint[]), $2", leaves, number
            )
            await connection.execute(
                "DELETE FROM archive_trouble WHERE leaf = ANY($1)", list(leaves)
            )
        return replace(file, id=number)

    async def change(self, file: ArchiveFile) -> None:
        """Write down that a planned file was made anew."""
        async with self.working() as connection:
            await connection.execute(
                "UPDATE archive_file SET party = $1, name = $2, digest = $3, bytes = $4, size = $5,"
                " containers = $6, first_leaf = $7, last_leaf = $8, first_time = $9,"
                " last_time = $10, made = $11 WHERE id = $12 AND stored IS NULL",
                *_columns(file),
                file.id,
            )

    async def discard(self, file: ArchiveFile) -> None:
        """Forget a planned file: its records are in none again."""
        async with self.working() as connection:
            await connection.execute("DELETE FROM archive_entry WHERE file = $1", file.id)
            await connection.execute(
                "DELETE FROM archive_file WHERE id = $1 AND stored IS NULL", file.id
            )

    async def settle(self, file: ArchiveFile, at: datetime) -> None:
        """A file was read back from the store: its records may go from the database."""
        async with self.working() as connection:
            await connection.execute(
                "UPDATE archive_file SET stored = $2 WHERE id = $1", file.id, at
            )
            await connection.execute(
                "INSERT INTO archived_message"
                " SELECT message_id, local_client, response, time, number, file"
                " FROM archive_entry JOIN log_leaf USING (leaf)"
                " JOIN message_record USING (time, number) WHERE file = $1 ON CONFLICT DO NOTHING",
                file.id,
            )
            await connection.execute(
                "INSERT INTO archive_end VALUES ($1, $2, $3) ON CONFLICT (party)"
                " DO UPDATE SET digest = excluded.digest, file = excluded.file",
                file.party,
                file.digest,
                file.name,
            )

    async def trouble(self, leaf: int, reason: str, at: datetime) -> None:
        """A record could not be put into a container."""
        async with self.working() as connection:
            await connection.execute(
                "INSERT INTO archive_trouble VALUES ($1, $2, $3, $3) ON CONFLICT (leaf)"
                " DO UPDATE SET reason = excluded.reason, tried = excluded.tried",
                leaf,
                reason,
                at,
            )

    async def succeed(self, at: datetime) -> None:
        """A run came to its end. Leaves whose record has vanished are noted and passed over."""
        async with self.working() as connection:
            before, stamped = await _sizes(connection)
            done = await connection.fetchval(
                "SELECT leaf FROM log_leaf AS l JOIN message_record USING (time, number)"
                " WHERE leaf >= $1 AND leaf < $2"
                " AND NOT EXISTS (SELECT FROM archive_entry AS e WHERE e.leaf = l.leaf)"
                " AND NOT EXISTS (SELECT FROM archive_trouble AS t WHERE t.leaf = l.leaf)"
                " ORDER BY leaf LIMIT 1",
                before,
                stamped,
            )
            done = stamped if done is None else done
            await connection.execute(
                "INSERT INTO archive_trouble"
                " SELECT l.leaf, 'The record is not in the database any more', $3, $3"
                " FROM log_leaf AS l WHERE l.leaf >= $1 AND l.leaf < $2"
                " AND NOT EXISTS (SELECT FROM archive_entry AS e WHERE e.leaf = l.leaf)"
                " ON CONFLICT DO NOTHING",
                before,
                done,
                at,
            )
            await connection.execute(
                "UPDATE archive_state SET done = $1, last_success = $2, failing_since = NULL,"
                " failure = NULL",
                done,
                at,
            )

    async def fail(self, reason: str, at: datetime) -> None:
        """A run broke off."""
        await self._value(
            "UPDATE archive_state SET failing_since = coalesce(failing_since, $2), failure = $1",
            reason,
            at,
        )

    # --- what is known ----------------------------------------------------------------------------

    async def state(self) -> ArchiveState:
        rows = await self._rows(
            "SELECT a.done, s.stamped, a.last_success, a.failing_since, a.failure,"
            " (SELECT count(*) FROM archive_entry AS e WHERE e.leaf >= a.done) AS archived,"
            " (SELECT count(*) FROM archive_trouble) AS troubles"
            " FROM archive_state AS a, log_size AS s"
        )
        if not rows:
            raise StorageError("The archive has lost its state")
        row = rows[0]
        return ArchiveState(
            row["stamped"],
            row["done"],
            row["archived"],
            row["troubles"],
            row["last_success"],
            row["failing_since"],
            row["failure"],
        )

    async def troubles(self, limit: int = 100) -> list[tuple[int, str]]:
        """Leaves that could not be archived, with the reason; the first ones."""
        rows = await self._rows(
            "SELECT leaf, reason FROM archive_trouble ORDER BY leaf LIMIT $1", limit
        )
        return [(row["leaf"], row["reason"]) for row in rows]

    async def files(self, *, after: int = 0, limit: int = 500) -> list[ArchiveFile]:
        """Files in the order in which they were made."""
        rows = await self._rows(
            "SELECT * FROM archive_file WHERE id > $1 ORDER BY id LIMIT $2", after, limit
        )
        return [_file(row) for row in rows]

    async def _rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        try:
            rows: list[asyncpg.Record] = await self._pool.fetch(sql, *values)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error
        return rows

    async def _value(self, sql: str, *values: object) -> object:
        try:
            return await self._pool.fetchval(sql, *values)
        except DATABASE_ERRORS as error:
            raise _unusable(error) from error


async def _sizes(connection: PooledConnection) -> tuple[int, int]:
    row = await connection.fetchrow("SELECT done, stamped FROM archive_state, log_size")
    if row is None:
        raise StorageError("The archive has lost its state")
    return row["done"], row["stamped"]


def _leaf(row: asyncpg.Record) -> Leaf:
    return Leaf(row["leaf"], Place(row["time"], row["number"]), row["leaf_hash"], int(row["size"]))


def _file(row: asyncpg.Record) -> ArchiveFile:
    return ArchiveFile(**row)


def _columns(file: ArchiveFile) -> tuple[object, ...]:
    return (
        file.party,
        file.name,
        file.digest,
        file.bytes,
        file.size,
        file.containers,
        file.first_leaf,
        file.last_leaf,
        file.first_time,
        file.last_time,
        file.made,
    )


def _unusable(error: BaseException) -> StorageError:
    return StorageError(f"The archive's tables can't be used: {describe(error)}")
