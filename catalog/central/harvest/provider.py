"""Learn what one subsystem offers: from its node's own word, or by X-Road's metadata services.

Whoever answers, only services of the provider that was asked are taken, and no more of them, no
more bytes and no more time than the settings allow.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import quote

from catalog.central.entries import CatalogService
from catalog.central.harvest.asking import Allowance, Answer, Asker
from catalog.central.harvest.cleaning import cleaned, is_clean, one_line
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
_DESCRIBED = (ServiceType.OPENAPI, ServiceType.WSDL)
Known = Mapping[ServiceId, CatalogService]
Keep = Callable[[str, bytes], Awaitable[None]]


async def keep_nothing(_digest: str, _description: bytes) -> None:
    """For those who need no descriptions."""


@dataclass(frozen=True, slots=True)
class Library:
    """What becomes of the descriptions of a provider.

    Attributes:
        digests: of those that are kept; they are not asked for again.
        keep: is given each new one with its digest.
    """

    digests: set[str] = field(default_factory=set)
    keep: Keep = keep_nothing

    async def take(self, digest: str, description: bytes) -> None:
        if digest not in self.digests:
            self.digests.add(digest)
            await self.keep(digest, description)

    @property
    def wanted(self) -> bool:
        return self.keep is not keep_nothing


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
    asker: Asker,
    provider: ClientId,
    settings: CatalogSettings,
    known: Known,
    library: Library | None = None,
) -> Harvested:
    """Ask for everything that a provider offers.

    Args:
        known: what it offered before; of a service whose description can't be had now, what was
            known of it goes on.
    Raises ExchangeError with a sentence when nothing can be learnt.
    """
    try:
        async with asyncio.timeout(settings.institution.total_seconds()):
            questions = _Questions(asker, provider, settings, known, library or Library())
            return await questions.ask()
    except TimeoutError as error:
        text = f"Its answers took longer than {settings.institution}"
        raise ExchangeError(text) from error


@dataclass(slots=True)
class _Questions:
    asker: Asker
    provider: ClientId
    settings: CatalogSettings
    known: Known
    library: Library
    allowance: Allowance = field(init=False)
    reader: DescriptionReader = field(default_factory=DescriptionReader)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.allowance = Allowance(self.settings.answers)

    async def ask(self) -> Harvested:
        services = await self._own_word()
        if services is not None:
            told = self._bounded(self._shown(services))
            await self._collect(told)
            return Harvested(told, plain=False, notes=tuple(self.notes))
        listed = self._bounded((*await self._rest_list(), *await self._soap_list()))
        found = [await self._plain(one) for one in listed]
        return Harvested(self._shown(found), plain=True, notes=tuple(self.notes))

    def _bounded(self, found: tuple[T, ...]) -> tuple[T, ...]:
        most = self.settings.services
        if len(found) > most:
            self._note(f"it has {len(found)} services, of which {most} are taken")
        return found[:most]

    def _shown(self, found: Iterable[CatalogService]) -> tuple[CatalogService, ...]:
        """Services whose texts do nothing to those who read them."""
        found = tuple(found)
        shown = tuple(cleaned(one) for one in found if is_clean(one))
        if len(shown) < len(found):
            self._note(f"{len(found) - len(shown)} services have codes that can't be shown")
        return shown

    def _note(self, text: str) -> None:
        if len(self.notes) < _MAX_NOTES:
            self.notes.append(one_line(text[:500]))

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
        if listed.type not in _DESCRIBED:
            return service
        try:
            told = await self._told(listed)
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

    async def _collect(self, told: Iterable[CatalogService]) -> None:
        """Get the descriptions of a node that told its own word, those that are new."""
        for one in told:
            digest = one.description_digest
            new = self.library.wanted and digest and digest not in self.library.digests
            if not new or one.type not in _DESCRIBED:
                continue
            try:
                raw, _ = await self._description(Listed(one.id, one.type))
                await self.library.take(digest, raw)
            except ExchangeError as error:
                self._note(f"{one.id.service_code}: {error.text}")

    async def _told(self, listed: Listed) -> Told:
        """What its description says; a WSDL that was had for another one is not had again."""
        shared = self.reader.operation(listed.id)
        if shared is not None and listed.type is ServiceType.WSDL:
            return shared
        raw, content_type = await self._description(listed)
        told = await asyncio.to_thread(self.reader.read, listed.id, listed.type, raw, content_type)
        await self.library.take(told.digest, raw)
        return told

    async def _description(self, listed: Listed) -> tuple[bytes, str]:
        """The description of a service, and its content type."""
        if listed.type is ServiceType.WSDL:
            return await self._wsdl(listed), "text/xml"
        query = f"?serviceCode={quote(listed.id.service_code, safe='')}"
        answer = await self._rest("getOpenAPI", query, MAX_DESCRIPTION_BYTES)
        return answer.body, answer.content_type

    async def _wsdl(self, listed: Listed) -> bytes:
        limit = MAX_DESCRIPTION_BYTES + _ENVELOPE_ROOM
        answer = await self._soap("getWsdl", wsdl_question(listed.id), limit)
        envelope, attachment = split_attachment(answer.content_type, answer.body)
        check_soap(envelope)
        if attachment is None:
            raise MalformedMessage("The answer has no WSDL")
        return attachment
