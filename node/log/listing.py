"""What the log has, for who looks after it: rows without messages, and how each stands.

A page takes little memory however large the messages are.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import asyncpg

from node.log.column_keys import SEALED_BYTES
from node.log.records import Side
from node.log.search import LARGEST_PAGE, Place, RecordQuery
from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import StorageError
from trust.ids import ClientId, ServiceId

# Only our own words stand in the text; every value is a parameter.
_SELECT = """
SELECT record.*, leaf.leaf, stamp.gen_time, stamp.tsa, file.name AS archive,
       log_size.failing_since, log_size.failure
FROM (
    SELECT number, time, side, response, exchange_id, message_id, client, provider, service_code,
           service_version, local_client, peer,
           octet_length(message) - CASE WHEN key_id IS NULL THEN 0 ELSE {sealed} END
           + coalesce(body_size, 0) + coalesce((
               SELECT sum(a.body_size) FROM message_attachment AS a
               WHERE a.time = message_record.time AND a.number = message_record.number), 0) AS size
    FROM message_record WHERE {where} ORDER BY time {order}, number {order} LIMIT {limit}
) AS record CROSS JOIN log_size
LEFT JOIN leaf_stamp AS leaf ON leaf.number = record.number
LEFT JOIN log_stamp AS stamp ON stamp.id = leaf.stamp
LEFT JOIN archive_entry AS entry ON entry.leaf = leaf.leaf
LEFT JOIN archive_file AS file ON file.id = entry.file AND file.stored IS NOT NULL
ORDER BY record.time {order}, record.number {order}
"""
_UNSTAMPED = (
    "(time, number) IN (SELECT time, number FROM evidence_queue UNION ALL SELECT time, number"
    " FROM log_leaf WHERE leaf >= (SELECT stamped FROM log_size))"
)


class Standing(StrEnum):
    """How far a record has come on its way to a time-stamp."""

    STAMPED = "stamped"
    WAITING = "waiting"  # for the next round
    FAILING = "failing"  # no time-stamping service was to be had
    QUEUED = "queued"  # for a place in the log, without which nothing is stamped


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedMessage:
    """A record without its message.

    Attributes:
        size: bytes of the message and its attachments, kept or not.
        leaf: its place in the log, from 0; None when it has none yet.
        stamped: what the time-stamp says; None without one.
        tsa: who says so, in words.
        failing_since, failure: why there is no time-stamp.
        archive: the file of the archive that has it, too; empty when none does.
    """

    number: int
    time: datetime
    side: Side
    response: bool
    exchange_id: str
    message_id: str
    client: ClientId
    service: ServiceId
    local: ClientId
    peer: str
    size: int
    leaf: int | None
    stamped: datetime | None
    tsa: str
    failing_since: datetime | None
    failure: str
    archive: str

    @property
    def standing(self) -> Standing:
        if self.stamped is not None:
            return Standing.STAMPED
        if self.failing_since is not None:
            return Standing.FAILING
        return Standing.QUEUED if self.leaf is None else Standing.WAITING

    @property
    def reason(self) -> str:
        """Why there is no time-stamp yet, for the operator; empty when there is one."""
        match self.standing:
            case Standing.STAMPED:
                return ""
            case Standing.FAILING:
                since = f"{self.failing_since:%Y-%m-%d %H:%M:%S}Z"
                return f"no time-stamp could be had since {since}: {self.failure}"
            case Standing.QUEUED:
                return "it has no place in the log yet; a running node gives it one at once"
            case _:
                return "it waits for the next round of time-stamps of a running node"


@dataclass(frozen=True, slots=True)
class Listing:
    """Some rows in order of time; `next` leads to those after them."""

    messages: tuple[LoggedMessage, ...]
    next: Place | None


async def list_messages(
    pool: Pool,
    query: RecordQuery,
    *,
    after: Place | None = None,
    limit: int = 100,
    newest_first: bool = False,
    unstamped: bool = False,
) -> Listing:
    """One page of what `query` describes; raises StorageError.

    Args:
        after: the `next` of the page before.
        limit: rows on a page, 500 at the most.
        unstamped: those without time-stamp alone.
    """
    limit = max(1, min(limit, LARGEST_PAGE))
    conditions, values = _conditions(query, after, newest_first=newest_first)
    if unstamped:
        conditions.append(_UNSTAMPED)
    sql = _SELECT.format(
        where=" AND ".join(conditions) or "true",
        order="DESC" if newest_first else "ASC",
        limit=f"${len(values) + 1}",
        sealed=SEALED_BYTES,
    )
    try:
        rows = await pool.fetch(sql, *values, limit)
    except DATABASE_ERRORS as error:
        raise StorageError(f"The message log can't be read: {describe(error)}") from error
    messages = tuple(map(_message, rows))
    full = len(messages) == limit
    return Listing(messages, Place(messages[-1].time, messages[-1].number) if full else None)


def _conditions(
    query: RecordQuery, after: Place | None, *, newest_first: bool
) -> tuple[list[str], list[object]]:
    """What a row must be, with `$1` and so on, and the values."""
    values: list[object] = []
    conditions = []
    for condition, value in query.conditions():
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))
    if after is not None:
        values += after
        sign = "<" if newest_first else ">"
        conditions.append(f"(time, number) {sign} (${len(values) - 1}, ${len(values)})")
    return conditions, values


def _message(row: asyncpg.Record) -> LoggedMessage:
    provider = ClientId.from_header(row["provider"])
    return LoggedMessage(
        number=row["number"],
        time=row["time"],
        side=Side(row["side"]),
        response=row["response"],
        exchange_id=row["exchange_id"],
        message_id=row["message_id"],
        client=ClientId.from_header(row["client"]),
        service=ServiceId(provider, row["service_code"], row["service_version"]),
        local=ClientId.from_header(row["local_client"]),
        peer=row["peer"],
        size=int(row["size"]),
        leaf=row["leaf"],
        stamped=row["gen_time"],
        tsa=row["tsa"] or "",
        failing_since=row["failing_since"],
        failure=row["failure"] or "",
        archive=row["archive"] or "",
    )
