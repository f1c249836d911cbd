"""REST messages: the heads that are signed, sent and logged.

    VERB CRLF                              STATUS CRLF
    /r1/…path[?query] CRLF                 REASON CRLF
    *( Name:Value CRLF )                   *( Name:Value CRLF )

UTF-8, every line ends with CRLF, no space after the colon, no blank line. Only this canonical form
is taken: an X-Road provider hashes the request after writing it anew, so its consumers always send
it, and where two servers would read different lines (a lone CR ends one in Java) there is none.

Source: transport.md 9, 19 row 24; messages.md 5; X-Road 7.8 RestMessage.java, RestRequest.java,
RestResponse.java, UriUtils.java.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from catalog.paths import ServicePath
from node.messages.represented_party import RepresentedParty
from trust.digests import sha512
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId, decode_segment

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
METHODS_WITH_BODY = frozenset({"PATCH", "POST", "PUT"})  # others reach the service without one
DROPPED_HEADERS = frozenset(
    {
        "transfer-encoding", "keep-alive", "proxy-authenticate", "proxy-authorization", "te",
        "trailer", "upgrade", "connection", "user-agent", "host", "content-length", "server",
        "expect",
    }
)  # fmt: skip
MAX_HEAD_BYTES = 256 * 1024
MAX_HEADERS = 1000
MAX_ID_LENGTH = 255  # characters; so wide are the columns of the reference server's log

CLIENT = "x-road-client"
SERVICE = "x-road-service"
MESSAGE_ID = "x-road-id"
REQUEST_ID = "x-road-request-id"
REQUEST_HASH = "x-road-request-hash"
USER_ID = "x-road-userid"
ISSUE = "x-road-issue"
SECURITY_SERVER = "x-road-security-server"
REPRESENTED_PARTY = "x-road-represented-party"

_SAID_ONCE = frozenset(
    {CLIENT, MESSAGE_ID, REQUEST_ID, USER_ID, SECURITY_SERVER, REPRESENTED_PARTY}
)

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(
    r"((?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*)"
    r"(?:\?((?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]]|%[0-9A-Fa-f]{2})*))?"
)
_STATUS = re.compile(r"[2-9][0-9]{2}")  # an interim answer (1xx) is never the answer

Headers = tuple[tuple[str, str], ...]
RawHeaders = Iterable[tuple[bytes, bytes]]


def _malformed(text: str) -> MalformedMessage:
    return MalformedMessage(text, "internal_error")


@dataclass(frozen=True, slots=True)
class RestRequestHead:
    """Method, target and headers of a REST request: the part the signature covers.

    Attributes:
        raw: what is signed, hashed and logged; all else is read from it and never written back.
        path, query: percent-encoded as received; query is None without `?`, else may be empty.
        headers: in order, spelling kept, repeats kept; all of them go to the provider's system.
        service_path: what follows the service code, as received: empty, or from its slash on.
        message_id: `X-Road-Id`, the consumer's own.
        request_id: the consumer node's id of the exchange.
    """

    raw: bytes
    method: str
    path: str
    query: str | None
    headers: Headers
    client: ClientId
    service: ServiceId
    service_path: str
    message_id: str
    request_id: str
    user_id: str | None
    issue: str | None
    security_server: ServerId | None
    represented_party: RepresentedParty | None

    @classmethod
    def from_http(
        cls,
        method: str,
        raw_target: str,
        headers: RawHeaders,
        *,
        request_id: str,
        instance: str,
        message_id: str | None = None,
    ) -> Self:
        """Make the head of what an information system sent.

        Header values that are not UTF-8 are read as ISO-8859-1; on the wire and at the provider's
        system they are UTF-8.

        Args:
            raw_target: path and query as received, nothing decoded.
            headers: raw, as they came.
            request_id: a fresh UUID.
            instance: our own; begins the message id that is made when the caller sent none.
            message_id: the UUID part of that id; the request id when None.

        Raises:
            MalformedMessage: `internal_error`, or `invalid_client_identifier` without a client.
        """
        kept = _last_ones(_kept(headers, {REQUEST_ID, REQUEST_HASH}))
        kept.append((REQUEST_ID, request_id))
        if not any(name.lower() == MESSAGE_ID for name, _ in kept):
            kept.append((MESSAGE_ID, f"{instance}-{message_id or request_id}"))
        return cls.parse(_build((method, raw_target), kept))

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a head from an `application/x-road-rest-request` part, or raise MalformedMessage.

        The code is `internal_error`, as X-Road has it; `invalid_client_identifier` when no client
        is named.
        """
        method, target, headers = _lines(raw, "REST request")
        if method not in METHODS:
            raise _malformed(f"Unknown request method {method[:20]!r}")
        match = _TARGET.fullmatch(target)
        if match is None:
            raise _malformed("Invalid request URI")
        path, query = match.groups()
        service, service_path = _read_path(path)
        named = _named_once(headers)
        if CLIENT not in named:
            raise MalformedMessage("The client identifier is missing", "invalid_client_identifier")
        server = named.get(SECURITY_SERVER)
        party = named.get(REPRESENTED_PARTY)
        return cls(
            raw=raw,
            method=method,
            path=path,
            query=query,
            headers=headers,
            client=ClientId.from_header(named[CLIENT]),
            service=service,
            service_path=service_path,
            message_id=_identifier(named, MESSAGE_ID),
            request_id=_request_id(headers),
            user_id=named.get(USER_ID),
            issue=named.get(ISSUE),
            security_server=None if server is None else ServerId.from_header(server),
            represented_party=None if party is None else RepresentedParty.from_header(party),
        )

    @property
    def provider(self) -> ClientId:
        return self.service.provider

    @property
    def target(self) -> str:
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def content_type(self) -> str:
        """What the information system sent, empty when it sent none."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")

    def normalised_path(self) -> ServicePath:
        """The service path as access rights are judged on it."""
        return ServicePath.parse(self.service_path)


@dataclass(frozen=True, slots=True)
class RestResponseHead:
    """Status and headers of a REST response.

    Identifiers other than the message id and the hash are None when missing; the consumer's
    comparison with the request then fails.
    """

    raw: bytes
    status: int
    reason: str
    headers: Headers
    message_id: str
    request_hash: bytes
    client: ClientId | None
    service: ServiceId | None
    request_id: str | None

    @classmethod
    def build(
        cls,
        status: int,
        reason: str | None,
        headers: RawHeaders,
        request: RestRequestHead,
        request_hash: bytes,
    ) -> Self:
        """Make the head of what the provider's system answered.

        A service's own `x-road-service` stays, as X-Road leaves it; ours comes later and wins.
        """
        kept = _kept(headers, {MESSAGE_ID, REQUEST_HASH, CLIENT, REQUEST_ID})
        kept += [
            (MESSAGE_ID, request.message_id),
            (CLIENT, request.client.path),
            (SERVICE, request.service.path),
            (REQUEST_ID, request.request_id),
            (REQUEST_HASH, base64.b64encode(request_hash).decode()),
        ]
        return cls.parse(_build((str(status), reason or ""), kept))

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a head from an `application/x-road-rest-response` part, or raise MalformedMessage.

        The code is `internal_error`, as X-Road has it.
        """
        status, reason, headers = _lines(raw, "REST response")
        if not _STATUS.fullmatch(status) or _CONTROL.search(reason):
            raise _malformed("Invalid REST Response message")
        named = {name.lower(): value for name, value in headers}
        client = named.get(CLIENT)
        service = named.get(SERVICE)
        if not named.get(MESSAGE_ID):
            raise _malformed("Invalid REST Response message")
        return cls(
            raw=raw,
            status=int(status),
            reason=reason,
            headers=headers,
            message_id=_identifier(named, MESSAGE_ID),
            request_hash=_decode_hash(named.get(REQUEST_HASH, "")),
            client=None if client is None else ClientId.from_header(client),
            service=None if service is None else _service(service),
            request_id=named.get(REQUEST_ID),
        )


def request_hash(head: bytes, body_digest: bytes | None) -> bytes:
    """The hash that ties an answer to its request: SHA-512, 64 bytes.

    Args:
        head: the raw request head.
        body_digest: SHA-512 of the body; None when the message has no body part.
    """
    digest = sha512(head)
    return digest if body_digest is None else sha512(digest + body_digest)


def _kept(headers: RawHeaders, more: set[str]) -> list[tuple[str, str]]:
    """The headers that travel: without the drop list and without `more`, all in lower case."""
    dropped = DROPPED_HEADERS | more
    texts = ((name.decode("latin-1"), _text(value)) for name, value in headers)
    return [(name, value) for name, value in texts if name.lower() not in dropped]


def _last_ones(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without repeats of a header that says who asks or for what: the last one counts."""
    found: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, value in reversed(headers):
        spelled = name.lower()
        if spelled in _SAID_ONCE and spelled in seen:
            continue
        seen.add(spelled)
        found.append((name, value))
    return found[::-1]


def _named_once(headers: Headers) -> dict[str, str]:
    """Values by lower-case name; who asks and for what may be said only once.

    All headers go to the provider's system, which may take the first of two where we judged the
    last, and may read `X_Road_Client` as `X-Road-Client`. X-Road lets both through.
    """
    named: dict[str, str] = {}
    for name, value in headers:
        spelled = name.lower()
        known = spelled.replace("_", "-")
        if known in _SAID_ONCE and (known in named or spelled != known):
            raise _malformed(f"The header {known} must be there once and spelled like that")
        named[spelled] = value
    return named


def _text(value: bytes) -> str:
    value = value.strip(b" \t")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _build(first: tuple[str, str], headers: list[tuple[str, str]]) -> bytes:
    """Write a head; a line end inside a value is refused, for it would add a line."""
    lines = [*first, *(f"{name}:{value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise _malformed("Invalid header")
    try:
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8")
    except UnicodeEncodeError as error:  # a target of an HTTP library that smuggles raw bytes
        raise _malformed("Invalid request URI") from error


def _lines(raw: bytes, what: str) -> tuple[str, str, Headers]:
    """Split a head into its first two lines and its headers; refuses other than canonical form."""
    if len(raw) > MAX_HEAD_BYTES:
        raise _malformed(f"The {what} head is larger than {MAX_HEAD_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"The {what} head is not UTF-8") from error
    *lines, last = text.split("\r\n")
    if last or len(lines) < 2 or any("\r" in line or "\n" in line for line in lines):
        raise _malformed(f"The {what} head does not consist of lines that end with CRLF")
    if len(lines) > MAX_HEADERS + 2:
        raise _malformed(f"The {what} has more than {MAX_HEADERS} headers")
    return lines[0], lines[1], tuple(_header(line) for line in lines[2:])


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name) or _CONTROL.search(value):
        raise _malformed("Invalid header")
    if name.lower() in DROPPED_HEADERS:
        raise _malformed(f"Invalid header: {name}")
    return name, value


def _read_path(path: str) -> tuple[ServiceId, str]:
    """Split `/r1/` and the five parts of a service from what follows them."""
    parts = path.split("/", 7)
    if len(parts) < 7 or parts[0]:
        raise _malformed("Invalid request URI")
    if parts[1] != "r1":
        raise _malformed(f"Invalid protocol version {parts[1][:20]}")
    instance, member_class, code, subsystem, service = map(decode_segment, parts[2:7])
    provider = ClientId(instance, member_class, code, subsystem)
    return ServiceId(provider, service), f"/{parts[7]}" if len(parts) == 8 else ""


def _service(value: str) -> ServiceId:
    if value.count("/") != 4:
        raise _malformed("Invalid Service Id")
    return ServiceId.from_header(value)


def _identifier(named: dict[str, str], name: str) -> str:
    value = named.get(name, "")
    if not value.strip() or len(value) > MAX_ID_LENGTH:
        raise _malformed(f"'{name}' must have 1 to {MAX_ID_LENGTH} characters")
    return value


def _request_id(headers: Headers) -> str:
    """The exchange's id: X-Road reads this one name only in exactly this lower case."""
    return _identifier(dict(headers), REQUEST_ID)


def _decode_hash(value: str) -> bytes:
    try:
        found = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("Invalid REST Response message") from error
    if not found:
        raise _malformed("Invalid REST Response message")
    return found
