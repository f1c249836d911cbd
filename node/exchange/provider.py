"""The provider's side: another node brings a signed request for a service of this institution.

    peer → TLS, parts → registered here? → access → signature → log → system → sign, log → peer

REST and SOAP are served alike; what they differ in stands in `rest_service` and `soap_service`.
Source: transport.md 10.1; design.md 3; X-Road 7.8 ServerProxyHandler.java.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from aiohttp import web

from catalog.access import Decision, TermsNotMet
from catalog.services import Service
from catalog.terms import NO_TERMS
from node.body import Section, SpooledBody
from node.exchange.account import Account, now_ms, to_nobody
from node.exchange.allowance import Allowance, Enforcement
from node.exchange.builtin import BuiltInService, RestAnswer
from node.exchange.callers import Caller, Callers
from node.exchange.evidence import Evidence
from node.exchange.faults import Failure, failure_of, pass_fault_on, tell_peer
from node.exchange.greeting import GREETING, Met, greets
from node.exchange.peer_call import PeerCall, Reply
from node.exchange.received import ReceivedMessage
from node.exchange.reception import Reception
from node.exchange.respond import ExactResponse
from node.exchange.rest_service import RestService
from node.exchange.sending import OutgoingMessage
from node.exchange.signer import SignatureFiles, SignatureForm
from node.exchange.snapshot import Snapshot, Snapshots
from node.exchange.soap_service import SoapService
from node.log.records import Side as LogSide
from node.messages.envelope import (
    Headers,
    RequestEnvelope,
    build_response_headers,
    check_hash_algorithm,
    check_method,
    check_soap_action,
)
from node.messages.fault import Dialect, Side
from node.messages.transport_reader import SOAP_LIMITS, TransportLimits
from node.messages.version import Version, check_version
from node.network.information_system import InformationSystem
from node.network.tls import peer_chain
from node.operate.metrics import NodeMetrics
from node.spool import Spool
from trust.errors import AccessDenied, ExchangeError, UntrustedPeer
from trust.evidence.hashchain import PartDigest
from trust.ids import ServerId
from trust.pki.identities import SignIdentity

_REFERENCES_SINCE = Version(7, 6, 0)


class TooBusy(ExchangeError):
    """One peer has as many requests under way as one peer may."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may reach its service: verified, allowed, in the log."""

    call: PeerCall
    message: ReceivedMessage
    service: Service | BuiltInService
    snapshot: Snapshot
    signer: SignIdentity
    form: SignatureForm
    peer: str
    allowance: Allowance | None


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
    built_in: Sequence[BuiltInService] = ()
    ended: Callable[[Account], None] = to_nobody
    soap_limits: TransportLimits = SOAP_LIMITS
    met: Met | None = None  # is told of nodes of our kind, which are then greeted, too
    once: Enforcement | None = None  # without one, rights with terms allow nothing
    _running: Counter[ServerId] = field(default_factory=Counter)

    async def handle_message(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one message; every failure becomes a fault with status 200."""
        account = Account("provider", self.metrics, self.ended)
        envelope = RequestEnvelope.parse(request.headers.items())
        dialect = Dialect.of_peer(envelope.proxy_version)
        with account:
            try:
                return await self._exchange(request, envelope, dialect, account)
            except Exception as error:  # noqa: BLE001 - the edge: nothing leaves as a traceback
                failure = failure_of(error, Side.PROVIDER, dialect)
                account.failure = failure
                account.response_out = now_ms()
                if failure.raw is not None:
                    return await pass_fault_on(request, failure.raw)
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
        account.peer, account.client_server = caller.server.id, caller.server.address
        own = snapshot.conf.server(self.own_server, snapshot.at)
        account.service_server = None if own is None else own.address
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
        call: PeerCall = RestService() if envelope.rest else SoapService(envelope, self.soap_limits)
        reception = Reception(self, call, caller, snapshot, account)
        with self._noting(reception, account):
            received = await reception.receive(request, envelope)
        with received as message, self._noting(reception, account):
            account.clock.mark("receive")
            admitted = await self._admit(reception, message, envelope, account)
            async with self._ask(admitted, account) as reply:
                account.clock.mark("system")
                return await self._answer(request, admitted, reply, dialect, account)

    @asynccontextmanager
    async def _ask(self, admitted: Admitted, account: Account) -> AsyncIterator[Reply]:
        """Let the service answer: a system's, or the node's own."""
        call, service = admitted.call, admitted.service
        if isinstance(service, Service):
            asking = call.ask(self.systems, service, admitted.message, account, admitted.allowance)
            async with asking as reply:
                yield reply
            return
        account.request_out = account.request_in
        asked = replace(call.built_in(admitted.snapshot), body=_rest_body_of(admitted))
        answer = await service.answer(asked)
        if isinstance(answer, RestAnswer):
            account.status = answer.status
        yield call.reply(answer, admitted.message)

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
        reception: Reception,
        message: ReceivedMessage,
        envelope: RequestEnvelope,
        account: Account,
    ) -> Admitted:
        """Access, signature, log, in the order of the reference server."""
        signer, call = reception.signer, reception.call
        if signer is None:
            raise AssertionError("a complete message has had its head judged")
        request = call.request
        snapshot = self.snapshots.take()  # rights may have gone while the message came slowly
        reception.judge_sender(message, snapshot)
        decided = reception.decide_access(snapshot)
        if isinstance(decided, Decision) and decided.rule.terms != NO_TERMS:
            snapshot, decided = await self._decide_anew(reception)
        service = decided.service if isinstance(decided, Decision) else decided
        account.service_type = service.type
        if isinstance(service, Service):
            account.rest_path = call.covering_path(snapshot, service)
        signature = self.evidence.judge(message, request.client, snapshot.conf)
        account.clock.mark("verify")
        peer = str(account.peer)
        await self.evidence.keep_request(request, message, signature, peer)
        account.clock.mark("log")
        allowance = None
        if isinstance(decided, Decision):
            allowance = await self._allow(reception, message, decided, snapshot, peer)
        form = _form(envelope)
        return Admitted(call, message, service, snapshot, signer, form, peer, allowance)

    async def _decide_anew(
        self, reception: Reception
    ) -> tuple[Snapshot, Decision | BuiltInService]:
        """Judge a call under terms by the rights as they are this moment (decisions/0115)."""
        if self.once is None:
            service = reception.call.request.service
            raise AccessDenied(f"Request is not allowed: {service}")
        await self.once.refresh()
        snapshot = self.snapshots.take()
        return snapshot, reception.decide_access(snapshot)

    async def _allow(
        self,
        reception: Reception,
        message: ReceivedMessage,
        decision: Decision,
        snapshot: Snapshot,
        peer: str,
    ) -> Allowance | None:
        """What the call may have of its answer; None when that is nobody's concern."""
        call = reception.call
        if self.once is None or not self.once.concerns(decision, call.intent):
            return None
        reception.decision = decision
        return await self.once.admit(call.asked(message, peer, snapshot), decision)

    @contextmanager
    def _noting(self, reception: Reception, account: Account) -> Iterator[None]:
        """Remember a refusal, while the message is still there."""
        try:
            yield
        except AccessDenied as error:
            self._note_refusal(reception, error, account)
            raise

    def _note_refusal(self, reception: Reception, error: AccessDenied, account: Account) -> None:
        """Tell the operator all of a refusal, and remember it."""
        if isinstance(error, TermsNotMet):
            account.detail = error.detail
        snapshot, decision = reception.snapshot, reception.decision
        hosted = snapshot.services.service(reception.call.request.service)
        if self.once is None or hosted is None:
            return
        if not isinstance(error, TermsNotMet) and not hosted.mapping.endpoints:
            return
        asked = reception.call.asked(reception.message, str(account.peer), snapshot)
        self.once.refused(asked, error, None if decision is None else decision.rule)

    async def _answer(
        self,
        request: web.BaseRequest,
        admitted: Admitted,
        reply: Reply,
        dialect: Dialect,
        account: Account,
    ) -> web.StreamResponse:
        """Sign, log and stream what the service answered."""
        with self.spool.body() as store:
            outgoing = self._outgoing(admitted, reply, store, account)
            greeting = self._greet(request, admitted, account)
            try:
                response = await _stream(request, outgoing, reply, dialect, account, greeting)
            finally:
                if not outgoing.complete and account.response_out is not None:
                    self._note_broken_off(admitted.allowance)
            account.clock.mark("send")
            return response

    def _note_broken_off(self, allowance: Allowance | None) -> None:
        """Remember what an answer gave that began to leave and will never be in the log."""
        use = None if allowance is None else allowance.data_use(self.evidence.clock())
        if self.once is not None and use is not None:
            self.once.broken_off(use)

    def _greet(self, request: web.BaseRequest, admitted: Admitted, account: Account) -> Headers:
        """What the answer says to a node of our kind, besides what it says to everybody."""
        if self.met is None or account.peer is None or not greets(request.headers.items()):
            return ()
        asked = admitted.call.request
        self.met(account.peer, asked.client, asked.service)
        return (GREETING,)

    def _outgoing(
        self, admitted: Admitted, reply: Reply, store: SpooledBody, account: Account
    ) -> OutgoingMessage:
        async def sign(parts: Sequence[PartDigest]) -> SignatureFiles:
            account.clock.mark("send")
            files = await self.evidence.signing.sign(admitted.signer, parts, admitted.form)
            account.clock.mark("sign")
            return files

        async def log(files: SignatureFiles, bodies: Sequence[Section]) -> None:
            account.response_is(reply.message, bodies)
            allowance = admitted.allowance
            use = None if allowance is None else allowance.data_use(self.evidence.clock())
            await self.evidence.keep_sent(
                LogSide.PROVIDER,
                admitted.call.request,
                response=reply.message,
                files=files,
                bodies=bodies,
                peer=admitted.peer,
                use=use,
            )
            account.clock.mark("log")

        return OutgoingMessage(
            head=reply.head,
            message=reply.message,
            attachments=reply.attachments,
            store=store,
            sign=sign,
            log=log,
            nested=not admitted.call.rest,
            hold=0 if admitted.allowance is None else admitted.allowance.hold,
        )


def _rest_body_of(admitted: Admitted) -> Section | None:
    message = admitted.message
    return message.attachments[0].body if message.rest and message.attachments else None


def _form(envelope: RequestEnvelope) -> SignatureForm:
    """References, unless the consumer's server is too old to read them."""
    version = Version.find(envelope.proxy_version)
    old = version is not None and version < _REFERENCES_SINCE
    return SignatureForm.HASH_CHAIN if old else SignatureForm.REFERENCES


async def _stream(
    request: web.BaseRequest,
    outgoing: OutgoingMessage,
    reply: Reply,
    dialect: Dialect,
    account: Account,
    greeting: Headers,
) -> web.StreamResponse:
    """Send the answer; a failure after its beginning stands where the signature would."""
    pieces = outgoing.pieces()
    first = await anext(pieces)  # a message without attachments is signed and logged by now
    headers = build_response_headers(outgoing.content_type, reply.original_content_type)
    response = ExactResponse(status=200, headers=dict((*headers, *greeting)))
    account.response_out = now_ms()
    if account.response_in is None:  # of a service of the node itself
        account.response_in = account.response_out
    await response.prepare(request)
    await response.write(first)
    try:
        async for piece in pieces:
            await response.write(piece)
    except Exception as error:  # noqa: BLE001 - the edge, after the answer began
        failure: Failure = failure_of(error, Side.PROVIDER, dialect)
        account.failure = failure
        await response.write(outgoing.fault_in_place_of_signature(failure.xml))
    await response.write_eof()
    return response
