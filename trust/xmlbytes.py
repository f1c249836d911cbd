"""Read XML that an adversary may have written: no DTD, no entities, no network, bounded.

libxml2 itself stops at 256 nested elements and at 10 MB of one text. A tree takes many times the
memory of its bytes when they are mostly markup, so tags and attributes are bounded by counting `<`
and `=` before anything is parsed. The bytes stay what they are; nothing here writes XML.
"""

import re

from lxml import etree

from trust.errors import MalformedMessage

MAX_XML_BYTES = 64 * 1024 * 1024
MAX_TAGS = 500_000  # `<` in one document: about twice its elements
MAX_EQUALS = 1_000_000  # `=` in one document: its attributes, and what its texts hold

_DECLARED = re.compile(rb"""(?:\xef\xbb\xbf)?<\?xml\s[^>]*?\sencoding\s*=\s*["']([^"'>]*)["']""")
_ENCODINGS = re.compile(rb"(?i)utf-?(?:8|16)|(?:us-)?ascii|iso-8859-\d{1,2}|windows-125\d")


def parse_xml(
    raw: bytes,
    *,
    max_bytes: int | None = None,
    max_tags: int | None = None,
    max_equals: int | None = None,
    what: str = "XML",
) -> etree._Element:
    """Parse bytes to a root element, or raise MalformedMessage with code `invalid_xml`.

    Refused: a document type declaration, any entity reference that is not predefined, nesting and
    texts beyond libxml2's own limits, an encoding in which markup is not written as in ASCII, and
    what is beyond the bounds.

    Args:
        max_bytes: MAX_XML_BYTES unless given.
        max_tags, max_equals: how many `<` and `=` there may be: MAX_TAGS and MAX_EQUALS unless
            given. A caller that gives `max_bytes` alone bounds the markup itself.
        what: what the document is, for the error.
    """
    if max_bytes is None:
        max_bytes = MAX_XML_BYTES
        max_tags = MAX_TAGS if max_tags is None else max_tags
        max_equals = MAX_EQUALS if max_equals is None else max_equals
    if len(raw) > max_bytes:
        raise MalformedMessage(f"{what} is larger than {max_bytes} bytes", "invalid_xml")
    for mark, most in ((b"<", max_tags), (b"=", max_equals)):
        if most is not None and raw.count(mark) > most:
            text = f"{what} has more than {most} '{mark.decode()}'"
            raise MalformedMessage(text, "invalid_xml")
    check_encoding(raw, what)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_blank_text=False,
    )  # fmt: skip
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        raise MalformedMessage(f"{what} is not well-formed: {error.msg}", "invalid_xml") from error
    except ValueError as error:
        raise MalformedMessage(f"{what} is not well-formed: {error}", "invalid_xml") from error
    docinfo = root.getroottree().docinfo
    if docinfo.doctype or docinfo.internalDTD is not None:
        raise MalformedMessage(f"{what} has a document type declaration", "invalid_xml")
    return root


def check_encoding(raw: bytes, what: str) -> None:
    """Refuse encodings (UTF-7, EBCDIC) in which markup could not be counted.

    Args:
        raw: the document, or its beginning.
    """
    declared = _DECLARED.match(raw)
    if raw.startswith(b"\x4c\x6f\xa7\x94") or (declared and not _ENCODINGS.fullmatch(declared[1])):
        raise MalformedMessage(f"{what} is in an encoding that is not accepted", "invalid_xml")
