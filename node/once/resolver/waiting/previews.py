"""Evidence that waits for the citizen: kept encrypted for a while, handed out once.

    asked → (seen, as often as they like) → confirmed → fetched once
                                          → rejected

Every step that changes a preview is one statement in the database, so that of two who take it at
the same time one succeeds, whichever process of the node they reach.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from node.once.resolver.waiting.preview_token import PreviewToken, is_preview_id, new_preview_id
from trust.database import Pool, storage_errors
from trust.errors import StorageError
from trust.ids import ClientId

log = logging.getLogger("sacbe.once")

_CLEAN_EVERY = 60.0  # seconds


class NoPreview(Exception):
    """There is none, no longer, or none that this token opens: nobody is told which."""


class TooManyPreviews(Exception):
    """So many wait for their citizens that there is no room for another one."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One preview, opened.

    Attributes:
        client: who asked for the evidence, and who fetches it.
    """

    id: str
    client: ClientId
    expires_at: datetime
    confirmed: bool
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Previews:
    """The previews of one node; any number of its processes share the database.

    Attributes:
        keep_for: how long evidence waits.
        most: previews at the same time.
    """

    pool: Pool
    clock: Callable[[], datetime]
    keep_for: timedelta
    most: int

    async def keep(self, client: ClientId, content: bytes) -> tuple[Preview, PreviewToken]:
        """Keep evidence for a client; raises TooManyPreviews, StorageError."""
        now, preview, token = self.clock(), new_preview_id(), PreviewToken.fresh()
        kept = Preview(preview, client, now + self.keep_for, False, content)
        sealed = token.seal(content, preview, client)
        status = await self._execute(
            "INSERT INTO once_preview (id, client, made_at, expires_at, sealed)"
            " SELECT $1, $2, $3, $4, $5"
            " WHERE (SELECT count(*) FROM once_preview WHERE expires_at > $3) < $6"
            " AND (SELECT count(*) FROM once_preview WHERE expires_at > $3 AND client = $2) < $7",
            preview, client.path, now, kept.expires_at, sealed, self.most, self._most_of_one,
        )  # fmt: skip
        if status != "INSERT 0 1":
            raise TooManyPreviews
        return kept, token

    @property
    def _most_of_one(self) -> int:
        """Previews of one client: it does not take the places of all others."""
        return self.most - self.most // 4

    async def open(self, preview: str, token: PreviewToken) -> Preview:
        """Look at one; raises NoPreview, StorageError."""
        if not is_preview_id(preview):
            raise NoPreview
        with storage_errors("A preview can't be read"):
            row = await self.pool.fetchrow(
                "SELECT client, expires_at, confirmed, sealed FROM once_preview"
                " WHERE id = $1 AND expires_at > $2",
                preview,
                self.clock(),
            )
        if row is None:
            raise NoPreview
        client = ClientId.from_header(row["client"])
        content = token.open(row["sealed"], preview, client)
        if content is None:
            raise NoPreview
        return Preview(preview, client, row["expires_at"], row["confirmed"], content)

    async def confirm(self, seen: Preview, token: PreviewToken, content: bytes) -> None:
        """Put what was confirmed in the place of what was kept; raises NoPreview, StorageError."""
        status = await self._execute(
            "UPDATE once_preview SET confirmed = true, sealed = $2"
            " WHERE id = $1 AND NOT confirmed AND expires_at > $3",
            seen.id,
            token.seal(content, seen.id, seen.client),
            self.clock(),
        )
        if status != "UPDATE 1":
            raise NoPreview

    async def reject(self, seen: Preview) -> None:
        """Forget what nobody has confirmed; raises NoPreview, StorageError."""
        sql = "DELETE FROM once_preview WHERE id = $1 AND NOT confirmed"
        if await self._execute(sql, seen.id) != "DELETE 1":
            raise NoPreview

    async def fetch(self, seen: Preview, spared: Mapping[str, int]) -> None:
        """Forget what is handed out now, which happens once; raises NoPreview, StorageError.

        Args:
            spared: submissions by exchange id, for the uses that were logged when sources answered.
        """
        with storage_errors("A preview can't be removed"):
            async with self.pool.acquire() as connection, connection.transaction():
                status = await connection.execute(
                    "DELETE FROM once_preview WHERE id = $1 AND confirmed AND expires_at > $2",
                    seen.id,
                    self.clock(),
                )
                if status != "DELETE 1":
                    raise NoPreview
                await connection.executemany(
                    "UPDATE data_use SET spared = $3"
                    " WHERE exchange_id = $1 AND side = 'consumer' AND client = $2",
                    [(exchange, seen.client.path, count) for exchange, count in spared.items()],
                )

    async def remove_expired(self) -> None:
        """Forget what waited too long; raises StorageError."""
        await self._execute("DELETE FROM once_preview WHERE expires_at <= $1", self.clock())

    async def run(self) -> None:
        """Remove what is expired, as long as the node runs."""
        while True:
            try:
                await self.remove_expired()
            except StorageError as error:
                log.warning("%s", error)
            await asyncio.sleep(_CLEAN_EVERY)

    async def _execute(self, sql: str, *values: object) -> str:
        with storage_errors("Previews can't be kept"):
            return await self.pool.execute(sql, *values)
