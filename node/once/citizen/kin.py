"""Nodes of our kind: they tell citizens themselves what they gave, so that nobody else need."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from trust.database import Pool, storage_errors
from trust.errors import MalformedMessage
from trust.ids import ServerId
from trust.witness.announcement import server_of


@dataclass(frozen=True, slots=True)
class Kin:
    """This node, and those that said in an exchange that they are of its kind."""

    pool: Pool
    own: ServerId

    async def servers(self) -> frozenset[str]:
        """In the text form of the log; raises StorageError."""
        with storage_errors("Nodes can't be looked up"):
            rows = await self.pool.fetch("SELECT origin FROM witness_peer WHERE provider <> ''")
        return frozenset({str(self.own), *_readable(row["origin"] for row in rows)})


def _readable(origins: Iterable[str]) -> Iterator[str]:
    for origin in origins:
        with suppress(MalformedMessage):  # somebody wrote into the table
            yield str(server_of(origin))
