"""`findUsage` asked of all nodes, in the name of a citizen's portal, through ordinary exchanges.

It never fails as a whole: who does not answer in time, or answers nonsense, is named.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

from catalog.central.entries import CatalogNow
from node.exchange.own_call import OwnAnswer, OwnRequest
from node.exchange.snapshot import Snapshots
from node.once.citizen.collected import Asked, Collected, collect
from node.once.citizen.questions import Path
from node.once.citizen.reading import WrongAnswer, read_answer
from node.once.citizen.settings import CitizenSettings
from node.once.citizen.sources import Source, Sources, Standing, sources_of
from trust.errors import ExchangeError, PeerFault, SacbeError
from trust.ids import ClientId, ServiceId

_LOG = logging.getLogger(__name__)
_OK = 200
_LARGEST = 1 << 20  # bytes of an answer
_ALL = 8 << 20  # bytes of all answers about one citizen
_DENIED = "access_denied"
_UNKNOWN = ("unknown_service", "UnknownService")

Ask = Callable[[OwnRequest], Awaitable[OwnAnswer]]


class TooManyQuestions(ExchangeError):
    """All nodes are asked for as many citizens as may be."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a portal asks for a citizen.

    Attributes:
        portal: the client of this node in whose name others are asked.
        user_code: whose data it is about. asker: who sits at the portal.
        party: `X-Road-Represented-Party` as the portal sent it; empty without one.
    """

    portal: ClientId
    user_code: str
    asker: str
    party: str
    since: datetime
    until: datetime


@dataclass(slots=True)
class _Inquiry:
    """The asking for one citizen, as far as it has come.

    Attributes:
        room: bytes that answers may still have.
    """

    question: Question
    ask: Ask
    begun: set[Source] = field(default_factory=set)
    room: int = _ALL


class Everywhere:
    """Asks all nodes."""

    def __init__(
        self, settings: CitizenSettings, snapshots: Snapshots, catalog: CatalogNow
    ) -> None:
        self._settings = settings
        self._snapshots = snapshots
        self._catalog = catalog
        self._turns = asyncio.Semaphore(settings.portal.at_once)
        self._citizens = 0

    async def find(self, question: Question, ask: Ask) -> Collected:
        """Ask everybody at once, as far as the settings allow.

        Raises GlobalConfOutdated, TooManyQuestions.

        Args:
            ask: carries one exchange in the name of the portal.
        """
        portal = self._settings.portal
        if self._citizens >= portal.citizens_at_once:
            raise TooManyQuestions("All nodes are being asked for others; come again")
        self._citizens += 1
        try:
            sources = self._sources()
            chosen, left = sources.asked[: portal.sources], sources.asked[portal.sources :]
            asked = await self._ask_all(chosen, _Inquiry(question, ask))
        finally:
            self._citizens -= 1
        asked += [Asked(one, Standing.NOT_ASKED, "too many are there") for one in left]
        asked += [Asked(one, Standing.PLAIN, "keeps no log for citizens") for one in sources.plain]
        return collect(asked)

    def _sources(self) -> Sources:
        snapshot, code = self._snapshots.take(), self._settings.tracker.service_code
        return sources_of(snapshot.conf, self._catalog(), code, snapshot.at)

    async def _ask_all(self, sources: Sequence[Source], inquiry: _Inquiry) -> list[Asked]:
        """What came of each before the deadline, in the order of the sources."""

        async def in_turn(source: Source) -> Asked:
            async with self._turns:
                inquiry.begun.add(source)
                return await self._ask(source, inquiry)

        tasks = [asyncio.create_task(in_turn(source)) for source in sources]
        try:
            if tasks:
                deadline = self._settings.portal.deadline.total_seconds()
                await asyncio.wait(tasks, timeout=deadline)
            pairs = zip(sources, tasks, strict=True)
            return [_outcome(source, task, source in inquiry.begun) for source, task in pairs]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, source: Source, inquiry: _Inquiry) -> Asked:
        portal = self._settings.portal
        try:
            async with asyncio.timeout(portal.patience.total_seconds()):
                answer = await inquiry.ask(self._request(source, inquiry.question))
        except TimeoutError:
            return Asked(source, Standing.SILENT, "did not answer in time")
        except PeerFault as fault:
            return _refused(source, fault)
        except SacbeError as error:
            _LOG.warning("findUsage: %s at %s: %s", *_names(source), error)
            return Asked(source, Standing.SILENT, "can't be asked")
        return self._judged(source, answer, inquiry)

    def _judged(self, source: Source, answer: OwnAnswer, inquiry: _Inquiry) -> Asked:
        if answer.status != _OK:
            return Asked(source, Standing.SILENT, f"answered with status {answer.status}")
        if len(answer.body) > inquiry.room:
            return Asked(source, Standing.NOT_ASKED, "others have told too much already")
        inquiry.room -= len(answer.body)
        try:
            told = read_answer(answer.body, source.client, self._settings.portal.uses_of_each)
        except WrongAnswer as error:
            _LOG.warning("findUsage: the answer of %s at %s: %s", *_names(source), error)
            return Asked(source, Standing.WRONG, str(error))
        return Asked(source, Standing.ANSWERED, "", told)

    def _request(self, source: Source, question: Question) -> OwnRequest:
        asked = {
            "userCode": question.user_code,
            "periodStart": _moment(question.since),
            "periodEnd": _moment(question.until),
            "offset": "0",
            "limit": str(self._settings.portal.uses_of_each),
        }
        headers = [("X-Road-UserId", question.asker)]
        if question.party:
            headers.append(("X-Road-Represented-Party", question.party))
        return OwnRequest(
            client=question.portal,
            service=ServiceId(source.client, self._settings.tracker.service_code),
            server=source.server,
            rest=f"{Path.FIND_USAGE}?{urlencode(asked)}",
            headers=tuple(headers),
            largest=_LARGEST,
        )


def _outcome(source: Source, task: asyncio.Task[Asked], begun: bool) -> Asked:
    if not begun:
        return Asked(source, Standing.NOT_ASKED, "there was no time to ask")
    if not task.done() or task.cancelled():
        return Asked(source, Standing.SILENT, "did not answer in time")
    error = task.exception()
    if error is None:
        return task.result()
    _LOG.error("findUsage: %s at %s", *_names(source), exc_info=error)
    return Asked(source, Standing.SILENT, "can't be asked")


def _refused(source: Source, fault: PeerFault) -> Asked:
    if _DENIED in fault.code or "AccessDenied" in fault.code:
        return Asked(source, Standing.REFUSED, "does not let this portal ask")
    if any(word in fault.code for word in _UNKNOWN):
        return Asked(source, Standing.PLAIN, "keeps no log for citizens")
    return Asked(source, Standing.SILENT, f"did not answer: {fault.code[:100]}")


def _names(source: Source) -> tuple[ClientId, str]:
    return source.client, source.server.colons


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
