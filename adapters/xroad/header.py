"""The X-Road header of requests, and what answers and faults of a node mean.

Source: messages.md 2.2, 3; errors.md 2; X-Road 7.8 SoapHeader.java.
"""

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lxml import etree

from adapters.operations import BadParameter, Caller, UpstreamRefused
from adapters.soap.envelope import Answer, SoapFault, header_of
from adapters.soap.port import SoapOperation
from adapters.soap.source import status_of
from adapters.soap.writing import checked_xml
from node.messages.exchange import check_soap_answers
from node.messages.fault_codes import canonical_code
from node.messages.represented_party import RepresentedParty
from node.messages.soap import SoapFaultMessage, parse_soap
from node.messages.soap_header import (
    CLIENT,
    ID,
    ISSUE,
    OBJECT_TYPE,
    PROTOCOL_VERSION,
    REPRESENTATION_NAMESPACE,
    REPRESENTED_PARTY,
    SECURITY_SERVER,
    SERVICE,
    USER_ID,
)
from trust.errors import MalformedMessage
from trust.ids import (
    IDENTIFIERS_NAMESPACE,
    XROAD_NAMESPACE,
    ClientId,
    ObjectType,
    ServerId,
    ServiceId,
)

NSMAP = {"xro": XROAD_NAMESPACE, "iden": IDENTIFIERS_NAMESPACE}
_VERSION = "4.0"
_MAX_TEXT = 255  # of a message id and the like: what nodes keep
_TEXT_XML = "text/xml; charset=utf-8"
_CLIENT_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
T = TypeVar("T")

# Status for the last word of a fault code; a node's own failures are no fault of the caller.
_STATUS = {
    "accessdenied": 403,
    "unknownservice": 404,
    "unknownmember": 404,
    "servicedisabled": 503,
    "maintenancemode": 503,
    "globalconfoutdated": 503,
}


@dataclass(frozen=True, slots=True)
class XroadManner:
    """How an X-Road service is spoken to through a node."""

    client: ClientId
    provider: ClientId
    version: str = ""  # of all services; empty: as the WSDL says
    fault_texts: bool = True

    def dress(self, envelope: etree._Element, operation: SoapOperation, caller: Caller) -> None:
        """Write the header; raises BadParameter for an unfit `X-Road-…` header of the caller."""
        asking = _given(caller, "X-Road-Client", ClientId.from_header)
        if asking is not None and asking != self.client:
            raise BadParameter("X-Road-Client", f"this adapter asks as {self.client} only")
        version = self.version or operation.xroad_version or None
        service = ServiceId(self.provider, operation.name, version)
        write_header(header_of(envelope), self.client, service, caller)

    def check(self, answer: Answer, request: bytes) -> None:
        """Judge whether an answer repeats the header and has the hash of its request."""
        sent = parse_soap(request, _TEXT_XML)
        received = parse_soap(answer.raw, answer.content_type)
        if isinstance(sent, SoapFaultMessage) or isinstance(received, SoapFaultMessage):
            raise MalformedMessage("the answer is a fault")
        check_soap_answers(sent, received, hashlib.sha512(request).digest())

    def refusal(self, fault: SoapFault) -> UpstreamRefused:
        """What a node's fault means for the caller; a provider's own fault as anywhere."""
        words = canonical_code(fault.code).split(".")
        status = _STATUS.get(words[-1]) or status_of(fault)
        text = fault.text if self.fault_texts else ""
        return UpstreamRefused(status, text or "the service refused", fault.code)


def write_header(
    header: etree._Element, client: ClientId, service: ServiceId, caller: Caller
) -> None:
    """Fill an empty header; raises BadParameter for what a caller gave and XML does not take."""
    server = _given(caller, "X-Road-Security-Server", ServerId.from_header)
    party = _given(caller, "X-Road-Represented-Party", RepresentedParty.from_header)
    _identifier(header, CLIENT, client.object_type, _client_parts(client))
    parts = {**_client_parts(service.provider), "serviceCode": service.service_code}
    if service.service_version:
        parts["serviceVersion"] = service.service_version
    _identifier(header, SERVICE, ObjectType.SERVICE, parts)
    if server is not None:
        parts = {**_client_parts(server.owner), "serverCode": server.server_code}
        _identifier(header, SECURITY_SERVER, ObjectType.SERVER, parts)
    _text(header, ID, "X-Road-Id", caller.message_id or str(uuid.uuid4()))
    _text(header, USER_ID, "X-Road-UserId", caller.user_id)
    _text(header, ISSUE, "X-Road-Issue", caller.issue)
    if party is not None:
        _represented(header, party)
    _text(header, PROTOCOL_VERSION, "", _VERSION)


def _client_parts(client: ClientId) -> dict[str, str]:
    return dict(zip(_CLIENT_PARTS, client.parts, strict=False))


def _identifier(
    header: etree._Element, tag: str, object_type: ObjectType, parts: dict[str, str]
) -> None:
    node = etree.SubElement(header, tag)
    node.set(OBJECT_TYPE, object_type)
    for name, value in parts.items():
        etree.SubElement(node, f"{{{IDENTIFIERS_NAMESPACE}}}{name}").text = value


def _text(header: etree._Element, tag: str, parameter: str, value: str) -> None:
    if not value:
        return
    if len(value) > _MAX_TEXT:
        raise BadParameter(parameter, f"'{parameter}' is longer than {_MAX_TEXT} characters")
    try:
        etree.SubElement(header, tag).text = checked_xml(value)
    except ValueError as error:
        raise BadParameter(parameter, f"'{parameter}' holds {error}") from error


def _represented(header: etree._Element, party: RepresentedParty) -> None:
    node = etree.SubElement(header, REPRESENTED_PARTY, nsmap={"repr": REPRESENTATION_NAMESPACE})
    for name, value in (("partyClass", party.party_class), ("partyCode", party.party_code)):
        if value is not None:
            tag = f"{{{REPRESENTATION_NAMESPACE}}}{name}"
            _text(node, tag, "X-Road-Represented-Party", value)


def _given(caller: Caller, name: str, read: Callable[[str], T]) -> T | None:
    """What a header of the caller says, or None without one."""
    values = [value for key, value in caller.headers if key.lower() == name.lower()]
    if not values:
        return None
    if len(values) > 1:
        raise BadParameter(name, f"'{name}' is given twice")
    try:
        return read(values[0])
    except MalformedMessage as error:
        raise BadParameter(name, f"'{name}' can't be read: {error.text}") from error
