"""SOAP envelopes, 1.1 and 1.2: written around a request, opened around an answer.

A fault is told by its code and its sentence, both cut; its detail, which may hold anything from
rows of a database to a stack trace, is not handed on. Attachments of an answer are bounded with it:
those that an `xop:Include` stands for go to its place, the others are kept beside.

Source: SOAP 1.1 4; SOAP 1.2 part 1, 5; XOP 3.2; messages.md 3.6.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from lxml import etree

from adapters.soap.content import Element
from adapters.soap.reading import read_content
from adapters.soap.writing import NIL, write_content
from node.messages.mediatype import MULTIPART_RELATED, TEXT_XML, XOP_XML, MediaType
from node.messages.multipart import MultipartLimits, MultipartReader, PartData, PartHead
from trust.errors import MalformedMessage
from trust.xmlbytes import parse_xml

SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP12_XML = "application/soap+xml"
MAX_PARTS = 100  # of a multipart answer
_INCLUDE = "{http://www.w3.org/2004/08/xop/include}Include"
_LONGEST_CODE = 255
_LONGEST_TEXT = 1000
_WORD = re.compile(r"([a-z_]{1,40})(?:: .*)?", re.DOTALL)
_ACTION = re.compile(r"[^\"\\\x00-\x20\x7f-\uffff]*")


def new_envelope(*, soap12: bool, nsmap: dict[str, str] | None = None) -> etree._Element:
    """An envelope with an empty header and an empty body."""
    namespace = SOAP12 if soap12 else SOAP11
    envelope = etree.Element(
        f"{{{namespace}}}Envelope", nsmap={"soapenv": namespace, **(nsmap or {})}
    )
    etree.SubElement(envelope, f"{{{namespace}}}Header")
    etree.SubElement(envelope, f"{{{namespace}}}Body")
    return envelope


def header_of(envelope: etree._Element) -> etree._Element:
    return envelope[0]


def body_of(envelope: etree._Element) -> etree._Element:
    return envelope[1]


def fill_body(envelope: etree._Element, request: Element | None, value: object) -> None:
    """Write the request into the body; raises BadParameter."""
    if request is not None:
        write_content(etree.SubElement(body_of(envelope), request.tag), request.content, value)


def envelope_bytes(envelope: etree._Element) -> bytes:
    return etree.tostring(envelope, xml_declaration=True, encoding="utf-8")


def request_headers(action: str, *, soap12: bool) -> dict[str, str]:
    """The HTTP headers of a request; raises ValueError for an action that is no URI."""
    if not _ACTION.fullmatch(action):
        raise ValueError(f"the SOAPAction {action!r:.80} is no URI")
    if soap12:
        parameter = f'; action="{action}"' if action else ""
        return {"Content-Type": f"{SOAP12_XML}; charset=utf-8{parameter}"}
    return {"Content-Type": f"{TEXT_XML}; charset=utf-8", "SOAPAction": f'"{action}"'}


@dataclass(frozen=True, slots=True)
class SoapFault:
    """What a service says instead of an answer.

    Attributes:
        code: the local name of the innermost code, such as `Client` or `FailedAuthentication`.
        sender: whether the service says that the request is at fault.
        word: the one word in its detail, as other adapters of ours write it; else empty.
    """

    code: str
    text: str
    sender: bool
    word: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    content_id: str  # without angle brackets; may be empty
    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no fault.

    Attributes:
        raw: the bytes of the envelope, as they came.
        content_type: of the envelope, without its parameters.
        attachments: those that no `xop:Include` stands for.
    """

    raw: bytes = field(repr=False)
    content_type: str
    envelope: etree._Element = field(repr=False, compare=False)
    attachments: tuple[Attachment, ...] = ()


def open_answer(data: bytes, content_type: str) -> Answer | SoapFault:
    """Read what came over HTTP, whatever its status; raises MalformedMessage."""
    media = MediaType.parse(content_type)
    attachments: list[Attachment] = []
    raw = data
    if media.base == MULTIPART_RELATED:
        root, attachments = _take_apart(data, media)
        raw, media = root.data, MediaType.parse(root.media_type)
    if media.base not in (TEXT_XML, XOP_XML, SOAP12_XML):
        raise MalformedMessage(
            f"the answer is '{media.base[:80]}' and no SOAP message", "invalid_content_type"
        )
    envelope = parse_xml(raw, what="the answer")
    namespace = _namespace_of(envelope)
    body = envelope.find(f"{{{namespace}}}Body")
    if body is None:
        raise MalformedMessage("the answer has no SOAP body", "missing_body")
    fault = body.find(f"{{{namespace}}}Fault")
    if fault is not None:
        return _fault12(fault) if namespace == SOAP12 else _fault11(fault)
    used = _put_in_place(body, attachments)
    rest = tuple(attachment for attachment in attachments if attachment.content_id not in used)
    return Answer(raw, media.base, envelope, rest)


def read_body(answer: Answer, expected: Element | None, *, any_name: bool) -> object:
    """What the body says, by the grammar of the operation; raises MalformedMessage.

    Args:
        expected: None when the body must be empty.
        any_name: whether the element in the body may have any name.
    """
    namespace = _namespace_of(answer.envelope)
    body = answer.envelope.find(f"{{{namespace}}}Body")
    children = [] if body is None else list(body.iterchildren(tag=etree.Element))
    if expected is None:
        if children:
            raise MalformedMessage("the answer holds something although nothing was declared")
        return {}
    if len(children) != 1:
        raise MalformedMessage("the answer's body must hold one element", "invalid_body")
    (found,) = children
    if not any_name and found.tag != expected.tag:
        name = etree.QName(expected.tag).localname
        raise MalformedMessage(f"the answer's body does not hold '{name}'", "invalid_body")
    if found.get(NIL) in ("true", "1"):
        raise MalformedMessage("the answer's body is nil", "invalid_body")
    return read_content(found, expected.content)


def _namespace_of(envelope: etree._Element) -> str:
    for namespace in (SOAP11, SOAP12):
        if envelope.tag == f"{{{namespace}}}Envelope":
            return namespace
    raise MalformedMessage("the answer is no SOAP envelope", "invalid_soap")


def _fault11(fault: etree._Element) -> SoapFault:
    code = _local_code(_child_text(fault, "faultcode"))
    sender = code.partition(".")[0].lower() == "client"
    detail = fault.find("detail")
    word = _WORD.fullmatch("" if detail is None else _child_text(detail, "faultDetail"))
    text = _child_text(fault, "faultstring")[:_LONGEST_TEXT]
    return SoapFault(code, text, sender, word[1] if word else "")


def _fault12(fault: etree._Element) -> SoapFault:
    codes = [_local_code(str(node.text or "")) for node in fault.iter(f"{{{SOAP12}}}Value")][:8]
    text = fault.findtext(f"{{{SOAP12}}}Reason/{{{SOAP12}}}Text") or ""
    sender = bool(codes) and codes[0] == "Sender"
    return SoapFault(codes[-1] if codes else "", text.strip()[:_LONGEST_TEXT], sender)


def _child_text(parent: etree._Element, name: str) -> str:
    """The text of the first child of that local name, without its elements."""
    for child in parent.iterchildren(tag=etree.Element):
        if etree.QName(child).localname == name:
            return (child.text or "").strip()
    return ""


def _local_code(text: str) -> str:
    return text.strip().rpartition(":")[2][:_LONGEST_CODE]


def _take_apart(data: bytes, media: MediaType) -> tuple[Attachment, list[Attachment]]:
    """The part that is the envelope, and the others."""
    reader = MultipartReader(media.boundary(), MultipartLimits(parts=MAX_PARTS))
    parts: list[tuple[PartHead, bytearray]] = []
    for event in reader.feed(data):
        if isinstance(event, PartHead):
            parts.append((event, bytearray()))
        elif isinstance(event, PartData):
            parts[-1][1].extend(event.data)
    reader.close()
    found = [_attachment(head, bytes(body)) for head, body in parts]
    start = media.parameters.get("start", "").strip("<>")
    root = next((part for part in found if start and part.content_id == start), None)
    if root is None:
        if not found:
            raise MalformedMessage("the answer has no parts", "missing_soap")
        root = found[0]
    return root, [part for part in found if part is not root]


def _attachment(head: PartHead, body: bytes) -> Attachment:
    encoding = _first(head.values("content-transfer-encoding")).lower()
    if encoding == "base64":
        try:
            body = base64.b64decode(body)
        except ValueError as error:
            raise MalformedMessage("a part is no base64", "mime_parsing_failed") from error
    elif encoding not in ("", "binary", "8bit", "7bit"):
        raise MalformedMessage(f"a part is encoded as '{encoding[:40]}'", "mime_parsing_failed")
    content_id = _first(head.values("content-id")).strip("<>")
    return Attachment(content_id, _first(head.values("content-type")), body)


def _first(values: Sequence[str]) -> str:
    return values[0].strip() if values else ""


def _put_in_place(body: etree._Element, attachments: Sequence[Attachment]) -> set[str]:
    """Replace every `xop:Include` by what it stands for, in base64; returns the ids that were."""
    by_id = {part.content_id: part for part in attachments if part.content_id}
    used: set[str] = set()
    for include in list(body.iter(_INCLUDE)):
        content_id = unquote((include.get("href") or "").removeprefix("cid:"))
        part = by_id.get(content_id)
        parent = include.getparent()
        if part is None or parent is None or len(parent) != 1:
            raise MalformedMessage("the answer includes a part that it does not have")
        if content_id in used:
            raise MalformedMessage("the answer includes a part more than once")
        used.add(content_id)
        parent.remove(include)
        parent.text = base64.b64encode(part.data).decode("ascii")
    return used
