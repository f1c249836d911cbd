"""A registered node that misbehaves on request, in both roles, over real sockets and TLS.

    rogue = RogueConsumer(pki, muni, address)           # calls a real provider's node
    draft = rogue.draft("POST", f"/r1/{SERVICE.path}", b"{}")
    draft.ocsp = []                                     # one thing is wrong
    answer = await rogue.send(draft)                    # RawMessage, or None: nothing came

    async with RogueProvider(pki, civil).listening() as rogue:     # is called by a real node
        rogue.answer = lambda asked: replace(asked.response(), framing="close").http()

Its keys and certificates are those that the instance registered; `LivePki` makes others of the same
authority, and OCSP responses of every kind.
"""

import asyncio
import base64
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from node.network.tls import TlsIdentity, TlsListener, peer_client, peers_listener
from scripts.authority import TestAuthority
from scripts.issuing import Identity
from tests.drafts import (
    BODY,
    REQUEST,
    RESPONSE,
    SOAP,
    Draft,
    Part,
    Parts,
    request_hash,
    sha512,
    split_parts,
    text_of,
)
from tests.instance import NAME, Instance, NodeUnderTest
from tests.pki import Pki
from tests.raw_http import PATIENCE, RawMessage, ask, build_head, connected, read_message
from tests.soap_messages import answer_to
from trust.ids import ClientId
from trust.pki.keys import KeyUse


@dataclass
class LivePki(Pki):
    """What the instance's own authority could issue, now or wrongly dated."""

    source: TestAuthority | None = None

    @classmethod
    def of(cls, instance: Instance) -> "LivePki":
        now = datetime.now(UTC).replace(microsecond=0)
        authority = instance.authority
        below = authority.issuing != authority.root
        return cls(now, NAME, intermediate=below, source=authority)

    def __post_init__(self) -> None:
        assert self.source is not None
        self.root, self.authority = self.source.root, self.source.issuing
        self.responder, self.tsa = self.source.responder, self.source.tsa
        self.stranger = self.certify("Stranger CA", "ca", issuer=None)


def identity_of(member: NodeUnderTest, use: KeyUse) -> Identity:
    """What the instance certified for a node."""
    entry = next(entry for entry in member.keys.entries if entry.use == use)
    assert entry.certificate is not None
    return Identity(entry.certificate, entry.key)


def tls_identity(shown: Identity, *above: Identity) -> TlsIdentity:
    chain = (shown.certificate, *(one.certificate for one in above))
    return TlsIdentity.from_key(chain, shown.key.private_key)


@dataclass
class RogueConsumer:
    """A consumer's node whose messages a test writes itself."""

    pki: LivePki
    member: NodeUnderTest
    host: str
    port: int
    auth: Identity = field(init=False)
    signer: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.auth = identity_of(self.member, "auth")
        self.signer = identity_of(self.member, "sign")

    def draft(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        client: ClientId | None = None,
    ) -> Draft:
        """A request as an X-Road 7.8 server would send it."""
        exchange = str(uuid.uuid4())
        return Draft(
            REQUEST,
            [
                method,
                target,
                f"X-Road-Client:{(client or self.member.client).path}",
                f"X-Road-Id:{uuid.uuid4()}",
                "Accept:*/*",
                f"x-road-request-id:{exchange}",
            ],
            self.signer,
            [self.pki.ocsp(self.signer.certificate)],
            body,
            self.auth,
            [self.pki.ocsp(self.auth.certificate)],
            headers={
                "Host": "localhost:5500",
                "x-hash-algorithm": "SHA-512",
                "x-proxy-version": "7.8.0",
                "x-original-content-type": "",
                "x-road-request-id": exchange,
                "x-road-message-type": "REST",
            },
        )

    def soap_draft(
        self,
        envelope: bytes,
        attachments: Sequence[Part] = (),
        *,
        original: str | None = None,
    ) -> Draft:
        """A SOAP request as an X-Road 7.8 server would send it.

        Args:
            original: what the system called its message.
        """
        exchange = str(uuid.uuid4())
        packed = 'multipart/related; type="text/xml"; boundary="=_b:1"'
        return Draft(
            SOAP,
            [],
            self.signer,
            [self.pki.ocsp(self.signer.certificate)],
            envelope=envelope,
            attachments=attachments,
            sender=self.auth,
            ocsp=[self.pki.ocsp(self.auth.certificate)],
            headers={
                "Host": "localhost:5500",
                "x-hash-algorithm": "SHA-512",
                "x-proxy-version": "7.8.0",
                "x-original-content-type": original or (packed if attachments else SOAP),
                "x-original-soapaction": '""',
                "x-road-request-id": exchange,
            },
        )

    async def send(self, draft: Draft, *, shown: TlsIdentity | None = None) -> RawMessage | None:
        """Send it over a new connection; None when that ends without an answer."""
        return await self.send_bytes(draft.http(), shown=shown)

    async def send_bytes(
        self, wire: bytes, *, shown: TlsIdentity | None = None
    ) -> RawMessage | None:
        context = peer_client(shown or tls_identity(self.auth))
        with contextlib.suppress(ConnectionError):
            return await ask(self.host, self.port, wire, tls=context)
        return None

    @asynccontextmanager
    async def connected(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection of its own, for those who do not send everything at once."""
        context = peer_client(tls_identity(self.auth))
        async with asyncio.timeout(PATIENCE), connected(self.host, self.port, context) as both:
            yield both


def exchange_id_of(draft: Draft) -> str:
    return draft.headers["x-road-request-id"]


def fault_code(answer: RawMessage | None) -> str:
    """The code of a fault, alone or as a part, after a look at its form."""
    assert answer is not None, "the connection ended without an answer"
    assert answer.status == 200
    assert answer.ended
    if answer.first("content-type") == "text/xml; charset=utf-8":
        assert answer.first("soapaction") == ""
        return text_of(answer.body, "faultcode")
    last = split_parts(answer)[-1]
    assert last.content_type == "text/xml; charset=UTF-8"
    return text_of(last.data, "faultcode")


@dataclass
class Asked:
    """A request that a node under test sent."""

    http: RawMessage
    parts: Parts
    rogue: "RogueProvider"

    @property
    def soap(self) -> bool:
        return all(part.content_type != REQUEST for part in self.parts)

    @property
    def head(self) -> bytes:
        kind = SOAP if self.soap else REQUEST
        return next(part.data for part in self.parts if part.content_type == kind)

    @property
    def body(self) -> bytes | None:
        return next((part.data for part in self.parts if part.content_type == BODY), None)

    def header(self, name: str) -> str:
        lines = self.head.decode().split("\r\n")[2:]
        found = [line.partition(":")[2] for line in lines if line.lower().startswith(f"{name}:")]
        return found[-1]

    def response(self, body: bytes | None = b'{"id":7}', status: int = 200) -> Draft:
        """The right answer."""
        rogue = self.rogue
        target = self.head.split(b"\r\n")[1].decode()
        service = "/".join(target.partition("?")[0].split("/")[2:7])
        hashed = request_hash(self.head, self.body)
        return Draft(
            RESPONSE,
            [
                str(status),
                "OK",
                "Content-Type:application/json",
                f"x-road-id:{self.header('x-road-id')}",
                f"x-road-client:{self.header('x-road-client')}",
                f"x-road-service:{service}",
                f"x-road-request-id:{self.header('x-road-request-id')}",
                f"x-road-request-hash:{base64.b64encode(hashed).decode()}",
            ],
            rogue.signer,
            [rogue.pki.ocsp(rogue.signer.certificate)],
            body,
            start="HTTP/1.1 200 OK",
            headers={"x-hash-algorithm": "SHA-512", "Connection": "close"},
        )

    def soap_response(self, attachments: Sequence[Part] = ()) -> Draft:
        """The right answer to an `Envelope`."""
        rogue = self.rogue
        hashed = base64.b64encode(sha512(self.head)).decode()
        element = (
            '<xro:requestHash algorithmId="http://www.w3.org/2001/04/xmlenc#sha512">'
            f"{hashed}</xro:requestHash>"
        )
        answer = self.head.replace(b"</xro:id>", b"</xro:id>" + element.encode())
        answer = answer_to(answer)
        packed = 'multipart/related; type="text/xml"; boundary=answer'
        return Draft(
            SOAP,
            [],
            rogue.signer,
            [rogue.pki.ocsp(rogue.signer.certificate)],
            envelope=answer,
            attachments=attachments,
            start="HTTP/1.1 200 OK",
            headers={
                "x-hash-algorithm": "SHA-512",
                "x-original-content-type": packed if attachments else SOAP,
                "Connection": "close",
            },
        )


Answer = Callable[[Asked], "bytes | Awaitable[bytes]"]
Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def good_answer(asked: Asked) -> bytes:
    return (asked.soap_response() if asked.soap else asked.response()).http()


@dataclass
class RogueProvider:
    """A provider's node that answers what a test says, on the address that is registered for it.

    Attributes:
        answer: what to say to a request that has come whole.
        visit: takes over a whole connection instead, before a byte of it was read.
        ocsp: the responses that its OCSP port hands out.
        ocsp_answer: the whole HTTP answer of that port instead.
        asked: the requests that came whole.
    """

    pki: LivePki
    member: NodeUnderTest
    ports: tuple[int, int]
    answer: Answer = good_answer
    visit: Visit | None = None
    ocsp: Sequence[bytes] = ()
    ocsp_answer: Callable[[], bytes | Awaitable[bytes]] | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    signer: Identity = field(init=False)
    auth: Identity = field(init=False)
    listener: TlsListener = field(init=False)

    def __post_init__(self) -> None:
        self.signer = identity_of(self.member, "sign")
        self.auth = identity_of(self.member, "auth")
        self.listener = peers_listener(None)
        self.reset()

    def reset(self) -> None:
        """Behave again."""
        self.answer, self.visit, self.ocsp_answer = good_answer, None, None
        self.asked.clear()
        self.connections = 0
        self.show(self.auth)

    def show(self, auth: Identity, *above: Identity) -> None:
        """Show a certificate from now on, and have its OCSP responses at hand."""
        self.listener.replace(tls_identity(auth, *above))
        self.ocsp = [self.pki.ocsp(auth.certificate)]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["RogueProvider"]:
        visits: set[asyncio.Task[None]] = set()

        def guarded(visit: Visit) -> Visit:
            async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                visits.add(task)
                try:
                    await visit(reader, writer)
                except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    return
                finally:
                    visits.discard(task)
                    writer.close()

            return run

        host, (port, ocsp_port) = self.member.address, self.ports
        context = self.listener.context
        servers = [
            await asyncio.start_server(
                guarded(self._visit), host, port, ssl=context, limit=1 << 20
            ),
            await asyncio.start_server(guarded(self._tell_ocsp), host, ocsp_port),
        ]
        try:
            yield self
        finally:
            for server in servers:
                server.close()
            for task in visits:
                task.cancel()
            await asyncio.gather(*visits, return_exceptions=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.visit is not None:
            await self.visit(reader, writer)
            return
        while (message := await read_message(reader)) is not None:
            if not message.ended:
                return
            asked = Asked(message, split_parts(message), self)
            self.asked.append(asked)
            said = self.answer(asked)
            answer = said if isinstance(said, bytes) else await said
            writer.write(answer)
            await writer.drain()
            if b"\r\nConnection: close\r\n" in answer:
                return

    async def _tell_ocsp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_message(reader)
        if self.ocsp_answer is not None:
            said = self.ocsp_answer()
            writer.write(said if isinstance(said, bytes) else await said)
        else:
            writer.write(ocsp_http(self.ocsp))
        await writer.drain()


def ocsp_http(responses: Sequence[bytes]) -> bytes:
    """The answer of an OCSP port, framed by its end."""
    parts = (b"--b\r\nContent-Type: application/ocsp-response\r\n\r\n" + one for one in responses)
    body = b"\r\n".join([*parts, b"--b--\r\n"])
    kind = 'multipart/related; type="application/ocsp-response"; charset=UTF-8; boundary=b'
    return build_head("HTTP/1.1 200 OK", [("Content-Type", kind), ("Connection", "close")]) + body
