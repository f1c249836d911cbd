"""The provider's side: taking requests in, and deciding on them. Approval makes the right."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta

from catalog.services import AccessRight
from catalog.stored.granted import give_right, next_number, take_right
from catalog.stored.store import changing_services
from catalog.terms import Terms
from node.log.records import Side
from node.once.granting.asked import NEXT, GrantState, check_reason, terms_problems, wider
from node.once.granting.rows import (
    By,
    Grant,
    WrongState,
    change_state,
    grant_by_id,
    grant_by_number,
    transaction,
    write_grant,
    write_message,
    write_step,
)
from node.once.granting.settings import GrantSettings
from node.once.granting.wire import Ask, DecisionTold, Withdrawal
from trust.database import Pool, PooledConnection, lock_key
from trust.errors import SacbeError, StorageError
from trust.ids import ClientId

_DAY = timedelta(days=1)


class TooMany(SacbeError):
    """So many requests wait, or were made today, that no other one is taken."""


class NotDecided(SacbeError):
    """The decision can't be made as it was wanted; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """Requests to this node's clients; everything raises StorageError."""

    pool: Pool
    settings: GrantSettings = field(default_factory=GrantSettings)

    # --- what comes by messages -------------------------------------------------------------------

    async def take_ask(self, ask: Ask, by: By) -> Grant | None:
        """Keep a request; the same again is the same. None when the id is another one's.

        Raises TooMany. Who may ask has been judged.
        """
        asked = ask.asked
        async with transaction(self.pool) as connection:
            await _one_after_the_other(connection, asked.client.member)
            known = await grant_by_id(connection, asked.id, Side.PROVIDER)
            if known is not None:
                return known if known.asked == asked else None
            await self._check_room(connection, asked.client.member, by)
            number = await next_number(connection)
            await write_grant(connection, number, Side.PROVIDER, asked, ask.server, by.at)
            await write_step(connection, number, "asked", by, asked.reason)
            return await grant_by_number(connection, number, Side.PROVIDER)

    async def _check_room(self, connection: PooledConnection, member: ClientId, by: By) -> None:
        most = self.settings
        (row,) = await connection.fetch(_COUNTS, member.path, by.at - _DAY)
        if row["waiting"] >= most.waiting_per_member:
            raise TooMany(f"{row['waiting']} requests of {member} wait for a decision here")
        if row["today"] >= most.asked_per_day:
            raise TooMany(f"{member} has asked {row['today']} times within a day here")
        if row["waiting_of_all"] >= most.waiting:
            raise TooMany("Too many requests wait for a decision here")

    async def take_withdrawal(self, told: Withdrawal, provider: ClientId, by: By) -> Grant | None:
        """The consumer wants no more: a right that was given ends. None when nothing is known.

        Args:
            provider: that the message is for.
            by: the client, or its member; what others name is not known.
        """
        async with transaction(self.pool) as connection:
            seen = await grant_by_id(connection, told.id, Side.PROVIDER)
            if seen is None or not _concerns(seen, provider, by):
                return None
            if GrantState.WITHDRAWN not in NEXT[seen.state]:
                return seen
            return await _end(connection, seen, GrantState.WITHDRAWN, by, told.reason)

    # --- what the operator does -------------------------------------------------------------------

    async def approve(self, number: int, by: By, terms: Terms, reason: str = "") -> Grant:
        """Give the right under these terms, which are those asked for or narrower.

        From the commit on the right counts, and the consumer is told of it. Raises NotDecided,
        WrongState.
        """
        check_reason(reason)
        async with transaction(self.pool) as connection:
            async with changing_services(connection) as before:
                grant = await grant_by_number(connection, number, Side.PROVIDER, lock=True)
                _check_terms(grant, terms)
                provider = grant.asked.service.provider
                if before.hosted(provider) is None:
                    raise NotDecided(f"{provider} is not hosted by this node any more")
                state = GrantState.APPROVED
                await change_state(connection, grant, state, by, said=reason, given=terms)
                await give_right(connection, provider, _right(grant, terms), by.at)
                told = DecisionTold(grant.asked.id, state, number, terms, reason)
                await write_message(connection, number, state.value, told, by.at)
            return await grant_by_number(connection, number, Side.PROVIDER)

    async def refuse(self, number: int, by: By, reason: str) -> Grant:
        """Give nothing, and tell the consumer why; raises WrongState."""
        return await self._end(number, GrantState.REFUSED, by, reason)

    async def revoke(self, number: int, by: By, reason: str) -> Grant:
        """Take the right away: no call that begins after the commit has it. Raises WrongState."""
        return await self._end(number, GrantState.REVOKED, by, reason)

    async def _end(self, number: int, state: GrantState, by: By, reason: str) -> Grant:
        check_reason(reason)
        async with transaction(self.pool) as connection:
            seen = await grant_by_number(connection, number, Side.PROVIDER)
            if state is GrantState.REVOKED and seen.state is not GrantState.APPROVED:
                raise WrongState(f"Grant {number} is {seen.state}, not approved")
            ended = await _end(connection, seen, state, by, reason)
            told = DecisionTold(seen.asked.id, state, number, reason=reason)
            await write_message(connection, number, state.value, told, by.at)
            return ended


async def _one_after_the_other(connection: PooledConnection, member: ClientId) -> None:
    """Two requests of one member at a time would both find room for the last one."""
    name = f"sacbe grants of {member}"
    await connection.execute("SELECT pg_advisory_xact_lock($1)", lock_key(name))


def _concerns(grant: Grant, provider: ClientId, by: By) -> bool:
    client = grant.asked.client
    return grant.asked.service.provider == provider and by.who in (str(client), str(client.member))


async def _end(
    connection: PooledConnection, seen: Grant, state: GrantState, by: By, reason: str
) -> Grant:
    """Let a request end; a right that was given goes with it.

    The lock of what is hosted is taken before that of the request, as everywhere.
    """
    async with AsyncExitStack() as stack:
        if seen.state is GrantState.APPROVED:
            await stack.enter_async_context(changing_services(connection))
            await take_right(connection, seen.number)
        grant = await grant_by_number(connection, seen.number, Side.PROVIDER, lock=True)
        if grant.state is not seen.state:
            raise StorageError(f"Grant {seen.number} was changed at the same time; do it again")
        await change_state(connection, grant, state, by, said=reason)
    return await grant_by_number(connection, seen.number, Side.PROVIDER)


def _check_terms(grant: Grant, terms: Terms) -> None:
    problems = [*terms_problems(terms)]
    problems += [f"{one}: more than was asked for" for one in wider(grant.asked.terms, terms)]
    if problems:
        raise NotDecided("; ".join(problems))


def _right(grant: Grant, terms: Terms) -> AccessRight:
    asked = grant.asked
    return AccessRight(
        asked.client, asked.service.service_code, asked.endpoint, terms, grant.number
    )


_COUNTS = """
SELECT count(*) FILTER (WHERE member = $1 AND state = 'waiting') AS waiting,
    count(*) FILTER (WHERE member = $1 AND asked_at > $2) AS today,
    count(*) FILTER (WHERE state = 'waiting') AS waiting_of_all
FROM grant_request
WHERE side = 'provider' AND (state = 'waiting' OR (member = $1 AND asked_at > $2))
"""
