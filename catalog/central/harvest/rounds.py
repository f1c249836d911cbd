"""Ask everybody who may offer something, side by side; keep each answer as it comes.

Nobody's answer touches what is known of another, and who does not answer keeps what is known.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from catalog.central.composing import KnownProvider
from catalog.central.description_library import DescriptionLibrary
from catalog.central.harvest.asking import Asker
from catalog.central.harvest.cleaning import one_line
from catalog.central.harvest.provider import Library, harvest_provider
from catalog.central.harvest.settings import CatalogSettings
from catalog.central.harvest_store import HarvestRound, HarvestStore
from trust.errors import ExchangeError, StorageError
from trust.ids import ClientId

_LOG = logging.getLogger(__name__)
_MAX_PROBLEM = 2_000  # characters


@dataclass(frozen=True, slots=True)
class Asked:
    """How the questions to one provider ended.

    Attributes:
        changes: of what it tells, in words.
    """

    provider: KnownProvider
    changes: tuple[str, ...]

    @property
    def answered(self) -> bool:
        return self.provider.answered_at == self.provider.asked_at


@dataclass(frozen=True, slots=True)
class Harvester:
    """Asks for services and keeps what is told."""

    store: HarvestStore
    settings: CatalogSettings
    clock: Callable[[], datetime]
    library: DescriptionLibrary | None = None

    async def round(self, asker: Asker, providers: Sequence[ClientId]) -> tuple[Asked, ...]:
        """Ask these providers; raises StorageError when the answers can't be kept."""
        started_at = self.clock()
        known = {one.id: one for one in await self.store.providers()}
        places = asyncio.Semaphore(self.settings.at_once)

        async def ask(provider: ClientId) -> Asked:
            async with places:
                return await self._ask(asker, provider, known.get(provider))

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(one)) for one in providers]
        except* StorageError as errors:
            raise errors.exceptions[0] from None
        asked = tuple(task.result() for task in tasks)
        answered = sum(one.answered for one in asked)
        ended = HarvestRound(started_at, self.clock(), len(asked), answered)
        await self.store.end_round(ended)
        _LOG.info("%d of %d subsystems told their services", answered, len(asked))
        return asked

    async def _ask(self, asker: Asker, id_: ClientId, before: KnownProvider | None) -> Asked:
        at = self.clock()
        services = {} if before is None else {one.id: one for one in before.services}
        try:
            library = await self._library(id_)
            found = await harvest_provider(asker, id_, self.settings, services, library)
        except StorageError:
            raise
        except ExchangeError as error:
            problem = one_line(f"{error.text} ({error.code})"[:_MAX_PROBLEM])
            _LOG.warning("%s tells nothing of its services: %s", id_, problem)
            now = KnownProvider(id_, at, problem=problem)
        except Exception:  # noqa: BLE001 - what one node answers must not end the round
            _LOG.exception("%s answered what can't be taken", id_)
            now = KnownProvider(id_, at, problem="Its answers can't be taken")
        else:
            problem = "; ".join(found.notes)[:_MAX_PROBLEM]
            now = KnownProvider(id_, at, at, problem, found.plain, found.services)
        return await self._kept(before, now)

    async def _library(self, provider: ClientId) -> Library:
        kept = self.library
        if kept is None:
            return Library()

        async def keep(digest: str, description: bytes) -> None:
            await kept.keep(provider, digest, description, self.clock())

        return Library(set(await kept.digests(provider)), keep)

    async def _kept(self, before: KnownProvider | None, now: KnownProvider) -> Asked:
        changes = await self.store.keep(before, now)
        if self.library is not None and changes:
            digests = {one.description_digest for one in now.services}
            await self.library.forget_others(now.id, digests)
        return Asked(now, changes)
