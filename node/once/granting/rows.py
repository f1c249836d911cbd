"""The rows of grants, and the steps that several modules take with them in their transactions."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from catalog.encoding import decode_terms, encode_terms
from catalog.services import Endpoint
from catalog.terms import Terms
from node.log.records import Side
from node.once.granting.asked import NEXT, AskedGrant, GrantState
from node.once.granting.wire import Message, build_message
from trust.database import Pool, PooledConnection, storage_errors
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId, ServerId, ServiceId


@dataclass(frozen=True, slots=True)
class Grant:
    """A request and what has become of it, as this node knows it.

    Attributes:
        number: here; at the provider's node also that of the right.
        side: what this node is.
        given: the terms of the right that was given; None when none was.
        answer: what was said with the last change.
        peer: the other node; None while it is not known.
        their_number: at the other node; None while it is not known.
    """

    number: int
    side: Side
    asked: AskedGrant
    state: GrantState
    given: Terms | None
    answer: str
    peer: ServerId | None
    their_number: int | None
    asked_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and when.

    Attributes:
        who: an account of this node, or a client.
        exchange_id: of the signed message by which it came; empty without one.
    """

    who: str
    at: datetime
    exchange_id: str = ""


class WrongState(StorageError):
    """The grant is not in a state in which this can be done to it."""


@contextmanager
def usable() -> Iterator[None]:
    """Make of what the database fails with, and of unreadable rows, a StorageError."""
    try:
        with storage_errors("The grants of this node can't be used"):
            yield
    except MalformedMessage as error:
        raise StorageError(f"The grants of this node can't be read: {error.text}") from error


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[PooledConnection]:
    """A transaction with the grants; raises StorageError."""
    with usable():
        async with pool.acquire() as connection, connection.transaction():
            yield connection


def grant_of(row: asyncpg.Record) -> Grant:
    """A row; raises MalformedMessage for what this software can't have written."""
    asked = AskedGrant(
        row["id"],
        ClientId.from_header(row["client"]),
        ServiceId(ClientId.from_header(row["provider"]), row["service_code"]),
        decode_terms(row["terms"]),
        Endpoint(row["method"], row["path"]),
        row["reason"],
    )
    return Grant(
        row["number"],
        Side(row["side"]),
        asked,
        GrantState(row["state"]),
        None if row["given"] is None else decode_terms(row["given"]),
        row["answer"],
        ServerId.from_header(row["peer"]) if row["peer"] else None,
        row["their_number"],
        row["asked_at"],
        row["changed_at"],
    )


async def write_grant(
    connection: PooledConnection,
    number: int,
    side: Side,
    asked: AskedGrant,
    peer: ServerId | None,
    at: datetime,
) -> None:
    """A new request, which waits."""
    await connection.execute(
        "INSERT INTO grant_request (number, side, id, client, member, provider, service_code,"
        " method, path, terms, reason, state, peer, asked_at, changed_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)",
        number,
        side.value,
        asked.id,
        asked.client.path,
        asked.client.member.path,
        asked.service.provider.path,
        asked.service.service_code,
        asked.endpoint.method,
        asked.endpoint.path,
        encode_terms(asked.terms),
        asked.reason,
        GrantState.WAITING.value,
        "" if peer is None else peer.path,
        at,
    )


async def grant_by_number(
    connection: PooledConnection, number: int, side: Side | None = None, *, lock: bool = False
) -> Grant:
    """A request by its number; raises StorageError when there is none on that side.

    Args:
        lock: whether nobody else changes it until the transaction ends.
    """
    row = await connection.fetchrow(_BY_NUMBER_LOCKED if lock else _BY_NUMBER, number)
    if row is None:
        raise StorageError(f"There is no grant {number}")
    grant = grant_of(row)
    if side not in (None, grant.side):
        does = "asked for" if grant.side is Side.CONSUMER else "was asked for"
        raise WrongState(f"Grant {number} is one that this node {does}")
    return grant


async def grant_by_id(
    connection: PooledConnection, id_: uuid.UUID, side: Side, *, lock: bool = False
) -> Grant | None:
    """The same by the id that both nodes know."""
    sql = _BY_ID_LOCKED if lock else _BY_ID
    row = await connection.fetchrow(sql, id_, side.value)
    return None if row is None else grant_of(row)


async def change_state(
    connection: PooledConnection,
    grant: Grant,
    state: GrantState,
    by: By,
    *,
    said: str = "",
    given: Terms | None = None,
) -> None:
    """Let a request become something else, and note it; raises WrongState.

    Args:
        given: the terms of a right that is given.
    """
    if state not in NEXT[grant.state]:
        raise WrongState(f"Grant {grant.number} is {grant.state}, and can't become {state}")
    await connection.execute(
        "UPDATE grant_request SET state = $2, answer = $3, given = coalesce($4, given),"
        " changed_at = $5 WHERE number = $1",
        grant.number,
        state.value,
        said,
        None if given is None else encode_terms(given),
        by.at,
    )
    await write_step(connection, grant.number, state.value, by, said)


async def write_step(
    connection: PooledConnection, number: int, what: str, by: By, said: str = ""
) -> None:
    """Note what happened to a request."""
    await connection.execute(
        "INSERT INTO grant_step (number, time, what, who, exchange_id, said)"
        " VALUES ($1, $2, $3, $4, $5, $6)",
        number,
        by.at,
        what,
        by.who,
        by.exchange_id,
        said,
    )


async def write_message(
    connection: PooledConnection, number: int, what: str, message: Message, at: datetime
) -> None:
    """Have the other node told, after all that it is still to be told of this request."""
    await connection.execute(
        "INSERT INTO grant_message (number, what, body, written, due) VALUES ($1, $2, $3, $4, $4)",
        number,
        what,
        build_message(message),
        at,
    )


_BY_NUMBER = "SELECT * FROM grant_request WHERE number = $1"
_BY_NUMBER_LOCKED = f"{_BY_NUMBER} FOR UPDATE"
_BY_ID = "SELECT * FROM grant_request WHERE id = $1 AND side = $2"
_BY_ID_LOCKED = f"{_BY_ID} FOR UPDATE"
