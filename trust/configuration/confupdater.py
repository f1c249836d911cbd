"""The service that keeps a node's configuration fresh: fetch, verify, publish, keep on disk.

    updater = ConfigurationUpdater(settings, anchor)
    await updater.start()                 # what was kept on disk, so that a node starts offline
    task = asyncio.create_task(updater.run())
    updater.conf                          # the snapshot, or None before the first

Every failure is kept for the operator and leaves the last good configuration in place. Federated
registries are other people's: they are asked apart from the own one and each has a deadline, so
that none of them, slow or hostile, delays the own configuration or keeps the others waiting long.
Source: trust.md 3, 5.4, 5.5.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from trust.configuration.confclient import ConfigurationClient, Update
from trust.configuration.confdirectory import MAX_DIRECTORY_BYTES, DirectoryEntry
from trust.configuration.confhistory import TrustListKeeper
from trust.configuration.conflocations import AllowedFederations, Location, versioned_urls
from trust.configuration.confparts import MAX_PART_BYTES
from trust.configuration.confset import ConfigurationSet
from trust.configuration.confstore import load_set, save_set
from trust.configuration.fetch import Fetched, Fetcher, FetchLimits
from trust.errors import (
    EvidenceRejected,
    ExchangeError,
    MalformedMessage,
    NetworkFailure,
    StorageError,
)
from trust.globalconf import Anchor, GlobalConf

MAX_UPDATE_BYTES = 2 * MAX_PART_BYTES  # all parts of one directory
FEDERATED_AT_ONCE = 4  # half of the fetcher's connections: the own source always finds one free
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpdaterSettings:
    """How a node keeps its configuration.

    Attributes:
        folder: where it is kept, in X-Road's layout.
        interval: between two downloads.
        allowed_federations: `none`, `all`, or names of instances.
        verify_tls: whether `https` addresses must have a certificate that the system trusts.
        federation_seconds: how long one federated source may be downloaded from, over all of its
            locations; the limits are for a single answer.
    """

    folder: Path
    interval: timedelta = timedelta(seconds=60)
    allowed_federations: tuple[str, ...] = ("none",)
    verify_tls: bool = True
    limits: FetchLimits = field(default_factory=FetchLimits)
    federation_seconds: float = 30


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """What the last attempts came to.

    Attributes:
        last_error: why the own configuration was not updated, empty after a success.
        federation_errors: the same by federated instance.
        source: the address that served last, without version.
    """

    last_attempt: datetime | None = None
    last_success: datetime | None = None
    last_error: str = ""
    source: str = ""
    federation_errors: Mapping[str, str] = field(default_factory=dict)


def utc_now() -> datetime:
    return datetime.now(UTC)


class ConfigurationUpdater:
    """Owns the client, the connection and the folder; everything else only reads snapshots."""

    def __init__(
        self,
        settings: UpdaterSettings,
        anchor: Anchor,
        *,
        clock: Callable[[], datetime] = utc_now,
        fetcher: Fetcher | None = None,
        history: TrustListKeeper | None = None,
    ) -> None:
        self.settings = settings
        self.anchor = anchor
        self.status = UpdateStatus()
        self.new_version = asyncio.Event()  # set when the history has one more
        self._history = history
        self._directory = b""  # of the own source, as it was signed; none after a start from disk
        self._clock = clock
        self._fetcher = fetcher or Fetcher(settings.limits, verify_tls=settings.verify_tls)
        self._client: ConfigurationClient | None = None
        self._saved: ConfigurationSet | None = None
        self._changed = asyncio.Event()
        self._updating = asyncio.Lock()
        self._federating = asyncio.Lock()
        self._accepting = asyncio.Lock()  # the client and the folder change one at a time

    @property
    def conf(self) -> GlobalConf | None:
        """The newest snapshot; None while nothing is known of the own instance."""
        client = self._client
        if client is None or client.own_instance not in client.conf.instances:
            return None
        return client.conf

    @property
    def last_success(self) -> datetime | None:
        return self.status.last_success

    @property
    def last_error(self) -> str:
        return self.status.last_error

    async def start(self) -> None:
        """Read what was kept on disk; an unreadable or foreign folder counts as empty."""
        stored = await asyncio.to_thread(self._load)
        allowed = AllowedFederations.parse(self.settings.allowed_federations)
        self._client = await asyncio.to_thread(ConfigurationClient, self.anchor, stored, allowed)
        self._saved = self._client.kept
        await self._remember(self._client)
        self._tell()

    def _load(self) -> ConfigurationSet | None:
        if not self.settings.folder.exists():
            return None
        try:
            return load_set(self.settings.folder)
        except (StorageError, MalformedMessage) as error:
            _LOG.warning("the kept configuration is not used: %s", error)
            return None

    async def run(self) -> None:
        """Update for ever, first at once; ends only when it is cancelled.

        The own source is asked in every interval, even while federated ones are being waited for.
        """
        federated: asyncio.Task[None] | None = None
        try:
            while True:
                await self.update_own()
                if federated is None or federated.done():
                    federated = asyncio.create_task(self.update_federated())
                    federated.add_done_callback(_log_failure)
                await asyncio.sleep(self.settings.interval.total_seconds())
        finally:
            if federated is not None:
                federated.cancel()
                await asyncio.wait((federated,))
            await self.close()

    async def close(self) -> None:
        await self._fetcher.close()

    async def first(self) -> GlobalConf:
        """Wait for the first snapshot."""
        while self.conf is None:
            self._changed.clear()
            await self._changed.wait()
        return self.conf

    async def update(self) -> bool:
        """Update the own instance, then the federated ones; whether the own one was renewed."""
        renewed = await self.update_own()
        await self.update_federated()
        return renewed

    async def update_own(self) -> bool:
        """Update from the own source alone; whether it gave a configuration that was kept."""
        async with self._updating:
            if self._client is None:
                await self.start()
            client = self._started()
            source, error = await self._try_source(client, client.anchor)
            async with self._accepting:
                error = error or await self._save(client)
            now = self._clock()
            self.status = replace(
                self.status,
                last_attempt=now,
                last_success=self.status.last_success if error else now,
                last_error=error,
                source=source or self.status.source,
            )
            return not error

    async def update_federated(self) -> None:
        """Update from the sources that the own configuration names, a few at a time."""
        async with self._federating:
            client = self._started()
            slots = asyncio.Semaphore(FEDERATED_AT_ONCE)

            async def problem_of(source: Anchor) -> str:
                async with slots:
                    end = asyncio.get_running_loop().time() + self.settings.federation_seconds
                    return (await self._try_source(client, source, end))[1]

            sources = client.sources()[1:]
            problems = await asyncio.gather(*(problem_of(source) for source in sources))
            async with self._accepting:
                error = await self._save(client)
            found = {
                source.instance: problem
                for source, problem in zip(sources, problems, strict=True)
                if problem
            }
            self.status = replace(
                self.status,
                last_error=error or self.status.last_error,
                federation_errors=MappingProxyType(found),
            )

    def _started(self) -> ConfigurationClient:
        if self._client is None:
            raise RuntimeError("the updater has not been started")
        return self._client

    async def _try_source(
        self, client: ConfigurationClient, source: Anchor, end: float | None = None
    ) -> tuple[str, str]:
        """Try the locations of a source in turn; the address that served, and the problem.

        Args:
            end: the event loop's time after which nothing more is downloaded.
        """
        problem = "the anchor has no usable address"
        for location in client.locations(source):
            try:
                await self._update_from(client, source, location, end)
            except ExchangeError as error:
                problem = f"{error} ({error.code})"
                _LOG.debug(
                    "%s: no configuration from %s: %s", source.instance, location.url, problem
                )
            except TimeoutError:
                problem = f"it took longer than {self.settings.federation_seconds:g} seconds"
                break
            else:
                return location.url, ""
        _LOG.warning("%s: the configuration was not updated: %s", source.instance, problem)
        return "", problem

    async def _update_from(
        self, client: ConfigurationClient, source: Anchor, location: Location, end: float | None
    ) -> None:
        """Download and believe; raises ExchangeError, or TimeoutError for a download past `end`."""
        async with asyncio.timeout_at(end):
            url, raw = await self._fetch_directory(location)
            update = client.read(source, location, url, raw, self._clock())
            parts = await self._fetch_parts(update)
        async with self._accepting:
            if source not in client.sources():
                text = f"The own configuration no longer names this source of {source.instance}"
                raise EvidenceRejected(text, "global_conf_source_withdrawn")
            await asyncio.to_thread(client.accept, update, parts)
            if source is client.anchor:
                self._directory = raw
            await self._remember(client)
        self._tell()

    async def _save(self, client: ConfigurationClient) -> str:
        """Keep on disk what is believed now, once per change; the problem when that fails.

        The configuration is in use all the same: without it the node would stop sooner.
        """
        if client.kept is self._saved:
            return ""
        try:
            await asyncio.to_thread(save_set, self.settings.folder, client.kept)
        except StorageError as error:
            _LOG.warning("%s", error)
            return str(error)
        self._saved = client.kept
        return ""

    async def _remember(self, client: ConfigurationClient) -> None:
        """Add to the history what counts from now on; a failure harms nothing else."""
        if self._history is None:
            return
        try:
            kept = await asyncio.to_thread(
                self._history.keep, client.kept, self._clock(), self._directory
            )
        except StorageError as error:
            _LOG.warning("%s", error)
            return
        if kept:
            self.new_version.set()

    def _tell(self) -> None:
        if self.conf is not None:
            self._changed.set()

    async def _fetch_directory(self, location: Location) -> tuple[str, bytes]:
        """The directory of the newest version that is served there."""
        for url in versioned_urls(location.url):
            answer = await self._fetch(url, MAX_DIRECTORY_BYTES)
            if answer.status == 200:
                return url, answer.body
            if answer.status != 404:
                text = f"The directory was answered with status {answer.status}"
                raise NetworkFailure(text, "global_conf_download_url_connection_failure")
        text = "The source serves no version of the configuration that is known here"
        raise NetworkFailure(text, "global_conf_get_version_failed")

    async def _fetch(self, url: str, max_bytes: int) -> Fetched:
        try:
            return await self._fetcher.get(url, max_bytes=max_bytes)
        except NetworkFailure as error:
            code = "global_conf_download_url_connection_failure"
            raise NetworkFailure(error.text, code) from error

    async def _fetch_parts(self, update: Update) -> dict[DirectoryEntry, bytes]:
        """The parts that are missing, one after another."""
        parts: dict[DirectoryEntry, bytes] = {}
        left = MAX_UPDATE_BYTES
        for entry, url in update.missing.items():
            try:
                answer = await self._fetcher.get(url, max_bytes=min(MAX_PART_BYTES, left))
            except NetworkFailure as error:
                raise NetworkFailure(error.text, "global_conf_part_download_failure") from error
            if answer.status != 200:
                text = f"The {entry} was answered with status {answer.status}"
                raise NetworkFailure(text, "global_conf_part_download_failure")
            parts[entry] = answer.body
            left -= len(answer.body)
        return parts


def _log_failure(task: asyncio.Task[None]) -> None:
    """A defect met while asking federated sources is told; the own updates go on."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("federated configurations were not updated", exc_info=error)
