"""The provider's side: another node brings a signed request for a service of this institution.

    peer → TLS, parts → registered here? → access → signature → log → system → sign, log → peer

Source: transport.md 10.1; design.md 3; X-Road 7.8 ServerRestMessageProcessor.java.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from catalog.access import decide
from catalog.paths import ServicePath
from catalog.services import Service
from node.body import SpooledBody
from node.exchange.account import Account
from node.exchange.callers import Caller, Callers
from node.exchange.evidence import Evidence
from node.exchange.faults import Failure, failure_of, tell_peer
from node.exchange.received import ReceivedMessage, receive
from node.exchange.respond import ExactResponse, request_pieces
from node.exchange.sending import OutgoingMessage, fault_in_place_of_signature
from node.exchange.signer import SignatureFiles, SignatureForm, sign_parts
from node.exchange.snapshot import Snapshot, Snapshots
from node.log.records import Side as LogSide
from node.messages import mediatype
from node.messages.envelope import (
    RequestEnvelope,
    build_response_headers,
    check_hash_algorithm,
    check_method,
    check_soap_action,
)
from node.messages.fault import Dialect, Side, build_fault_xml
from node.messages.rest import RestRequestHead, RestResponseHead, request_hash
from node.messages.transport import Direction
from node.messages.transport_reader import REST_LIMITS, TransportReader
from node.messages.version import Version, check_version
from node.network.information_system import InformationSystem, SystemAnswer
from node.network.tls import peer_chain
from node.operate.metrics import NodeMetrics
from node.spool import Spool
from trust.errors import (
    AccessDenied,
    ExchangeError,
    LoggingFailed,
    MalformedMessage,
    ServiceDisabled,
    UnknownMember,
    UnknownService,
    UntrustedPeer,
    WrongServiceType,
)
from trust.evidence.hashchain import PartDigest
from trust.ids import ServerId
from trust.pki.identities import SignIdentity

_GROUP = "service_failed"
_REFUSALS = (AccessDenied, ServiceDisabled, UnknownService, WrongServiceType)
_REFERENCES_SINCE = Version(7, 6, 0)


class WrongServer(ExchangeError):
    """The request names another security server as its destination."""

    code = "invalid_security_server"


class TooBusy(ExchangeError):
    """One peer has as many requests under way as one peer may."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may reach the institution's system: verified, allowed, in the log."""

    head: RestRequestHead
    message: ReceivedMessage
    service: Service
    signer: SignIdentity
    form: SignatureForm
    peer: str


@dataclass(slots=True)
class Provider:
    """Answers other nodes."""

    own_server: ServerId
    snapshots: Snapshots
    callers: Callers
    evidence: Evidence
    systems: InformationSystem
    spool: Spool
    metrics: NodeMetrics
    minimum_version: Version | None
    patience: timedelta  # longest silence of a peer that sends a request
    per_peer: int  # exchanges of one peer at the same time
    _running: Counter[ServerId] = field(default_factory=Counter)

    async def handle_message(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one message; every failure becomes a fault with status 200."""
        account = Account("provider", self.metrics)
        envelope = RequestEnvelope.parse(request.headers.items())
        dialect = Dialect.of_peer(envelope.proxy_version)
        with account:
            try:
                return await self._exchange(request, envelope, dialect, account)
            except Exception as error:  # noqa: BLE001 - the edge: nothing leaves as a traceback
                failure = failure_of(error, Side.PROVIDER, dialect)
                account.failure = failure
                return await tell_peer(request, failure)

    async def _exchange(
        self,
        request: web.BaseRequest,
        envelope: RequestEnvelope,
        dialect: Dialect,
        account: Account,
    ) -> web.StreamResponse:
        check_method(request.method)
        snapshot = self.snapshots.take()
        caller = self._caller(request, snapshot)
        account.peer = str(caller.server.id)
        with self._place(caller.server.id):
            return await self._serve(request, envelope, dialect, account, snapshot, caller)

    @contextmanager
    def _place(self, peer: ServerId) -> Iterator[None]:
        """Nobody takes the places of everybody."""
        if self._running[peer] >= self.per_peer:
            raise TooBusy(f"{peer} has {self.per_peer} requests under way here; come again")
        self._running[peer] += 1
        try:
            yield
        finally:
            self._running[peer] -= 1
            if not self._running[peer]:
                del self._running[peer]

    async def _serve(
        self,
        request: web.BaseRequest,
        envelope: RequestEnvelope,
        dialect: Dialect,
        account: Account,
        snapshot: Snapshot,
        caller: Caller,
    ) -> web.StreamResponse:
        check_version(envelope.proxy_version, self.minimum_version)
        if not envelope.rest:
            check_soap_action(envelope.soap_action)
        check_hash_algorithm(request.headers.items())
        if not envelope.rest:
            raise WrongServiceType(
                "This node serves REST services and cannot be called using SOAP interface"
            )
        reception = _Reception(self, caller, snapshot, account)
        with await reception.receive(request, envelope) as message:
            account.clock.mark("receive")
            admitted = await self._admit(reception, message, envelope, account)
            async with self.systems.call(admitted.service, admitted.head, message.body) as system:
                account.clock.mark("system")
                return await self._answer(request, admitted, system, dialect, account)

    def _caller(self, request: web.BaseRequest, snapshot: Snapshot) -> Caller:
        """Who called; a certificate that no server has registered ends the connection."""
        transport = request.transport
        tls = None if transport is None else transport.get_extra_info("ssl_object")
        chain = () if tls is None else peer_chain(tls)
        caller = self.callers.identify(chain, snapshot.conf, snapshot.at)
        if caller is None:
            if transport is not None:
                transport.abort()
            raise UntrustedPeer("TLS certificate is not registered for any server")
        return caller

    async def _admit(
        self,
        reception: "_Reception",
        message: ReceivedMessage,
        envelope: RequestEnvelope,
        account: Account,
    ) -> Admitted:
        """Access, signature, log, in the order of the reference server."""
        head, signer = reception.head, reception.signer
        if head is None or signer is None:
            raise AssertionError("a complete message has had its head judged")
        snapshot = self.snapshots.take()  # rights may have gone while the message came slowly
        reception.judge_sender(message, snapshot)
        service = reception.decide_access(snapshot)
        signature = self.evidence.judge(message, head.client, snapshot.conf)
        account.clock.mark("verify")
        peer = account.peer
        await self.evidence.keep_request(head, message, signature, peer)
        account.clock.mark("log")
        return Admitted(head, message, service, signer, _form(envelope), peer)

    async def _answer(
        self,
        request: web.BaseRequest,
        admitted: Admitted,
        system: SystemAnswer,
        dialect: Dialect,
        account: Account,
    ) -> web.StreamResponse:
        """Sign, log and stream what the system answered."""
        account.status = system.status
        body = admitted.message.body
        hashed = request_hash(admitted.head.raw, None if body is None else body.digest)
        head = RestResponseHead.build(
            system.status, system.reason, system.headers, admitted.head, hashed
        )
        with self.spool.body() as kept:
            outgoing = self._outgoing(admitted, head, system, kept, account)
            response = await _stream(request, outgoing, dialect, account)
            account.response_bytes = kept.size
            account.clock.mark("send")
            return response

    def _outgoing(
        self,
        admitted: Admitted,
        head: RestResponseHead,
        system: SystemAnswer,
        kept: SpooledBody,
        account: Account,
    ) -> OutgoingMessage:
        def sign(parts: Sequence[PartDigest]) -> SignatureFiles:
            account.clock.mark("send")
            files = sign_parts(admitted.signer, parts, self.evidence.clock(), admitted.form)
            account.clock.mark("sign")
            return files

        async def log(files: SignatureFiles, body: SpooledBody | None) -> None:
            await self.evidence.keep_sent(
                LogSide.PROVIDER,
                admitted.head,
                response=head.raw,
                files=files,
                body=body,
                peer=admitted.peer,
            )
            account.clock.mark("log")

        return OutgoingMessage(
            head_type=mediatype.REST_RESPONSE,
            head=head.raw,
            body=system.pieces() if system.has_entity else None,
            kept=kept,
            sign=sign,
            log=log,
        )


class _Reception:
    """The part of an exchange in which the peer's message arrives."""

    def __init__(
        self, provider: Provider, caller: Caller, snapshot: Snapshot, account: Account
    ) -> None:
        self._provider = provider
        self._caller = caller
        self._account = account
        self.snapshot = snapshot
        self.head: RestRequestHead | None = None
        self.path: ServicePath | None = None
        self.signer: SignIdentity | None = None

    async def receive(self, request: web.BaseRequest, envelope: RequestEnvelope) -> ReceivedMessage:
        """Read the whole message; who sends it is judged as soon as its head is there."""
        try:
            reader = TransportReader(Direction.REQUEST, envelope.content_type, REST_LIMITS)
            message = await receive(
                request_pieces(request, self._provider.patience),
                reader,
                self._new_body,
                self._judge_head,
            )
        except (LoggingFailed, *_REFUSALS):
            raise
        except ExchangeError as error:
            raise error.within(_GROUP) from error.__cause__
        try:
            if message.fault is not None:
                raise _reported(message)
            reader.check_complete(rest=True)
        except ExchangeError:
            message.close()
            raise
        if message.body is not None:
            self._account.request_bytes = message.body.size
        return message

    def _judge_head(self, message: ReceivedMessage) -> None:
        """Steps 8 to 12 of the reference's order: what needs neither body nor signature."""
        head = self.head = RestRequestHead.parse(message.head)
        self.path = head.normalised_path()
        account, provider, snapshot = self._account, self._provider, self.snapshot
        account.exchange_id, account.message_id = head.request_id, head.message_id
        account.consumer, account.service = str(head.client), str(head.service)
        if head.security_server not in (None, provider.own_server):
            raise WrongServer(
                f"Invalid security server identifier '{head.security_server}'"
                f" expected '{provider.own_server}'"
            )
        if not snapshot.services.hosts(head.provider):
            raise UnknownMember(f"Client '{head.provider}' not found")
        self.signer = provider.evidence.signers.signer_of(
            head.provider.member, snapshot.conf, snapshot.at
        )
        self.judge_sender(message, snapshot)

    def judge_sender(self, message: ReceivedMessage, snapshot: Snapshot) -> None:
        """Whether the node at the other end may speak for the client that the head names."""
        try:
            self._provider.callers.require_speaks_for(
                self._caller,
                self._judged_head.client,
                tuple(message.ocsp_responses),
                snapshot.conf,
                snapshot.at,
            )
        except UntrustedPeer as error:
            raise error.within(_GROUP) from error.__cause__

    def decide_access(self, snapshot: Snapshot) -> Service:
        """The service, if the client may call it; raises what `decide` raises."""
        head = self._judged_head
        if self.path is None:
            raise AssertionError("a judged head has a path")
        return decide(
            snapshot.services,
            head.client,
            head.service,
            head.method,
            self.path,
            lambda group: snapshot.conf.in_group(head.client, group, snapshot.at),
        )

    def _new_body(self) -> SpooledBody:
        """Room for a body; there is none for a client that may not call the service at all."""
        self.decide_access(self.snapshot)
        return self._provider.spool.body()

    @property
    def _judged_head(self) -> RestRequestHead:
        if self.head is None:
            raise AssertionError("there is no head yet")
        return self.head


def _reported(message: ReceivedMessage) -> MalformedMessage:
    """What a consumer's node lacks that reports a fault of its own instead of asking.

    Its code is not passed on: what we answer are our own findings.
    """
    if message.head:
        return MalformedMessage("Request does not have signature", "missing_signature")
    return MalformedMessage("Request does not have REST message", "missing_rest")


def _form(envelope: RequestEnvelope) -> SignatureForm:
    """References, unless the consumer's server is too old to read them."""
    version = Version.find(envelope.proxy_version)
    old = version is not None and version < _REFERENCES_SINCE
    return SignatureForm.HASH_CHAIN if old else SignatureForm.REFERENCES


async def _stream(
    request: web.BaseRequest, outgoing: OutgoingMessage, dialect: Dialect, account: Account
) -> web.StreamResponse:
    """Send the answer; a failure after its beginning stands where the signature would."""
    pieces = outgoing.pieces()
    first = await anext(pieces)  # a message without body is signed and logged by now
    response = ExactResponse(
        status=200, headers=dict(build_response_headers(outgoing.content_type))
    )
    await response.prepare(request)
    await response.write(first)
    try:
        async for piece in pieces:
            await response.write(piece)
    except Exception as error:  # noqa: BLE001 - the edge, after the answer began
        failure: Failure = failure_of(error, Side.PROVIDER, dialect)
        account.failure = failure
        xml = build_fault_xml(failure.fault)
        await response.write(fault_in_place_of_signature(outgoing.boundary, xml))
    await response.write_eof()
    return response
