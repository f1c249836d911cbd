"""The message between two nodes: which parts it has, in what order, and a reader for its stream.

    request   OCSP responses, message, [body or attachments], [chain result], [chain], signature
    response  message, [body or attachments], [chain result], [chain], signature
    either    a SOAP fault in place of the message or of the signature

`advance` is the state machine; the events are what `transport_reader.TransportReader` makes of the
stream.

Source: transport.md 4.3, 19 rows 8 to 14; X-Road 7.8 ProxyMessageDecoder.java.
"""

from dataclasses import dataclass
from enum import Enum, auto

from node.messages import mediatype
from node.messages.fault import Fault
from trust.errors import MalformedMessage


class Direction(Enum):
    REQUEST = "Request"
    RESPONSE = "Response"


class PartKind(Enum):
    """What a part is by its media type alone; XML is a SOAP message or a fault, by its place."""

    OCSP = auto()
    REST_REQUEST = auto()
    REST_RESPONSE = auto()
    XML = auto()
    XOP = auto()
    REST_BODY = auto()
    ATTACHMENTS = auto()
    HASH_CHAIN_RESULT = auto()
    HASH_CHAIN = auto()
    SIGNATURE = auto()
    OTHER = auto()


class State(Enum):
    """How far a message has come: what was read last."""

    BEGUN = auto()  # nothing, or OCSP responses
    REST_READ = auto()
    SOAP_READ = auto()
    PAYLOAD_READ = auto()  # the REST body, or the attachments
    CHAIN_RESULT_READ = auto()
    CHAIN_READ = auto()
    ENDED = auto()  # the signature, or a fault in its place


KINDS = {
    mediatype.OCSP_RESPONSE: PartKind.OCSP,
    mediatype.REST_REQUEST: PartKind.REST_REQUEST,
    mediatype.REST_RESPONSE: PartKind.REST_RESPONSE,
    mediatype.TEXT_XML: PartKind.XML,
    mediatype.XOP_XML: PartKind.XOP,
    mediatype.REST_BODY: PartKind.REST_BODY,
    mediatype.MULTIPART_MIXED: PartKind.ATTACHMENTS,
    mediatype.HASH_CHAIN_RESULT: PartKind.HASH_CHAIN_RESULT,
    mediatype.HASH_CHAIN: PartKind.HASH_CHAIN,
    mediatype.SIGNATURE: PartKind.SIGNATURE,
}

_Table = dict[State, dict[PartKind, State]]

_LAST = {PartKind.SIGNATURE: State.ENDED, PartKind.XML: State.ENDED}
_CHAIN = {PartKind.HASH_CHAIN: State.CHAIN_READ, **_LAST}
_CHAIN_RESULT = {PartKind.HASH_CHAIN_RESULT: State.CHAIN_RESULT_READ, **_CHAIN}
_SOAP = {PartKind.XML: State.SOAP_READ, PartKind.XOP: State.SOAP_READ}
_COMMON: _Table = {
    State.REST_READ: {PartKind.REST_BODY: State.PAYLOAD_READ, **_CHAIN_RESULT},
    State.SOAP_READ: {PartKind.ATTACHMENTS: State.PAYLOAD_READ, **_CHAIN_RESULT},
    State.PAYLOAD_READ: _CHAIN_RESULT,
    State.CHAIN_RESULT_READ: _CHAIN,
    State.CHAIN_READ: _LAST,
    State.ENDED: {},
}
NEXT: dict[Direction, _Table] = {
    Direction.REQUEST: {
        State.BEGUN: {
            PartKind.OCSP: State.BEGUN,
            PartKind.REST_REQUEST: State.REST_READ,
            **_SOAP,
        },
        **_COMMON,
    },
    Direction.RESPONSE: {
        State.BEGUN: {PartKind.REST_RESPONSE: State.REST_READ, **_SOAP},
        **_COMMON,
    },
}


def advance(direction: Direction, state: State, part: PartKind, media_type: str) -> State:
    """The state after a part, or MalformedMessage for a part that can't stand there.

    Args:
        media_type: base type of the part, for the error.
    """
    following = NEXT[direction][state].get(part)
    if following is not None:
        return following
    if state is State.ENDED:
        raise MalformedMessage(f"Extra content ({media_type}) after signature", "invalid_message")
    if state is State.BEGUN:
        text = f"Invalid content type for SOAP message: {media_type}"
    else:
        text = f"Received invalid content type instead of signature: {media_type}"
    raise MalformedMessage(text, "invalid_content_type")


@dataclass(frozen=True, slots=True)
class OcspPart:
    """An OCSP response for a certificate of the consumer's TLS chain; DER that parses."""

    der: bytes


@dataclass(frozen=True, slots=True)
class RestPart:
    """The REST request or response head, unparsed."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class SoapPart:
    """A SOAP message that is no fault, with its media type and the other fields of its part."""

    raw: bytes
    content_type: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class BodyStart:
    """A REST body or an attachment begins; `name` is its name in the signature."""

    name: str
    content_type: str
    fields: tuple[tuple[str, str], ...]  # of an attachment, without its content type


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """The next bytes of the body or attachment, exactly as they are digested and signed."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The body or attachment is complete."""


@dataclass(frozen=True, slots=True)
class HashChainResultPart:
    raw: bytes


@dataclass(frozen=True, slots=True)
class HashChainPart:
    raw: bytes


@dataclass(frozen=True, slots=True)
class SignaturePart:
    raw: bytes


@dataclass(frozen=True, slots=True)
class FaultPart:
    """The peer, or the service behind it, failed; nothing that came before counts."""

    fault: Fault
    raw: bytes


TransportEvent = (
    OcspPart
    | RestPart
    | SoapPart
    | BodyStart
    | BodyChunk
    | BodyEnd
    | HashChainResultPart
    | HashChainPart
    | SignaturePart
    | FaultPart
)
