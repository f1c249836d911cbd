"""What the messages of an exchange say: who asks whom for what, and which request is answered.

Both forms of message, read from the bytes that were signed and no further than is needed to tell
whether an answer belongs to a request, and to tell a person what the request was for.

Source: transport.md 9.5; messages.md 2.2, 3.7, 5; X-Road 7.8 ClientRestMessageProcessor.java,
ClientMessageProcessor.java.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from trust.base64text import decode_base64
from trust.digests import SHA512_URI, digest, digest_name, sha512
from trust.errors import EvidenceRejected, MalformedMessage
from trust.evidence.asic import Container
from trust.evidence.container_leaf import attachment_digests
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, decode_segment
from trust.report import Check, failed, passed
from trust.xmlbytes import parse_xml

MAX_TEXT = 1024  # characters of a field that is shown
_SOAP_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*<")
_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_XROAD = f"{{{XROAD_NAMESPACE}}}"
_PARTY = "{http://x-road.eu/xsd/representation.xsd}"
_IDENTIFIER_PARTS = (
    "xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode", "serviceVersion",
)  # fmt: skip

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExchangeFacts:
    """One message's own words; that its signer said them, the signature proves.

    Attributes:
        client, service: the parts of the identifiers, in order.
        user, issue: the official and the case, where the consumer's system named them.
        represented_party: on whose behalf, as class and code or code alone.
        request_hash: algorithm URI and digest of the request that a response answers.
    """

    response: bool
    rest: bool
    message_id: str
    client: Parts
    service: Parts
    user: str | None = None
    issue: str | None = None
    represented_party: Parts | None = None
    request_hash: tuple[str, bytes] | None = field(default=None, repr=False)


def read_facts(message: bytes) -> ExchangeFacts:
    """Read `message.xml` of a container, or raise MalformedMessage."""
    facts = _read_soap(message) if _SOAP_START.match(message) else _read_rest(message)
    if any(len(text or "") > MAX_TEXT for text in (facts.message_id, facts.user, facts.issue)):
        raise MalformedMessage(f"A field is longer than {MAX_TEXT} characters")
    return facts


def check_pair(request: Container, response: Container) -> Check:
    """Check that the response answers this very request: names, ids and the request's hash.

    A response of another exchange is well signed too; only this tells.
    """
    try:
        asked, answered = read_facts(request.message), read_facts(response.message)
        hashed = None if answered.request_hash is None else _hash(request, asked, answered)
    except (MalformedMessage, EvidenceRejected) as error:
        return _inconsistent(error.text)
    if asked.response or not answered.response or asked.rest != answered.rest:
        return _inconsistent("They are not a request and a response of one protocol")
    for what in ("message_id", "client", "service"):
        if getattr(asked, what) != getattr(answered, what):
            return _inconsistent(f"They differ in the {what.replace('_', ' ')}")
    if answered.request_hash is None:
        return _inconsistent("The response does not say which request it answers")
    if hashed != answered.request_hash[1]:
        return _inconsistent("The response answers another request")
    return passed("pairing", "the response states the hash of this request")


def _inconsistent(text: str) -> Check:
    return failed("pairing", "inconsistent_response", text)


def _hash(request: Container, asked: ExchangeFacts, answered: ExchangeFacts) -> bytes:
    """The hash of the request, as its protocol makes it."""
    algorithm = answered.request_hash[0] if answered.request_hash else SHA512_URI
    if digest_name(algorithm) is None or (asked.rest and algorithm != SHA512_URI):
        raise MalformedMessage(f"The hash algorithm {algorithm[:100]!r} is not accepted")
    if not asked.rest:
        return digest(algorithm, request.message)
    head, bodies = sha512(request.message), attachment_digests(request)
    return sha512(head + bodies[0]) if bodies else head


# --- REST -----------------------------------------------------------------------------------------


def _read_rest(message: bytes) -> ExchangeFacts:
    try:
        first, target, *lines = message.decode("utf-8").split("\r\n")
    except (UnicodeDecodeError, ValueError) as error:
        raise MalformedMessage("The message is no REST message") from error
    headers = {name.lower(): value for name, _, value in (line.partition(":") for line in lines)}
    response = first[:1].isdigit()
    service = _rest_identifier(headers, "x-road-service") if response else _service_of(target)
    return ExchangeFacts(
        response=response,
        rest=True,
        message_id=headers.get("x-road-id", ""),
        client=_rest_identifier(headers, "x-road-client"),
        service=service,
        user=headers.get("x-road-userid"),
        issue=headers.get("x-road-issue"),
        represented_party=_rest_party(headers),
        request_hash=_rest_hash(headers),
    )


def _rest_identifier(headers: Mapping[str, str], name: str) -> Parts:
    value = headers.get(name, "")
    if not 3 <= len(value.split("/")) <= 5:
        raise MalformedMessage(f"The message has no {name}", "missing_header_field")
    return tuple(decode_segment(part) for part in value.split("/"))


def _service_of(target: str) -> Parts:
    segments = target.partition("?")[0].split("/")
    if len(segments) < 7 or segments[:2] != ["", "r1"]:
        raise MalformedMessage("The request names no service")
    return tuple(decode_segment(part) for part in segments[2:7])


def _rest_party(headers: Mapping[str, str]) -> Parts | None:
    value = headers.get("x-road-represented-party")
    if value is None:
        return None
    if value.count("/") > 1:
        raise MalformedMessage("The represented party has more than two parts")
    return tuple(decode_segment(part) for part in value.split("/"))


def _rest_hash(headers: Mapping[str, str]) -> tuple[str, bytes] | None:
    value = headers.get("x-road-request-hash")
    return None if value is None else (SHA512_URI, _base64(value))


def _base64(text: str) -> bytes:
    try:
        return decode_base64(text)
    except ValueError as error:
        raise MalformedMessage("The hash of the request is no base64") from error


# --- SOAP -----------------------------------------------------------------------------------------


def _read_soap(message: bytes) -> ExchangeFacts:
    envelope = parse_xml(message, what="The SOAP message")
    header, body = envelope.find(f"{_SOAP}Header"), envelope.find(f"{_SOAP}Body")
    if header is None or body is None or envelope.tag != f"{_SOAP}Envelope":
        raise MalformedMessage("The message has no SOAP header or no body", "invalid_soap")
    content = next(body.iterchildren("*"), None)
    name = "" if content is None else etree.QName(content).localname
    return ExchangeFacts(
        response=name.endswith("Response"),
        rest=False,
        message_id=_text(header, f"{_XROAD}id") or "",
        client=_soap_identifier(header, "client"),
        service=_soap_identifier(header, "service"),
        user=_text(header, f"{_XROAD}userId"),
        issue=_text(header, f"{_XROAD}issue"),
        represented_party=_soap_party(header),
        request_hash=_soap_hash(header),
    )


def _soap_hash(header: etree._Element) -> tuple[str, bytes] | None:
    element = _field(header, f"{_XROAD}requestHash")
    if element is None:
        return None
    return element.get("algorithmId", ""), _base64(_plain(element))


def _field(header: etree._Element, tag: str) -> etree._Element | None:
    found = list(header.iterchildren(tag))
    if len(found) > 1:
        name = etree.QName(tag).localname
        raise MalformedMessage(f"The message has more than one {name}", "duplicate_header_field")
    return found[0] if found else None


def _plain(element: etree._Element) -> str:
    if len(element):
        raise MalformedMessage("A field of the SOAP header holds more than text")
    return element.text or ""


def _text(header: etree._Element, tag: str) -> str | None:
    element = _field(header, tag)
    return None if element is None else _plain(element)


def _soap_identifier(header: etree._Element, name: str) -> Parts:
    element = _field(header, f"{_XROAD}{name}")
    if element is None:
        raise MalformedMessage(f"The message has no {name}", "missing_header_field")
    found = {
        part: _text(element, f"{{{IDENTIFIERS_NAMESPACE}}}{part}") for part in _IDENTIFIER_PARTS
    }
    return tuple(text for text in found.values() if text is not None)


def _soap_party(header: etree._Element) -> Parts | None:
    element = _field(header, f"{_PARTY}representedParty")
    if element is None:
        return None
    parts = (_text(element, f"{_PARTY}partyClass"), _text(element, f"{_PARTY}partyCode") or "")
    return tuple(part for part in parts if part is not None)
