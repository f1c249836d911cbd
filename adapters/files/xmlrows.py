"""Rows of an XML file: the elements of one name, parsed as they come and dropped when read.

What is between them is dropped as well, so memory is that of one row and one chunk. No DTD, no
entities, no network, as in `trust.xmlbytes`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from lxml import etree

from adapters.files.rows import BadRow, RawRow, RowStream, UnreadableFile
from adapters.files.settings import Table
from trust.errors import MalformedMessage
from trust.xmlbytes import check_encoding

_CHUNK = 64 * 1024
_STEP = re.compile(r"(?:(?P<prefix>[A-Za-z_][\w.-]*):)?(?P<name>[A-Za-z_][\w.-]*)")
_DOCTYPE = b"<!DOCTYPE"


@dataclass(frozen=True, slots=True)
class XmlPath:
    """The way from a row to one of its values: names of child elements, then an attribute."""

    steps: tuple[str, ...]  # in the form {namespace}name
    attribute: str | None

    @classmethod
    def parse(cls, text: str, namespaces: Mapping[str, str]) -> "XmlPath":
        """Read `name/first` or `name/@id`; raises ValueError."""
        parts = text.split("/")
        attribute = None
        if parts[-1].startswith("@"):
            attribute = qualified(parts.pop()[1:], namespaces)
        return cls(tuple(qualified(part, namespaces) for part in parts), attribute)

    def value(self, row: etree._Element) -> str | None:
        """The text there; None when there is none, TwoValues when there are two."""
        found = row
        for step in self.steps:
            children = found.findall(step)
            if not children:
                return None
            if len(children) > 1:
                raise TwoValues
            found = children[0]
        if self.attribute is not None:
            return _text(found.get(self.attribute))
        if len(found):
            raise TwoValues
        return _text(found.text)


class TwoValues(Exception):
    """Where one text must stand there are several elements."""


def qualified(name: str, namespaces: Mapping[str, str]) -> str:
    """`p:name` as `{namespace}name`; raises ValueError for what is no name."""
    match = _STEP.fullmatch(name)
    if match is None:
        raise ValueError(f"'{name}' is no name of an element or attribute")
    prefix = match["prefix"]
    if prefix is None:
        return match["name"]
    if prefix not in namespaces:
        raise ValueError(f"the prefix '{prefix}' is not declared")
    return f"{{{namespaces[prefix]}}}{match['name']}"


def _text(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def xml_rows(file: BinaryIO, table: Table, max_row: int) -> RowStream:
    """Read rows; raises UnreadableFile for what is not well-formed or declares a document type."""
    namespaces = table.xml.namespaces
    paths = tuple(XmlPath.parse(field.at or field.name, namespaces) for field in table.field)
    for row in _elements(file, qualified(table.xml.row, namespaces), max_row):
        line = row.sourceline or 0
        try:
            yield RawRow(line, tuple(path.value(row) for path in paths))
        except TwoValues:
            yield BadRow(line, "several elements for one field", "one element with a text")


def _elements(file: BinaryIO, name: str, max_row: int) -> Iterator[etree._Element]:
    parser = etree.XMLPullParser(
        events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False,
        dtd_validation=False, huge_tree=False, remove_comments=True, remove_pis=True,
    )  # fmt: skip
    current: etree._Element | None = None  # the row that has begun
    begun_ago = 0  # bytes fed since
    root: etree._Element | None = None
    first = True
    while piece := file.read(_CHUNK):
        if root is None:
            _check_start(piece, first)
            first = False
        begun_ago += len(piece)
        if current is not None and begun_ago > max_row + _CHUNK:
            line = current.sourceline or 0
            raise UnreadableFile(line, f"a row of more than {max_row} bytes", "a shorter one")
        try:
            parser.feed(piece)
            for event, element in parser.read_events():
                if root is None:
                    root = element
                    _check_document_type(root)
                if event == "start":
                    if current is None and element.tag == name:
                        current, begun_ago = element, 0
                elif current is not None and element is current:
                    yield current
                    current = None
                    _drop(element)
                elif current is None:
                    _drop(element)
        except etree.XMLSyntaxError as error:
            raise _malformed(error) from None
    try:
        parser.close()
    except etree.XMLSyntaxError as error:
        raise _malformed(error) from None


def _drop(element: etree._Element) -> None:
    """Empty an element that has ended, and take out those before it."""
    element.clear()
    parent = element.getparent()
    if parent is not None:
        while element.getprevious() is not None:
            del parent[0]


def _check_start(piece: bytes, first: bool) -> None:
    if first:
        try:
            check_encoding(piece, "the file")
        except MalformedMessage:
            raise UnreadableFile(1, "an encoding that is not accepted", "UTF-8") from None
    if _DOCTYPE in piece.replace(b"\0", b""):
        raise UnreadableFile(0, "a document type declaration", "XML without one")


def _check_document_type(root: etree._Element) -> None:
    docinfo = root.getroottree().docinfo
    if docinfo.doctype or docinfo.internalDTD is not None:
        raise UnreadableFile(0, "a document type declaration", "XML without one")


def _malformed(error: etree.XMLSyntaxError) -> UnreadableFile:
    line = error.lineno or 0
    # the parser's own words may quote names that stand in the file, and those are no values
    return UnreadableFile(line, "XML that is not well-formed", "well-formed XML")
