"""The X-Road fields in the header of a SOAP envelope, as they stand in XML.

Values are literal: white space and line breaks belong to them.

Source: messages.md 2.2, 3.1, 3.2; X-Road 7.8 SaxSoapParserImpl.java.
"""

from dataclasses import dataclass, field
from typing import Self

from lxml import etree

from catalog.uris import ONCE_NAMESPACE
from node.messages.fault import SOAP_ENVELOPE
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
HEADER = f"{{{SOAP_ENVELOPE}}}Header"
ID = f"{{{XROAD_NAMESPACE}}}id"
REQUEST_HASH = f"{{{XROAD_NAMESPACE}}}requestHash"
CLIENT = f"{{{XROAD_NAMESPACE}}}client"
SERVICE = f"{{{XROAD_NAMESPACE}}}service"
SECURITY_SERVER = f"{{{XROAD_NAMESPACE}}}securityServer"
USER_ID = f"{{{XROAD_NAMESPACE}}}userId"
ISSUE = f"{{{XROAD_NAMESPACE}}}issue"
PROTOCOL_VERSION = f"{{{XROAD_NAMESPACE}}}protocolVersion"
REPRESENTED_PARTY = f"{{{REPRESENTATION_NAMESPACE}}}representedParty"
OBJECT_TYPE = f"{{{IDENTIFIERS_NAMESPACE}}}objectType"
MAX_ID_LENGTH = 255  # characters, as in the reference server's log; the log looks messages up by it

PURPOSE = f"{{{ONCE_NAMESPACE}}}purpose"
LEGAL_BASIS = f"{{{ONCE_NAMESPACE}}}legalBasis"
PROCEDURE = f"{{{ONCE_NAMESPACE}}}procedure"
FIELDS = f"{{{ONCE_NAMESPACE}}}fields"
INTENT = frozenset({PURPOSE, LEGAL_BASIS, PROCEDURE, FIELDS})

_OBJECT_TYPES = frozenset(ObjectType)
_TEXTS = frozenset({ID, REQUEST_HASH, USER_ID, ISSUE, PROTOCOL_VERSION})
_KNOWN = _TEXTS | INTENT | {CLIENT, SERVICE, SECURITY_SERVER, REPRESENTED_PARTY}
_INSTANCE = f"{{{IDENTIFIERS_NAMESPACE}}}xRoadInstance"
_MEMBER_CLASS = f"{{{IDENTIFIERS_NAMESPACE}}}memberClass"
_MEMBER_CODE = f"{{{IDENTIFIERS_NAMESPACE}}}memberCode"
_SUBSYSTEM_CODE = f"{{{IDENTIFIERS_NAMESPACE}}}subsystemCode"
_SERVICE_CODE = f"{{{IDENTIFIERS_NAMESPACE}}}serviceCode"
_SERVICE_VERSION = f"{{{IDENTIFIERS_NAMESPACE}}}serviceVersion"
_SERVER_CODE = f"{{{IDENTIFIERS_NAMESPACE}}}serverCode"
_MEMBER_PARTS = frozenset({_INSTANCE, _MEMBER_CLASS, _MEMBER_CODE})
_CLIENT_PARTS = _MEMBER_PARTS | {_SUBSYSTEM_CODE}
_SERVICE_PARTS = _CLIENT_PARTS | {_SERVICE_CODE, _SERVICE_VERSION}
_SERVER_PARTS = _MEMBER_PARTS | {_SERVER_CODE}
_PARTY_CLASS = f"{{{REPRESENTATION_NAMESPACE}}}partyClass"
_PARTY_CODE = f"{{{REPRESENTATION_NAMESPACE}}}partyCode"
_PARTY_PARTS = frozenset({_PARTY_CLASS, _PARTY_CODE})


def tag_of(element: etree._Element) -> str:
    """The name in `{uri}local` form, as X-Road's faults spell it too."""
    return str(element.tag)


def duplicate(element: etree._Element) -> MalformedMessage:
    return MalformedMessage(
        f"SOAP header contains duplicate field '{tag_of(element)}'", "duplicate_header_field"
    )


@dataclass(slots=True)
class HeaderFields:
    """What a header holds; nothing says yet that what must be there is.

    Attributes:
        texts: by tag, of the fields that are plain texts.
        intent: by tag, of the fields that say what a request is for.
    """

    texts: dict[str, str] = field(default_factory=dict)
    client: ClientId | None = None
    service: ServiceId | None = None
    security_server: ServerId | None = None
    represented_party: RepresentedParty | None = None
    intent: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, header: etree._Element) -> Self:
        """Read the known fields in the order in which they stand; unknown ones are ignored.

        Raises:
            MalformedMessage: `duplicate_header_field`, `invalid_xml`, `invalid_protocol_version`,
                or `internal_error` for a blank part of an identifier.
        """
        found = cls()
        seen: set[str] = set()
        for child in header.iterchildren(tag=etree.Element):
            tag = tag_of(child)
            if tag in seen:
                raise duplicate(child)
            if tag in _KNOWN:
                seen.add(tag)
                found._take(tag, child)
        return found

    def _take(self, tag: str, child: etree._Element) -> None:
        if tag in _TEXTS:
            self.texts[tag] = _value(child)
            if tag == PROTOCOL_VERSION:
                _check_version(self.texts[tag])
            elif tag == ID:
                _check_length("id", self.texts[tag])
        elif tag in INTENT:
            self.intent[tag] = _value(child)
        elif tag == CLIENT:
            _check_type(child, ObjectType.MEMBER, ObjectType.SUBSYSTEM)
            self.client = _client_id(_parts(child, _CLIENT_PARTS))
        elif tag == SERVICE:
            _check_type(child, ObjectType.SERVICE)
            self.service = _service_id(_parts(child, _SERVICE_PARTS))
        elif tag == SECURITY_SERVER:
            _check_type(child, ObjectType.SERVER)
            self.security_server = _server_id(_parts(child, _SERVER_PARTS))
        else:
            parts = _parts(child, _PARTY_PARTS)
            party_class, code = parts.get(_PARTY_CLASS), parts.get(_PARTY_CODE, "")
            self.represented_party = RepresentedParty(party_class, code)


def _check_type(element: etree._Element, *expected: ObjectType) -> None:
    found = element.get(OBJECT_TYPE)
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
        tag = tag_of(child)
        if tag in found:
            raise duplicate(child)
        if tag in names:
            found[tag] = _value(child)
    return found


def _value(element: etree._Element) -> str:
    """The text of a field.

    X-Road reads on behind a comment or an element inside; some libraries of information systems
    do not, and would see another identifier than the one that was judged. So there may be none.
    """
    if len(element):
        raise MalformedMessage(f"'{tag_of(element)}' must hold text alone", "invalid_xml")
    return element.text or ""


def _client_id(parts: dict[str, str]) -> ClientId:
    return ClientId(
        parts.get(_INSTANCE, ""),
        parts.get(_MEMBER_CLASS, ""),
        parts.get(_MEMBER_CODE, ""),
        parts.get(_SUBSYSTEM_CODE),
    )


def _service_id(parts: dict[str, str]) -> ServiceId:
    code = parts.get(_SERVICE_CODE, "")
    version = parts.get(_SERVICE_VERSION)
    _check_length("serviceVersion", version or "")
    return ServiceId(_client_id(parts), code, version)


def _server_id(parts: dict[str, str]) -> ServerId:
    return ServerId(_client_id(parts), parts.get(_SERVER_CODE, ""))


def _check_length(name: str, value: str) -> None:
    if len(value) > MAX_ID_LENGTH:
        raise MalformedMessage(
            f"'{name}' is longer than {MAX_ID_LENGTH} characters", "internal_error"
        )


def _check_version(version: str) -> None:
    if not version.startswith("4."):
        raise MalformedMessage(
            f"Invalid protocol version (supported: 4.x, provided: {version[:40]})",
            "invalid_protocol_version",
        )
