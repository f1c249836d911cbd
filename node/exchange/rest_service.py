"""What is REST about serving another node's call.

Source: messages.md 5.4, 8.1; transport.md 9; X-Road 7.8 ServerRestMessageProcessor.java.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from catalog.access import Decision, decide
from catalog.paths import ServicePath
from catalog.services import Service
from node.body import Section
from node.exchange.account import Account, now_ms
from node.exchange.allowance import Allowance, AskedCall
from node.exchange.attachments import AttachmentHead, rest_body
from node.exchange.builtin import Call, RestAnswer, SoapAnswer
from node.exchange.peer_call import Reply
from node.exchange.received import ReceivedMessage
from node.exchange.rest_reduction import (
    CutAnswer,
    cut_answer,
    note_headers,
    whole_request,
    without_notes,
)
from node.exchange.snapshot import Snapshot
from node.messages import mediatype
from node.messages.intent import NO_INTENT, intent_of
from node.messages.rest import RestRequestHead, RestResponseHead, request_hash
from node.messages.transport_reader import REST_LIMITS
from node.network.information_system import InformationSystem

_HEAD = AttachmentHead(mediatype.REST_RESPONSE)


class RestService:
    """A REST call by another node."""

    rest = True
    limits = REST_LIMITS

    def __init__(self) -> None:
        self._head: RestRequestHead | None = None
        self._path: ServicePath | None = None
        self.intent = NO_INTENT

    @property
    def request(self) -> RestRequestHead:
        if self._head is None:
            raise AssertionError("there is no head yet")
        return self._head

    def read(self, message: ReceivedMessage, account: Account) -> RestRequestHead:
        head = self._head = RestRequestHead.parse(message.head)
        self._path = head.normalised_path()
        account.rest_method = head.method
        self.intent = intent_of(head)
        return head

    def built_in(self, snapshot: Snapshot) -> Call:
        return Call(self.request, snapshot)

    def decide(self, snapshot: Snapshot) -> Decision:
        head = self.request
        return decide(
            snapshot.services,
            head.client,
            head.service,
            head.method,
            self._judged_path,
            lambda group: snapshot.conf.in_group(head.client, group, snapshot.at),
            purpose=self.intent.purpose,
            at=snapshot.at,
        )

    def covering_path(self, snapshot: Snapshot, service: Service) -> str | None:
        readings = self._judged_path.readings
        return snapshot.services.covering_path(service, self.request.method, readings)

    @asynccontextmanager
    async def ask(
        self,
        systems: InformationSystem,
        service: Service,
        message: ReceivedMessage,
        account: Account,
        allowance: Allowance | None = None,
    ) -> AsyncIterator[Reply]:
        head, body = self.request, _body_of(message)
        cut = allowance is not None and allowance.selection is not None
        account.request_out = now_ms()
        async with systems.call(service, whole_request(head) if cut else head, body) as answer:
            account.response_in = now_ms()
            account.status = answer.status
            if allowance is not None and cut:
                yield self._cut(await cut_answer(answer, allowance), message)
                return
            headers = answer.headers
            if allowance is not None and allowance.told:
                headers = (*without_notes(headers), *note_headers(allowance))
            if allowance is not None and answer.status >= HTTPStatus.MULTIPLE_CHOICES:
                allowance.nothing_given()
            response = RestResponseHead.build(
                answer.status, answer.reason, headers, head, self._hash(message)
            )
            entity = rest_body(answer.pieces()) if answer.has_entity else None
            yield Reply(_HEAD, response.raw, entity, None)

    def _cut(self, answer: CutAnswer, message: ReceivedMessage) -> Reply:
        response = RestResponseHead.build(
            answer.status, answer.reason, answer.headers, self.request, self._hash(message)
        )
        entity = None if answer.body is None else rest_body(_whole(answer.body))
        return Reply(_HEAD, response.raw, entity, None)

    def asked(self, message: ReceivedMessage | None, peer: str, snapshot: Snapshot) -> AskedCall:
        head = self.request
        body = None if message is None else _body_of(message)
        return AskedCall(
            head, self.intent, peer, snapshot.at, head.method, self._judged_path,
            head.query or "", body,
        )  # fmt: skip

    def reply(self, answer: SoapAnswer | RestAnswer, message: ReceivedMessage) -> Reply:
        if not isinstance(answer, RestAnswer):
            raise AssertionError("a REST call has a REST answer")
        reason = HTTPStatus(answer.status).phrase
        response = RestResponseHead.build(
            answer.status, reason, answer.headers, self.request, self._hash(message)
        )
        return Reply(_HEAD, response.raw, rest_body(_whole(answer.body)), None)

    def _hash(self, message: ReceivedMessage) -> bytes:
        body = _body_of(message)
        return request_hash(self.request.raw, None if body is None else body.digest)

    @property
    def _judged_path(self) -> ServicePath:
        if self._path is None:
            raise AssertionError("there is no head yet")
        return self._path


def _body_of(message: ReceivedMessage) -> Section | None:
    return message.attachments[0].body if message.attachments else None


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
