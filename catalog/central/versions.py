"""The versions of the catalog in the registry's database: numbered, each with what changed."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import asyncpg

from catalog.central.differences import differences, told
from catalog.central.encoding import MAX_PACKED_BYTES, decode_catalog, encode_catalog
from catalog.central.entries import Catalog
from catalog.central.harvest_store import UNUSABLE
from trust.database import Pool, lock_key, storage_errors
from trust.errors import MalformedMessage, StorageError

_ONLY_AVAILABILITY = "~ availability"
_INSERT = (
    "INSERT INTO catalog_version (number, made_at, digest, content, bytes, services, fields, "
    "changes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
)
_DROP_OLD = "UPDATE catalog_version SET content = NULL WHERE number <= $1 AND content IS NOT NULL"
_COLUMNS = "number, made_at, digest, bytes, services, fields, content IS NOT NULL AS whole, changes"


@dataclass(frozen=True, slots=True)
class CatalogVersion:
    """One line of the catalog's history.

    Attributes:
        digest: SHA-256 of what was published.
        whole: whether the catalog itself is still kept.
    """

    number: int
    made_at: datetime
    digest: bytes
    bytes: int
    services: int
    fields: int
    whole: bool
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """What is published of a version."""

    number: int
    content: bytes = field(repr=False)


class VersionStore:
    """All versions; the newest is the one that is published. Raises StorageError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def newest(self) -> Published | None:
        """The newest version; None before the first one."""
        with storage_errors(UNUSABLE):
            row = await self._pool.fetchrow(
                "SELECT number, content FROM catalog_version ORDER BY number DESC LIMIT 1"
            )
        return None if row is None else Published(row["number"], row["content"])

    async def newest_number(self) -> int:
        """The number of the newest version; 0 before the first one."""
        with storage_errors(UNUSABLE):
            return int(await self._pool.fetchval("SELECT max(number) FROM catalog_version") or 0)

    async def catalog(self, number: int | None = None) -> Catalog | None:
        """A version as it was published, the newest by default.

        None when there is no such version, or when only its changes are kept.
        """
        with storage_errors(UNUSABLE):
            content = await self._pool.fetchval(
                "SELECT content FROM catalog_version WHERE number = coalesce($1, "
                "(SELECT max(number) FROM catalog_version))",
                number,
            )
        return None if content is None else await asyncio.to_thread(_decoded, content)

    async def history(self, limit: int) -> Sequence[CatalogVersion]:
        """The latest versions, newest first."""
        with storage_errors(UNUSABLE):
            rows = await self._pool.fetch(
                f"SELECT {_COLUMNS} FROM catalog_version "  # noqa: S608 - a constant
                "ORDER BY number DESC LIMIT $1",
                limit,
            )
        return [_version_of(row) for row in rows]

    async def renew(
        self, catalog: Catalog, *, kept: int, availability: timedelta
    ) -> CatalogVersion | None:
        """Make a version of a catalog if it says something else than the newest one.

        Args:
            kept: how many versions are kept whole.
            availability: how long figures of availability wait for another change.
        """
        with storage_errors(UNUSABLE):
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "SELECT pg_advisory_xact_lock($1)", lock_key("sacbe catalog version")
                )
                row = await connection.fetchrow(
                    "SELECT number, content FROM catalog_version ORDER BY number DESC LIMIT 1"
                )
                content = None if row is None else row["content"]
                made = await asyncio.to_thread(_next, content, catalog, availability)
                if made is None:
                    return None
                version, raw = made
                await connection.execute(
                    _INSERT,
                    version.number,
                    version.made_at,
                    version.digest,
                    raw,
                    version.bytes,
                    version.services,
                    version.fields,
                    list(version.changes),
                )
                await connection.execute(_DROP_OLD, version.number - kept)
        return version


def _version_of(row: asyncpg.Record) -> CatalogVersion:
    return CatalogVersion(
        row["number"],
        row["made_at"],
        row["digest"],
        row["bytes"],
        row["services"],
        row["fields"],
        row["whole"],
        tuple(row["changes"]),
    )


def _decoded(content: bytes, beside: Catalog | None = None) -> Catalog:
    try:
        return decode_catalog(content, beside)
    except MalformedMessage as error:
        raise StorageError(f"A version of the catalog can't be read: {error}") from error


def _next(
    content: bytes | None, catalog: Catalog, availability: timedelta
) -> tuple[CatalogVersion, bytes] | None:
    """The version after the one with this content; None when nothing is worth one."""
    before = None if content is None else _decoded(content, catalog)
    changes = differences(before, catalog)
    lines: tuple[str, ...]
    if before is None or changes:
        lines = told(changes)
    elif _is_due(before, catalog, availability):
        lines = (_ONLY_AVAILABILITY,)
    else:
        return None
    number = 1 if before is None else before.version + 1
    return _version(replace(catalog, version=number), lines)


def _is_due(before: Catalog, after: Catalog, availability: timedelta) -> bool:
    """Whether figures of availability are new, and the last version is old enough."""
    differ = before.services != after.services
    return differ and after.made_at - before.made_at >= availability


def _version(catalog: Catalog, lines: tuple[str, ...]) -> tuple[CatalogVersion, bytes]:
    raw = encode_catalog(catalog)
    if len(raw) > MAX_PACKED_BYTES or _decoded(raw, catalog) != catalog:
        raise StorageError("The catalog can't be published: it does not read back as it is")
    fields = sum(
        len(endpoint.fields) for one in catalog.services for endpoint in one.mapping.endpoints
    )
    digest = hashlib.sha256(raw).digest()
    made_at, count = catalog.made_at, len(catalog.services)
    return (
        CatalogVersion(catalog.version, made_at, digest, len(raw), count, fields, True, lines),
        raw,
    )
