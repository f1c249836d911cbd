"""Read XML that an adversary may have written: no DTD, no entities, no network, bounded.

libxml2 itself stops at 256 nested elements and at 10 MB of one text. The bytes stay what they
are; nothing here writes XML.
"""

from lxml import etree

from trust.errors import MalformedMessage

MAX_XML_BYTES = 64 * 1024 * 1024


def parse_xml(raw: bytes, *, max_bytes: int = MAX_XML_BYTES, what: str = "XML") -> etree._Element:
    """Parse bytes to a root element, or raise MalformedMessage with code `invalid_xml`.

    Refused: a document type declaration, any entity reference that is not predefined, more than
    `max_bytes` bytes, nesting and texts beyond libxml2's own limits.
    """
    if len(raw) > max_bytes:
        raise MalformedMessage(f"{what} is larger than {max_bytes} bytes", "invalid_xml")
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False,
        huge_tree=False, remove_blank_text=False,
    )  # fmt: skip
    try:
        root = etree.fromstring(raw, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MalformedMessage(f"{what} is not well-formed: {error}", "invalid_xml") from error
    docinfo = root.getroottree().docinfo
    if docinfo.doctype or docinfo.internalDTD is not None:
        raise MalformedMessage(f"{what} has a document type declaration", "invalid_xml")
    return root
