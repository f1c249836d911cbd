"""Messages between nodes, made by hand: right as they stand, until a test changes one thing.

    draft = Draft(REQUEST, ["GET", "/r1/…", "X-Road-Client:…"], signer)
    draft.edit_parts = lambda parts: parts[:-1]     # the signature is missing
    wire = draft.http()

Heads, digests, multipart and HTTP are written here anew, not by the code under test. Only the XML
of signatures and hash chains comes from there; it has tests of its own against other judges.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cryptography import x509

from scripts.issuing import Identity
from tests.raw_http import RawMessage, build_head, chunked
from trust.evidence.hashchain import SIGNATURE_CHAIN_RESULT_NAME, PartDigest, build_hash_chains
from trust.evidence.signature import build_signature

OCSP = "application/ocsp-response"
REQUEST = "application/x-road-rest-request"
RESPONSE = "application/x-road-rest-response"
BODY = "application/x-road-rest-body"
CHAIN_RESULT = "application/hash-chain-result"
CHAIN = "application/hash-chain"
SIGNATURE = "signature/bdoc-1.0/ts"
MESSAGE_NAME = "/message.xml"
BODY_NAME = "/attachment1"


SOAP = "text/xml; charset=UTF-8"


@dataclass(frozen=True)
class Part:
    """A part of a multipart message; one without content type has another field instead."""

    content_type: str | None
    data: bytes
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def header(self) -> bytes:
        first = "x-none: 1" if self.content_type is None else f"content-type: {self.content_type}"
        lines = [first, *(f"{name}: {value}" for name, value in self.fields)]
        return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


Parts = list[Part]
Digests = list[PartDigest]


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def request_hash(head: bytes, body: bytes | None) -> bytes:
    return sha512(head) if body is None else sha512(sha512(head) + sha512(body))


@dataclass
class Draft:
    """A message that is about to be sent.

    Attributes:
        kind: content type of the message part.
        lines: of the REST head, without their ends.
        envelope: the SOAP message instead.
        attachments: of the SOAP message.
        sender: shows its certificate in TLS; None for an answer.
        ocsp: the responses in front of a request.
        signed_ocsp: the responses inside the signature.
        embedded: CA certificates inside the signature.
        signed_at: what the signature gives as its time; None for now.
        chained: sign through a hash chain, not by references.
        beside: other messages that the same hash chains lead to.
        proven: the parts that carry the signature, when it was made already.
        headers: HTTP headers besides the content type and the framing.
        edit_digests: what the signature (or its hash chain) covers.
        edit_signature: the signature's XML.
        edit_parts: all parts, signature included, in the order in which they leave.
        edit_bytes: the multipart body.
    """

    kind: str
    lines: list[str]
    signer: Identity
    signed_ocsp: list[bytes] = field(default_factory=list)
    body: bytes | None = None
    sender: Identity | None = None
    ocsp: list[bytes] = field(default_factory=list)
    embedded: Sequence[x509.Certificate] = ()
    signed_at: datetime | None = None
    chained: bool = False
    beside: list[Digests] = field(default_factory=list)
    proven: Parts = field(default_factory=list)
    start: str = "POST / HTTP/1.1"
    headers: dict[str, str] = field(default_factory=dict)
    boundary: str = "xtopAbCdEfGhIjKlMnOpQrStUvWxYzAbCd"
    content_type: str | None = "multipart/mixed; charset=UTF-8; boundary={boundary}"
    framing: str = "chunked"  # or length, or close
    envelope: bytes | None = None
    attachments: Sequence[Part] = ()
    edit_digests: Callable[[Digests], Digests] = lambda digests: digests
    edit_signature: Callable[[bytes], bytes] = lambda document: document
    edit_parts: Callable[[Parts], Parts] = lambda parts: parts
    edit_bytes: Callable[[bytes], bytes] = lambda data: data

    @property
    def head(self) -> bytes:
        if self.envelope is not None:
            return self.envelope
        return "".join(f"{line}\r\n" for line in self.lines).encode()

    @property
    def payload(self) -> bytes:
        """What the signature knows as the first attachment; empty without one."""
        return self.attachments[0].data if self.attachments else self.body or b""

    def set_header(self, name: str, value: str | None) -> None:
        """Give a header of the REST head another value; None removes it."""
        wanted = name.lower() + ":"
        at = next(i for i, line in enumerate(self.lines) if line.lower().startswith(wanted))
        self.lines[at : at + 1] = [] if value is None else [f"{name}:{value}"]

    def parts(self) -> Parts:
        found = [Part(OCSP, one) for one in self.ocsp]
        found.append(Part(self.kind, self.head))
        if self.body is not None:
            found.append(Part(BODY, self.body))
        if self.attachments:
            found.append(nested(self.attachments, self.boundary.replace("xtop", "xatt")))
        return self.edit_parts([*found, *(self.proven or self.proof())])

    def digests(self) -> Digests:
        """What the signature is to cover."""
        digests = [PartDigest.of(MESSAGE_NAME, self.head)]
        if self.body is not None:
            digests.append(PartDigest.of(BODY_NAME, self.body))
        for number, part in enumerate(self.attachments, start=1):
            digests.append(PartDigest.of(f"/attachment{number}", part.data))
        return self.edit_digests(digests)

    def proof(self) -> Parts:
        """The parts that carry the signature."""
        digests = self.digests()
        found: Parts = []
        if self.chained:
            chains = build_hash_chains([digests, *self.beside], algorithm=digests[0].algorithm)
            found = [Part(CHAIN_RESULT, chains.result), Part(CHAIN, chains.chains[0])]
            digests = [PartDigest.of(SIGNATURE_CHAIN_RESULT_NAME, chains.result)]
        document = build_signature(
            digests,
            certificate=self.signer.certificate,
            intermediates=self.embedded,
            ocsp_responses=self.signed_ocsp,
            key=self.signer.key,
            at=self.signed_at or datetime.now(UTC),
        )
        return [*found, Part(SIGNATURE, self.edit_signature(document))]

    def multipart(self) -> bytes:
        return self.edit_bytes(joined(self.parts(), self.boundary))

    def http(self) -> bytes:
        """Everything that goes on the wire."""
        body = self.multipart()
        headers = list(self.headers.items())
        if self.content_type is not None:
            headers.append(("Content-Type", self.content_type.format(boundary=self.boundary)))
        if self.framing == "chunked":
            headers.append(("Transfer-Encoding", "chunked"))
            body = chunked(*(body[i : i + 9000] for i in range(0, len(body), 9000)))
        elif self.framing == "length":
            headers.append(("Content-Length", str(len(body))))
        return build_head(self.start, headers) + body


def sign_together(drafts: Sequence[Draft]) -> None:
    """Let the first draft's signer sign all of them with one signature, as they stand now."""
    first = drafts[0]
    chains = build_hash_chains([draft.digests() for draft in drafts])
    root = replace(first, edit_digests=lambda _: [
        PartDigest.of(SIGNATURE_CHAIN_RESULT_NAME, chains.result)])  # fmt: skip
    signature = root.proof()[-1]
    for draft, chain in zip(drafts, chains.chains, strict=True):
        draft.proven = [Part(CHAIN_RESULT, chains.result), Part(CHAIN, chain), signature]


def joined(parts: Iterable[Part], boundary: str) -> bytes:
    """A multipart body."""
    delimiter = b"--" + boundary.encode()
    found = b"".join(delimiter + b"\r\n" + part.header + part.data + b"\r\n" for part in parts)
    return found + delimiter + b"--\r\n"


def nested(attachments: Iterable[Part], boundary: str) -> Part:
    """The part that holds the attachments of a SOAP message."""
    content_type = f"multipart/mixed; charset=UTF-8; boundary={boundary}"
    return Part(content_type, b"\r\n" + joined(attachments, boundary))


def split_parts(message: RawMessage) -> Parts:
    """The parts of a multipart message as they stand; its closing delimiter must be there."""
    return _split(message.body, message.first("content-type") or "")


def split_attachments(part: Part) -> Parts:
    """The attachments in the part that holds them, as X-Road writes it."""
    assert part.data.startswith(b"\r\n--xatt"), part.data[:40]
    return _split(part.data[2:], part.content_type or "")


def _split(body: bytes, content_type: str) -> Parts:
    found = re.search(r"boundary=([A-Za-z]+)", content_type)
    assert found is not None, content_type
    delimiter = b"--" + found[1].encode()
    assert body.startswith(delimiter), body[:100]
    assert body.endswith(b"\r\n" + delimiter + b"--\r\n"), body[-100:]
    inner = body.removesuffix(b"\r\n" + delimiter + b"--\r\n")
    pieces = inner.removeprefix(delimiter + b"\r\n").split(b"\r\n" + delimiter + b"\r\n")
    return [_part(piece) for piece in pieces]


def _part(piece: bytes) -> Part:
    head, empty, data = piece.partition(b"\r\n\r\n")
    assert empty
    lines = [line.partition(": ") for line in head.decode().split("\r\n")]
    (first, _, content_type), *others = lines
    assert first == "content-type"
    return Part(content_type, data, tuple((name, value) for name, _, value in others))


def text_of(xml: bytes, element: str) -> str:
    """The text of the only element of that name in a fault; it has no attributes there."""
    found = re.findall(rb"<%b(?: [^>]*)?>([^<]*)</%b>" % (element.encode(), element.encode()), xml)
    assert len(found) == 1, xml
    return str(found[0].decode())


def encoded(data: bytes) -> bytes:
    return base64.b64encode(data)
