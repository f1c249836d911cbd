"""SOAP as the Municipality's own information system writes and reads it; no part of a node.

    content = wrapped("contributionStatus", NAMESPACE, {"nationalId": "…"})
    raw = request(BENEFITS, STATUS, message_id, content)
    values = read_answer(content_type, body).values

What is written is what a clerk's program would write by hand.
"""

import base64
import email
import email.policy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from lxml import etree

from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId
from trust.xmlbytes import parse_xml

CONTENT_TYPE = "text/xml; charset=UTF-8"
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_XROAD = "http://x-road.eu/xsd/xroad.xsd"
_IDENTIFIERS = "http://x-road.eu/xsd/identifiers"
_CLIENT = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")


@dataclass(frozen=True, slots=True)
class SoapAnswer:
    """What came back.

    Attributes:
        fault: the code of a fault, whoever made it; empty for an answer.
        text: of a fault.
        request_hash: base64, as the provider's node gives it.
        body: the element inside the body, None for a fault.
        files: the attachments.
    """

    fault: str
    text: str = ""
    request_hash: str = ""
    body: etree._Element | None = None
    files: tuple[bytes, ...] = ()

    @property
    def values(self) -> Mapping[str, str]:
        """Texts of the body's children by local name."""
        children = [] if self.body is None else list(self.body)
        return {etree.QName(child).localname: child.text or "" for child in children}

    def texts(self, name: str) -> list[str]:
        """The texts of all elements of that local name, wherever they are in the body."""
        found = [] if self.body is None else self.body.iter(f"{{*}}{name}")
        return [one.text or "" for one in found]


def wrapped(name: str, namespace: str, arguments: Mapping[str, str]) -> str:
    """The content of a body, document/literal wrapped."""
    inner = "".join(f"<b:{key}>{escape(text)}</b:{key}>" for key, text in arguments.items())
    return f'<b:{name} xmlns:b="{escape(namespace)}">{inner}</b:{name}>'


def request(
    client: ClientId,
    service: ServiceId,
    message_id: str,
    content: str,
    server: ServerId | None = None,
) -> bytes:
    """An envelope with X-Road's header.

    Args:
        content: the element in the body.
        server: the only server that may answer.
    """
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" xmlns:xro="{_XROAD}" xmlns:iden="{_IDENTIFIERS}">
  <soapenv:Header>
    <xro:client iden:objectType="{client.object_type}">{_identifier(client)}</xro:client>
    <xro:service iden:objectType="SERVICE">{_service(service)}</xro:service>{_server(server)}
    <xro:userId>clerk-7</xro:userId>
    <xro:id>{escape(message_id)}</xro:id>
    <xro:issue>school-benefits/2026/1</xro:issue>
    <xro:protocolVersion>4.0</xro:protocolVersion>
  </soapenv:Header>
  <soapenv:Body>{content}</soapenv:Body>
</soapenv:Envelope>
""".encode()


def _identifier(client: ClientId) -> str:
    return _elements(zip(_CLIENT, client.parts, strict=False))


def _service(service: ServiceId) -> str:
    code, version = service.service_code, service.service_version
    own = [("serviceCode", code), *([("serviceVersion", version)] if version else [])]
    return _identifier(service.provider) + _elements(own)


def _server(server: ServerId | None) -> str:
    if server is None:
        return ""
    inner = _identifier(server.owner) + _elements([("serverCode", server.server_code)])
    return f'\n    <xro:securityServer iden:objectType="SERVER">{inner}</xro:securityServer>'


def _elements(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<iden:{name}>{escape(text)}</iden:{name}>" for name, text in pairs)


def hash_of(raw: bytes) -> str:
    """What `requestHash` of the answer to this request must be."""
    return base64.b64encode(hashlib.sha512(raw).digest()).decode()


def read_answer(content_type: str, raw: bytes) -> SoapAnswer:
    """Read an answer with or without attachments; raises MalformedMessage."""
    envelope = raw
    files: tuple[bytes, ...] = ()
    if content_type.startswith("multipart/"):
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        whole = email.message_from_bytes(head + raw, policy=email.policy.HTTP)
        parts = [part.get_payload(decode=True) for part in whole.iter_parts()]
        contents = [part for part in parts if isinstance(part, bytes)]
        if not contents:
            raise MalformedMessage("The answer has no parts", "missing_soap")
        envelope, files = contents[0], tuple(contents[1:])
    root = parse_xml(envelope, what="The answer")
    body = root.find(f"{{{_ENVELOPE}}}Body")
    if body is None or len(body) == 0:
        raise MalformedMessage("The answer has no body", "missing_body")
    fault = body.find(f"{{{_ENVELOPE}}}Fault")
    if fault is not None:
        code, text = fault.findtext("faultcode"), fault.findtext("faultstring")
        return SoapAnswer(code or "without code", text or "")
    hashed = root.findtext(f"{{{_ENVELOPE}}}Header/{{{_XROAD}}}requestHash")
    return SoapAnswer("", request_hash=hashed or "", body=body[0], files=files)
