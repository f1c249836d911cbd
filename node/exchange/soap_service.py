"""What is SOAP about serving another node's call.

The system gets the consumer's bytes, and its own come back with one element added: the hash of the
request. A fault of the system is nobody's statement but the system's, and is passed on unsigned.

Source: messages.md 3.7, 3.11, 8.1; transport.md 8, 11.1; X-Road 7.8 ServerMessageProcessor.java.
"""

import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

from catalog.access import Decision, decide
from catalog.services import Service
from node.exchange.account import Account, now_ms
from node.exchange.allowance import Allowance, AskedCall
from node.exchange.attachments import AttachmentHead, AttachmentStream
from node.exchange.builtin import AnswerPart, Call, RestAnswer, SoapAnswer
from node.exchange.faults import ReceivedFault
from node.exchange.peer_call import Reply
from node.exchange.received import ReceivedMessage
from node.exchange.request import SoapRequest
from node.exchange.snapshot import Snapshot
from node.exchange.soap_content import soap_content
from node.exchange.soap_reduction import cut_message, told_message, without_words
from node.exchange.soap_stream import SoapStream
from node.messages import mediatype
from node.messages.envelope import RequestEnvelope
from node.messages.intent import NO_INTENT, intent_of
from node.messages.multipart import new_boundary
from node.messages.soap import SoapFaultMessage, SoapMessage, parse_soap
from node.messages.soap_hash import insert_request_hash
from node.messages.soap_reader import SoapLimits, SoapReader
from node.messages.soap_repair import repair_answer
from node.messages.transport_reader import SOAP_LIMITS, TransportLimits
from node.network.information_system import InformationSystem, SystemAnswer
from trust.digests import sha512
from trust.errors import (
    AccessDenied,
    ExchangeError,
    LoggingFailed,
    MalformedMessage,
    NetworkFailure,
    PeerFault,
)

_GROUP = "service_failed"
_OF_THE_ADDRESS = ("service_missing_url", "service_malformed_url")  # our own configuration
_ANSWERED = (200, 500)
_PACKAGE_PREFIX = "xroad"  # collectors look for boundaries that begin so
_ALONE = AttachmentHead(mediatype.SOAP)
_PLAIN_ID = re.compile(r"[\x21-\x7e]{1,255}")


class SoapService:
    """A SOAP call by another node."""

    rest = False

    def __init__(self, envelope: RequestEnvelope, limits: TransportLimits = SOAP_LIMITS) -> None:
        self.limits = limits
        self._envelope = envelope
        self._request: SoapRequest | None = None
        self.intent = NO_INTENT

    @property
    def request(self) -> SoapRequest:
        if self._request is None:
            raise AssertionError("there is no envelope yet")
        return self._request

    def read(self, message: ReceivedMessage, account: Account) -> SoapRequest:
        found = parse_soap(message.head, message.head_type.content_type)
        if isinstance(found, SoapFaultMessage):
            raise AssertionError("a fault is a part of its own kind")
        self._request = SoapRequest(found, _exchange_id(self._envelope.request_id))
        self.intent = intent_of(found)
        return self._request

    def built_in(self, snapshot: Snapshot) -> Call:
        return Call(self.request.message, snapshot, self._envelope.original_content_type)

    def decide(self, snapshot: Snapshot) -> Decision:
        request = self.request
        return decide(
            snapshot.services,
            request.client,
            request.service,
            None,
            None,
            lambda group: snapshot.conf.in_group(request.client, group, snapshot.at),
            purpose=self.intent.purpose,
            at=snapshot.at,
        )

    def covering_path(self, snapshot: Snapshot, service: Service) -> str | None:
        return None

    @asynccontextmanager
    async def ask(
        self,
        systems: InformationSystem,
        service: Service,
        message: ReceivedMessage,
        account: Account,
        allowance: Allowance | None = None,
    ) -> AsyncIterator[Reply]:
        async with AsyncExitStack() as stack:
            with _service_failed():
                content_type, _, pieces = soap_content(message)
                account.request_out = now_ms()
                answer = await stack.enter_async_context(
                    systems.call_soap(service, content_type, self._envelope.soap_action, pieces)
                )
                account.response_in = now_ms()
                account.status = answer.status
                reply = await self._reply_of(answer, service, allowance)
            yield reply

    async def _reply_of(
        self, answer: SystemAnswer, service: Service, allowance: Allowance | None
    ) -> Reply:
        """The system's answer; what it says besides facts stays here when facts are withheld."""
        if allowance is None or allowance.selection is None:
            return await self._read_reply(answer, allowance, repaired=service.repair_headers)
        try:
            return await self._read_reply(answer, allowance, repaired=service.repair_headers)
        except ReceivedFault as error:
            raise without_words(error) from None
        except MalformedMessage as error:
            raise allowance.not_reducible(f"the answer can't be read: {error.text}") from None
        except NetworkFailure as error:
            if error.code == "http_error":
                raise NetworkFailure(
                    f"Server responded with error {answer.status}", error.code
                ) from None
            raise

    async def _read_reply(
        self, answer: SystemAnswer, allowance: Allowance | None, *, repaired: bool
    ) -> Reply:
        """The system's answer up to its attachments; its fault is raised as it came.

        Args:
            repaired: whether its header is completed first.
        """
        if answer.status not in _ANSWERED:
            raise NetworkFailure(
                f"Server responded with error {answer.status}: {answer.reason:.100}", "http_error"
            )
        content_type = answer.content_type
        if not content_type or not content_type.isprintable():
            raise MalformedMessage(
                "Could not get content type from response", "invalid_content_type"
            )
        reader = SoapReader(content_type, SoapLimits.of(self.limits))
        stream = SoapStream(reader, answer.pieces())
        part = await stream.envelope()
        if part is None:
            raise MalformedMessage("No response message received from service", "invalid_message")
        raw = repair_answer(part.raw, self.request.message) if repaired else part.raw
        found = parse_soap(raw, part.content_type)
        if isinstance(found, SoapFaultMessage):
            raise ReceivedFault(found.fault, found.raw)
        head = AttachmentHead(part.content_type, part.fields)
        if allowance is not None and allowance.selection is not None:
            cut = await cut_message(found, stream, allowance)
            return Reply(_ALONE, self._hashed(cut), None, mediatype.SOAP)
        if allowance is not None and allowance.told:
            found = told_message(found, allowance)
            head = replace(head, content_type=mediatype.with_charset(part.content_type))
            content_type = content_type if stream.packaged else head.content_type
        hashed = self._hashed(found)
        attachments = _arriving(stream) if stream.packaged else None
        return Reply(head, hashed, attachments, content_type)

    def _hashed(self, message: SoapMessage) -> bytes:
        return insert_request_hash(message.raw, message.charset, sha512(self.request.raw))

    def asked(self, message: ReceivedMessage | None, peer: str, snapshot: Snapshot) -> AskedCall:
        request = self.request
        return AskedCall(request, self.intent, peer, snapshot.at, envelope=request.raw)

    def reply(self, answer: SoapAnswer | RestAnswer, message: ReceivedMessage) -> Reply:
        if not isinstance(answer, SoapAnswer):
            raise AssertionError("a SOAP call has a SOAP answer")
        hashed = insert_request_hash(answer.envelope, "utf-8", sha512(self.request.raw))
        head = AttachmentHead(mediatype.SOAP)
        if not answer.attachments:
            return Reply(head, hashed, None, mediatype.SOAP)
        boundary = new_boundary(_PACKAGE_PREFIX)
        content_type = f'multipart/related; type="text/xml"; charset=UTF-8; boundary={boundary}'
        return Reply(head, hashed, _own_attachments(answer.attachments), content_type)


@contextmanager
def _service_failed() -> Iterator[None]:
    """What goes wrong with the system is told in a group of its own."""
    try:
        yield
    except (AccessDenied, LoggingFailed, PeerFault):
        raise
    except ExchangeError as error:
        if error.code in _OF_THE_ADDRESS:
            raise
        raise error.within(_GROUP) from error.__cause__


async def _arriving(stream: SoapStream) -> AttachmentStream:
    with _service_failed():
        async for piece in stream.attachments():
            yield piece


async def _own_attachments(parts: tuple[AnswerPart, ...]) -> AttachmentStream:
    for part in parts:
        yield AttachmentHead(part.content_type, part.fields)
        yield part.data


def _exchange_id(sent: str) -> str:
    """The consumer's id of the exchange; one of ours when it has none that can be logged.

    In SOAP nothing covers this header, and nothing is believed for it.
    """
    return sent if _PLAIN_ID.fullmatch(sent) else str(uuid.uuid4())
