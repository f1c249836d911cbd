"""Inserts `requestHash` into a SOAP response and leaves every other byte as it is.

The tree says which element of the document `id` is; a scanner of markup counts tags up to it and
so finds its bytes. It need not judge: what it scans has been parsed and has no document type
declaration, so that each `<` begins a comment, a CDATA section, a processing instruction or a tag.

Source: messages.md 3.7; X-Road 7.8 ServerMessageProcessor.java (ResponseSoapParserImpl), which
writes the whole document anew.
"""

import re
from dataclasses import dataclass

from lxml import etree

from node.messages.fault import parse_envelope
from node.messages.soap_header import HEADER, ID, REQUEST_HASH
from trust.base64text import encode_base64
from trust.errors import MalformedMessage

ALGORITHM = "http://www.w3.org/2001/04/xmlenc#sha512"
_WHITE = " \t\r\n"  # of XML; other characters of the text may be parts of encoded ones
_LONGEST_INDENT = 100
_TOKEN = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"
    r"""|<(?P<shut>/)?[^!?/](?:[^<>"']++|"[^"]*+"|'[^']*+')*+>""",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""[ \t\r\n]+([^ \t\r\n=]+)[ \t\r\n]*=[ \t\r\n]*("[^"]*"|'[^']*')""")
_NAME_END = re.compile(r"[ \t\r\n/>]")
_NOT_COPIED = frozenset({"algorithmId", "xml:id"})  # of which there may be one


def insert_request_hash(raw: bytes, charset: str, digest: bytes) -> bytes:
    """Put the hash of the request behind the `id` of a response, in place of any that is there.

    The new element has the prefix, the attributes and the indentation of `id`.

    Args:
        charset: `SoapMessage.charset` of the response.
        digest: SHA-512 of the bytes of the request's envelope.

    Raises:
        MalformedMessage: `invalid_soap`, or `missing_header_field` without an `id`.
    """
    envelope = parse_envelope(raw)
    codec = _codec(raw, charset)
    try:
        text = raw.decode(codec)
        return _insert(text, envelope, encode_base64(digest)).encode(codec)
    except UnicodeError as error:
        raise MalformedMessage("SOAP message is not in its encoding", "invalid_soap") from error


def _codec(raw: bytes, charset: str) -> str:
    """A codec that gives back the same bytes.

    In all charsets but UTF-16 markup is written as in ASCII, so each byte may stand for itself.
    """
    if not charset.startswith("utf-16"):
        return "latin-1"
    return "utf-16-be" if raw.startswith((b"\xfe\xff", b"\x00<")) else "utf-16-le"


def _insert(text: str, envelope: etree._Element, digest: str) -> str:
    message_id, stale = _places(envelope)
    spans = _spans(text, {message_id, *stale})
    found = spans[message_id]
    edits = [(found.end, found.end, _element(text, found, digest))]
    edits += [(_before_white(text, spans[n].start), spans[n].end, "") for n in stale]
    pieces: list[str] = []
    at = 0
    for start, end, new in sorted(edits):
        pieces += (text[at:start], new)
        at = end
    return "".join([*pieces, text[at:]])


def _places(envelope: etree._Element) -> tuple[int, list[int]]:
    """The numbers of `id` and of each `requestHash` among the elements, counted from 0."""
    found: list[int] = []
    stale: list[int] = []
    number = 1  # the envelope itself is 0
    for part in envelope.iterchildren(tag=etree.Element):
        if part.tag != HEADER:
            number += _size(part)
            continue
        number += 1
        for child in part.iterchildren(tag=etree.Element):
            if child.tag == ID:
                found.append(number)
            elif child.tag == REQUEST_HASH:
                stale.append(number)
            number += _size(child)
        break
    if not found:
        raise MalformedMessage("Required field 'id' is missing", "missing_header_field")
    return found[0], stale


def _size(element: etree._Element) -> int:
    return sum(1 for _ in element.iter(etree.Element))


@dataclass(frozen=True, slots=True)
class _Span:
    """Where an element stands: from its `<`, to behind its start tag, to behind its end."""

    start: int
    opened: int
    end: int


def _spans(text: str, wanted: set[int]) -> dict[int, _Span]:
    """Where the elements with these numbers stand."""
    found: dict[int, _Span] = {}
    number = -1
    within: list[tuple[int, int, int]] = []
    for token in _TOKEN.finditer(text):
        start, end = token.span()
        if text[start + 1] in "!?":
            continue
        if token["shut"] is None:
            number += 1
            within.append((number, start, end))
            if text[end - 2] != "/":
                continue
        which, opened_at, opened = within.pop()
        if which in wanted:
            found[which] = _Span(opened_at, opened, end)
            if len(found) == len(wanted):
                return found
    raise MalformedMessage("SOAP message is not in its encoding", "invalid_soap")


def _element(text: str, message_id: _Span, digest: str) -> str:
    """`requestHash` as it stands behind `id`, after the same white space."""
    tag = text[message_id.start : message_id.opened]
    indent = text[_before_white(text, message_id.start) : message_id.start]
    name = _NAME_END.split(tag, maxsplit=1)[0]
    name_of_hash = name.removeprefix("<").removesuffix("id") + "requestHash"
    attributes = "".join(
        f" {key}={value}"
        for key, value in _ATTRIBUTE.findall(tag, len(name))
        if key not in _NOT_COPIED
    )
    return (
        f'{indent[-_LONGEST_INDENT:]}<{name_of_hash}{attributes} algorithmId="{ALGORITHM}">'
        f"{digest}</{name_of_hash}>"
    )


def _before_white(text: str, at: int) -> int:
    return len(text[:at].rstrip(_WHITE))
