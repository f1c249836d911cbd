"""What the monitoring services have in common: whom a call is for, and what may come in it."""

import re

from lxml import etree

from node.exchange.builtin import Call
from node.messages.mediatype import TEXT_XML, MediaType
from node.messages.soap import SoapMessage, check_strict
from trust.errors import MalformedMessage
from trust.ids import ServerId

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
OPERATIONAL_GROUP = "opmonitor"  # in front of the codes of operational monitoring


def is_for(call: Call, server: ServerId, service_code: str) -> bool:
    """Whether a call is SOAP and names a service of this node's owner, in any version."""
    request = call.request
    if not isinstance(request, SoapMessage):
        return False
    return request.provider == server.owner and request.service.service_code == service_code


def read_soap(call: Call) -> SoapMessage:
    """The message of a call to operational monitoring that brings nothing else.

    Raises:
        MalformedMessage: of the group `opmonitor`: `invalid_content_type`, or as `check_strict`.
    """
    request = soap_of(call)
    try:
        if call.content_type and MediaType.parse(call.content_type).base != TEXT_XML:
            raise MalformedMessage(
                f"Invalid content type {call.content_type[:255]}, expecting {TEXT_XML}",
                "invalid_content_type",
            )
        check_strict(request)
    except MalformedMessage as error:
        raise error.within(OPERATIONAL_GROUP) from None
    return request


def soap_of(call: Call) -> SoapMessage:
    """The message of a call that `is_for` has found to be SOAP."""
    if not isinstance(call.request, SoapMessage):
        raise AssertionError("a REST call was taken for one of ours")
    return call.request


def add_child(parent: etree._Element, name: str, text: str | None = None) -> etree._Element:
    """Add a child of the same namespace and prefix."""
    child = etree.SubElement(parent, etree.QName(etree.QName(parent).namespace, name))
    child.text = None if text is None else xml_text(text)
    return child


def xml_text(text: str) -> str:
    """A text of somebody else's, without the characters that XML does not have."""
    return _NOT_XML.sub("\ufffd", text)
