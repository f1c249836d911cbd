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
from node.messages.soap_hash import insert_request_hash
from node.messages.soap_header import (
    CLIENT,
    HEADER,
    ID,
    ISSUE,
    OBJECT_TYPE,
    PROTOCOL_VERSION,
    REQUEST_HASH,
    USER_ID,
    HeaderFields,
    duplicate,
    tag_of,
)
from trust.errors import MalformedMessage
from trust.ids import ClientId, ObjectType, ServerId, ServiceId

__all__ = [
    "SoapFaultMessage", "SoapHeader", "SoapMessage", "check_strict", "insert_request_hash",
    "parse_soap",
]  # fmt: skip

BODY = f"{{{SOAP_ENVELOPE}}}Body"
_FAULT = f"{{{SOAP_ENVELOPE}}}Fault"
_STYLE = f"{{{SOAP_ENVELOPE}}}encodingStyle"
_RPC = "http://schemas.xmlsoap.org/soap/encoding/"
_ONE_CHILD = "Malformed SOAP message: body must have exactly one child element"
_CHARSETS = re.compile(
    r"(?i)utf-?(?:8|16(?:le|be)?)|(?:us-)?ascii|iso-8859-\d{1,2}|latin1|(?:windows-|cp)125\d"
)
_UTF16_BEGINNINGS = (b"\xff\xfe", b"\xfe\xff", b"<\x00", b"\x00<")
_UTF32_BEGINNINGS = (
    b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff", b"<\x00\x00", b"\x00\x00\x00<",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SoapHeader:
    """The X-Road header fields of a message.

    Attributes:
        message_id: the consumer's own id; may be empty.
        request_hash: base64 text of `requestHash`, which only responses have.
        intent: texts by tag of what it says it is for, unread.
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
    intent: dict[str, str] = field(default_factory=dict)


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
    header: HeaderFields | None = None
    body: _Body | None = None
    for child in envelope.iterchildren(tag=etree.Element):
        if child.tag == HEADER:
            if header is not None:
                raise duplicate(child)
            header = HeaderFields.read(child)
        elif child.tag == BODY:
            if body is not None:
                raise MalformedMessage(_ONE_CHILD, "invalid_body")
            body = _Body.read(child)
    if body is not None and body.fault is not None:
        return SoapFaultMessage(raw, fault_in(body.fault, len(raw)))
    if header is None:
        raise MalformedMessage("Malformed SOAP message: header missing", "missing_header")
    checked = _complete(header)
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
        tag = tag_of(child)
        if tag in seen:
            raise duplicate(child)
        seen.add(tag)
        if tag == CLIENT:
            _check_client_type(child.get(OBJECT_TYPE), message.client)


def header_of(envelope: etree._Element) -> etree._Element:
    """The header of an envelope, or MalformedMessage (`missing_header`)."""
    header = envelope.find(HEADER)
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


def _complete(found: HeaderFields) -> SoapHeader:
    """All that must be there is, or MalformedMessage (`missing_header_field`)."""
    texts = found.texts
    version, message_id = texts.get(PROTOCOL_VERSION), texts.get(ID)
    if version is None:
        raise _missing("protocolVersion")
    if found.client is None:
        raise _missing("client")
    if message_id is None:
        raise _missing("id")
    if found.service is None:
        raise MalformedMessage("Message header must contain service id", "missing_header_field")
    return SoapHeader(
        found.client, found.service, message_id, version, texts.get(USER_ID), texts.get(ISSUE),
        found.security_server, found.represented_party, texts.get(REQUEST_HASH),
        found.intent,
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


def _missing(name: str) -> MalformedMessage:
    return MalformedMessage(f"Required field '{name}' is missing", "missing_header_field")
