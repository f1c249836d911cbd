"""SOAP messages between information systems: the envelope's bytes, and what its header says.

The bytes are kept and never written anew: they are what is forwarded, hashed, signed and logged.

Source: messages.md 2.2, 3; X-Road 7.8 SaxSoapParserImpl.java, SoapHeader.java, SoapUtils.java.
"""

import re
from dataclasses import dataclass, field
from typing import Self

from lxml import etree

from node.messages.fault import SOAP_ENVELOPE, Fault, fault_in, parse_envelope
from node.messages.mediatype import TEXT_XML, XOP_XML, MediaType
from node.messages.represented_party import RepresentedParty
from trust.errors import MalformedMessage
from trust.ids import (
    IDENTIFIERS_NAMESPACE,
    XROAD_NAMESPACE,
    ClientId,
    ObjectType,
    ServerId,
    ServiceId,
)

REPRESENTATION_NAMESPACE = "http://x-road.eu/xsd/representation.xsd"


def _xroad(name: str) -> str:
    return f"{{{XROAD_NAMESPACE}}}{name}"


def _identifier(name: str) -> str:
    return f"{{{IDENTIFIERS_NAMESPACE}}}{name}"


_HEADER = f"{{{SOAP_ENVELOPE}}}Header"
_BODY = f"{{{SOAP_ENVELOPE}}}Body"
_FAULT = f"{{{SOAP_ENVELOPE}}}Fault"
_STYLE = f"{{{SOAP_ENVELOPE}}}encodingStyle"
_RPC = "http://schemas.xmlsoap.org/soap/encoding/"

ID = _xroad("id")
REQUEST_HASH = _xroad("requestHash")
_CLIENT = _xroad("client")
_SERVICE = _xroad("service")
_SECURITY_SERVER = _xroad("securityServer")
_USER_ID = _xroad("userId")
_ISSUE = _xroad("issue")
_PROTOCOL_VERSION = _xroad("protocolVersion")
_REPRESENTED_PARTY = f"{{{REPRESENTATION_NAMESPACE}}}representedParty"
_KNOWN = frozenset(
    {
        ID, REQUEST_HASH, _CLIENT, _SERVICE, _SECURITY_SERVER, _USER_ID, _ISSUE, _PROTOCOL_VERSION,
        _REPRESENTED_PARTY,
    }
)  # fmt: skip

_OBJECT_TYPE = _identifier("objectType")
_OBJECT_TYPES = frozenset(ObjectType)
_MEMBER_PARTS = tuple(map(_identifier, ("xRoadInstance", "memberClass", "memberCode")))
_SUBSYSTEM_CODE = _identifier("subsystemCode")
_SERVICE_CODE = _identifier("serviceCode")
_SERVICE_VERSION = _identifier("serviceVersion")
_SERVER_CODE = _identifier("serverCode")
_CLIENT_PARTS = frozenset({*_MEMBER_PARTS, _SUBSYSTEM_CODE})
_SERVICE_PARTS = _CLIENT_PARTS | {_SERVICE_CODE, _SERVICE_VERSION}
_SERVER_PARTS = frozenset({*_MEMBER_PARTS, _SERVER_CODE})
_PARTY_CLASS = f"{{{REPRESENTATION_NAMESPACE}}}partyClass"
_PARTY_CODE = f"{{{REPRESENTATION_NAMESPACE}}}partyCode"
_PARTY_PARTS = frozenset({_PARTY_CLASS, _PARTY_CODE})

_ONE_CHILD = "Malformed SOAP message: body must have exactly one child element"
_CHARSETS = re.compile(
    r"(?i)utf-?(?:8|16(?:le|be)?)|(?:us-)?ascii|iso-8859-\d{1,2}|latin1|(?:windows-|cp)125\d"
)
_UTF16_BEGINNINGS = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<")
_UTF32_BEGINNINGS = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff", b"<\x00\x00", b"\x00\x00\x00<")


@dataclass(frozen=True, slots=True)
class SoapHeader:
    """The X-Road header fields of a message.

    Attributes:
        message_id: the consumer's own id; may be empty.
        request_hash: base64 text of `requestHash`, which only responses have.
    """

    client: ClientId
    service: ServiceId
    message_id: str
    protocol_version: str
    user_id: str | None = None
    issue: str | None = None
    security_server: ServerId | None = None
    represented_party: RepresentedParty | None = None
    request_hash: str | None = None


@dataclass(frozen=True, slots=True)
class SoapMessage:
    """A well-formed request or response that is no fault; nobody has verified it.

    Attributes:
        raw: the envelope as it came, byte order mark and all.
        charset: of the bytes, in lower case.
        rpc: whether it says to be RPC/encoded; nothing is treated differently for it.
        body_name: local name of the one child of the body.
    """

    raw: bytes = field(repr=False)
    charset: str
    header: SoapHeader
    body_name: str
    rpc: bool = False

    @property
    def client(self) -> ClientId:
        return self.header.client

    @property
    def service(self) -> ServiceId:
        return self.header.service

    @property
    def provider(self) -> ClientId:
        return self.header.service.provider

    @property
    def message_id(self) -> str:
        return self.header.message_id


@dataclass(frozen=True, slots=True)
class SoapFaultMessage:
    """A message whose body is a fault; it needs no header and is passed on byte for byte."""

    raw: bytes = field(repr=False)
    fault: Fault


def parse_soap(raw: bytes, content_type: str) -> SoapMessage | SoapFaultMessage:
    """Read one SOAP document: an HTTP body, or the first part of a multipart message.

    Of several defects that one is told which X-Road's reader meets first: what is wrong inside
    header and body in the order of the document, then what is missing. Further than X-Road this
    refuses what two readers may read in two ways: a second header or body, and comments or elements
    inside a value of the header, where some libraries see only the text before them.

    Args:
        content_type: with its parameters. The bytes alone say how they are to be decoded; of the
            charset parameter only the name is checked.

    Raises:
        MalformedMessage: with the codes of messages.md 3 and no prefix.
    """
    _check_content_type(content_type)
    envelope = parse_envelope(raw)
    charset = _charset_of(raw, envelope)
    header: _HeaderFields | None = None
    body: _Body | None = None
    for child in envelope.iterchildren(tag=etree.Element):
        if child.tag == _HEADER:
            if header is not None:
                raise _duplicate(child)
            header = _HeaderFields.read(child)
        elif child.tag == _BODY:
            if body is not None:
                raise MalformedMessage(_ONE_CHILD, "invalid_body")
            body = _Body.read(child)
    if body is not None and body.fault is not None:
        return SoapFaultMessage(raw, fault_in(body.fault, len(raw)))
    if header is None:
        raise MalformedMessage("Malformed SOAP message: header missing", "missing_header")
    checked = header.complete()
    name = _name_of(body, checked.service)
    return SoapMessage(raw, charset, checked, name, envelope.get(_STYLE) == _RPC)


def check_strict(message: SoapMessage) -> None:
    """Check what metadata and monitoring services ask for besides.

    Raises:
        MalformedMessage: `duplicate_header_field` for any repeated element of the header, or
            `invalid_client_identifier` for an `objectType` that does not fit the client's parts.

    Source: metadata.md 3; X-Road 7.8 SoapParserImpl.java, IdentifierTypeConverter.java.
    """
    seen: set[str] = set()
    for child in header_of(parse_envelope(message.raw)).iterchildren(tag=etree.Element):
        if child.tag in seen:
            raise _duplicate(child)
        seen.add(child.tag)
        if child.tag == _CLIENT:
            _check_client_type(child.get(_OBJECT_TYPE), message.client)


def header_of(envelope: etree._Element) -> etree._Element:
    """The header of an envelope, or MalformedMessage (`missing_header`)."""
    header = envelope.find(_HEADER)
    if header is None:
        raise MalformedMessage("Malformed SOAP message: header missing", "missing_header")
    return header


def _check_client_type(object_type: str | None, client: ClientId) -> None:
    if object_type == ObjectType.SUBSYSTEM and client.subsystem_code is None:
        raise MalformedMessage("Missing required subsystem code", "invalid_client_identifier")
    if object_type == ObjectType.MEMBER and client.subsystem_code is not None:
        raise MalformedMessage("Redundant subsystem code", "invalid_client_identifier")


def _check_content_type(content_type: str) -> None:
    media_type = MediaType.parse(content_type)
    if media_type.base not in (TEXT_XML, XOP_XML):
        raise MalformedMessage(f"Invalid content type: {media_type.base}", "invalid_content_type")
    charset = media_type.parameters.get("charset", "").strip()
    if charset and not _CHARSETS.fullmatch(charset):
        raise MalformedMessage(f"Unsupported charset: {charset[:40]}", "internal_error")


def _charset_of(raw: bytes, envelope: etree._Element) -> str:
    """How the bytes are encoded, in lower case; what the parser took them for is not always said.

    Not UTF-32, which the parser reads and the list of charsets does not name.
    """
    if raw.startswith(_UTF16_BEGINNINGS) and not raw.startswith(_UTF32_BEGINNINGS):
        return "utf-16"
    charset = (envelope.getroottree().docinfo.encoding or "utf-8").lower()
    if raw.startswith(_UTF32_BEGINNINGS) or not _CHARSETS.fullmatch(charset):
        text = "SOAP message is in an encoding that is not accepted"
        raise MalformedMessage(text, "invalid_soap")
    return charset


@dataclass(slots=True)
class _HeaderFields:
    """What was found in a header so far; `complete` asks for what must be there."""

    texts: dict[str, str] = field(default_factory=dict)  # by tag
    client: ClientId | None = None
    service: ServiceId | None = None
    security_server: ServerId | None = None
    represented_party: RepresentedParty | None = None

    @classmethod
    def read(cls, header: etree._Element) -> Self:
        """Read the known fields in the order in which they stand."""
        found = cls()
        seen: set[str] = set()
        for child in header.iterchildren(tag=etree.Element):
            if child.tag in _KNOWN:
                if child.tag in seen:
                    raise _duplicate(child)
                seen.add(child.tag)
                found._take(child)
        return found

    def _take(self, child: etree._Element) -> None:
        tag = child.tag
        if tag == _CLIENT:
            _check_type(child, ObjectType.MEMBER, ObjectType.SUBSYSTEM)
            self.client = _client_id(_parts(child, _CLIENT_PARTS))
        elif tag == _SERVICE:
            _check_type(child, ObjectType.SERVICE)
            self.service = _service_id(_parts(child, _SERVICE_PARTS))
        elif tag == _SECURITY_SERVER:
            _check_type(child, ObjectType.SERVER)
            self.security_server = _server_id(_parts(child, _SERVER_PARTS))
        elif tag == _REPRESENTED_PARTY:
            parts = _parts(child, _PARTY_PARTS)
            party_class, code = parts.get(_PARTY_CLASS), parts.get(_PARTY_CODE, "")
            self.represented_party = RepresentedParty(party_class, code)
        else:
            self.texts[tag] = _value(child)
            if tag == _PROTOCOL_VERSION:
                _check_version(self.texts[tag])

    def complete(self) -> SoapHeader:
        """All that must be there is, or MalformedMessage (`missing_header_field`)."""
        version = self.texts.get(_PROTOCOL_VERSION)
        if version is None:
            raise _missing("protocolVersion")
        if self.client is None:
            raise _missing("client")
        message_id = self.texts.get(ID)
        if message_id is None:
            raise _missing("id")
        if self.service is None:
            raise MalformedMessage("Message header must contain service id", "missing_header_field")
        return SoapHeader(
            self.client, self.service, message_id, version,
            self.texts.get(_USER_ID), self.texts.get(_ISSUE),
            self.security_server, self.represented_party, self.texts.get(REQUEST_HASH),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Body:
    """The local name of the wrapper element, or the fault that stands in its place."""

    name: str | None
    fault: etree._Element | None

    @classmethod
    def read(cls, body: etree._Element) -> Self:
        name: str | None = None
        fault: etree._Element | None = None
        for child in body.iterchildren(tag=etree.Element):
            if child.tag == _FAULT:
                fault = child if fault is None else fault
            elif name is None:
                name = etree.QName(child).localname
            else:
                raise MalformedMessage(_ONE_CHILD, "invalid_body")
        return cls(name, fault)


def _name_of(body: _Body | None, service: ServiceId) -> str:
    """The wrapper's name, which begins with the service code as far as X-Road looks."""
    if body is None:
        raise MalformedMessage("Malformed SOAP message: body missing", "missing_body")
    if body.name is None:
        raise MalformedMessage(_ONE_CHILD, "invalid_body")
    if not body.name.startswith(service.service_code):
        raise MalformedMessage(
            "Malformed SOAP message: service code does not match in header and body",
            "inconsistent_headers",
        )
    return body.name


def _check_type(element: etree._Element, *expected: ObjectType) -> None:
    found = element.get(_OBJECT_TYPE)
    if found is None:
        raise MalformedMessage("Missing objectType attribute", "invalid_xml")
    if found not in _OBJECT_TYPES:
        raise MalformedMessage(f"Unknown objectType: {found[:80]}", "invalid_xml")
    if found not in expected:
        raise MalformedMessage(f"Unexpected objectType: {found}", "invalid_xml")


def _parts(element: etree._Element, names: frozenset[str]) -> dict[str, str]:
    """The values of the children called for, by tag; others are ignored."""
    found: dict[str, str] = {}
    for child in element.iterchildren(tag=etree.Element):
        if child.tag in names:
            if child.tag in found:
                raise _duplicate(child)
            found[child.tag] = _value(child)
    return found


def _value(element: etree._Element) -> str:
    """The text of a field, white space and all."""
    if len(element):
        raise MalformedMessage(f"'{element.tag}' must hold text alone", "invalid_xml")
    return element.text or ""


def _client_id(parts: dict[str, str]) -> ClientId:
    instance, member_class, code = (parts.get(tag, "") for tag in _MEMBER_PARTS)
    return ClientId(instance, member_class, code, parts.get(_SUBSYSTEM_CODE))


def _service_id(parts: dict[str, str]) -> ServiceId:
    code = parts.get(_SERVICE_CODE, "")
    return ServiceId(_client_id(parts), code, parts.get(_SERVICE_VERSION))


def _server_id(parts: dict[str, str]) -> ServerId:
    return ServerId(_client_id(parts), parts.get(_SERVER_CODE, ""))


def _check_version(version: str) -> None:
    if not version.startswith("4."):
        raise MalformedMessage(
            f"Invalid protocol version (supported: 4.x, provided: {version[:40]})",
            "invalid_protocol_version",
        )


def _missing(name: str) -> MalformedMessage:
    return MalformedMessage(f"Required field '{name}' is missing", "missing_header_field")


def _duplicate(element: etree._Element) -> MalformedMessage:
    return MalformedMessage(
        f"SOAP header contains duplicate field '{element.tag}'", "duplicate_header_field"
    )
