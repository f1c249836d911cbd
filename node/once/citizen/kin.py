"""Nodes of our kind: they tell citizens themselves what they gave, so that nobody else need."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from trust.database import DATABASE_ERRORS, Pool, describe
from trust.errors import MalformedMessage, StorageError
from trust.ids import ServerId
from trust.witness.announcement import server_of


@dataclass(frozen=True, slots=True)
class Kin:
    """This node, and those that said in an exchange that they are of its kind."""

    pool: Pool
    own: ServerId

    async def servers(self) -> frozenset[str]:
        """In the text form of the log; raises StorageError."""
        try:
            rows = await self.pool.fetch("SELECT origin FROM witness_peer WHERE provider <> ''")
        except DATABASE_ERRORS as error:
            raise StorageError(f"Nodes can't be looked up: {describe(error)}") from error
        return frozenset({str(self.own), *_readable(row["origin"] for row in rows)})


def _readable(origins: Iterable[str]) -> Iterator[str]:
    for origin in origins:
        with suppress(MalformedMessage):  # somebody wrote into the table
            yield str(server_of(origin))
