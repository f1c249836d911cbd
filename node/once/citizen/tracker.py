"""The data tracker protocol, answered from the node's own log for every client that it hosts.

A registry behind the node need do nothing. A client that offers a service of that code itself keeps
its own: the node steps back. Who may ask stands in the settings; nobody may by default.

Every question is an exchange like any other, and stands in the log as one.

Source: e-gov/AJ, dumonitor-openapi.yaml 2.1.0, Kasutusteabe_esitamise_protokoll.md 1.6, whose
service code is `findUsage`; docs/decisions/0125.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from catalog.central.entries import CatalogNow
from catalog.services import ServiceType
from node.exchange.builtin import Call, RestAnswer
from node.exchange.snapshot import Snapshot
from node.log.uses import DataUse
from node.messages.rest import RestRequestHead
from node.once.citizen.description import build_description
from node.once.citizen.kin import Kin
from node.once.citizen.names import MemberNames, Words
from node.once.citizen.questions import BadQuestion, FindUsage, Path, find_usage
from node.once.citizen.settings import CitizenSettings
from node.once.citizen.telling import action_of, usage_of
from node.once.citizen.told import FindUsageAnswer, HeartbeatAnswer, Usage, UsagePeriodAnswer
from node.once.pseudonyms import Pseudonyms
from node.once.use_queries import Citizen
from node.once.use_search import UseSearch
from trust.errors import AccessDenied, StorageError
from trust.ids import ClientId, ServiceId

_TEXT = b"text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class TrackerService:
    """Answers portals.

    Attributes:
        problem: why the node carries no exchanges now; None while it does.
    """

    settings: CitizenSettings
    search: UseSearch
    pseudonyms: Pseudonyms
    kin: Kin
    catalog: CatalogNow
    problem: Callable[[], str | None]

    @property
    def type(self) -> ServiceType:
        return ServiceType.REST

    def takes(self, call: Call) -> bool:
        request, tracker = call.request, self.settings.tracker
        return (
            isinstance(request, RestRequestHead)
            and request.service.service_code == tracker.service_code
            and bool(tracker.clients or tracker.groups)
            and call.snapshot.services.service(request.service) is None
        )

    def check_access(self, call: Call) -> None:
        """Raise AccessDenied for who is no portal."""
        tracker, snapshot, client = self.settings.tracker, call.snapshot, call.request.client
        if client in tracker.clients:
            return
        if any(snapshot.conf.in_group(client, one, snapshot.at) for one in tracker.groups):
            return
        raise AccessDenied(f"Request is not allowed: {call.request.service}")

    async def answer(self, call: Call) -> RestAnswer:
        head = call.head
        if head.method != "GET":
            return _text(405, "Only GET is answered")
        try:
            return await self._answer(head, call.snapshot)
        except BadQuestion as error:
            return _text(400, str(error))
        except StorageError:
            return _text(500, "Uses can't be looked up now")

    async def _answer(self, head: RestRequestHead, snapshot: Snapshot) -> RestAnswer:
        match head.service_path:
            case Path.FIND_USAGE:
                return _json(await self._find(find_usage(head), head.provider, snapshot))
            case Path.USAGE_PERIOD:
                return _json(await self._period(snapshot.at))
            case Path.HEARTBEAT:
                return _json(await self._heartbeat())
            case Path.OPENAPI:
                return _json(build_description(self.settings.tracker.service_code))
        return _text(404, f"There are {', '.join(Path)}")

    # --- findUsage --------------------------------------------------------------------------------

    async def _find(
        self, asked: FindUsage, provider: ClientId, snapshot: Snapshot
    ) -> FindUsageAnswer:
        subject = self._subject(asked)
        tracker, at = self.settings.tracker, snapshot.at
        citizen = Citizen(
            subject,
            provider,
            kept_since=at - self.settings.keep,
            telling=await self.kin.servers(),
            now=at,
            sealed_until=at - tracker.count_sealed_after,
        )
        found = await self.search.of_citizen(citizen, asked.period)
        usages = self._told(found.uses, snapshot)
        return FindUsageAnswer(totalUsages=found.total, usages=usages, sealedUsages=found.sealed)

    def _subject(self, asked: FindUsage) -> bytes:
        """Whose data it is about; raises BadQuestion where it may not be asked so."""
        tracker = self.settings.tracker
        subject = self._pseudonym(asked.user_code)
        if not tracker.state_representation or self._pseudonym(asked.asker) == subject:
            return subject
        if not asked.represented or self._pseudonym(asked.represented) != subject:
            raise BadQuestion(
                "userCode is not who X-Road-UserId says; X-Road-Represented-Party must name him"
            )
        return subject

    def _pseudonym(self, code: str) -> bytes:
        return self.pseudonyms.of(self.settings.tracker.scheme, code)

    def _told(self, uses: tuple[DataUse, ...], snapshot: Snapshot) -> list[Usage]:
        words = Words.of(self.catalog(), self.settings.language)
        names = MemberNames.among(snapshot.conf, {use.client for use in uses}, snapshot.at)
        titles = self._titles({use.service for use in uses}, snapshot)
        return [
            usage_of(use, action_of(use, words, titles.get(use.service, "")), names) for use in uses
        ]

    def _titles(self, services: set[ServiceId], snapshot: Snapshot) -> Mapping[ServiceId, str]:
        """What services are called: here, else in the catalog."""
        catalog, found = self.catalog(), {}
        for service in services:
            here = snapshot.services.service(service)
            listed = None if catalog is None else catalog.service.get(service)
            title = (here.title if here else "") or (listed.title if listed else "")
            if title:
                found[service] = title
        return found

    # --- the rest ---------------------------------------------------------------------------------

    async def _period(self, at: datetime) -> UsagePeriodAnswer:
        """Since when uses are there: since the first one, as long as they are kept."""
        oldest = await self.search.oldest()
        return UsagePeriodAnswer(periodStart=max(oldest or at, at - self.settings.keep))

    async def _heartbeat(self) -> HeartbeatAnswer:
        problem = self.problem()
        if problem is None:
            try:
                await self.search.oldest()
            except StorageError:
                problem = "uses can't be looked up"
        if problem is None:
            return HeartbeatAnswer(status="OK", message="Uses can be asked for")
        return HeartbeatAnswer(status="FAIL", message="The node is not in order")


def _json(value: object) -> RestAnswer:
    return RestAnswer.json(msgspec.json.encode(value))


def _text(status: int, text: str) -> RestAnswer:
    return RestAnswer(status, ((b"content-type", _TEXT),), text.encode())
