"""The consumer's side: an information system calls a service of another institution.

    system → parse → who is it → sign, log, send ⇒ peer ⇒ verify → answers? → log → system

REST and SOAP are carried alike; what they differ in stands in `rest_call` and `soap_call`.
Source: design.md 3; transport.md 8.3, 9.5, 10.2; X-Road 7.8 AbstractClientMessageProcessor.java.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from aiohttp import web

from catalog.services import Repair
from node.body import BodyTooLarge, Section, SpooledBody
from node.exchange.account import Account, now_ms, to_nobody
from node.exchange.attachments import AttachmentStream
from node.exchange.clients import SpeakingClient, authenticate, tls_facts
from node.exchange.evidence import Evidence
from node.exchange.faults import ReceivedFault, failure_of
from node.exchange.greeting import GREETING, Met, greets
from node.exchange.own_call import OwnAnswer, OwnCall, OwnRequest
from node.exchange.own_soap_call import OwnSoapCall
from node.exchange.received import ReceivedMessage, receive
from node.exchange.request import Request
from node.exchange.rest_call import RestCall
from node.exchange.sending import OutgoingMessage
from node.exchange.signer import SignatureFiles, SignatureForm
from node.exchange.snapshot import Snapshot, Snapshots
from node.exchange.soap_call import SoapCall
from node.exchange.system_call import SystemCall
from node.log.records import Side as LogSide
from node.messages.envelope import ResponseEnvelope, check_hash_algorithm
from node.messages.fault import Dialect
from node.messages.transport import Direction
from node.messages.transport_reader import SOAP_LIMITS, TransportLimits, TransportReader
from node.network.answer import Answer
from node.network.peers import Peers, Reached
from node.operate.metrics import NodeMetrics
from node.spool import Spool
from trust.errors import (
    EvidenceRejected,
    ExchangeError,
    LoggingFailed,
    MalformedMessage,
    NetworkFailure,
    UnknownMember,
    UntrustedPeer,
)
from trust.evidence.hashchain import PartDigest
from trust.ids import ClientId, ServerId
from trust.pki.identities import SignIdentity

_ANSWERED = (200, 500)  # with every other status it is no answer of a node
_GROUP = "service_failed"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request of a system that may call, with the snapshot of its exchange."""

    call: SystemCall
    request: Request
    snapshot: Snapshot
    signer: SignIdentity
    attachments: AttachmentStream | None


@dataclass(slots=True)
class Consumer:
    """Carries the exchanges of the institution's own systems.

    Attributes:
        hash_chain_servers: peers that are older than 7.6 and read no references.
        dialect: the spelling of our own fault codes towards systems.
        patience: longest silence of a system that sends a request.
        own_certificate: DER of the node's internal certificate, which may speak for every client.
        ended: is told of every exchange at its end.
        met: is told of nodes of our kind; None for a node that does not say that it is one.
    """

    own_server: ServerId
    snapshots: Snapshots
    evidence: Evidence
    peers: Peers
    spool: Spool
    metrics: NodeMetrics
    hash_chain_servers: frozenset[ServerId]
    dialect: Dialect
    patience: timedelta
    own_certificate: bytes
    ended: Callable[[Account], None] = to_nobody
    soap_limits: TransportLimits = SOAP_LIMITS
    met: Met | None = None

    async def handle_rest(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one request under `/r1/`; every failure becomes a fault."""
        return await self.carry(request, RestCall(request, self.patience))

    async def handle_soap(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one SOAP request; every failure becomes a fault."""
        return await self.carry(
            request, SoapCall(request, self.patience, self.soap_limits, self._repairs)
        )

    def _repairs(self, client: ClientId) -> frozenset[Repair]:
        hosted = self.snapshots.services().client(client)
        return frozenset() if hosted is None else hosted.repairs

    async def ask(self, request: OwnRequest) -> OwnAnswer:
        """Ask another node ourselves, in the owner's name; the answer, whatever its status.

        Raises PeerFault with the fault that an information system would have got.
        """
        if request.client != self.own_server.owner:
            raise UnknownMember(f"Client '{request.client}' does not own this server")
        return await self._answer_to(OwnCall(request))

    async def ask_for(self, client: SpeakingClient, call: OwnCall | OwnSoapCall) -> OwnAnswer:
        """Ask another node for a client whose system has shown that it may speak; as `ask`."""
        if call.client != client.id:
            raise UnknownMember(f"Client '{call.client}' is not the one that asks")
        return await self._answer_to(call)

    def speaking(self, http: web.BaseRequest, client: ClientId) -> SpeakingClient:
        """The client that a system speaks for; raises UnknownMember, UntrustedPeer."""
        snapshot = self.snapshots.take()
        self._authenticate(http, client, snapshot)
        return SpeakingClient(client)

    async def _answer_to(self, call: OwnCall | OwnSoapCall) -> OwnAnswer:
        await self.carry(None, call)
        return call.result()

    async def carry(self, http: web.BaseRequest | None, call: SystemCall) -> web.StreamResponse:
        """Carry a call, whatever it is written in; every failure becomes a fault.

        Args:
            http: what the call came with; None for one of the node itself.
        """
        with Account("consumer", self.metrics, self.ended) as account:
            try:
                return await self._exchange(http, call, account)
            except Exception as error:  # noqa: BLE001 - the edge: nothing leaves as a traceback
                account.failure = failure = failure_of(error, call.side, self.dialect)
                account.response_out = now_ms()
                return await call.tell_failure(failure)

    async def _exchange(
        self, http: web.BaseRequest | None, call: SystemCall, account: Account
    ) -> web.StreamResponse:
        asked = await self._read(http, call, account)
        request, snapshot = asked.request, asked.snapshot
        with self.spool.body() as store:
            async with self.peers.reach(
                request.service, request.security_server, snapshot.conf, snapshot.at
            ) as peer:
                account.peer, account.service_server = peer.server.id, peer.server.address
                account.clock.mark("connect")
                outgoing = self._outgoing(asked, store, peer, account)
                received = await self._ask(call, outgoing, peer, account)
            with received:  # the peer's connection is free for the next exchange by now
                self._judge(asked, received, outgoing.bodies)
                account.clock.mark("verify")
                peer_name = str(account.peer)
                use = call.use(received, peer_name)
                await self.evidence.keep_response(request, received, peer_name, use=use)
                account.clock.mark("log")
                account.response_out = now_ms()
                answer = await call.tell(received, account)
                account.clock.mark("answer")
                return answer

    async def _read(
        self, http: web.BaseRequest | None, call: SystemCall, account: Account
    ) -> _Asked:
        """What is asked, by a system that may ask it."""
        call.check_method()
        snapshot = self.snapshots.take()
        self._require_identity(call)
        own = snapshot.conf.server(self.own_server, snapshot.at)
        account.client_server = None if own is None else own.address
        request = await call.read(snapshot.conf.own_instance, account)
        account.about(request)
        if http is not None:
            self._authenticate(http, request.client, snapshot)
        signer = self.evidence.signers.signer_of(request.client.member, snapshot.conf, snapshot.at)
        attachments = await call.attachments()
        account.clock.mark("accept")
        return _Asked(call, request, snapshot, signer, attachments)

    def _authenticate(self, http: web.BaseRequest, client: ClientId, snapshot: Snapshot) -> None:
        hosted = snapshot.services.client(client)
        if hosted is None:
            raise UnknownMember(f"Client '{client}' not found")
        authenticate(
            hosted, tls_facts(http.transport), snapshot.at, own_certificate=self.own_certificate
        )

    def _require_identity(self, call: SystemCall) -> None:
        try:
            self.peers.own_ocsp_responses()
        except UntrustedPeer as error:
            raise UntrustedPeer(call.without_identity) from error

    def _outgoing(
        self, asked: _Asked, store: SpooledBody, peer: Reached, account: Account
    ) -> OutgoingMessage:
        request = asked.request
        old = peer.server.id in self.hash_chain_servers
        form = SignatureForm.HASH_CHAIN if old else SignatureForm.REFERENCES

        async def sign(parts: Sequence[PartDigest]) -> SignatureFiles:
            account.clock.mark("upload")
            files = await self.evidence.signing.sign(asked.signer, parts, form)
            account.clock.mark("sign")
            return files

        async def log(files: SignatureFiles, bodies: Sequence[Section]) -> None:
            account.request_is(request.raw, bodies)
            await self.evidence.keep_sent(
                LogSide.CONSUMER,
                request,
                response=None,
                files=files,
                bodies=bodies,
                peer=str(peer.server.id),
            )
            account.clock.mark("log")

        return OutgoingMessage(
            head=asked.call.head,
            message=request.raw,
            attachments=asked.attachments,
            store=store,
            sign=sign,
            log=log,
            nested=not asked.call.rest,
            ocsp_responses=self.peers.own_ocsp_responses(),
        )

    async def _ask(
        self, call: SystemCall, outgoing: OutgoingMessage, peer: Reached, account: Account
    ) -> ReceivedMessage:
        """Send the request and read the whole answer; a fault is raised as it came."""
        account.request_out = now_ms()
        greeting = () if self.met is None else (GREETING,)
        headers = (*call.envelope(outgoing.content_type), *greeting)
        answer = await peer.send(headers, outgoing.pieces())
        account.response_in = now_ms()
        if answer.head.status not in _ANSWERED:
            raise NetworkFailure(
                f"Server responded with error {answer.head.status}: {answer.head.reason:.100}",
                "http_error",
            )
        envelope = ResponseEnvelope.parse(answer.head.headers)
        received = await self._receive(call, envelope, answer, account)
        try:
            if not outgoing.complete:  # nobody can have verified what we have not signed yet
                raise EvidenceRejected(
                    "Response came before the request was sent", "inconsistent_response"
                )
        except ExchangeError:
            received.close()
            raise
        service = account.service_id
        if self.met is not None and service is not None and greets(answer.head.headers):
            self.met(peer.server.id, service.provider, service)
        return received

    async def _receive(
        self, call: SystemCall, envelope: ResponseEnvelope, answer: Answer, account: Account
    ) -> ReceivedMessage:
        try:
            reader = TransportReader(Direction.RESPONSE, envelope.content_type, call.limits)
            received = await receive(
                answer.pieces(),
                reader,
                partial(self.spool.body, call.largest),
                call.read_answer,
                rest=call.rest,
                original_content_type=envelope.original_content_type or "",
            )
        except BodyTooLarge as error:
            if call.largest is None:
                raise
            text = f"The answer has more than {call.largest} bytes"
            raise MalformedMessage(text, "invalid_message") from error
        except LoggingFailed:
            raise
        except ExchangeError as error:
            raise error.within(_GROUP) from error.__cause__
        account.clock.mark("peer")
        try:
            if received.fault is not None:
                raise ReceivedFault(received.fault.fault, received.fault.raw)
            check_hash_algorithm(answer.head.headers)
            reader.check_complete(rest=call.rest)
        except ExchangeError:
            received.close()
            raise
        bodies = [attachment.body for attachment in received.attachments]
        account.response_is(received.head, bodies)
        return received

    def _judge(self, asked: _Asked, received: ReceivedMessage, bodies: Sequence[Section]) -> None:
        """Believe the answer: signed by the provider, and an answer to this very request.

        By the trust list of now, for an answer may take its time.
        """
        self.evidence.judge(received, asked.request.provider, self.snapshots.take().conf)
        asked.call.check_answers(received, bodies)
