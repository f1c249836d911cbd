"""Read a log for an audit: all of it, in the order of its leaves, without writing a byte.

One connection in a read-only session; a standby serves as well. What was committed while the audit
runs lies beyond the size that was asked for first and is left alone.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg

from node.log.column_keys import (
    NO_KEYS,
    KeyRing,
    Seal,
    column_place,
    file_place,
    load_key_ring,
)
from node.log.rows import seal_of
from trust.audit.log_records import LoggedPart, LoggedRecord
from trust.audit.log_walk import StampedRange
from trust.database import DATABASE_ERRORS, describe
from trust.errors import MalformedMessage, StorageError
from trust.evidence.merkle import HASH_SIZE, Frontier, frontier_subtrees
from trust.evidence.tiles import TILE_WIDTH, subtree_hash, tile_with

_PIECE = 1 << 20
_BATCH = 16 << 20  # bytes of records that are in memory at a time
_PATIENCE = 600.0  # seconds, of one statement: some look at a whole table

_SIZES = """
SELECT number, octet_length(message) + octet_length(signature)
       + coalesce(octet_length(hash_chain), 0) AS size
FROM message_record WHERE time BETWEEN $1 AND $2 AND number = ANY($3)
"""
_RECORDS = """
SELECT number, time, response, message_id, client, provider, service_code, service_version,
       message, signature, hash_chain_result, hash_chain, body_digest, body_size, body_file,
       body IS NOT NULL AS has_body, CASE WHEN key_id IS NULL THEN sha512(body) END AS body_found,
       octet_length(body) AS body_length, key_id, further_attachments
FROM message_record WHERE time BETWEEN $1 AND $2 AND number = ANY($3)
"""
_ATTACHMENTS = """
SELECT number, time, position, body_digest, body_size, body_file, body IS NOT NULL AS has_body,
       CASE WHEN key_id IS NULL THEN sha512(body) END AS body_found,
       octet_length(body) AS body_length, key_id
FROM message_attachment WHERE time BETWEEN $1 AND $2 AND number = ANY($3)
ORDER BY number, position
"""
_BEYOND_THE_LOG = """
SELECT number, time FROM message_record AS r
WHERE NOT EXISTS (SELECT FROM log_leaf AS l WHERE l.number = r.number)
  AND NOT EXISTS (SELECT FROM evidence_queue AS q WHERE q.number = r.number)
  AND NOT EXISTS (SELECT FROM evidence_backlog AS b
                  WHERE (r.time, r.number) > (b.time, b.number) AND r.time < b.until)
ORDER BY time, number LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class LogExtent:
    """How far the log had come when the audit began.

    Attributes:
        last_leaf: the highest place that a row has; -1 without rows.
        first_leaf: the lowest one; those below were archived and their rows removed, if any.
        queued: records without a place yet.
        failing_since, failure: since when and why no time-stamp could be had.
    """

    leaves: int
    stamped: int
    first_leaf: int
    last_leaf: int
    queued: int
    failing_since: datetime | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class LeafRow:
    """A row of `log_leaf`."""

    leaf: int
    number: int
    time: datetime
    leaf_hash: bytes
    signature_digest: bytes


@dataclass(frozen=True, slots=True)
class StampRow:
    """A row of `log_stamp`: the range that it covers, and the token."""

    range: StampedRange
    token: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """A row of `log_checkpoint`, with what witnesses signed below it."""

    size: int
    note: bytes = field(repr=False)
    key: str
    token: bytes | None = field(repr=False)
    cosignatures: tuple[tuple[str, str], ...]  # key and line of each


@dataclass(frozen=True, slots=True)
class Records:
    """The records of some leaves, by number; those that are in no row any more are not there.

    Attributes:
        broken: what is wrong with the row of a record, which may be in `found` all the same.
    """

    found: Mapping[int, LoggedRecord]
    broken: Mapping[int, str]


class LogReader:
    """One connection to the database of a node, for reading.

    Args:
        body_folder: where larger bodies are kept in files.
        keys: open what is encrypted.
    """

    def __init__(
        self,
        connection: "asyncpg.Connection[asyncpg.Record]",
        body_folder: Path | None,
        keys: KeyRing = NO_KEYS,
    ) -> None:
        self._connection = connection
        self._bodies = body_folder
        self._keys = keys

    async def extent(self) -> LogExtent:
        """How far the log has come; raises StorageError, also for a database without a log."""
        row = await self._row(
            "SELECT leaves, stamped, failing_since, failure,"
            " (SELECT coalesce(min(leaf), 0) FROM log_leaf) AS first,"
            " (SELECT coalesce(max(leaf), -1) FROM log_leaf) AS last,"
            " (SELECT count(*) FROM evidence_queue) AS queued FROM log_size"
        )
        return LogExtent(
            row["leaves"], row["stamped"], row["first"], row["last"], row["queued"],
            row["failing_since"], row["failure"],
        )  # fmt: skip

    async def leaves(self, first: int, end: int) -> list[LeafRow]:
        """The rows of some leaves, in order; missing ones are left out."""
        rows = await self._fetch(
            "SELECT leaf, number, time, leaf_hash, signature_digest FROM log_leaf"
            " WHERE leaf >= $1 AND leaf < $2 ORDER BY leaf",
            first,
            end,
        )
        return [LeafRow(**dict(row)) for row in rows]

    async def batches(
        self, leaves: Sequence[LeafRow]
    ) -> AsyncIterator[tuple[Sequence[LeafRow], Records]]:
        """The leaves in order with their records, so many at a time as are not too large."""
        if not leaves:
            return
        sizes = {row["number"]: row["size"] for row in await self._fetch(_SIZES, *_wanted(leaves))}
        batch: list[LeafRow] = []
        size = 0
        for leaf in leaves:
            size += sizes.get(leaf.number, 0)
            if batch and size > _BATCH:
                yield batch, await self._records(batch)
                batch, size = [], sizes.get(leaf.number, 0)
            batch.append(leaf)
        yield batch, await self._records(batch)

    async def _records(self, leaves: Sequence[LeafRow]) -> Records:
        """The records of these leaves; bodies are digested on the way."""
        wanted = _wanted(leaves)
        rows = await self._fetch(_RECORDS, *wanted)
        further: dict[int, list[asyncpg.Record]] = {}
        if any(row["further_attachments"] for row in rows):
            for part in await self._fetch(_ATTACHMENTS, *wanted):
                further.setdefault(part["number"], []).append(part)
        places = {leaf.number: leaf.leaf for leaf in leaves}
        found: dict[int, LoggedRecord] = {}
        broken: dict[int, str] = {}
        for row in rows:
            number, parts = row["number"], further.get(row["number"], [])
            positions = [part["position"] for part in parts]
            if positions != list(range(2, (row["further_attachments"] or 0) + 2)):
                broken[number] = "Attachments of it are missing"
            try:
                found[number] = await self._record(row, places[number], parts)
            except StorageError as error:
                if not isinstance(error, _Unopened):
                    raise
                broken[number] = str(error)
        return Records(found, broken)

    async def _record(
        self, row: asyncpg.Record, leaf: int, further: Sequence[asyncpg.Record]
    ) -> LoggedRecord:
        bodies = [] if row["body_digest"] is None else [row, *further]
        place = column_place(row["time"], row["number"], "message")
        try:
            message = self._keys.open(seal_of(row["key_id"], place), row["message"])
        except StorageError as error:
            raise _Unopened(str(error)) from error
        return LoggedRecord(
            number=row["number"],
            leaf=leaf,
            time=row["time"],
            response=row["response"],
            message_id=row["message_id"],
            client=row["client"],
            provider=row["provider"],
            service_code=row["service_code"],
            service_version=row["service_version"],
            message=message,
            signature=row["signature"],
            hash_chain_result=row["hash_chain_result"],
            hash_chain=row["hash_chain"],
            parts=tuple(
                [await self._part(body, position) for position, body in enumerate(bodies, 1)]
            ),
        )

    async def _part(self, row: asyncpg.Record, position: int) -> LoggedPart:
        stated = row["body_digest"]
        if row["has_body"] and row["key_id"] is None:
            problem = "" if row["body_length"] == row["body_size"] else "it has another size"
            return LoggedPart(stated, row["body_found"], "in the record", problem)
        if row["has_body"]:
            return await self._sealed_part(row, position)
        if row["body_file"] is None:
            return LoggedPart(stated, None)
        try:
            found = await asyncio.to_thread(self._digest_file, row, position)
            return LoggedPart(stated, found, "in a file")
        except (OSError, ValueError, StorageError) as error:
            return LoggedPart(stated, None, "in a file", f"its file can't be read: {error}")

    async def _sealed_part(self, row: asyncpg.Record, position: int) -> LoggedPart:
        """An encrypted body, fetched for itself: one at a time is in memory."""
        if position == 1:
            sql = "SELECT body FROM message_record WHERE time = $1 AND number = $2"
            values: tuple[object, ...] = (row["time"], row["number"])
        else:
            sql = (
                "SELECT body FROM message_attachment"
                " WHERE time = $1 AND number = $2 AND position = $3"
            )
            values = (row["time"], row["number"], position)
        sealed = (await self._row(sql, *values))["body"]
        place = column_place(row["time"], row["number"], "body", position)
        try:
            body = self._keys.open(seal_of(row["key_id"], place), sealed)
        except StorageError as error:
            return LoggedPart(row["body_digest"], None, "in the record", str(error))
        return LoggedPart(row["body_digest"], hashlib.sha512(body).digest(), "in the record")

    def _digest_file(self, row: asyncpg.Record, position: int) -> bytes:
        if self._bodies is None:
            raise ValueError("no folder of bodies was given")
        path = (self._bodies / row["body_file"]).resolve()
        if not path.is_relative_to(self._bodies.resolve()):
            raise ValueError("its name leads out of the folder")
        digest = hashlib.sha512()
        with path.open("rb") as file:
            if row["key_id"] is None:
                while piece := file.read(_PIECE):
                    digest.update(piece)
            else:
                place = file_place(row["time"], row["body_file"], row["body_digest"], position)
                for piece in self._keys.open_file(Seal(row["key_id"], place), file):
                    digest.update(piece)
        return digest.digest()

    async def stamps(self, first: int, end: int) -> list[StampRow]:
        """The time-stamps that cover some of these leaves, in order."""
        rows = await self._fetch(
            "SELECT id, first_leaf, leaves, token, chain_result, tops FROM log_stamp"
            " WHERE first_leaf < $2 AND first_leaf >= coalesce((SELECT max(first_leaf)"
            "  FROM log_stamp WHERE first_leaf <= $1), 0) ORDER BY first_leaf, id",
            first,
            end,
        )
        return [
            StampRow(
                StampedRange(
                    row["id"], row["first_leaf"], row["leaves"], row["chain_result"], row["tops"]
                ),
                row["token"],
            )
            for row in rows
        ]

    async def checkpoints(self) -> AsyncIterator[CheckpointRow]:
        """Every checkpoint, in order of size; none where the log has no table for them."""
        if not await self._has_table("log_checkpoint"):
            return
        size = -1
        while True:
            rows = await self._fetch(
                "SELECT size, note, key, token, ARRAY(SELECT ARRAY[w.key, w.line]"
                " FROM log_cosignature AS w WHERE w.size = c.size ORDER BY witness) AS lines"
                " FROM log_checkpoint AS c WHERE size > $1 ORDER BY size LIMIT 500",
                size,
            )
            for row in rows:
                lines = tuple((key, line) for key, line in row["lines"])
                yield CheckpointRow(row["size"], row["note"], row["key"], row["token"], lines)
            if not rows:
                return
            size = rows[-1]["size"]

    async def statements(self) -> list[tuple[str, bytes]]:
        """Who said that a log's key is its own: the key, and the container that says so."""
        if not await self._has_table("log_statement"):
            return []
        rows = await self._fetch(
            "SELECT DISTINCT ON (key) key, container FROM log_statement"
            " ORDER BY key, stamped DESC, at LIMIT 100"
        )
        return [(row["key"], row["container"]) for row in rows]

    async def archived(self, first: int, end: int) -> dict[int, str]:
        """Which of these leaves are in which archive file that is stored."""
        if not await self._has_table("archive_entry"):
            return {}
        rows = await self._fetch(
            "SELECT leaf, name FROM archive_entry JOIN archive_file ON archive_file.id = file"
            " WHERE leaf >= $1 AND leaf < $2 AND stored IS NOT NULL",
            first,
            end,
        )
        return {row["leaf"]: row["name"] for row in rows}

    async def archive_files(self) -> list[tuple[str, str, bytes, int]]:
        """Every stored archive file: name, last digest, SHA-256 of its bytes, containers."""
        if not await self._has_table("archive_file"):
            return []
        rows = await self._fetch(
            "SELECT name, digest, bytes, containers FROM archive_file"
            " WHERE stored IS NOT NULL ORDER BY id"
        )
        return [(row["name"], row["digest"], row["bytes"], row["containers"]) for row in rows]

    async def archived_count(self) -> int:
        """How many records are in stored archive files, by what was written down of the files."""
        return sum(count for _, _, _, count in await self.archive_files())

    async def tree_before(self, leaf: int) -> Frontier | None:
        """The tree's edge at the first full tile from a leaf on; None when it is lost."""
        size = -(-leaf // TILE_WIDTH) * TILE_WIDTH
        if not size:
            return Frontier()
        nodes = []
        for subtree in frontier_subtrees(size):
            tile = tile_with(subtree, size)
            rows = await self._fetch(
                "SELECT hashes FROM log_tile WHERE level = $1 AND tile = $2", tile.level, tile.index
            )
            try:
                hashes = tile.hashes(rows[0]["hashes"][: tile.width * HASH_SIZE])
            except (IndexError, MalformedMessage):
                return None
            nodes.append(subtree_hash(subtree, tile, hashes))
        return Frontier(size, tuple(nodes))

    async def beyond_the_log(self, limit: int) -> list[tuple[int, datetime]]:
        """Records that never got a leaf, though it is time: somebody put them in by hand."""
        return [(row[0], row[1]) for row in await self._fetch(_BEYOND_THE_LOG, limit)]

    async def moved(self, numbers: Sequence[int]) -> dict[int, datetime]:
        """Records of these numbers at whatever time they are; looks through the whole log."""
        rows = await self._fetch(
            "SELECT number, time FROM message_record WHERE number = ANY($1)", list(numbers)
        )
        return {row["number"]: row["time"] for row in rows}

    async def _has_table(self, name: str) -> bool:
        row = await self._row("SELECT to_regclass($1) IS NOT NULL AS there", name)
        return bool(row["there"])

    async def _row(self, sql: str, *values: object) -> asyncpg.Record:
        rows = await self._fetch(sql, *values)
        if not rows:
            raise StorageError("The message log has lost its size")
        return rows[0]

    async def _fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        try:
            return await self._connection.fetch(sql, *values, timeout=_PATIENCE)
        except DATABASE_ERRORS as error:
            raise StorageError(f"The message log can't be read: {describe(error)}") from error


class _Unopened(StorageError):
    """A record that no key opens."""


def _wanted(leaves: Sequence[LeafRow]) -> tuple[datetime, datetime, list[int]]:
    times = [leaf.time for leaf in leaves]
    return min(times), max(times), [leaf.number for leaf in leaves]


@asynccontextmanager
async def open_log_reader(
    dsn: str, body_folder: Path | None = None, key_ring: Path | None = None
) -> AsyncIterator[LogReader]:
    """Connect for reading alone; raises StorageError, ConfigurationError for the key ring."""
    keys = load_key_ring(key_ring)
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=10,
            server_settings={
                "application_name": "sacbe-audit",
                "default_transaction_read_only": "on",
            },
        )
    except (*DATABASE_ERRORS, ValueError) as error:
        raise StorageError(f"The database can't be opened: {describe(error)}") from error
    try:
        yield LogReader(connection, body_folder, keys)
    finally:
        await connection.close()
