"""Who must have signed a message: read from the message itself, REST form or SOAP.

A request is signed by its client, a response by the owner of the service. Nothing else is read
and nothing is believed; the signature proves or refutes it.

Source: signatures.md 9.4 step 2, transport.md 9; X-Road 7.8 AsicContainerVerifier.java.
"""

import re
from itertools import islice

from lxml import etree

from trust.errors import MalformedMessage
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, ClientId, ServiceId
from trust.xmlbytes import MAX_XML_BYTES, parse_xml

_SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
_XROAD = f"{{{XROAD_NAMESPACE}}}"
_ID = f"{{{IDENTIFIERS_NAMESPACE}}}"
_CLIENT_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
_SERVICE_PARTS = (*_CLIENT_PARTS, "serviceCode", "serviceVersion")
_SOAP_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*<")
_BROKEN_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n)")  # readers differ on where such a line ends
_REST_START = re.compile(rb"(?:[A-Z]+|[1-9][0-9]{2})\r\n[^\r\n]*\r\n")


def sender_of(message: bytes) -> ClientId:
    """The client or provider that must have signed `message.xml`; raises MalformedMessage.

    The bytes are a SOAP envelope when they begin as XML, else the text form of a REST message,
    where a first octet from 1 to 9 marks a response. At most 64 MiB are read.
    """
    if len(message) > MAX_XML_BYTES:
        raise MalformedMessage(f"The message is larger than {MAX_XML_BYTES} bytes")
    if _SOAP_START.match(message):
        return _soap_sender(message)
    return _rest_sender(message)


def _rest_sender(message: bytes) -> ClientId:
    start = _REST_START.match(message)
    if start is None or not message.endswith(b"\r\n") or _BROKEN_LINE.search(message):
        raise MalformedMessage("The message is neither SOAP nor the text form of a REST message")
    if message[:1].isdigit():
        return ServiceId.from_header(_last_header(message, start.end(), b"x-road-service")).provider
    return ClientId.from_header(_last_header(message, start.end(), b"x-road-client"))


def _last_header(message: bytes, start: int, name: bytes) -> str:
    """The value of a header, the last one where it repeats, as the reference server takes it."""
    pattern = re.compile(rb"(?im)^" + re.escape(name) + rb":([^\r\n]*)\r\n")
    value = None
    for match in pattern.finditer(message, start):
        value = match[1]
    if value is None:
        raise MalformedMessage(f"The message has no {name.decode()}", "missing_header_field")
    try:
        return value.decode("ascii")
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"{name.decode()} is not plain text") from error


def _soap_sender(message: bytes) -> ClientId:
    envelope = parse_xml(message, what="The SOAP message")
    if envelope.tag != f"{_SOAP}Envelope":
        raise MalformedMessage("The message is XML and no SOAP envelope", "invalid_soap")
    header = _only_child(envelope, f"{_SOAP}Header", "missing_header")
    body = _only_child(envelope, f"{_SOAP}Body", "missing_body")
    content = list(islice(body.iterchildren("*"), 2))
    if len(content) != 1:
        raise MalformedMessage("The SOAP body does not hold exactly one element", "invalid_body")
    if content[0].tag == f"{_SOAP}Fault":
        raise MalformedMessage("The message is a SOAP fault, which nobody signs")
    if etree.QName(content[0]).localname.endswith("Response"):
        service = _identifier(_only_child(header, f"{_XROAD}service"), _SERVICE_PARTS)
        return ClientId(*(service[part] for part in _CLIENT_PARTS if part in service))
    client = _identifier(_only_child(header, f"{_XROAD}client"), _CLIENT_PARTS)
    return ClientId(*client.values())


def _only_child(
    parent: etree._Element, tag: str, missing: str = "missing_header_field"
) -> etree._Element:
    found = list(islice(parent.iterchildren(tag), 2))
    name = etree.QName(tag).localname
    if not found:
        raise MalformedMessage(f"The SOAP message has no {name}", missing)
    if len(found) > 1:
        raise MalformedMessage(
            f"The SOAP message has more than one {name}", "duplicate_header_field"
        )
    return found[0]


def _identifier(element: etree._Element, names: tuple[str, ...]) -> dict[str, str]:
    """The parts of an identifier by name, in their order; each is plain text without markup."""
    parts: dict[str, str] = {}
    for child in element:
        name = str(child.tag).removeprefix(_ID)
        if child.tag != f"{_ID}{name}" or name not in names or name in parts or len(child):
            raise MalformedMessage(f"The SOAP header has a malformed identifier at {name}")
        parts[name] = child.text or ""
    required = [name for name in names if name not in ("subsystemCode", "serviceVersion")]
    if [name for name in names if name in parts] != list(parts) or set(required) - set(parts):
        raise MalformedMessage("The SOAP header has an identifier without its parts in order")
    return parts
