"""SOAP messages of programs that leave out what a node asks for: completed, where it is wanted.

A request is changed at its entrance, before it is hashed and signed, so what is forwarded is what
was signed. An answer is changed before the hash of the request is put in, which writes it anew
anyhow. What a program did write is never replaced: an answer that contradicts its request stays
wrong.

Source: messages.md 3.7, 9.1, 9.2; docs/decisions/0061-header-repair.md.
"""

import copy
import re
from collections.abc import Collection

from lxml import etree

from catalog.services import Repair
from node.messages.fault import SOAP_ENVELOPE, parse_envelope
from node.messages.soap import BODY, SoapFaultMessage, SoapMessage, parse_soap
from node.messages.soap_header import (
    CLIENT,
    HEADER,
    ID,
    ISSUE,
    PROTOCOL_VERSION,
    REPRESENTED_PARTY,
    SERVICE,
    USER_ID,
)

_ECHOED = (CLIENT, SERVICE, USER_ID, ID, ISSUE, REPRESENTED_PARTY, PROTOCOL_VERSION)
_FAULT = f"{{{SOAP_ENVELOPE}}}Fault"
_DECLARATION = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\s[^>]*\?>\s*")
_NO_ACTION = ("", '""')
_URI_CODE = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@]+")
_ONLY_UTF8 = ("utf-8", "utf8", "ascii", "us-ascii")
_BEGINNING = b'<?xml version="1.0" encoding="UTF-8"?>\n'


def repair_request(
    message: SoapMessage, content_type: str, soap_action: str, repairs: Collection[Repair]
) -> tuple[SoapMessage, str]:
    """The message and the SOAPAction that are sent in the place of what the client sent."""
    if Repair.SOAP_ACTION in repairs and soap_action in _NO_ACTION:
        code = message.service.service_code
        if _URI_CODE.fullmatch(code):
            soap_action = f'"{code}"'
    if Repair.XML_DECLARATION in repairs:
        message = _without_declaration(message, content_type)
    return message, soap_action


def _without_declaration(message: SoapMessage, content_type: str) -> SoapMessage:
    """Cut what stands before the envelope; in UTF-8 it says nothing that is not so without it."""
    begins = _DECLARATION.match(message.raw)
    if begins is None or message.charset not in _ONLY_UTF8:
        return message
    cut = parse_soap(message.raw[begins.end() :], content_type)
    return message if isinstance(cut, SoapFaultMessage) else cut


def repair_answer(raw: bytes, request: SoapMessage) -> bytes:
    """An answer whose header has all that X-Road wants of the request's; a fault as it came.

    Raises:
        MalformedMessage: the answer is no SOAP envelope.
    """
    envelope = parse_envelope(raw)
    body = envelope.find(BODY)
    if body is None or body.find(_FAULT) is not None:
        return raw
    asked = parse_envelope(request.raw).find(HEADER)
    header = envelope.find(HEADER)
    if asked is None:
        raise AssertionError("a request has a header")
    known = () if header is None else [child.tag for child in header]
    missing = [child for child in asked if child.tag in _ECHOED and child.tag not in known]
    if not missing:
        return raw
    if header is None:
        header = etree.Element(HEADER)
        body.addprevious(header)
    for child in missing:
        added = copy.deepcopy(child)
        added.tail = None
        header.append(added)
    return _BEGINNING + etree.tostring(envelope, encoding="UTF-8", xml_declaration=False)
