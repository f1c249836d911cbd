"""Counts what was exchanged with a node in a day: the records of the log, as they are now.

An exchange belongs to the day in which its request was signed, by the time in the signature, which
both nodes hold alike. So no two clocks are compared, and midnight divides the same exchanges at
either side. A signing time that is not there, or too far from the record's own time to have been
accepted, is passed over for the record's time.

Everything is read in pages and put into tables; memory does not grow with the day.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from node.log.messagelog import MessageLog
from node.log.records import Side, StoredRecord
from node.log.search import Place, RecordQuery
from node.reconciliation.wire import SERVICE_CODE, Held
from trust.digests import sha512
from trust.errors import EvidenceRejected
from trust.evidence.evidence_leaf import leaf_data, leaf_hash
from trust.evidence.signature import parse_signature
from trust.ids import ServerId

_PAGE = 200
_LEAST_APART = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a day that is compared: signed from `since` on and before `until`.

    Attributes:
        apart: how far a signing time may be from the time of the record.
    """

    since: datetime
    until: datetime
    apart: timedelta

    @classmethod
    def of(cls, day: date, until: int, log: MessageLog) -> "Window":
        since = datetime.combine(day, time(), UTC)
        apart = max(log.replay_retention / 2, _LEAST_APART)
        return cls(since, since + timedelta(seconds=until), apart)


@dataclass(frozen=True, slots=True)
class CountedMessage:
    """A message that may belong to the day.

    Attributes:
        ours: whether our own client asked.
        signed: second of the epoch; None for an answer.
    """

    exchange_id: str
    ours: bool
    response: bool
    signed: int | None
    leaf_hash: bytes


async def counted(
    log: MessageLog, peer: ServerId, window: Window
) -> AsyncIterator[Sequence[CountedMessage]]:
    """Pages of all messages that may belong to the window; raises StorageError."""
    query = RecordQuery(
        peer=str(peer), since=window.since - window.apart, until=window.until + window.apart
    )
    after: Place | None = None
    while True:
        page = await log.find(query, after=after, limit=_PAGE)
        yield await asyncio.to_thread(_count, page.records, window)
        after = page.next
        if after is None:
            return


def _count(records: Sequence[StoredRecord], window: Window) -> list[CountedMessage]:
    return [
        CountedMessage(
            record.exchange_id,
            record.side is Side.CONSUMER,
            record.response,
            None if record.response else int(signed_at(record, window.apart).timestamp()),
            leaf_hash(leaf_of(record).encode()),
        )
        for record in records
        if record.service.service_code != SERVICE_CODE  # else a comparison would change the day
    ]


def leaf_of(record: StoredRecord) -> str:
    """The text of the leaf of a record, computed from what stands in the record now."""
    chain_result, chain = record.hash_chain_result, record.hash_chain
    data = leaf_data(
        sha512(record.message),
        sha512(record.signature),
        None if chain_result is None else sha512(chain_result),
        None if chain is None else sha512(chain),
        [body.digest for body in record.attachments],
    )
    return data.decode("ascii")


def signed_at(record: StoredRecord, apart: timedelta) -> datetime:
    """When a request was signed, as far as the record's own time lets us believe it."""
    try:
        said = parse_signature(record.signature).signing_time
    except EvidenceRejected:
        said = None
    return said if said is not None and abs(said - record.time) <= apart else record.time


async def held(log: MessageLog, peer: ServerId, side: Side, exchange_id: str) -> Held:
    """What the log has of one exchange with that node; raises StorageError."""
    query = RecordQuery(peer=str(peer), side=side, exchange_id=exchange_id)
    found: dict[bool, list[str]] = {False: [], True: []}
    for record in (await log.find(query)).records:
        found[record.response].append(leaf_of(record))
    return Held(tuple(sorted(found[False])), tuple(sorted(found[True])))
