"""What was harvested, and what the central operator attached to it, in the registry's database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from catalog.central.composing import KnownProvider
from catalog.central.differences import service_differences, told
from catalog.central.entries import Catalog, CatalogService
from catalog.central.snapshot.reading import read_catalog
from catalog.central.snapshot.writing import write_catalog
from catalog.encoding import decode_mapping, encode_mapping
from catalog.mapping import ServiceMapping
from trust.database import Pool, storage_errors
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId, ServiceId

_ASKED = """
INSERT INTO catalog_provider (provider, asked_at, answered_at, problem, plain, services)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (provider) DO UPDATE SET asked_at = excluded.asked_at, problem = excluded.problem,
    answered_at = coalesce(excluded.answered_at, catalog_provider.answered_at),
    plain = CASE WHEN excluded.services IS NULL THEN catalog_provider.plain ELSE excluded.plain END,
    services = coalesce(excluded.services, catalog_provider.services)
"""
_ATTACH = """
INSERT INTO catalog_mapping
    (provider, service_code, service_version, mapping, attached_at, attached_by)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (provider, service_code, service_version) DO UPDATE SET mapping = excluded.mapping,
    attached_at = excluded.attached_at, attached_by = excluded.attached_by
"""
_DETACH = (
    "DELETE FROM catalog_mapping WHERE provider = $1 AND service_code = $2 AND service_version = $3"
)
_CHANGE = "INSERT INTO catalog_mapping_change (changed_at, changed_by, change) VALUES ($1, $2, $3)"
UNUSABLE = "The catalog's records can't be used"


@dataclass(frozen=True, slots=True)
class HarvestChange:
    """When what a subsystem tells changed, and how."""

    number: int
    at: datetime
    provider: ClientId
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HarvestRound:
    """One time that everybody was asked."""

    started_at: datetime
    ended_at: datetime
    asked: int
    answered: int


@dataclass(frozen=True, slots=True)
class AttachedMapping:
    service: ServiceId
    mapping: ServiceMapping
    at: datetime
    by: str


class HarvestStore:
    """The tables of `migrations/0002_catalog.sql` beside the versions; raises StorageError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def providers(self) -> tuple[KnownProvider, ...]:
        """The last word of everybody who was ever asked, in order."""
        with storage_errors(UNUSABLE):
            rows = await self._pool.fetch("SELECT * FROM catalog_provider ORDER BY provider")
        return tuple(
            KnownProvider(
                ClientId.from_header(row["provider"]),
                row["asked_at"],
                row["answered_at"],
                row["problem"],
                row["plain"],
                _read_services(row["services"]),
            )
            for row in rows
        )

    async def keep(self, before: KnownProvider | None, now: KnownProvider) -> tuple[str, ...]:
        """Keep how a question ended; what changed, in words, is kept and given back.

        Args:
            now: with an `answered_at` equal to `asked_at` when there was an answer; without one
                the services that are kept stay as they are.
        """
        answered = now.answered_at == now.asked_at
        old = () if before is None else before.services
        lines = told(service_differences(old, now.services)) if answered else ()
        with storage_errors(UNUSABLE):
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    _ASKED,
                    now.id.path,
                    now.asked_at,
                    now.answered_at if answered else None,
                    now.problem,
                    now.plain,
                    _written_services(now) if answered else None,
                )
                if lines:
                    await connection.execute(
                        "INSERT INTO catalog_harvest_change (changed_at, provider, changes) "
                        "VALUES ($1, $2, $3)",
                        now.asked_at,
                        now.id.path,
                        list(lines),
                    )
        return lines

    async def end_round(self, ended: HarvestRound) -> None:
        with storage_errors(UNUSABLE):
            await self._pool.execute(
                "INSERT INTO catalog_round (started_at, ended_at, asked, answered) "
                "VALUES ($1, $2, $3, $4)",
                ended.started_at,
                ended.ended_at,
                ended.asked,
                ended.answered,
            )

    async def last_round(self) -> HarvestRound | None:
        with storage_errors(UNUSABLE):
            row = await self._pool.fetchrow(
                "SELECT started_at, ended_at, asked, answered FROM catalog_round "
                "ORDER BY number DESC LIMIT 1"
            )
        return None if row is None else HarvestRound(*row)

    async def changes(
        self, limit: int, provider: ClientId | None = None
    ) -> Sequence[HarvestChange]:
        """The latest changes of what was harvested, newest first; of one provider, or of all."""
        with storage_errors(UNUSABLE):
            rows = await self._pool.fetch(
                "SELECT number, changed_at, provider, changes FROM catalog_harvest_change "
                "WHERE $2::text IS NULL OR provider = $2 ORDER BY number DESC LIMIT $1",
                limit,
                None if provider is None else provider.path,
            )
        return [
            HarvestChange(
                row["number"],
                row["changed_at"],
                ClientId.from_header(row["provider"]),
                tuple(row["changes"]),
            )
            for row in rows
        ]

    async def attached(self) -> tuple[AttachedMapping, ...]:
        """All attached mappings, in order."""
        with storage_errors(UNUSABLE):
            rows = await self._pool.fetch(
                "SELECT * FROM catalog_mapping ORDER BY provider, service_code, service_version"
            )
        try:
            return tuple(
                AttachedMapping(
                    ServiceId(
                        ClientId.from_header(row["provider"]),
                        row["service_code"],
                        row["service_version"] or None,
                    ),
                    decode_mapping(row["mapping"]),
                    row["attached_at"],
                    row["attached_by"],
                )
                for row in rows
            )
        except MalformedMessage as error:
            raise StorageError(f"An attached mapping can't be read: {error}") from error

    async def attach(
        self, service: ServiceId, mapping: ServiceMapping, *, by: str, at: datetime
    ) -> None:
        """Attach a mapping to a service, in the place of one that it had."""
        with storage_errors(UNUSABLE):
            async with self._pool.acquire() as connection, connection.transaction():
                text = encode_mapping(mapping)
                await connection.execute(_ATTACH, *_columns(service), text, at, by)
                fields = sum(len(one.fields) for one in mapping.endpoints)
                line = f"+ mapping of {service.colons}: {fields} fields"
                await connection.execute(_CHANGE, at, by, line)

    async def detach(self, service: ServiceId, *, by: str, at: datetime) -> bool:
        """Take a mapping away; whether there was one."""
        with storage_errors(UNUSABLE):
            async with self._pool.acquire() as connection, connection.transaction():
                done = await connection.execute(_DETACH, *_columns(service))
                if done == "DELETE 0":
                    return False
                await connection.execute(_CHANGE, at, by, f"- mapping of {service.colons}")
        return True


def by_service(attached: Sequence[AttachedMapping]) -> Mapping[ServiceId, ServiceMapping]:
    return {one.service: one.mapping for one in attached}


def _columns(service: ServiceId) -> tuple[str, str, str]:
    return service.provider.path, service.service_code, service.service_version or ""


def _written_services(provider: KnownProvider) -> bytes:
    catalog = Catalog(provider.id.instance, 0, provider.asked_at, services=provider.services)
    return b"".join(write_catalog(catalog))


def _read_services(raw: bytes | None) -> tuple[CatalogService, ...]:
    if raw is None:
        return ()
    try:
        return read_catalog((raw,)).services
    except MalformedMessage as error:
        raise StorageError(f"What was harvested can't be read: {error}") from error
