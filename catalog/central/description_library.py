"""Descriptions of services as their nodes gave them, in the registry's database, for its pages.

They came from other institutions: whoever shows one reads it as somebody else's words.
"""

import asyncio
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from catalog.central.harvest_store import unusable
from trust.database import DATABASE_ERRORS, Pool
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
        try:
            rows = await self.pool.fetch(_LIST, provider.path)
        except DATABASE_ERRORS as error:
            raise unusable(error) from error
        return frozenset(row["digest"] for row in rows)

    async def keep(self, provider: ClientId, digest: str, content: bytes, at: datetime) -> None:
        """Keep a description; one that is too large is left."""
        if len(content) > MAX_KEPT_BYTES:
            return
        packed = await asyncio.to_thread(zlib.compress, content)
        try:
            await self.pool.execute(_KEEP, provider.path, digest, packed, at)
        except DATABASE_ERRORS as error:
            raise unusable(error) from error

    async def forget_others(self, provider: ClientId, digests: Iterable[str]) -> None:
        """Keep of a provider's descriptions none but these."""
        try:
            await self.pool.execute(_FORGET, provider.path, list(digests))
        except DATABASE_ERRORS as error:
            raise unusable(error) from error

    async def get(self, provider: ClientId, digest: str) -> bytes | None:
        """A description; None when it is not kept."""
        try:
            packed = await self.pool.fetchval(_GET, provider.path, digest)
        except DATABASE_ERRORS as error:
            raise unusable(error) from error
        return None if packed is None else await asyncio.to_thread(_unpacked, packed)


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_KEPT_BYTES)
    except zlib.error as error:
        raise StorageError("A description that was kept can't be unpacked") from error
