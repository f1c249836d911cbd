"""A peer that misbehaves: it has a registered node's real keys, and speaks to other nodes itself.

What it sends is right in everything but the one thing that it is asked to do wrong, so a refusal
has that one reason.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from node.body import Section
from node.exchange.attachments import MESSAGE_PART, AttachmentHead
from node.exchange.received import ReceivedMessage, receive
from node.exchange.sending import OutgoingMessage
from node.exchange.signer import SignatureFiles, SignatureForm, sign_parts
from node.messages import mediatype
from node.messages.envelope import ResponseEnvelope, build_request_headers
from node.messages.fault import Fault
from node.messages.rest import RestRequestHead
from node.messages.transport import Direction
from node.messages.transport_reader import TransportReader
from node.network.answer import Limits
from node.network.http_head import OutboundRequest
from node.network.outbound import Timeouts
from node.network.pool import Destination, open_connection
from node.network.tls import TlsIdentity, peer_client
from node.spool import Spool
from scripts.ecosystem.institutions import BENEFITS, INSTANCE, PEOPLE
from trust.digests import sha512
from trust.evidence.hashchain import PartDigest
from trust.globalconf import GlobalConf
from trust.ids import ServerId
from trust.pki.identities import (
    AuthIdentity,
    SignIdentity,
    choose_auth_identity,
    choose_sign_identity,
)
from trust.pki.keys import generate_key
from trust.pki.keystore import KeyStore
from trust.pki.ocspcache import OcspCache

_PATIENCE = timedelta(seconds=20)
_BODY = 1 << 20


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A REST request without body, with its signature; may be sent any number of times."""

    head: RestRequestHead
    files: SignatureFiles


@dataclass(frozen=True, slots=True)
class Rogue:
    """The keys of one node, and another node to send to.

    Attributes:
        folder: for the bodies of answers; must exist.
    """

    auth: AuthIdentity
    signer: SignIdentity
    host: str
    port: int
    folder: Path

    @classmethod
    def with_keys_of(
        cls,
        server: ServerId,
        keys: KeyStore,
        ocsp: OcspCache,
        conf: GlobalConf,
        victim: tuple[str, int],
        folder: Path,
    ) -> "Rogue":
        """Take the identities that the node itself would choose now; raises ExchangeError."""
        at = datetime.now(UTC)
        return cls(
            choose_auth_identity(keys.entries, server, conf, ocsp.get, at),
            choose_sign_identity(keys.entries, server.owner, conf, ocsp.get, at),
            *victim,
            folder,
        )

    def request(self, path: str) -> SignedRequest:
        """A good request of the municipality to the Civil Registry's service."""
        return self._signed(self._head(path), self.signer)

    def forged_request(self, path: str) -> SignedRequest:
        """A request with the municipality's certificate, signed by a key that it doesn't have."""
        stranger = generate_key("p256")
        return self._signed(self._head(path), replace(self.signer, key=stranger))

    async def send(self, request: SignedRequest) -> Fault | None:
        """Send a request over a connection of its own; the fault that came back, if one did.

        Raises ExchangeError when no readable answer came.
        """
        chain = self.auth.chain
        tls = peer_client(TlsIdentity.from_key(chain, self.auth.key.private_key))
        connection = await open_connection(
            Destination(self.host, self.port, tls), Limits(), _PATIENCE
        )
        try:
            answer = await connection.exchange(self._http_request(request), Timeouts())
            envelope = ResponseEnvelope.parse(answer.head.headers)
            reader = TransportReader(Direction.RESPONSE, envelope.content_type)
            spool = Spool(self.folder, _BODY, _BODY, 0)
            with await receive(answer.pieces(), reader, spool.body, _no_judgement) as received:
                return None if received.fault is None else received.fault.fault
        finally:
            await connection.finish()
            connection.close()

    def _head(self, path: str) -> RestRequestHead:
        return RestRequestHead.from_http(
            "GET",
            f"/r1/{PEOPLE.path}{path}",
            [(b"X-Road-Client", BENEFITS.path.encode())],
            request_id=str(uuid.uuid4()),
            instance=INSTANCE,
        )

    def _signed(self, head: RestRequestHead, signer: SignIdentity) -> SignedRequest:
        parts = [PartDigest(MESSAGE_PART, sha512(head.raw))]
        files = sign_parts(signer, parts, datetime.now(UTC), SignatureForm.REFERENCES)
        return SignedRequest(head, files)

    def _http_request(self, request: SignedRequest) -> OutboundRequest:

        async def sign(_parts: Sequence[PartDigest]) -> SignatureFiles:
            return request.files

        outgoing = OutgoingMessage(
            head=AttachmentHead(mediatype.REST_REQUEST),
            message=request.head.raw,
            attachments=None,
            store=None,
            sign=sign,
            log=_no_log,
            ocsp_responses=self.auth.ocsp_responses,
        )
        headers = build_request_headers(outgoing.content_type, request.head.request_id, "")
        host = f"{self.host}:{self.port}"
        return OutboundRequest("POST", "/", host, headers, stream=outgoing.pieces())


async def _no_log(_files: SignatureFiles, _bodies: Sequence[Section]) -> None:
    """A rogue keeps no proof of what it does."""


def _no_judgement(_message: ReceivedMessage) -> None:
    """Nor does it judge what it gets."""
