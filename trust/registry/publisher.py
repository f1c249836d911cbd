"""Publish the configuration again and again: read the records, sign, switch over at once.

Nodes believe a directory for ten minutes. A round that fails leaves what was published before and
is tried again; the registry can sign for a while without its database, since what it knows can't
have changed there.

Source: trust.md 8.1, 16.1.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

from trust.configuration.confparts import NEWEST_VERSION, OLDEST_VERSION
from trust.errors import SacbeError, StorageError
from trust.globalconf import ConfigurationSource
from trust.registry.configuration_keys import ConfigurationKey, ConfigurationKeys, sources_of
from trust.registry.publication import (
    Generation,
    PartsByVersion,
    PublicationFailed,
    Signer,
    Source,
    build_generation,
    build_parts,
)
from trust.registry.record_rules import part_problems
from trust.registry.records import PartRecord, RegistryRecords
from trust.registry.registry import Registry
from trust.settings import Bounds, setting

_LOG = logging.getLogger(__name__)
_PARTS_KEPT = timedelta(seconds=600)  # at least, after the directory that named them was replaced
_RETRY = timedelta(seconds=5)

ExtraParts = Callable[[], Awaitable[Sequence[PartRecord]]]

Validity = Annotated[timedelta, Bounds(timedelta(minutes=1), timedelta(days=1))]
Interval = Annotated[timedelta, Bounds(timedelta(seconds=1), timedelta(hours=1))]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishingSettings:
    """What is published, and how often."""

    interval: Interval = setting(timedelta(minutes=1), "time from one directory to the next")
    validity: Validity = setting(
        timedelta(minutes=10), "how long nodes believe a directory; at least three intervals"
    )
    minimum_version: Annotated[int, Bounds(OLDEST_VERSION, NEWEST_VERSION)] = setting(
        NEWEST_VERSION,
        "oldest configuration version offered: X-Road servers since 7.8 read 6, since 7.7 5, "
        "since 7.5 4, since 7.4 3, older ones 2",
    )
    database_grace: timedelta = setting(
        timedelta(hours=1), "how long the last known records are signed while the database is away"
    )

    @property
    def versions(self) -> range:
        return range(self.minimum_version, NEWEST_VERSION + 1)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a generation is made of, as it was read."""

    records: RegistryRecords
    keys: tuple[ConfigurationKey, ...]
    signers: Mapping[Source, Signer] = field(repr=False)
    read_at: datetime

    @property
    def sources(self) -> tuple[ConfigurationSource, ...]:
        return sources_of(self.keys)


@dataclass(frozen=True, slots=True)
class _Published:
    """What is answered now: the newest generation and the parts of those before it.

    Attributes:
        retired: parts by the moment after which they are forgotten.
    """

    generation: Generation
    retired: tuple[tuple[datetime, Mapping[str, bytes]], ...]
    files: Mapping[str, bytes]


async def no_extra_parts() -> Sequence[PartRecord]:
    """Nothing but what the records say."""
    return ()


class Publisher:
    """The published configuration of one registry machine; replaced whole by every round.

    Args:
        extra_parts: optional parts beside those of the records, made by others. Without them the
            rest is published all the same: the last ones go on until there are new ones.
    """

    def __init__(
        self,
        registry: Registry,
        keys: ConfigurationKeys,
        settings: PublishingSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        extra_parts: ExtraParts = no_extra_parts,
    ) -> None:
        self._registry = registry
        self._keys = keys
        self._settings = settings
        self._clock = clock
        self._extra_parts = extra_parts
        self._last_extra: tuple[PartRecord, ...] = ()
        self._last: tuple[_Inputs, PartsByVersion] | None = None
        self._published: _Published | None = None
        self.last_error: str | None = None  # of the latest round; None when it succeeded

    @property
    def generation(self) -> Generation | None:
        """The newest generation; None before the first round that succeeded."""
        return None if self._published is None else self._published.generation

    def directory(self, source: Source, version: int) -> bytes | None:
        """A signed directory; None for a version that is not offered."""
        generation = self.generation
        return None if generation is None else generation.directories.get((source, version))

    def part(self, location: str) -> bytes | None:
        """A part by its path; those of replaced directories stay for ten minutes and longer."""
        return None if self._published is None else self._published.files.get(location)

    def not_ready(self, at: datetime) -> str | None:
        """Why nodes can't rely on what is published, in a sentence; None when they can."""
        generation = self.generation
        if generation is None:
            return self.last_error or "Nothing has been published yet"
        if at > generation.expires:
            return f"The published configuration expired at {generation.expires}"
        if at - generation.made_at > 3 * self._settings.interval:
            return f"The newest directory is of {generation.made_at}: {self.last_error}"
        return None

    async def run(self) -> None:
        """Publish in every interval until cancelled; a failed round is logged and tried again."""
        interval = self._settings.interval
        while True:
            try:
                await self.publish()
            except SacbeError as error:
                _LOG.warning("No new configuration was published: %s", error)
            except Exception:  # noqa: BLE001 - a defect must not end publishing for good
                _LOG.exception("No new configuration was published")
            pause = interval if self.last_error is None else min(interval, _RETRY)
            await asyncio.sleep(pause.total_seconds())

    async def publish(self) -> Generation:
        """Make one generation and switch to it; raises SacbeError and leaves the one before."""
        try:
            generation = await self._make()
        except Exception as error:
            text = str(error) if isinstance(error, SacbeError) else type(error).__name__
            self.last_error = text
            raise
        self._switch(generation)
        self.last_error = None
        return generation

    async def _make(self) -> Generation:
        at = self._clock()
        inputs = await self._read(at)
        parts = await self._built_parts(inputs)
        self._last = (inputs, parts)
        return await asyncio.to_thread(
            build_generation,
            inputs.records.instance.instance,
            parts,
            inputs.signers,
            at,
            self._settings.validity,
        )

    async def _read(self, at: datetime) -> _Inputs:
        last = None if self._last is None else self._last[0]
        try:
            records = await self._registry.records()
            keys = await self._keys.all()
        except StorageError as error:
            if last is None or at - last.read_at > self._settings.database_grace:
                raise
            _LOG.warning("Signing the records of %s again: %s", last.read_at, error)
            return last
        if records is None:
            raise PublicationFailed("No instance has been declared yet (sacbe registry apply)")
        records = with_extra(records, await self._extra())
        if last is not None and last.keys == keys:
            return _Inputs(records, keys, last.signers, at)
        return _Inputs(records, keys, await self._keys.signers(keys), at)

    async def _extra(self) -> tuple[PartRecord, ...]:
        """What others add; the last that they gave when they can't say now."""
        try:
            self._last_extra = tuple(await self._extra_parts())
        except SacbeError as error:
            _LOG.warning("The parts of others stay as they were: %s", error)
        except Exception:  # noqa: BLE001 - a defect elsewhere must not hold up the trust list
            _LOG.exception("The parts of others stay as they were")
        return self._last_extra

    async def _built_parts(self, inputs: _Inputs) -> PartsByVersion:
        """The parts, built again only when what they say may have changed."""
        if self._last is not None:
            last, parts = self._last
            if (last.records, last.keys) == (inputs.records, inputs.keys):
                return parts
        return await asyncio.to_thread(
            build_parts, inputs.records, inputs.sources, self._settings.versions
        )

    def _switch(self, generation: Generation) -> None:
        retired: list[tuple[datetime, Mapping[str, bytes]]] = []
        before = self._published
        if before is not None:
            until = generation.made_at + max(self._settings.validity, _PARTS_KEPT)
            retired = [*before.retired, (until, before.generation.files)]
        kept = tuple(item for item in retired if item[0] >= generation.made_at)
        files: dict[str, bytes] = {}
        for _, former in kept:
            files.update(former)
        files.update(generation.files)
        self._published = _Published(generation, kept, files)


def with_extra(records: RegistryRecords, extra: Sequence[PartRecord]) -> RegistryRecords:
    """The records with further parts; what the records themselves name comes before them."""
    for part in extra:
        more = replace(records, parts=(*records.parts, part))
        problem = next(iter(part_problems(more)), None)
        if problem is None:
            records = more
        else:
            text = "The part %s is left out: %s, expected %s"
            _LOG.warning(text, part.identifier, problem.found, problem.expected)
    return records
