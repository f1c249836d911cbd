"""An X-Road client built on zeep; runs in an environment of its own, once for each call.

    python zeep_client.py <call.json >answer.json

call.json has `wsdl` (a file), `namespace` (of the service's elements), `node` (where to send to),
`client` and `service` (as `I/CLASS/CODE/SUBSYSTEM[/service/version]`), `message_id`, `arguments`,
and `files`: base64 by content id. answer.json has `header` and `body` of the answer and its `files`
in their order, or `fault`.

zeep itself sends no attachments, so they are added here. The envelope is written as the Estonian
libraries expect it: no XML declaration, and the customary prefixes.
"""

import base64
import email
import email.policy
import json
import sys

import requests
import zeep
from lxml import etree
from zeep.exceptions import Fault
from zeep.helpers import serialize_object
from zeep.transports import Transport

XROAD = "http://x-road.eu/xsd/xroad.xsd"
IDENTIFIERS = "http://x-road.eu/xsd/identifiers"
SWAREF = "http://ws-i.org/profiles/basic/1.1/swaref.xsd"
_PARTS = ["xRoadInstance", "memberClass", "memberCode", "subsystemCode"]
_SERVICE_PARTS = [*_PARTS, "serviceCode", "serviceVersion"]
_STRINGS = ["userId", "id", "issue", "protocolVersion"]


def _schema(namespace: str, inner: str) -> bytes:
    return (
        f'<schema xmlns="http://www.w3.org/2001/XMLSchema" xmlns:i="{IDENTIFIERS}"'
        f' targetNamespace="{namespace}" elementFormDefault="qualified">{inner}</schema>'
    ).encode()


def _identifier(name: str, parts: list[str]) -> str:
    elements = "".join(f'<element name="{part}" type="string" minOccurs="0"/>' for part in parts)
    attribute = '<attribute ref="i:objectType" use="required"/>'
    return f'<complexType name="{name}"><sequence>{elements}</sequence>{attribute}</complexType>'


# What schemas refer to by addresses that nobody should have to ask.
SCHEMAS = {
    XROAD: _schema(
        XROAD,
        f'<import namespace="{IDENTIFIERS}" schemaLocation="{IDENTIFIERS}"/>'
        '<element name="client" type="i:Client"/><element name="service" type="i:Service"/>'
        + "".join(f'<element name="{name}" type="string"/>' for name in _STRINGS),
    ),
    IDENTIFIERS: _schema(
        IDENTIFIERS,
        '<attribute name="objectType" type="string"/>'
        + _identifier("Client", _PARTS)
        + _identifier("Service", _SERVICE_PARTS),
    ),
    SWAREF: _schema(
        "http://ws-i.org/profiles/basic/1.1/xsd",
        '<simpleType name="swaRef"><restriction base="anyURI"/></simpleType>',
    ),
}


class NodeTransport(Transport):
    """Sends everything to one node, with the attachments of the call.

    Attributes:
        received: the last answer as it came.
    """

    def __init__(self, node: str, files: dict[str, bytes]) -> None:
        super().__init__(timeout=30, operation_timeout=60)
        self.node, self.files = node, files
        self.received = requests.Response()

    def load(self, url: str) -> bytes:
        return SCHEMAS.get(url) or super().load(url)

    def post_xml(self, address: str, envelope: etree._Element, headers: dict[str, str]):
        message = etree.tostring(envelope, encoding="utf-8", xml_declaration=False)
        message = message.replace(b"soap-env:", b"soapenv:").replace(b":soap-env=", b":soapenv=")
        if self.files:
            headers["Content-Type"], message = _multipart(message, self.files)
        self.received = self.post(self.node, message, headers)
        return self.received


def _multipart(envelope: bytes, files: dict[str, bytes]) -> tuple[str, bytes]:
    """The content type and the bytes of SOAP with attachments."""
    parts = [b"Content-Type: text/xml; charset=UTF-8\r\nContent-ID: <root>\r\n\r\n" + envelope]
    parts += [
        (
            "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
            f"Content-ID: <{content_id}>\r\n"
            f'Content-Disposition: attachment; filename="{content_id}.bin"\r\n\r\n'
        ).encode()
        + base64.encodebytes(content).replace(b"\n", b"\r\n")
        for content_id, content in files.items()
    ]
    whole = b"".join(b"--zeep-client\r\n" + part + b"\r\n" for part in parts)
    kind = 'multipart/related; type="text/xml"; start="<root>"; boundary="zeep-client"'
    return kind, whole + b"--zeep-client--\r\n"


def _attachments(answer: requests.Response) -> list[bytes]:
    """All files of an answer, those inside a nested multipart too."""
    kind = answer.headers.get("Content-Type", "")
    if not kind.startswith("multipart/"):
        return []
    raw = f"Content-Type: {kind}\r\n\r\n".encode() + answer.content
    message = email.message_from_bytes(raw, policy=email.policy.HTTP)
    leaves = [part for part in message.walk() if not part.is_multipart()]
    return [part.get_payload(decode=True) for part in leaves[1:]]


def _header(object_type: str, path: str) -> dict[str, str]:
    return {"objectType": object_type, **dict(zip(_SERVICE_PARTS, path.split("/"), strict=False))}


def _plain(value: object) -> object:
    """A value of zeep as JSON can have it."""
    return json.loads(json.dumps(serialize_object(value, dict), default=str))


def call(asked: dict) -> dict:
    files = {name: base64.b64decode(text) for name, text in asked["files"].items()}
    transport = NodeTransport(asked["node"], files)
    client = zeep.Client(asked["wsdl"], transport=transport)
    client.set_ns_prefix("xro", XROAD)
    client.set_ns_prefix("iden", IDENTIFIERS)
    client.set_ns_prefix("body", asked["namespace"])
    header = {
        "client": _header("SUBSYSTEM", asked["client"]),
        "service": _header("SERVICE", asked["service"]),
        "userId": "EX1",
        "id": asked["message_id"],
        "protocolVersion": "4.0",
    }
    operation = client.service[asked["service"].split("/")[4]]
    try:
        answer = operation(**asked["arguments"], _soapheaders=header)
    except Fault as fault:
        return {"fault": {"code": fault.code, "text": fault.message}}
    found = _attachments(transport.received)
    answer = getattr(answer, "root", answer)  # of an answer with attachments
    return {
        "header": _plain(answer.header),
        "body": _plain(answer.body),
        "files": [base64.b64encode(content).decode() for content in found],
    }


if __name__ == "__main__":
    json.dump(call(json.load(sys.stdin)), sys.stdout)
