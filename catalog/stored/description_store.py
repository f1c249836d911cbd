"""Descriptions as they were last downloaded, in the node's database."""

from dataclasses import dataclass, field
from datetime import datetime

from catalog.encoding import decode_mappings, encode_mappings
from catalog.services import DescriptionSource, Endpoint, ServiceType
from catalog.stored.columns import client_columns
from catalog.stored.described_mappings import DescribedMappings
from trust.database import Pool, storage_errors
from trust.errors import MalformedMessage, StorageError
from trust.ids import ClientId

_HERE = (
    "client_id = (SELECT id FROM hosted_client WHERE instance = $1 AND member_class = $2"
    " AND member_code = $3 AND subsystem_code = $4) AND type = $5 AND url = $6 AND verify_tls = $7"
)

_DIGESTS = """
SELECT type, url, verify_tls, encode(digest, 'hex') AS digest FROM description
WHERE client_id = (SELECT id FROM hosted_client WHERE instance = $1 AND member_class = $2
                   AND member_code = $3 AND subsystem_code = $4)
"""
_UNUSABLE = "The descriptions of services can't be kept"


@dataclass(frozen=True, slots=True)
class KeptDescription:
    """One download.

    Attributes:
        content: as it came.
        content_types: every Content-Type header of the answer.
        endpoints: empty for a WSDL.
        fetched_at: when the system gave it last.
        mappings: what it says of facts, by service code and version.
    """

    content: bytes = field(repr=False)
    content_types: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    warnings: tuple[str, ...]
    fetched_at: datetime
    mappings: DescribedMappings = field(default_factory=dict)


class DescriptionStore:
    """The table `description`; everything raises StorageError."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def keep(self, source: DescriptionSource, found: KeptDescription) -> None:
        """Put a download in the place of the one before; running nodes notice what it changes.

        Nothing happens when the client is not hosted any more.
        """
        endpoints = [str(endpoint) for endpoint in found.endpoints]
        mappings = encode_mappings(found.mappings)
        with storage_errors(_UNUSABLE):
            async with self._pool.acquire() as connection, connection.transaction():
                # the lock of whoever replaces the services: first here, as there
                await connection.execute("SELECT version FROM server_conf FOR UPDATE")
                before = await connection.fetchrow(
                    f"SELECT endpoints, mappings FROM description WHERE {_HERE}",  # noqa: S608 - constant
                    *_key(source),
                )
                await connection.execute(
                    "INSERT INTO description (client_id, type, url, verify_tls, content,"
                    " content_types, endpoints, warnings, fetched_at, mappings)"
                    " SELECT id, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM hosted_client"
                    " WHERE instance = $1 AND member_class = $2 AND member_code = $3"
                    " AND subsystem_code = $4"
                    " ON CONFLICT (client_id, type, url, verify_tls) DO UPDATE SET"
                    " content = excluded.content, content_types = excluded.content_types,"
                    " endpoints = excluded.endpoints, warnings = excluded.warnings,"
                    " fetched_at = excluded.fetched_at, mappings = excluded.mappings",
                    *_key(source),
                    found.content,
                    list(found.content_types),
                    endpoints,
                    list(found.warnings),
                    found.fetched_at,
                    mappings,
                )
                known = ([], "") if before is None else (before["endpoints"], before["mappings"])
                if known != (endpoints, mappings):
                    await connection.execute("UPDATE server_conf SET version = version + 1")

    async def touch(self, source: DescriptionSource, at: datetime) -> None:
        """Note that the system gave the same again."""
        with storage_errors(_UNUSABLE):
            await self._pool.execute(
                f"UPDATE description SET fetched_at = $8 WHERE {_HERE}",  # noqa: S608 - constant
                *_key(source),
                at,
            )

    async def load(self, source: DescriptionSource) -> KeptDescription | None:
        """What was downloaded last, if anything was."""
        with storage_errors(_UNUSABLE):
            row = await self._pool.fetchrow(
                f"SELECT * FROM description WHERE {_HERE}",  # noqa: S608 - constant
                *_key(source),
            )
        if row is None:
            return None
        return KeptDescription(
            row["content"],
            tuple(row["content_types"]),
            tuple(Endpoint(*text.split(" ", 1)) for text in row["endpoints"]),
            tuple(row["warnings"]),
            row["fetched_at"],
            _mappings(row["mappings"]),
        )

    async def digests(self, client: ClientId) -> dict[DescriptionSource, str]:
        """SHA-256 of what was downloaded last of a client's descriptions, in hexadecimal."""
        with storage_errors(_UNUSABLE):
            rows = await self._pool.fetch(_DIGESTS, *client_columns(client))
        return {
            DescriptionSource(client, ServiceType(row["type"]), row["url"], row["verify_tls"]): row[
                "digest"
            ]
            for row in rows
        }

    async def forget_unused(self) -> None:
        """Drop what no service names any more."""
        with storage_errors(_UNUSABLE):
            await self._pool.execute(
                "DELETE FROM description WHERE NOT EXISTS (SELECT FROM service"
                " JOIN service_code ON service_code.id = code_id"
                " WHERE service_code.client_id = description.client_id"
                " AND service.type = description.type AND description_url = description.url"
                " AND service.verify_tls = description.verify_tls)"
            )


def _mappings(text: str) -> DescribedMappings:
    try:
        return decode_mappings(text)
    except MalformedMessage as error:
        raise StorageError(f"The mappings of a description can't be read: {error.text}") from error


def _key(source: DescriptionSource) -> tuple[str | bool, ...]:
    return (*client_columns(source.client), source.type.value, source.url, source.verify_tls)
