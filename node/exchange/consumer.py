"""The consumer's side: an information system calls a service of another institution.

    system → parse → who is it → sign, log, send ⇒ peer ⇒ verify → answers? → log → system

Source: design.md 3; transport.md 9.5, 10.2; X-Road 7.8 ClientRestMessageProcessor.java.
"""

import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from node.body import SpooledBody
from node.exchange.account import Account
from node.exchange.clients import authenticate, tls_facts
from node.exchange.evidence import Evidence
from node.exchange.faults import failure_of, tell_system
from node.exchange.received import ReceivedMessage, receive
from node.exchange.respond import origin_target, request_pieces, respond
from node.exchange.sending import OutgoingMessage
from node.exchange.signer import SignatureFiles, SignatureForm, sign_parts
from node.exchange.snapshot import Snapshot, Snapshots
from node.log.records import Side as LogSide
from node.messages import mediatype
from node.messages.envelope import ResponseEnvelope, build_request_headers, check_hash_algorithm
from node.messages.exchange import check_answers
from node.messages.fault import Dialect, Side
from node.messages.rest import DROPPED_HEADERS, RestRequestHead, RestResponseHead, request_hash
from node.messages.transport import Direction
from node.messages.transport_reader import REST_LIMITS, TransportReader
from node.network.peers import Peers, Reached
from node.operate.metrics import NodeMetrics
from node.spool import Spool
from trust.errors import (
    EvidenceRejected,
    ExchangeError,
    LoggingFailed,
    NetworkFailure,
    UnknownMember,
)
from trust.evidence.hashchain import PartDigest
from trust.ids import ServerId
from trust.pki.identities import SignIdentity

_ANSWERED = (200, 500)  # with every other status it is no answer of a node
_GROUP = "service_failed"


@dataclass(slots=True)
class Consumer:
    """Carries the exchanges of the institution's own systems.

    Attributes:
        hash_chain_servers: peers that are older than 7.6 and read no references.
        dialect: the spelling of our own fault codes towards systems.
        patience: longest silence of a system that sends a request.
        own_certificate: DER of the node's internal certificate, which may speak for every client.
    """

    snapshots: Snapshots
    evidence: Evidence
    peers: Peers
    spool: Spool
    metrics: NodeMetrics
    hash_chain_servers: frozenset[ServerId]
    dialect: Dialect
    patience: timedelta
    own_certificate: bytes

    async def handle_rest(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one request under `/r1/`; every failure becomes a fault."""
        with Account("consumer", self.metrics) as account:
            try:
                return await self._exchange(request, account)
            except Exception as error:  # noqa: BLE001 - the edge: nothing leaves as a traceback
                account.failure = failure = failure_of(error, Side.CONSUMER, self.dialect)
                return await tell_system(request, failure)

    async def _exchange(self, request: web.BaseRequest, account: Account) -> web.StreamResponse:
        snapshot = self.snapshots.take()
        head = self._read_head(request, snapshot)
        account.exchange_id, account.message_id = head.request_id, head.message_id
        account.consumer, account.service = str(head.client), str(head.service)
        hosted = snapshot.services.client(head.client)
        if hosted is None:
            raise UnknownMember(f"Client '{head.client}' not found")
        authenticate(
            hosted,
            tls_facts(request.transport),
            snapshot.at,
            own_certificate=self.own_certificate,
        )
        signer = self.evidence.signers.signer_of(head.client.member, snapshot.conf, snapshot.at)
        body = await _body_of(request, self.patience)
        account.clock.mark("accept")
        with self.spool.body() as kept:
            async with self.peers.reach(
                head.service, head.security_server, snapshot.conf, snapshot.at
            ) as peer:
                account.peer = str(peer.server.id)
                account.clock.mark("connect")
                outgoing = self._outgoing(head, body, kept, signer, peer, account)
                received = await self._ask(head, outgoing, peer, account)
            with received:  # the peer's connection is free for the next exchange by now
                account.request_bytes = kept.size
                hashed = request_hash(head.raw, None if body is None else kept.digest)
                response = self._judge(head, received, hashed)
                account.clock.mark("verify")
                await self.evidence.keep_response(head, received, account.peer)
                account.clock.mark("log")
                return await _tell(request, response, received.body, account)

    def _read_head(self, request: web.BaseRequest, snapshot: Snapshot) -> RestRequestHead:
        return RestRequestHead.from_http(
            request.method,
            origin_target(request),
            request.raw_headers,
            request_id=str(uuid.uuid4()),
            instance=snapshot.conf.own_instance,
            message_id=str(uuid.uuid4()),
        )

    def _outgoing(
        self,
        head: RestRequestHead,
        body: AsyncIterator[bytes] | None,
        kept: SpooledBody,
        signer: SignIdentity,
        peer: Reached,
        account: Account,
    ) -> OutgoingMessage:
        old = peer.server.id in self.hash_chain_servers
        form = SignatureForm.HASH_CHAIN if old else SignatureForm.REFERENCES

        def sign(parts: Sequence[PartDigest]) -> SignatureFiles:
            account.clock.mark("upload")
            files = sign_parts(signer, parts, self.evidence.clock(), form)
            account.clock.mark("sign")
            return files

        async def log(files: SignatureFiles, kept_body: SpooledBody | None) -> None:
            await self.evidence.keep_sent(
                LogSide.CONSUMER,
                head,
                response=None,
                files=files,
                body=kept_body,
                peer=str(peer.server.id),
            )
            account.clock.mark("log")

        return OutgoingMessage(
            head_type=mediatype.REST_REQUEST,
            head=head.raw,
            body=body,
            kept=kept,
            sign=sign,
            log=log,
            ocsp_responses=self.peers.own_ocsp_responses(),
        )

    async def _ask(
        self, head: RestRequestHead, outgoing: OutgoingMessage, peer: Reached, account: Account
    ) -> ReceivedMessage:
        """Send the request and read the whole answer; a fault is raised as it came."""
        headers = build_request_headers(outgoing.content_type, head.request_id, head.content_type)
        answer = await peer.send(headers, outgoing.pieces())
        if answer.head.status not in _ANSWERED:
            raise NetworkFailure(
                f"Server responded with error {answer.head.status}: {answer.head.reason:.100}",
                "http_error",
            )
        envelope = ResponseEnvelope.parse(answer.head.headers)
        try:
            reader = TransportReader(Direction.RESPONSE, envelope.content_type, REST_LIMITS)
            received = await receive(answer.pieces(), reader, self.spool.body, _no_judgement)
        except LoggingFailed:
            raise
        except ExchangeError as error:
            raise error.within(_GROUP) from error.__cause__
        account.clock.mark("peer")
        try:
            if received.fault is not None:
                raise received.fault.to_error()
            check_hash_algorithm(answer.head.headers)
            reader.check_complete(rest=True)
            if not outgoing.complete:  # nobody can have verified what we have not signed yet
                raise EvidenceRejected(
                    "Response came before the request was sent", "inconsistent_response"
                )
        except ExchangeError:
            received.close()
            raise
        return received

    def _judge(
        self,
        head: RestRequestHead,
        received: ReceivedMessage,
        hashed: bytes,
    ) -> RestResponseHead:
        """Believe the answer: signed by the provider, and an answer to this very request.

        By the trust list of now, for an answer may take its time.
        """
        try:
            response = RestResponseHead.parse(received.head)
        except ExchangeError as error:
            raise error.within(_GROUP) from error
        self.evidence.judge(received, head.provider, self.snapshots.take().conf)
        check_answers(head, response, hashed)
        return response


def _no_judgement(_message: ReceivedMessage) -> None:
    """An answer is judged when its signature is there."""


async def _body_of(request: web.BaseRequest, patience: timedelta) -> AsyncIterator[bytes] | None:
    """The body of a system's request; None when it has not a single byte."""
    pieces = request_pieces(request, patience)
    try:
        first = await anext(pieces)
    except StopAsyncIteration:
        return None

    async def all_of_it() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return all_of_it()


async def _tell(
    request: web.BaseRequest,
    response: RestResponseHead,
    body: SpooledBody | None,
    account: Account,
) -> web.StreamResponse:
    """Hand the provider's answer to the system."""
    account.status = response.status
    account.response_bytes = 0 if body is None else body.size
    headers = [item for item in response.headers if item[0].lower() not in DROPPED_HEADERS]
    answer = await respond(
        request,
        response.status,
        headers,
        None if body is None else body.pieces(),
        account.response_bytes,
    )
    account.clock.mark("answer")
    return answer
