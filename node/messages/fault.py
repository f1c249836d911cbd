"""Faults: how an error looks on the wire, in both spellings, as SOAP and as a REST error.

Between nodes a fault is always a SOAP fault; to an information system it is one too, or a small
JSON or XML document when it called by REST.

Source: transport.md 11; errors.md 1 to 3; messages.md 5.7; X-Road 7.8 SoapFault.java,
ClientRestMessageHandler.java, ErrorCodes.java at 7.7.1 and 7.8.0.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from xml.sax.saxutils import escape

from lxml import etree

from node.messages.fault_codes import to_legacy
from node.messages.version import Version
from trust.errors import ExchangeError, MalformedMessage, PeerFault
from trust.xmlbytes import parse_xml

SOAP_ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
FAULT_CONTENT_TYPE = "text/xml; charset=utf-8"  # of a bare fault, in lower case
FAULT_PART_CONTENT_TYPE = "text/xml; charset=UTF-8"  # of a fault in a part
MAX_FAULT_BYTES = 64 * 1024
_LONGEST_WORD = 255  # characters of a code, a detail, an actor; what is longer is cut
_LONGEST_TEXT = 4096
_QUOTES = {'"': "&quot;", "'": "&apos;"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_PRINTABLE = re.compile(r"[^\x21-\x7e]+")
_ACCEPT_XML = ("text/xml", "application/xml", "text/*")


class Side(StrEnum):
    """Whose error it was: the prefix of a fault code."""

    REQUESTER = "client"  # a bad SOAP request of an information system
    CONSUMER = "server.clientproxy"
    PROVIDER = "server.serverproxy"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between generations of nodes."""

    snake_case_faults: bool = True  # since 7.8.0

    @classmethod
    def of_peer(cls, announced: str) -> Self:
        """The dialect of a peer by its `x-proxy-version`; an unreadable one counts as current."""
        version = Version.find(announced)
        return cls(version is None or (version.major, version.minor) >= (7, 8))

    def spell(self, code: str) -> str:
        return code if self.snake_case_faults else to_legacy(code)


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as it leaves: full code, a sentence, and the id under which the log has more."""

    code: str
    text: str
    detail: str = ""
    actor: str = ""

    @classmethod
    def of(cls, error: ExchangeError, side: Side, detail: str, dialect: Dialect) -> Self:
        """Put the side in front of an error's code, once, in the spelling of the receiver.

        A fault that somebody else raised stays as it came, spelling and all.

        Args:
            detail: a fresh id, also written to the log.
        """
        if isinstance(error, PeerFault):
            return cls(error.code, error.text, error.detail, error.actor)
        code = error.code
        if code != side and not code.startswith(f"{side}."):
            code = f"{side}.{code}"
        return cls(dialect.spell(code), error.text, detail)

    def to_error(self) -> PeerFault:
        return PeerFault(self.code, self.text, self.detail, self.actor)


def build_fault_xml(fault: Fault) -> bytes:
    """The SOAP envelope of a fault, byte for byte as X-Road writes it (transport.md 11.2)."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<SOAP-ENV:Envelope xmlns:SOAP-ENV="{SOAP_ENVELOPE}"><SOAP-ENV:Body><SOAP-ENV:Fault>'
        f"<faultcode>{_xml(fault.code)}</faultcode>"
        f"<faultstring>{_xml(fault.text)}</faultstring>"
        f"<faultactor>{_xml(fault.actor)}</faultactor>"
        f'<detail><faultDetail xmlns="">{_xml(fault.detail)}</faultDetail></detail>'
        "</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


def _xml(text: str) -> str:
    """Escape as Apache Commons does; what XML can't hold at all is left out."""
    return escape(_NOT_XML.sub("", text), _QUOTES)


def parse_fault(raw: bytes) -> Fault | None:
    """Read a SOAP fault; None for a SOAP message that is none.

    Raises:
        MalformedMessage: `invalid_soap`, as from `parse_envelope` and `fault_in`.
    """
    envelope = parse_envelope(raw)
    found = envelope.find(f"{{{SOAP_ENVELOPE}}}Body/{{{SOAP_ENVELOPE}}}Fault")
    return None if found is None else fault_in(found, len(raw))


def parse_envelope(raw: bytes) -> etree._Element:
    """Parse a SOAP 1.1 envelope; MalformedMessage (`invalid_soap`) for anything else."""
    try:
        root = parse_xml(raw, what="SOAP message")
    except MalformedMessage as error:
        raise MalformedMessage(error.text, "invalid_soap") from error
    if root.tag != f"{{{SOAP_ENVELOPE}}}Envelope":
        raise MalformedMessage("Malformed SOAP message: envelope missing", "invalid_soap")
    return root


def fault_in(found: etree._Element, size: int) -> Fault:
    """Read the element of a fault, of a message of `size` bytes.

    The parts of the fault are found by local name, as X-Road writes and reads them.

    Raises:
        MalformedMessage: `invalid_soap`, when it has no code or is larger than MAX_FAULT_BYTES.
    """
    if size > MAX_FAULT_BYTES:
        raise MalformedMessage("SOAP fault is too large", "invalid_soap")
    code = _child_text(found, "faultcode").strip()
    if not code:
        raise MalformedMessage("SOAP fault has no code", "invalid_soap")
    text = _child_text(found, "faultstring")[:_LONGEST_TEXT]
    return Fault(code[:_LONGEST_WORD], text, _detail(found), _actor(found))


def _actor(found: etree._Element) -> str:
    return _child_text(found, "faultactor")[:_LONGEST_WORD]


def _detail(found: etree._Element) -> str:
    """The text of `faultDetail`, or of the whole detail when somebody else made the fault."""
    detail = _child(found, "detail")
    if detail is None:
        return ""
    inner = _child(detail, "faultDetail")
    return _text(detail if inner is None else inner).strip()[:_LONGEST_WORD]


def _child(parent: etree._Element, name: str) -> etree._Element | None:
    for child in parent.iterchildren(tag=etree.Element):
        if etree.QName(child).localname == name:
            return child
    return None


def _child_text(parent: etree._Element, name: str) -> str:
    child = _child(parent, name)
    return "" if child is None else _text(child)


def _text(element: etree._Element) -> str:
    """All text below an element, without comments and processing instructions."""
    return str(element.xpath("string()"))


@dataclass(frozen=True, slots=True)
class RestError:
    """The HTTP answer that tells an information system of a fault."""

    status: int
    code: str  # for `X-Road-Error`, printable ASCII whatever the peer sent
    content_type: str
    body: bytes

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("X-Road-Error", self.code), ("Content-Type", self.content_type))


def build_rest_error(fault: Fault, accept: Iterable[str]) -> RestError:
    """The answer to a REST call that failed.

    500 when the code begins with `server.` in any case, 400 otherwise: X-Road compares with case
    and so answers 400 for a fault of an older peer.

    Args:
        accept: the values of all `Accept` headers of the call.
    """
    status = 500 if fault.code.lower().startswith("server.") else 400
    header = _NOT_PRINTABLE.sub("_", fault.code)
    xml = _wanted_xml(accept)
    if xml is None:
        content = {"type": fault.code, "message": fault.text, "detail": fault.detail}
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return RestError(status, header, "application/json", body.encode("utf-8", "replace"))
    document = (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?><error>'
        f"<type>{_xml(fault.code)}</type><message>{_xml(fault.text)}</message>"
        f"<detail>{_xml(fault.detail)}</detail></error>"
    )
    return RestError(status, header, f"{xml};charset=utf-8", document.encode())


def _wanted_xml(accept: Iterable[str]) -> str | None:
    """The first XML type that is accepted, weights ignored as X-Road does; None for JSON."""
    for value in accept:
        for entry in value.split(","):
            name = entry.partition(";")[0].strip().lower()
            if name in _ACCEPT_XML:
                return "text/xml" if name == "text/*" else name
    return None
