"""`findUsage` asked of all nodes, in the name of a citizen's portal, through ordinary exchanges.

It never fails as a whole: who does not answer in time, or answers nonsense, is named.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from node.exchange.own_call import OwnAnswer, OwnRequest
from node.exchange.snapshot import Snapshots
from node.once.citizen.collected import Asked, Collected, collect
from node.once.citizen.names import CatalogNow
from node.once.citizen.questions import Path
from node.once.citizen.reading import OK, WrongAnswer, read_answer
from node.once.citizen.settings import CitizenSettings
from node.once.citizen.sources import Source, Standing, sources_of
from trust.errors import PeerFault, SacbeError
from trust.ids import ClientId, ServiceId

_LOG = logging.getLogger(__name__)
_LARGEST = 4 << 20  # bytes of an answer
_DENIED = "access_denied"
_UNKNOWN = ("unknown_service", "UnknownService")

Ask = Callable[[OwnRequest], Awaitable[OwnAnswer]]


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


@dataclass(frozen=True, slots=True)
class Everywhere:
    """Asks all nodes."""

    settings: CitizenSettings
    snapshots: Snapshots
    catalog: CatalogNow

    async def find(self, question: Question, ask: Ask) -> Collected:
        """Ask everybody at once, as far as the settings allow; raises GlobalConfOutdated.

        Args:
            ask: carries one exchange in the name of the portal.
        """
        snapshot, portal = self.snapshots.take(), self.settings.portal
        code = self.settings.tracker.service_code
        sources = sources_of(snapshot.conf, self.catalog(), code, snapshot.at)
        chosen, left = sources.asked[: portal.sources], sources.asked[portal.sources :]
        asked = await self._ask_all(chosen, question, ask)
        asked += [Asked(one, Standing.NOT_ASKED, "too many are there") for one in left]
        asked += [Asked(one, Standing.PLAIN, "keeps no log for citizens") for one in sources.plain]
        return collect(asked)

    async def _ask_all(
        self, sources: Sequence[Source], question: Question, ask: Ask
    ) -> list[Asked]:
        """The answers of all that gave one before the deadline, in the order of the sources."""
        turns = asyncio.Semaphore(self.settings.portal.at_once)
        begun: set[Source] = set()

        async def in_turn(source: Source) -> Asked:
            async with turns:
                begun.add(source)
                return await self._ask(source, question, ask)

        tasks = [asyncio.create_task(in_turn(source)) for source in sources]
        try:
            if tasks:
                deadline = self.settings.portal.deadline.total_seconds()
                await asyncio.wait(tasks, timeout=deadline)
            pairs = zip(sources, tasks, strict=True)
            return [_outcome(source, task, source in begun) for source, task in pairs]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, source: Source, question: Question, ask: Ask) -> Asked:
        portal = self.settings.portal
        most = portal.uses_of_each
        try:
            async with asyncio.timeout(portal.patience.total_seconds()):
                answer = await ask(self._request(source, question, most))
            if answer.status != OK:
                return Asked(source, Standing.SILENT, f"answered with status {answer.status}")
            told = read_answer(answer, source.client, most)
        except TimeoutError:
            return Asked(source, Standing.SILENT, "did not answer in time")
        except PeerFault as fault:
            return _refused(source, fault)
        except WrongAnswer as error:
            _LOG.warning("findUsage: the answer of %s at %s: %s", *_names(source), error)
            return Asked(source, Standing.WRONG, str(error))
        except SacbeError as error:
            _LOG.warning("findUsage: %s at %s: %s", *_names(source), error)
            return Asked(source, Standing.SILENT, "can't be asked")
        return Asked(source, Standing.ANSWERED, "", told)

    def _request(self, source: Source, question: Question, most: int) -> OwnRequest:
        asked = {
            "userCode": question.user_code,
            "periodStart": _moment(question.since),
            "periodEnd": _moment(question.until),
            "offset": "0",
            "limit": str(most),
        }
        headers = [("X-Road-UserId", question.asker)]
        if question.party:
            headers.append(("X-Road-Represented-Party", question.party))
        return OwnRequest(
            client=question.portal,
            service=ServiceId(source.client, self.settings.tracker.service_code),
            server=source.server,
            rest=f"{Path.FIND_USAGE}?{urlencode(asked)}",
            headers=tuple(headers),
            largest=_LARGEST,
        )


def _outcome(source: Source, task: asyncio.Task[Asked], begun: bool) -> Asked:
    if not begun:
        return Asked(source, Standing.NOT_ASKED, "there was no time to ask")
    if not task.done():
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
