"""SOAP as the Municipality's own information system writes and reads it; no part of a node.

raw = request(BENEFITS, STATUS, message_id, NAMESPACE, {"nationalId": "…"})
values = read_answer(content_type, body).values
"""

import base64
import email
import email.policy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from lxml import etree

from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId
from trust.xmlbytes import parse_xml

CONTENT_TYPE = "text/xml; charset=UTF-8"
CONTRIBUTIONS_NAMESPACE = "http://social-security.sandbox.test/v1"
_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_XROAD = "http://x-road.eu/xsd/xroad.xsd"
_IDENTIFIERS = "http://x-road.eu/xsd/identifiers"
_PARTS = (
    "xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode", "serviceVersion",
)  # fmt: skip


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


def request(
    client: ClientId,
    service: ServiceId,
    message_id: str,
    namespace: str,
    arguments: Mapping[str, str],
) -> bytes:
    """An envelope with X-Road's header, its body document/literal wrapped."""
    inner = "".join(f"<b:{name}>{escape(text)}</b:{name}>" for name, text in arguments.items())
    wrapper = service.service_code
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="{_ENVELOPE}" xmlns:xro="{_XROAD}" xmlns:iden="{_IDENTIFIERS}">
  <soapenv:Header>
    <xro:client iden:objectType="SUBSYSTEM">{_identifier(client.parts)}</xro:client>
    <xro:service iden:objectType="SERVICE">{_identifier(service.parts)}</xro:service>
    <xro:userId>clerk-7</xro:userId>
    <xro:id>{escape(message_id)}</xro:id>
    <xro:issue>school-benefits/2026/1</xro:issue>
    <xro:protocolVersion>4.0</xro:protocolVersion>
  </soapenv:Header>
  <soapenv:Body><b:{wrapper} xmlns:b="{escape(namespace)}">{inner}</b:{wrapper}></soapenv:Body>
</soapenv:Envelope>
""".encode()


def _identifier(parts: tuple[str, ...]) -> str:
    return "".join(
        f"<iden:{name}>{escape(part)}</iden:{name}>"
        for name, part in zip(_PARTS, parts, strict=False)
    )


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
