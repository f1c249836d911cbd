"""Descriptions of services as their nodes gave them, in the registry's database, for its pages.

They came from other institutions: whoever shows one reads it as somebody else's words.
"""

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from catalog.central.harvest_store import UNUSABLE
from trust.database import Pool, storage_errors
from trust.errors import StorageError
from trust.ids import ClientId

MAX_KEPT_BYTES = 2 << 20  # of one description; larger ones are not kept
_KEEP = (
    "INSERT INTO catalog_description (provider, digest, content, kept_at) "
    "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
)
_GET = "SELECT content FROM catalog_description WHERE provider = $1 AND digest = $2"
_LIST = "SELECT digest FROM catalog_description WHERE provider = $1"
_FORGET = "DELETE FROM catalog_description WHERE provider = $1 AND digest <> ALL ($2)"


@dataclass(frozen=True, slots=True)
class DescriptionLibrary:
    """The table of descriptions; raises StorageError."""

    pool: Pool

    async def digests(self, provider: ClientId) -> frozenset[str]:
        """Which descriptions of a provider are kept, by the digests that the catalog has."""
        with storage_errors(UNUSABLE):
            rows = await self.pool.fetch(_LIST, provider.path)
        return frozenset(row["digest"] for row in rows)

    async def keep(self, provider: ClientId, digest: str, content: bytes, at: datetime) -> None:
        """Keep a description; one that is too large is left."""
        if len(content) > MAX_KEPT_BYTES:
            return
        packed = await asyncio.to_thread(zlib.compress, content)
        with storage_errors(UNUSABLE):
            await self.pool.execute(_KEEP, provider.path, digest, packed, at)

    async def forget_others(self, provider: ClientId, digests: Iterable[str]) -> None:
        """Keep of a provider's descriptions none but these."""
        with storage_errors(UNUSABLE):
            await self.pool.execute(_FORGET, provider.path, list(digests))

    async def get(self, provider: ClientId, digest: str) -> bytes | None:
        """A description; None when it is not kept."""
        with storage_errors(UNUSABLE):
            packed = await self.pool.fetchval(_GET, provider.path, digest)
        return None if packed is None else await asyncio.to_thread(_unpacked, packed)


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_KEPT_BYTES)
    except zlib.error as error:
        raise StorageError("A description that was kept can't be unpacked") from error
