"""Uses are found again: those about somebody that he may see, and those of a time or a purpose.

Source: node/migrations/0011_data_use.sql.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from node.log.records import Side
from node.log.uses import DataUse, Openness
from node.messages.intent import Intent
from node.once.use_queries import MAX_PAGE, Citizen, CitizenUses, FoundUse, Period, UseQuery
from trust.database import Pool, storage_errors
from trust.ids import ClientId, ServiceId

_COLUMNS = """id, time, side, exchange_id, message_id, client, provider, service_code,
 service_version, peer, subject, purpose, legal_basis, procedure, case_id, official, mandate,
 grant_number, given, withheld, derived, refusal, openness, visible_from, spared"""

# What one client gave, and what it fetched from nodes that tell citizens nothing themselves.
_ABOUT = """subject = $1 AND refusal = '' AND time >= $2 AND (
 (side = 'provider' AND provider = $3)
 OR (side = 'consumer' AND client = $3 AND peer <> ALL($4::text[])))"""
_SHOWN = """(openness = 'open' OR (openness = 'delayed' AND visible_from <= $5))
 AND time >= $6 AND time < $7"""
_UNREADABLE = "Uses can't be looked up"


@dataclass(frozen=True, slots=True)
class UseSearch:
    """Reads the uses of one node. Everything raises StorageError."""

    pool: Pool

    async def of_citizen(self, citizen: Citizen, period: Period) -> CitizenUses:
        """One page of what a citizen may see."""
        about = (citizen.subject, citizen.kept_since, citizen.client.path, sorted(citizen.telling))
        shown = (citizen.now, period.since, period.until)
        with storage_errors(_UNREADABLE):
            counts = await self.pool.fetchrow(
                _COUNT_OF_CITIZEN, *about, *shown, citizen.sealed_until
            )
            rows = await self.pool.fetch(
                _PAGE_OF_CITIZEN, *about, *shown, period.offset, min(period.limit, MAX_PAGE)
            )
        total, sealed = (0, 0) if counts is None else counts
        return CitizenUses(total, sealed, tuple(use_of(row) for row in rows))

    async def find(self, query: UseQuery) -> Sequence[FoundUse]:
        """One page, the latest first."""
        with storage_errors(_UNREADABLE):
            rows = await self.pool.fetch(
                _FIND,
                query.since,
                query.until,
                query.subject,
                query.side,
                None if query.client is None else query.client.path,
                None if query.provider is None else query.provider.path,
                query.purpose,
                query.procedure,
                query.case,
                query.before,
                min(query.limit, MAX_PAGE),
            )
        return [FoundUse(row["id"], use_of(row)) for row in rows]

    async def oldest(self) -> datetime | None:
        """When the first use was that is still there and open to its subject."""
        with storage_errors(_UNREADABLE):
            found: datetime | None = await self.pool.fetchval(
                "SELECT min(time) FROM data_use WHERE openness = 'open'"
            )
        return found


# Only constants of this module stand in the statements.
_COUNT_OF_CITIZEN = f"""
SELECT count(*) FILTER (WHERE {_SHOWN}),
       count(*) FILTER (WHERE openness = 'sealed' AND time < $8)
FROM data_use WHERE {_ABOUT}
"""  # noqa: S608
_PAGE_OF_CITIZEN = f"""
SELECT {_COLUMNS} FROM data_use WHERE {_ABOUT} AND {_SHOWN}
ORDER BY time DESC, id DESC OFFSET $8 LIMIT $9
"""  # noqa: S608
_FIND = f"""
SELECT {_COLUMNS} FROM data_use
WHERE time >= $1 AND time < $2
  AND ($3::bytea IS NULL OR subject = $3) AND ($4::text IS NULL OR side = $4)
  AND ($5::text IS NULL OR client = $5) AND ($6::text IS NULL OR provider = $6)
  AND ($7::text = '' OR purpose = $7) AND ($8::text = '' OR procedure = $8)
  AND ($9::text = '' OR case_id = $9) AND ($10::bigint IS NULL OR id < $10)
ORDER BY id DESC LIMIT $11
"""  # noqa: S608


def use_of(row: asyncpg.Record) -> DataUse:
    """A use as it was written."""
    return DataUse(
        time=row["time"],
        side=Side(row["side"]),
        exchange_id=row["exchange_id"],
        message_id=row["message_id"],
        client=ClientId.from_header(row["client"]),
        service=ServiceId(
            ClientId.from_header(row["provider"]), row["service_code"], row["service_version"]
        ),
        peer=row["peer"],
        subject=row["subject"],
        intent=Intent(
            purpose=row["purpose"],
            legal_basis=row["legal_basis"],
            procedure=row["procedure"],
            case=row["case_id"],
            official=row["official"],
            mandate=row["mandate"],
        ),
        grant=row["grant_number"],
        given=tuple(row["given"]),
        withheld=tuple(row["withheld"]),
        derived=tuple(row["derived"]),
        refusal=row["refusal"],
        openness=Openness(row["openness"]),
        visible_from=row["visible_from"],
        spared=row["spared"],
    )
