"""What a plain X-Road node tells of its services: questions as bytes, answers as values.

Answers come from other institutions' systems. Whatever they hold, only services of the provider
that was asked are taken from them.

Source: metadata.md 3 to 6.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from xml.sax.saxutils import escape

import msgspec
from lxml import etree

from catalog.services import RESERVED_CODES, ServiceType
from trust.errors import ExchangeError, MalformedMessage, PeerFault
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, ClientId, ServiceId
from trust.xmlbytes import parse_xml

SOAP_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
MAX_LIST_BYTES = 8 << 20
MAX_ENDPOINTS = 5_000  # of one service
_MAX_ENDPOINT = 2_000  # characters
_MAX_FAULT = 500  # characters of a fault that are told
_TYPES = {"REST": ServiceType.REST, "OPENAPI": ServiceType.OPENAPI}
_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
_BOUNDARY = re.compile(r'(?i)multipart/related\b.*;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))')


@dataclass(frozen=True, slots=True)
class Listed:
    """A service as a list has it."""

    id: ServiceId
    type: ServiceType
    endpoints: tuple[str, ...] = ()


# --- REST -----------------------------------------------------------------------------------------


class _Endpoint(msgspec.Struct):
    method: str
    path: str


class _Entry(msgspec.Struct):
    xroad_instance: str
    member_class: str
    member_code: str
    service_code: str
    subsystem_code: str | None = None
    service_type: str = "REST"
    endpoint_list: list[_Endpoint] = []


class _List(msgspec.Struct):
    service: list[_Entry]


class _Fault(msgspec.Struct):
    type: str = ""
    message: str = ""


def parse_rest_list(raw: bytes, provider: ClientId) -> tuple[Listed, ...]:
    """The answer of REST `listMethods`; raises MalformedMessage."""
    try:
        entries = msgspec.json.decode(raw, type=_List).service
        return tuple(_own(provider, (_rest_entry(one) for one in entries)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(f"The list of REST services can't be read: {error}") from error


def _rest_entry(entry: _Entry) -> Listed:
    provider = ClientId(
        entry.xroad_instance, entry.member_class, entry.member_code, entry.subsystem_code
    )
    endpoints = (f"{one.method} {one.path}" for one in entry.endpoint_list[:MAX_ENDPOINTS])
    return Listed(
        ServiceId(provider, entry.service_code),
        _TYPES.get(entry.service_type, ServiceType.REST),
        tuple(one for one in endpoints if len(one) <= _MAX_ENDPOINT),
    )


def _own(provider: ClientId, found: Iterable[Listed]) -> Iterator[Listed]:
    """What the provider itself offers, each once; nobody speaks for another."""
    seen = set()
    for one in found:
        reserved = one.id.service_code in RESERVED_CODES
        if one.id.provider == provider and one.id not in seen and not reserved:
            seen.add(one.id)
            yield one


def rest_fault(raw: bytes) -> PeerFault:
    """The fault that a node answers to a REST call."""
    try:
        said = msgspec.json.decode(raw, type=_Fault)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = _Fault("internal_error", "An answer that is no fault")
    return PeerFault(said.type[:_MAX_FAULT], _line(said.message))


def is_unknown_service(error: ExchangeError) -> bool:
    """Whether a fault says, in any spelling, that there is no such service."""
    last = error.code.rpartition(".")[2]
    return last.replace("_", "").lower() == "unknownservice"


# --- SOAP -----------------------------------------------------------------------------------------


def build_question(client: ClientId, service: ServiceId, body: str, message_id: str) -> bytes:
    """A SOAP request to a metadata service.

    Args:
        body: what stands inside the wrapper, as XML with the prefix `xro`.
    """
    code = service.service_code
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{SOAP_ENVELOPE}" xmlns:xro="{XROAD_NAMESPACE}"'
        f' xmlns:iden="{IDENTIFIERS_NAMESPACE}"><soapenv:Header>'
        f'<xro:client iden:objectType="{client.object_type}">{_identifier(client)}</xro:client>'
        f'<xro:service iden:objectType="SERVICE">{_identifier(service.provider)}'
        f"<iden:serviceCode>{escape(code)}</iden:serviceCode></xro:service>"
        f"<xro:id>{escape(message_id)}</xro:id><xro:protocolVersion>4.0</xro:protocolVersion>"
        f"</soapenv:Header><soapenv:Body><xro:{code}>{body}</xro:{code}></soapenv:Body>"
        "</soapenv:Envelope>"
    ).encode()


def wsdl_question(service: ServiceId) -> str:
    """The content of a `getWsdl` request."""
    version = service.service_version
    said = "" if version is None else f"<xro:serviceVersion>{escape(version)}</xro:serviceVersion>"
    return f"<xro:serviceCode>{escape(service.service_code)}</xro:serviceCode>{said}"


def _identifier(client: ClientId) -> str:
    pairs = zip(_PARTS, client.parts, strict=False)
    return "".join(f"<iden:{name}>{escape(value)}</iden:{name}>" for name, value in pairs)


def parse_soap_list(raw: bytes, provider: ClientId) -> tuple[Listed, ...]:
    """The answer of SOAP `listMethods`; raises MalformedMessage, PeerFault for a fault."""
    body = _body(raw)
    if body.tag != f"{{{XROAD_NAMESPACE}}}listMethodsResponse":
        raise MalformedMessage("The answer is no listMethodsResponse")
    elements = body.iterchildren(f"{{{XROAD_NAMESPACE}}}service")
    return tuple(_own(provider, (Listed(_service_id(one), ServiceType.WSDL) for one in elements)))


def check_soap(raw: bytes) -> None:
    """Raise PeerFault when an answer is a fault, MalformedMessage when it is no answer."""
    _body(raw)


def _body(raw: bytes) -> etree._Element:
    """The one element in the body of an answer; raises PeerFault when it is a fault."""
    root = parse_xml(raw, max_bytes=MAX_LIST_BYTES, max_tags=400_000, what="The SOAP answer")
    body = root.find(f"{{{SOAP_ENVELOPE}}}Body")
    element = None if body is None else next(body.iterchildren("*"), None)
    if root.tag != f"{{{SOAP_ENVELOPE}}}Envelope" or element is None:
        raise MalformedMessage("The answer is no SOAP message with a body")
    if element.tag == f"{{{SOAP_ENVELOPE}}}Fault":
        code = (element.findtext("faultcode") or "")[:_MAX_FAULT]
        raise PeerFault(
            code.strip() or "internal_error", _line(element.findtext("faultstring") or "")
        )
    return element


def _service_id(element: etree._Element) -> ServiceId:
    names = ("serviceCode", "serviceVersion")
    instance, member_class, member_code, subsystem, code, version = (
        element.findtext(f"{{{IDENTIFIERS_NAMESPACE}}}{name}") for name in (*_PARTS, *names)
    )
    provider = ClientId(instance or "", member_class or "", member_code or "", subsystem)
    return ServiceId(provider, code or "", version)


def split_attachment(content_type: str, raw: bytes) -> tuple[bytes, bytes | None]:
    """The envelope of a SOAP answer and its first attachment; raises MalformedMessage.

    Source: RFC 2046 5.1.1; only what nodes write is understood: no preamble, no nesting.
    """
    match = _BOUNDARY.match(content_type)
    if match is None:
        return raw, None
    delimiter = b"--" + (match[1] or match[2]).encode("ascii", "replace")
    parts = (b"\r\n" + raw).split(b"\r\n" + delimiter)
    if len(parts) < 4 or not parts[-1].startswith(b"--"):
        raise MalformedMessage("The answer is no multipart message with an attachment")
    envelope, attachment = (_content(part) for part in islice(parts, 1, 3))
    return envelope, attachment


def _content(part: bytes) -> bytes:
    """What follows the header fields of a part."""
    _, gap, content = part.partition(b"\r\n\r\n")
    if not gap:
        raise MalformedMessage("A part of the answer has no end of its header")
    return content


def _line(text: str) -> str:
    """A text of somebody else's on one line, cut off."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_FAULT])
