"""Descriptions of this institution's services: downloaded, judged, kept, and given to others.

Whoever asks gets what the system gave within the last minute. While the system is down, others get
what it gave last, for a bounded time; when it answers that there is no such document, so do we.

Source: metadata.md 4, 6; docs/decisions/0060-descriptions-are-kept.md.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from catalog import openapi, wsdl
from catalog.services import DescriptionSource, Endpoint, ServerConf, Service, ServiceType
from catalog.stored.described_mappings import DescribedMappings, openapi_mappings, wsdl_mappings
from catalog.stored.description_store import DescriptionStore, KeptDescription
from node.metadata.settings import DescriptionSettings
from node.network.information_system import Download
from trust.errors import ExchangeError, NetworkFailure, StorageError

log = logging.getLogger("sacbe.descriptions")

_MOST_BYTES = 32 << 20  # of documents that are kept in memory
_AT_ONCE = 4  # downloads of the regular round
_PAUSE = timedelta(seconds=5)  # a system that is down is not asked more often
_AGAIN = timedelta(minutes=1)  # after a failure
_LOOK = timedelta(seconds=3)  # how often new declarations are looked for
_GATEWAY_STATUS = (502, 503, 504)  # somebody else says that the system is down


class Fetcher(Protocol):
    """What gets documents: `InformationSystem`."""

    async def fetch(
        self, service: Service, url: str, limit: int, within: timedelta
    ) -> Download: ...


@dataclass(frozen=True, slots=True)
class Published:
    """A description as others get it.

    Attributes:
        content_type: of the download; None when it had none.
        age: how long ago the system gave it, when it is down now; None while it answers.
    """

    content: bytes = field(repr=False)
    content_type: str | None
    age: timedelta | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How the last look at a description ended.

    Attributes:
        problem: why there was no description; None when there was.
    """

    checked_at: datetime
    fetched_at: datetime | None
    problem: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What is found in a document."""

    endpoints: tuple[Endpoint, ...]
    warnings: tuple[str, ...]
    mappings: DescribedMappings = field(default_factory=dict)


def judge(kind: ServiceType, url: str, content: bytes, content_types: Iterable[str]) -> Judged:
    """Read a description; raises ExchangeError for what is none."""
    if kind is ServiceType.WSDL:
        warnings = wsdl.parse_wsdl(content).warnings
        facts = wsdl_mappings(content)
        return Judged((), (*warnings, *facts.warnings), facts.mappings)
    document = openapi.parse_document(content, _notation(url, content_types))
    found, facts = openapi.read_openapi(document), openapi_mappings(document)
    return Judged(found.endpoints, (*found.warnings, *facts.warnings), facts.mappings)


def publish(service: Service, content: bytes, content_types: Iterable[str]) -> bytes:
    """A description without addresses; raises ExchangeError with the texts of metadata.md 4, 6."""
    if service.type is ServiceType.WSDL:
        return wsdl.hide_addresses(content)
    try:
        notation = _notation(service.description_url, content_types)
        return openapi.hide_addresses(content, notation)
    except openapi.UnreadableDescription as error:
        raise ExchangeError(
            f"Failed overwriting origin URL for the openapi servers for {service.id}"
        ) from error


def _notation(url: str, content_types: Iterable[str]) -> openapi.DocumentType:
    return openapi.document_type(tuple(content_types), url.partition("?")[0])


class Descriptions:
    """The descriptions of a node's services in this process.

    Args:
        settings: how long what counts.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        store: DescriptionStore,
        settings: DescriptionSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._fetcher = fetcher
        self._store = store
        self._settings = settings
        self._clock = clock
        self._states: dict[DescriptionSource, State] = {}
        self._judged: dict[DescriptionSource, tuple[bytes, Judged]] = {}
        self._published = _Shelf()
        self._begun = False
        self._under_way: dict[DescriptionSource, asyncio.Task[Published]] = {}

    @property
    def states(self) -> Mapping[DescriptionSource, State]:
        """How the last look at each ended; absent before the first one."""
        return dict(self._states)

    @property
    def failing(self) -> int:
        """How many descriptions could not be had when they were looked at last."""
        return sum(state.problem is not None for state in self._states.values())

    @property
    def oldest(self) -> float:
        """Seconds since that description was had which was had longest ago; -1 without any."""
        times = [state.fetched_at for state in self._states.values() if state.fetched_at]
        return (self._clock() - min(times)).total_seconds() if times else -1.0

    async def get(self, service: Service) -> Published:
        """The description of a service that has one, as others get it.

        Raises:
            ExchangeError: with the texts of metadata.md 4 and 6.
        """
        source = _source(service)
        ready = self._published.find(source, self._clock())
        if ready is not None:
            return ready
        task = self._under_way.get(source)
        if task is None:
            task = asyncio.create_task(self._get(source, service), name="description")
            self._under_way[source] = task
            task.add_done_callback(lambda done: self._landed(source, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Give up what is being downloaded for callers."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, source: DescriptionSource, task: "asyncio.Task[Published]") -> None:
        self._under_way.pop(source, None)
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits for it any more

    async def _get(self, source: DescriptionSource, service: Service) -> Published:
        settings = self._settings
        try:
            found = await self._look(source, service)
        except NetworkFailure as error:
            kept = await self._last_good(source)
            if kept is None:
                raise
            log.info("description of %s: %s; its last download is given", service.id, error)
            age = self._clock() - kept.fetched_at
            return await self._publish(source, service, kept, min(_PAUSE, settings.fresh), age)
        return await self._publish(source, service, found, settings.fresh)

    async def _publish(
        self,
        source: DescriptionSource,
        service: Service,
        found: KeptDescription,
        fresh: timedelta,
        age: timedelta | None = None,
    ) -> Published:
        """Make a description ready for others, unless the same one already is."""
        digest = _digest(found.content, found.content_types)
        content = self._published.made_of(source, digest)
        if content is None:
            content = await asyncio.to_thread(publish, service, found.content, found.content_types)
        answer = Published(content, _first(found.content_types), age)
        self._published.put(source, _Shelved(answer, digest, self._clock() + fresh))
        return answer

    async def _look(self, source: DescriptionSource, service: Service) -> KeptDescription:
        """Download and judge; what comes is kept, and how it went is remembered."""
        try:
            found = await self._download(source, service)
        except ExchangeError as error:
            self._failed(source, error)
            raise
        now = found.fetched_at
        self._tell_warnings(source, found.warnings)
        self._states[source] = State(now, now, None, found.warnings)
        try:
            before = await self._store.load(source)
            if before is not None and _same(before, found):
                await self._store.touch(source, now)
            else:
                await self._store.keep(source, found)
        except StorageError as error:
            log.warning("description of %s: %s", source.client.colons, error)
        return found

    async def _download(self, source: DescriptionSource, service: Service) -> KeptDescription:
        limit = wsdl.MAX_BYTES if source.type is ServiceType.WSDL else openapi.MAX_BYTES
        download = await self._fetcher.fetch(service, source.url, limit, self._settings.timeout)
        if download.status != 200:
            raise _refusal(service, download)
        judged = await self._judge(source, service, download)
        return KeptDescription(
            download.body, download.content_types, judged.endpoints, judged.warnings,
            self._clock(), judged.mappings,
        )  # fmt: skip

    async def _judge(
        self, source: DescriptionSource, service: Service, download: Download
    ) -> Judged:
        """What is in a document; the same one is not read twice."""
        digest = _digest(download.body, download.content_types)
        before = self._judged.get(source)
        if before is not None and before[0] == digest:
            return before[1]
        try:
            judged = await asyncio.to_thread(
                judge, source.type, source.url, download.body, download.content_types
            )
        except openapi.UnreadableDescription as error:
            text = f"Failed overwriting origin URL for the openapi servers for {service.id}"
            raise ExchangeError(text) from error
        self._judged[source] = digest, judged
        return judged

    def _failed(self, source: DescriptionSource, error: ExchangeError) -> None:
        before = self._states.get(source)
        cause = error.__cause__
        why = f"{error.text}: {cause}" if isinstance(cause, ExchangeError) else error.text
        if before is None or before.problem is None:
            log.warning("description %s of %s: %s", source.url, source.client.colons, why)
        fetched = before.fetched_at if before else None
        warnings = before.warnings if before else ()
        self._states[source] = State(self._clock(), fetched, why, warnings)

    def _tell_warnings(self, source: DescriptionSource, warnings: tuple[str, ...]) -> None:
        before = self._states.get(source)
        if warnings and (before is None or before.warnings != warnings):
            log.warning(
                "description %s of %s is odd: %s (%d in all)",
                source.url,
                source.client.colons,
                warnings[0],
                len(warnings),
            )

    async def _last_good(self, source: DescriptionSource) -> KeptDescription | None:
        try:
            kept = await self._store.load(source)
        except StorageError as error:
            log.warning("description of %s: %s", source.client.colons, error)
            return None
        if kept is None or self._clock() - kept.fetched_at > self._settings.keep:
            return None
        return kept

    # --- the regular round ----------------------------------------------------------------------

    async def run(self, services: Callable[[], ServerConf]) -> None:
        """Look at every description again and again; new ones within seconds."""
        while True:
            await self.refresh(services())
            await asyncio.sleep(_LOOK.total_seconds())

    async def refresh(self, conf: ServerConf) -> None:
        """Look at all that are due, some at a time; failures are remembered and told once."""
        wanted = sources_of(conf)
        gone = self._states.keys() - wanted.keys()
        for source in gone:
            del self._states[source]
            self._judged.pop(source, None)
        if gone or not self._begun:
            self._begun = True
            await self._forget_unused()
        due = [(source, service) for source, service in wanted.items() if self._due(source)]
        places = asyncio.Semaphore(_AT_ONCE)

        async def look(source: DescriptionSource, service: Service) -> None:
            async with places:
                try:
                    if not await self._looked_at_elsewhere(source):
                        await self._look(source, service)
                except ExchangeError:
                    pass  # it stands in the states and in the log
                except Exception:
                    log.exception("description of %s", source.client.colons)
                    self._states[source] = State(self._clock(), None, "an internal error", ())

        async with asyncio.TaskGroup() as group:
            for source, service in due:
                group.create_task(look(source, service))

    def _due(self, source: DescriptionSource) -> bool:
        state = self._states.get(source)
        if state is None:
            return True
        interval = self._settings.interval
        wait = interval if state.problem is None else min(interval, _AGAIN)
        return self._clock() - state.checked_at >= wait

    async def _looked_at_elsewhere(self, source: DescriptionSource) -> bool:
        """Whether another process of this node was quicker; then its findings are taken over."""
        try:
            kept = await self._store.load(source)
        except StorageError:
            return False
        if kept is None or self._clock() - kept.fetched_at >= self._settings.interval:
            return False
        self._states[source] = State(kept.fetched_at, kept.fetched_at, None, kept.warnings)
        return True

    async def _forget_unused(self) -> None:
        try:
            await self._store.forget_unused()
        except StorageError as error:
            log.warning("descriptions: %s", error)


def sources_of(conf: ServerConf) -> dict[DescriptionSource, Service]:
    """Every description of a node's services, each with a service that has it."""
    found: dict[DescriptionSource, Service] = {}
    for client in conf.clients:
        for service in client.services:
            if service.description is not None:
                found.setdefault(service.description, service)
    return found


def _source(service: Service) -> DescriptionSource:
    if service.description is None:
        raise AssertionError("the service has a description")
    return service.description


def _same(before: KeptDescription, found: KeptDescription) -> bool:
    return replace(before, fetched_at=found.fetched_at) == found


def _refusal(service: Service, download: Download) -> ExchangeError:
    """Why there is no description; the address of the system is nobody's business."""
    status, reason = download.status, "".join(filter(str.isprintable, download.reason))[:100]
    if service.type is ServiceType.WSDL:
        text = f"Received HTTP error: {status} - {reason}"
    else:
        text = (
            f"Failed reading service description from {service.id}."
            f" Status: {status} Reason: {reason}"
        )
    if status in _GATEWAY_STATUS:
        return NetworkFailure(text, ExchangeError.code)
    return ExchangeError(text)


def _digest(content: bytes, content_types: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\n".join((*content_types, "")).encode() + content).digest()


def _first(content_types: tuple[str, ...]) -> str | None:
    return content_types[0] if content_types else None


@dataclass(frozen=True, slots=True)
class _Shelved:
    """A published description, the digest of what it was made of, and when to look again."""

    published: Published
    digest: bytes
    until: datetime


class _Shelf:
    """Published descriptions in memory, the one that was used last at the end."""

    def __init__(self) -> None:
        self._items: OrderedDict[DescriptionSource, _Shelved] = OrderedDict()
        self._size = 0

    def find(self, source: DescriptionSource, now: datetime) -> Published | None:
        """What is fresh."""
        item = self._items.get(source)
        if item is None or now >= item.until:
            return None
        self._items.move_to_end(source)
        return item.published

    def made_of(self, source: DescriptionSource, digest: bytes) -> bytes | None:
        """What was made of the same document, fresh or not."""
        item = self._items.get(source)
        return item.published.content if item is not None and item.digest == digest else None

    def put(self, source: DescriptionSource, item: _Shelved) -> None:
        self._drop(source)
        self._items[source] = item
        self._size += len(item.published.content)
        while self._size > _MOST_BYTES:
            self._drop(next(iter(self._items)))

    def _drop(self, source: DescriptionSource) -> None:
        item = self._items.pop(source, None)
        if item is not None:
            self._size -= len(item.published.content)
