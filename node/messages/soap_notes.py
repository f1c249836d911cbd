"""What a node tells of an answer in its header, to who stated an intent."""

from collections.abc import Sequence

from lxml import etree

from catalog.uris import ONCE_NAMESPACE
from node.messages.fault import parse_envelope
from node.messages.soap import header_of

_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_PREFIX = "once"
_NAMES = {
    "grant": "grant",
    "given": "given",
    "withheld": "withheld",
    "withheld-count": "withheldCount",
}


def with_notes(raw: bytes, notes: Sequence[tuple[str, str]]) -> bytes:
    """An envelope with these notes in its header, in the place of any that are there; in UTF-8.

    Raises MalformedMessage (`invalid_soap`, `missing_header`).
    """
    envelope = parse_envelope(raw)
    header = header_of(envelope)
    for name in _NAMES.values():
        for stale in header.findall(f"{{{ONCE_NAMESPACE}}}{name}"):
            header.remove(stale)
    for name, value in notes:
        tag = f"{{{ONCE_NAMESPACE}}}{_NAMES[name]}"
        note = etree.SubElement(header, tag, nsmap={_PREFIX: ONCE_NAMESPACE})
        note.text = "".join(letter for letter in value if letter.isprintable())
    return _DECLARATION + etree.tostring(envelope, encoding="UTF-8", xml_declaration=False)
