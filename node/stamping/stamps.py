"""The time-stamps of records, for who hands records out: found, made at once, or why not yet.

Source: signatures.md 8.2, 8.3, 9.5.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import asyncpg

from node.stamping.timestamper import Timestamper, signature_digests
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import ExchangeError, StorageError
from trust.evidence.timestamp_tree import BLOCK, TreeBlock

_BLOCKS_KEPT = 4


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time-stamp of one record.

    Attributes:
        leaf: the record's place in the log.
        id: of the time-stamp; records of one tree share it.
        token: DER; over the value of the signature in the single form, else over `chain_result`.
        chain_result, chain: `ts-hashchainresult.xml` and `ts-hashchain.xml`; None in the single
            form, whose token belongs into the signature file.
    """

    number: int
    leaf: int
    id: int
    token: bytes = field(repr=False)
    chain_result: bytes | None = field(repr=False)
    chain: bytes | None = field(repr=False)
    gen_time: datetime
    tsa: str


@dataclass(frozen=True, slots=True)
class StampCounts:
    """How many records have a place, have a time-stamp, or wait for their place."""

    leaves: int
    stamped: int
    queued: int


class StampReader:
    """Looks up time-stamps; records that are handed out in order cost little each."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._blocks: OrderedDict[tuple[int, int], TreeBlock] = OrderedDict()

    async def stamp_of(self, number: int) -> Stamp | None:
        """The time-stamp of a record, by its number; None while it has none.

        Raises StorageError, also when the leaves of its tree were altered.
        """
        return (await self.stamps_of([number])).get(number)

    async def stamps_of(self, numbers: Sequence[int]) -> dict[int, Stamp]:
        """The time-stamps of those records that have one; raises as `stamp_of` does."""
        leaves = await self._fetch(
            "SELECT number, leaf, stamp FROM leaf_stamp"
            " WHERE number = ANY($1) AND stamp IS NOT NULL ORDER BY leaf",
            list(numbers),
        )
        stamps = await self._fetch(
            "SELECT * FROM log_stamp WHERE id = ANY($1)", list({row["stamp"] for row in leaves})
        )
        by_id = {row["id"]: row for row in stamps}
        return {row["number"]: await self._stamp(row, by_id[row["stamp"]]) for row in leaves}

    async def _stamp(self, leaf: asyncpg.Record, stamp: asyncpg.Record) -> Stamp:
        chain = None
        if stamp["chain_result"] is not None:
            number, place = divmod(leaf["leaf"] - stamp["first_leaf"], BLOCK)
            chain = (await self._block(stamp, number)).chain(place)
        return Stamp(
            number=leaf["number"],
            leaf=leaf["leaf"],
            id=stamp["id"],
            token=stamp["token"],
            chain_result=stamp["chain_result"],
            chain=chain,
            gen_time=stamp["gen_time"],
            tsa=stamp["tsa"],
        )

    async def _block(self, stamp: asyncpg.Record, number: int) -> TreeBlock:
        key = (stamp["id"], number)
        found = self._blocks.get(key)
        if found is None:
            first = stamp["first_leaf"] + number * BLOCK
            end = min(first + BLOCK, stamp["first_leaf"] + stamp["leaves"])
            try:
                digests = await signature_digests(self._pool, first, end)
                found = TreeBlock(stamp["tops"], stamp["leaves"], number, digests)
            except (ExchangeError, ValueError) as error:
                raise StorageError(
                    f"Time-stamp {stamp['id']} can't be led to its records: {error}"
                ) from error
            self._blocks[key] = found
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(key)
        return found

    async def counts(self) -> StampCounts:
        """How far the log is stamped; raises StorageError."""
        rows = await self._fetch(
            "SELECT leaves, stamped, (SELECT count(*) FROM evidence_queue) AS queued FROM log_size"
        )
        if not rows:
            raise StorageError("The message log has lost its size")
        return StampCounts(rows[0]["leaves"], rows[0]["stamped"], rows[0]["queued"])

    async def _fetch(self, sql: str, *values: object) -> list[asyncpg.Record]:
        try:
            return await self._pool.fetch(sql, *values)
        except DATABASE_ERRORS as error:
            raise StorageError(f"The message log can't be read: {describe(error)}") from error


class Stamps(StampReader):
    """The time-stamps of a node that runs: those that are missing can be had."""

    def __init__(self, pool: Pool, timestamper: Timestamper) -> None:
        super().__init__(pool)
        self._timestamper = timestamper

    async def stamp_now(self, numbers: Sequence[int] = ()) -> None:
        """Have these records stamped, with all others that wait; at once if they are already.

        Raises TimestampingFailed (or NoTimestampingService), within `timestamping_failed`, or
        StorageError.
        """
        if numbers:
            stamped = await self._fetch(
                "SELECT number FROM leaf_stamp WHERE number = ANY($1) AND stamp IS NOT NULL",
                list(numbers),
            )
            if {row["number"] for row in stamped} >= set(numbers):
                return
        try:
            await self._timestamper.stamp_now()
        except ExchangeError as error:
            raise ExchangeError(error.text, error.code).within("timestamping_failed") from error

    async def unstamped_reason(self, number: int) -> str:
        """Why a record has no time-stamp, for a person; empty when it has one."""
        rows = await self._fetch(
            "SELECT time, stamp, false AS queued FROM leaf_stamp WHERE number = $1"
            " UNION ALL SELECT time, NULL, true FROM evidence_queue WHERE number = $1",
            number,
        )
        if not rows:
            return "It was stored by an older version or is not in the log"
        if rows[0]["stamp"] is not None:
            return ""
        state = self._timestamper.state
        if state.failing_since is not None:
            since = f"{state.failing_since:%Y-%m-%dT%H:%M:%SZ}"
            return f"Time-stamping fails since {since}: {state.failure}"
        due = rows[0]["time"] + self._timestamper.interval
        return f"It waits for the time-stamp due at {due:%Y-%m-%dT%H:%M:%SZ}"
