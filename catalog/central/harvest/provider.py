"""Learn what one subsystem offers: from its node's own word, or by X-Road's metadata services.

Whoever answers, only services of the provider that was asked are taken, and no more of them, no
more bytes and no more time than the settings allow.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import quote

from catalog.central.entries import CatalogService
from catalog.central.harvest.asking import Allowance, Answer, Asker
from catalog.central.harvest.described import DescriptionReader, Told
from catalog.central.harvest.listing import (
    MAX_LIST_BYTES,
    Listed,
    build_question,
    check_soap,
    is_unknown_service,
    parse_rest_list,
    parse_soap_list,
    rest_fault,
    split_attachment,
    wsdl_question,
)
from catalog.central.harvest.settings import CatalogSettings
from catalog.central.wire import SERVICE_CODE, decode_entry
from catalog.openapi import MAX_BYTES as MAX_DESCRIPTION_BYTES
from catalog.services import ServiceType
from trust.errors import ExchangeError, MalformedMessage
from trust.ids import ClientId, ServiceId

T = TypeVar("T")
_ENVELOPE_ROOM = 1 << 20  # bytes of an answer beside the description in it
_MAX_NOTES = 20
Known = Mapping[ServiceId, CatalogService]


@dataclass(frozen=True, slots=True)
class Harvested:
    """What a subsystem offers.

    Attributes:
        plain: whether its node knows nothing of the catalog.
        notes: what could not be had, and does not spoil the rest.
    """

    services: tuple[CatalogService, ...]
    plain: bool
    notes: tuple[str, ...] = ()


async def harvest_provider(
    asker: Asker, provider: ClientId, settings: CatalogSettings, known: Known
) -> Harvested:
    """Ask for everything that a provider offers.

    Args:
        known: what it offered before; of a service whose description can't be had now, what was
            known of it goes on.
    Raises ExchangeError with a sentence when nothing can be learnt.
    """
    try:
        async with asyncio.timeout(settings.institution.total_seconds()):
            return await _Questions(asker, provider, settings, known).ask()
    except TimeoutError as error:
        text = f"Its answers took longer than {settings.institution}"
        raise ExchangeError(text) from error


@dataclass(slots=True)
class _Questions:
    asker: Asker
    provider: ClientId
    settings: CatalogSettings
    known: Known
    allowance: Allowance = field(init=False)
    reader: DescriptionReader = field(default_factory=DescriptionReader)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.allowance = Allowance(self.settings.answers)

    async def ask(self) -> Harvested:
        services = await self._own_word()
        if services is not None:
            return Harvested(self._bounded(services), plain=False, notes=tuple(self.notes))
        listed = self._bounded((*await self._rest_list(), *await self._soap_list()))
        found = [await self._plain(one) for one in listed]
        return Harvested(tuple(found), plain=True, notes=tuple(self.notes))

    def _bounded(self, found: tuple[T, ...]) -> tuple[T, ...]:
        most = self.settings.services
        if len(found) > most:
            self._note(f"it has {len(found)} services, of which {most} are taken")
        return found[:most]

    def _note(self, text: str) -> None:
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(text[:500])

    async def _rest(self, code: str, query: str, limit: int) -> Answer:
        service = ServiceId(self.provider, code)
        answer = await self.asker.rest(service, query, limit, self.allowance)
        if answer.fault:
            raise rest_fault(answer.body)
        if answer.status != 200:
            raise MalformedMessage(f"'{code}' was answered with status {answer.status}")
        return answer

    async def _soap(self, code: str, body: str, limit: int) -> Answer:
        question = build_question(
            self.asker.client, ServiceId(self.provider, code), body, str(uuid.uuid4())
        )
        answer = await self.asker.soap(question, limit, self.allowance)
        if answer.status != 200:
            raise MalformedMessage(f"'{code}' was answered with status {answer.status}")
        return answer

    async def _own_word(self) -> tuple[CatalogService, ...] | None:
        """What a node that knows of the catalog tells; None when it does not."""
        try:
            answer = await self._rest(SERVICE_CODE, "", MAX_LIST_BYTES)
        except ExchangeError as error:
            if is_unknown_service(error):
                return None
            raise
        told = await asyncio.to_thread(decode_entry, answer.body, self.provider)
        return tuple(replace(one, plain=False, unheard_since=None) for one in told)

    async def _rest_list(self) -> tuple[Listed, ...]:
        answer = await self._rest("listMethods", "", MAX_LIST_BYTES)
        return await asyncio.to_thread(parse_rest_list, answer.body, self.provider)

    async def _soap_list(self) -> tuple[Listed, ...]:
        answer = await self._soap("listMethods", "", MAX_LIST_BYTES)
        envelope, _ = split_attachment(answer.content_type, answer.body)
        return await asyncio.to_thread(parse_soap_list, envelope, self.provider)

    async def _plain(self, listed: Listed) -> CatalogService:
        service = CatalogService(listed.id, listed.type, endpoints=listed.endpoints, plain=True)
        get = _GETTING.get(listed.type)
        if get is None:
            return service
        try:
            told = await get(self, listed)
        except ExchangeError as error:
            self._note(f"{listed.id.service_code}: {error.text}")
            before = self.known.get(listed.id)
            if before is None:
                return service
            return replace(
                service,
                title=before.title,
                mapping=before.mapping,
                description_digest=before.description_digest,
            )
        return replace(
            service, title=told.title, mapping=told.mapping, description_digest=told.digest
        )

    async def _openapi(self, listed: Listed) -> Told:
        query = f"?serviceCode={quote(listed.id.service_code, safe='')}"
        answer = await self._rest("getOpenAPI", query, MAX_DESCRIPTION_BYTES)
        return await asyncio.to_thread(
            self.reader.read, listed.id, listed.type, answer.body, answer.content_type
        )

    async def _wsdl(self, listed: Listed) -> Told:
        """What its WSDL says; one that was had for another service and has it, is not had again."""
        shared = self.reader.operation(listed.id)
        if shared is not None:
            return shared
        limit = MAX_DESCRIPTION_BYTES + _ENVELOPE_ROOM
        answer = await self._soap("getWsdl", wsdl_question(listed.id), limit)
        envelope, attachment = split_attachment(answer.content_type, answer.body)
        check_soap(envelope)
        if attachment is None:
            raise MalformedMessage("The answer has no WSDL")
        return await asyncio.to_thread(
            self.reader.read, listed.id, listed.type, attachment, "text/xml"
        )


_GETTING: Mapping[ServiceType, Callable[[_Questions, Listed], Awaitable[Told]]] = {
    ServiceType.OPENAPI: _Questions._openapi,
    ServiceType.WSDL: _Questions._wsdl,
}
