"""A SOAP service as a source: operations of its WSDL, asked one envelope at a time."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from lxml import etree

from adapters.operations import Caller, Operation, SourceUnavailable, UpstreamRefused
from adapters.soap.calling import HttpAnswer, HttpCaller
from adapters.soap.envelope import (
    Answer,
    SoapFault,
    envelope_bytes,
    fill_body,
    new_envelope,
    open_answer,
    read_body,
    request_headers,
)
from adapters.soap.offering import Offer, given_value, with_attachments
from adapters.soap.port import Description, SoapOperation
from adapters.soap.security import Security
from adapters.soap.settings import CallingSettings
from trust.errors import ExchangeError, MalformedMessage

log = logging.getLogger("sacbe.adapter")

_LARGE = 64 * 1024  # bytes of an answer that is read beside the loop
_NO_CONTENT = (202, 204)
_WORDS = {"not_found": 404, "timeout": 504, "unavailable": 503}  # of adapters.faces.soap
_UNAVAILABLE = (429, 503)
_UNFIT = "the source answered something else than it should"


def status_of(fault: SoapFault) -> int:
    """400 where the service says that the request is at fault, else 502; adapters say more."""
    return _WORDS.get(fault.word) or (400 if fault.sender else 502)


class Manner(Protocol):
    """What differs between ways to speak SOAP: the headers, and what a fault means."""

    def dress(self, envelope: etree._Element, operation: SoapOperation, caller: Caller) -> None:
        """Put headers into an envelope whose body is complete; raises BadParameter."""

    def check(self, answer: Answer, request: bytes) -> None:
        """Judge whether an answer that is no fault fits its request; raises ExchangeError."""

    def refusal(self, fault: SoapFault) -> UpstreamRefused:
        """What a fault means for the caller."""


@dataclass(frozen=True, slots=True)
class PlainManner:
    """A SOAP service as anywhere: WS-Security at the most."""

    security: Security
    fault_texts: bool = True

    def dress(self, envelope: etree._Element, operation: SoapOperation, caller: Caller) -> None:
        self.security.apply(envelope, datetime.now(UTC))

    def check(self, answer: Answer, request: bytes) -> None:
        """Nothing ties an answer to its request but the connection."""

    def refusal(self, fault: SoapFault) -> UpstreamRefused:
        text = fault.text if self.fault_texts else ""
        return UpstreamRefused(status_of(fault), text or "the service refused", fault.code)


class SoapSource:
    """One port of a service."""

    def __init__(
        self,
        description: Description,
        offered: Offer,
        caller: HttpCaller,
        manner: Manner,
        settings: CallingSettings,
        *,
        nsmap: Mapping[str, str] | None = None,
    ) -> None:
        """Put the parts together; `nsmap` has prefixes that every envelope declares."""
        self._nsmap = dict(nsmap or {})
        self._soap = {operation.name: operation for operation in description.operations}
        self._soap12 = description.soap12
        self._offered = offered
        self._caller = caller
        self._manner = manner
        self._attachments = settings.attachments

    @property
    def operations(self) -> tuple[Operation, ...]:
        return self._offered.operations

    async def run(
        self, operation: Operation, values: Mapping[str, object], caller: Caller
    ) -> object:
        """Ask the service; see Source.run."""
        soap = self._soap[operation.name]
        envelope = new_envelope(soap12=self._soap12, nsmap=self._nsmap)
        fill_body(envelope, soap.request, given_value(soap.request, values))
        self._manner.dress(envelope, soap, caller)
        request = envelope_bytes(envelope)
        headers = request_headers(soap.action, soap12=self._soap12)
        try:
            answer = await self._caller.post(request, headers)
            if len(answer.body) > _LARGE:
                return await asyncio.to_thread(self._read, soap, request, answer)
            return self._read(soap, request, answer)
        except ExchangeError as error:
            log.warning("operation '%s': %s", soap.name, error.text)
            raise UpstreamRefused(502, _UNFIT) from None

    def _read(self, soap: SoapOperation, request: bytes, answer: HttpAnswer) -> object:
        """What an answer says.

        Raises SourceUnavailable, UpstreamRefused, or ExchangeError when it is not as declared.
        """
        if soap.answer is None and not answer.body and answer.status in (200, *_NO_CONTENT):
            return with_attachments(None, {}, ()) if self._attachments else {}
        if not _is_xml(answer.content_type) and answer.status in _UNAVAILABLE:
            raise SourceUnavailable(f"the service answered with status {answer.status}")
        if not _is_xml(answer.content_type) and answer.status not in (200, 500):
            raise MalformedMessage(f"the service answered with status {answer.status}")
        opened = open_answer(answer.body, answer.content_type)
        if isinstance(opened, SoapFault):
            raise self._manner.refusal(opened)
        if answer.status != 200:
            raise MalformedMessage(f"the service answered with status {answer.status} and no fault")
        self._manner.check(opened, request)
        value = read_body(opened, soap.answer, any_name=soap.any_answer_name)
        if self._attachments:
            return with_attachments(soap.answer, value, opened.attachments)
        if opened.attachments:
            raise MalformedMessage(
                "the answer has attachments, which are not asked for (calling.attachments)"
            )
        return value

    async def problem(self) -> str | None:
        return await self._caller.problem()

    async def check(self) -> Sequence[str]:
        """Whether the service can be reached; nothing is called, for calls may have effects."""
        problem = await self.problem()
        return [] if problem is None else [problem]

    async def close(self) -> None:
        await self._caller.close()


def _is_xml(content_type: str) -> bool:
    return "xml" in content_type.lower() or content_type.lower().startswith("multipart/related")
