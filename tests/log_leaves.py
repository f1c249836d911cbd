"""A log of nothing but leaves, and archive stores in memory, for tests of its tree."""

import asyncio
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.transparency.transparency import LogKey, Transparency, TransparencySettings
from tests.instance import NodeUnderTest
from trust.database import Pool
from trust.errors import StorageError
from trust.evidence.evidence_leaf import leaf_hash
from trust.ids import ClientId, ServerId

SERVER = ServerId(ClientId("EX", "GOV", "1001"), "NODE1")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def leaf(index: int, salt: str = "") -> bytes:
    return leaf_hash(f"{salt}{index}".encode())


async def add_leaves(pool: Pool, count: int, salt: str = "") -> int:
    """Give that many more records their places; how many leaves there are now."""
    async with pool.acquire() as connection, connection.transaction():
        first = await connection.fetchval("SELECT leaves FROM log_size FOR UPDATE")
        await connection.copy_records_to_table(
            "log_leaf",
            columns=("leaf", "number", "time", "leaf_hash", "signature_digest"),
            records=[
                (index, index + 1000, NOON, leaf(index, salt), bytes(64))
                for index in range(first, first + count)
            ],
        )
        await connection.execute("UPDATE log_size SET leaves = leaves + $1", count)
    return int(first) + count


async def first_round(member: NodeUnderTest) -> None:
    """Wait until a node that was started has had its first round, so that no other one runs."""
    async with asyncio.timeout(30):
        while member.running.kept.witnesses.rounds.open_alarms < 0:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.02)


class Clock:
    """A clock that is set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class MemoryStore:
    """An archive store that forgets with the test."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.broken = False

    async def put(self, name: str, content: bytes, *, overwrite: bool = True) -> None:
        if self.broken:
            raise StorageError("The archive store can't be written: it is broken")
        assert overwrite or name not in self.files
        self.files[name] = content

    async def read(self, name: str, largest: int) -> bytes:
        found = self.files[name]
        assert len(found) <= largest
        return found

    async def delete(self, name: str) -> None:
        self.files.pop(name, None)

    async def size_of(self, name: str) -> int | None:
        found = self.files.get(name)
        return None if found is None else len(found)


def transparency(
    pool: Pool,
    *,
    clock: Clock | None = None,
    store: MemoryStore | None = None,
    server: ServerId = SERVER,
    private: Ed25519PrivateKey = KEY,
) -> Transparency:
    return Transparency(
        pool, LogKey.of(private, server), TransparencySettings(), clock or Clock(), None, store
    )
