"""Writes a SOAP request: header and body from values.

Source: messages.md 2.2, 3.1; the elements of once-only are read by `node.messages.intent`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from catalog.uris import ONCE_NAMESPACE
from node.messages.fault import SOAP_ENVELOPE
from node.messages.intent import NO_INTENT, Intent
from node.messages.represented_party import RepresentedParty
from node.messages.soap_header import REPRESENTATION_NAMESPACE
from trust.errors import MalformedMessage
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE, ClientId, ServiceId

_CLIENT_PARTS = ("xRoadInstance", "memberClass", "memberCode", "subsystemCode")
_NAME = re.compile(r"[A-Za-z_][\w.\-]{0,254}")
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MAX_DEPTH = 20  # elements within each other


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """What the header says."""

    client: ClientId
    service: ServiceId
    message_id: str
    intent: Intent = NO_INTENT


@dataclass(slots=True)
class _Element:
    children: dict[str, "_Element"] = field(default_factory=dict)
    text: str | None = None


def build_soap_request(header: RequestHeader, body: str) -> bytes:
    """The envelope around a body that is XML already."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{SOAP_ENVELOPE}" xmlns:xro="{XROAD_NAMESPACE}"'
        f' xmlns:iden="{IDENTIFIERS_NAMESPACE}"><soapenv:Header>{_header(header)}'
        f"</soapenv:Header><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
    ).encode()


def build_body(values: Mapping[str, str], namespace: str, *, qualified: bool) -> str:
    """The one element below the soap:Body, with these values at these paths.

    Args:
        values: by `/`-separated local names; all begin with the same name. Elements stand in the
            order in which they are named first.
        namespace: of the first element; empty for none.
        qualified: whether those within it are in that namespace, too.

    Raises:
        MalformedMessage: for paths that make no such element, and for values XML can't hold.
    """
    root = _Element()
    for path, value in values.items():
        _put(root, path, value)
    if len(root.children) != 1:
        raise MalformedMessage("A SOAP request has exactly one element in its body")
    ((name, top),) = root.children.items()
    if not namespace:
        return f"<{name}>{_content(top)}</{name}>"
    if qualified:
        return f"<{name} xmlns={quoteattr(namespace)}>{_content(top)}</{name}>"
    return f"<once:{name} xmlns:once={quoteattr(namespace)}>{_content(top)}</once:{name}>"


def _put(root: _Element, path: str, value: str) -> None:
    names = path.strip("/").split("/")
    if len(names) > MAX_DEPTH or not all(map(_NAME.fullmatch, names)):
        raise MalformedMessage(f"'{path[:80]}' is no path of element names")
    if _NOT_XML.search(value):
        raise MalformedMessage("A value holds characters that XML can't hold")
    here = root
    for name in names:
        here = here.children.setdefault(name, _Element())
        if here.text is not None:
            raise MalformedMessage(f"'{path[:80]}' leads into an element that has a value")
    if here.children:
        raise MalformedMessage(f"'{path[:80]}' is an element that has others in it")
    here.text = value


def _content(element: _Element) -> str:
    if element.text is not None:
        return escape(element.text)
    inner = element.children.items()
    return "".join(f"<{name}>{_content(child)}</{name}>" for name, child in inner)


def _header(header: RequestHeader) -> str:
    service, intent = header.service, header.intent
    version = service.service_version
    said = (
        "" if version is None else f"<iden:serviceVersion>{escape(version)}</iden:serviceVersion>"
    )
    return (
        f'<xro:client iden:objectType="{header.client.object_type}">{_client(header.client)}'
        f'</xro:client><xro:service iden:objectType="SERVICE">{_client(service.provider)}'
        f"<iden:serviceCode>{escape(service.service_code)}</iden:serviceCode>{said}</xro:service>"
        + _text("xro:id", header.message_id)
        + _text("xro:userId", intent.official)
        + _text("xro:issue", intent.case)
        + "<xro:protocolVersion>4.0</xro:protocolVersion>"
        + _party(intent.mandate)
        + _intent(intent)
    )


def _text(name: str, value: str) -> str:
    return f"<{name}>{escape(value)}</{name}>" if value else ""


def _client(client: ClientId) -> str:
    named: Sequence[tuple[str, str]] = tuple(zip(_CLIENT_PARTS, client.parts, strict=False))
    return "".join(f"<iden:{name}>{escape(value)}</iden:{name}>" for name, value in named)


def _party(mandate: str) -> str:
    """The represented party, from the form that REST headers have."""
    if not mandate:
        return ""
    party = RepresentedParty.from_header(mandate)
    inner = _text("repr:partyClass", party.party_class or "")
    inner += _text("repr:partyCode", party.party_code)
    opening = f'<repr:representedParty xmlns:repr="{REPRESENTATION_NAMESPACE}">'
    return f"{opening}{inner}</repr:representedParty>"


def _intent(intent: Intent) -> str:
    named = (
        ("purpose", intent.purpose),
        ("legalBasis", intent.legal_basis),
        ("procedure", intent.procedure),
        ("fields", ",".join(intent.fields)),
    )
    return "".join(
        f'<{name} xmlns="{ONCE_NAMESPACE}">{escape(value)}</{name}>'
        for name, value in named
        if value
    )
