"""The consumer's side: asking for a grant, withdrawing it, and being told of the decision."""

from dataclasses import dataclass

from catalog.stored.granted import next_number
from node.log.records import Side
from node.once.granting.asked import AskedGrant, GrantState, check_asked, check_reason
from node.once.granting.rows import (
    By,
    Grant,
    change_state,
    grant_by_id,
    grant_by_number,
    transaction,
    write_grant,
    write_message,
    write_step,
)
from node.once.granting.wire import Ask, DecisionTold, Withdrawal
from trust.database import Pool
from trust.errors import AccessDenied
from trust.ids import ClientId, ServerId


@dataclass(frozen=True, slots=True)
class Asking:
    """Requests of this node's clients; everything raises StorageError.

    Attributes:
        server: this node.
    """

    pool: Pool
    server: ServerId

    async def ask(self, asked: AskedGrant, by: By, peer: ServerId | None = None) -> int:
        """Write a request down, to be sent; its number. Raises MalformedMessage for a bad one.

        Args:
            peer: the provider's node that is meant; None for any.
        """
        check_asked(asked)
        async with transaction(self.pool) as connection:
            number = await next_number(connection)
            await write_grant(connection, number, Side.CONSUMER, asked, peer, by.at)
            await write_step(connection, number, "asked", by, asked.reason)
            message = Ask(asked, self.server)
            await write_message(connection, number, "asked", message, by.at)
        return number

    async def withdraw(self, number: int, by: By, reason: str = "") -> None:
        """Want it no more, and have the provider told; raises WrongState, MalformedMessage."""
        check_reason(reason)
        async with transaction(self.pool) as connection:
            grant = await grant_by_number(connection, number, Side.CONSUMER, lock=True)
            await change_state(connection, grant, GrantState.WITHDRAWN, by, said=reason)
            message = Withdrawal(grant.asked.id, reason)
            await write_message(connection, number, "withdrawn", message, by.at)

    async def take_decision(self, told: DecisionTold, to: ClientId, by: By) -> Grant | None:
        """Note what the provider decided; None when there is no such request of the client.

        The same decision again changes nothing, nor does one on what was withdrawn meanwhile.

        Args:
            to: the client that the message is for.
            by: the provider, or its member; raises AccessDenied for anybody else.
        """
        async with transaction(self.pool) as connection:
            grant = await grant_by_id(connection, told.id, Side.CONSUMER, lock=True)
            if grant is None or grant.asked.client != to:
                return None
            provider = grant.asked.service.provider
            if by.who not in (str(provider), str(provider.member)):
                raise AccessDenied(f"Only {provider} decides on this request")
            if grant.state in (told.state, GrantState.WITHDRAWN):
                return grant
            await change_state(
                connection, grant, told.state, by, said=told.reason, given=told.terms
            )
            await connection.execute(
                "UPDATE grant_request SET their_number = $2 WHERE number = $1",
                grant.number,
                told.number,
            )
            return await grant_by_number(connection, grant.number)
