"""Read and write configuration XML by a table of its structure.

A table (`confschema`) says which elements stand in which order, how often, of which type and since
which version of the schema. Reading refuses what the version does not have; writing leaves it out.

Source: trust.md 6.2: validation is strict up to the place where anything may follow.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

from lxml import etree

from trust.configuration.conftypes import Value, write_value
from trust.errors import MalformedMessage
from trust.ids import IDENTIFIERS_NAMESPACE, XROAD_NAMESPACE

MALFORMED = "malformed_global_conf"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_HINTS = {f"{_XSI}schemaLocation", f"{_XSI}noNamespaceSchemaLocation"}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Simple:
    """A text of some type: how it is read (raises ValueError), and what it is for a message."""

    read: Callable[[str], Value]
    what: str


@dataclass(frozen=True, slots=True)
class Field:
    """An element inside a structure; `most` None means any number."""

    name: str  # Clark notation
    type: "Simple | Structure"
    least: int = 1
    most: int | None = 1
    since: int = 2


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    type: Simple
    required: bool = False


@dataclass(frozen=True, slots=True)
class Structure:
    """Elements in order; `open_since`: from which version on anything may follow them."""

    fields: tuple[Field, ...]
    attributes: tuple[Attribute, ...] = ()
    open_since: int | None = None

    def of_version(self, version: int) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if field.since <= version)


@dataclass(frozen=True, slots=True)
class Record:
    """An element that was read, or is to be written: its values by element name, in order.

    The accessors trust the table that the record was read with.
    """

    children: Mapping[str, Sequence["Value | Record"]] = field(default_factory=dict)
    attributes: Mapping[str, Value] = field(default_factory=dict)
    line: int = 0

    def _all(self, name: str, kind: type[_T]) -> tuple[_T, ...]:
        values = self.children.get(name, ())
        return tuple(value for value in values if isinstance(value, kind))

    def texts(self, name: str) -> tuple[str, ...]:
        return self._all(name, str)

    def text(self, name: str) -> str:
        return self.texts(name)[0]

    def optional(self, name: str) -> str | None:
        return next(iter(self.texts(name)), None)

    def datas(self, name: str) -> tuple[bytes, ...]:
        return self._all(name, bytes)

    def number(self, name: str) -> int:
        return self._all(name, int)[0]

    def truth(self, name: str) -> bool:
        """Whether the element stands there and is true."""
        return next(iter(self._all(name, bool)), False)

    def time(self, name: str) -> datetime | None:
        return next(iter(self._all(name, datetime)), None)

    def records(self, name: str) -> tuple["Record", ...]:
        return self._all(name, Record)

    def record(self, name: str) -> "Record | None":
        return next(iter(self.records(name)), None)

    def attribute(self, name: str) -> str | None:
        value = self.attributes.get(name)
        return value if isinstance(value, str) else None


def malformed(line: int, text: str) -> MalformedMessage:
    return MalformedMessage(f"line {line}: {text}" if line else text, MALFORMED)


def short(name: str) -> str:
    """An element name for a message: without the braces of its namespace."""
    return re.sub(r"^\{[^}]*\}", "", name)


def read_structure(element: etree._Element, structure: Structure, version: int) -> Record:
    """Read an element by its table; raises MalformedMessage that names the line.

    Args:
        version: of the schema, 2 to 6; elements that came later are refused.
    """
    line = element.sourceline or 0
    attributes = _read_attributes(element, structure.attributes, line)
    found: dict[str, list[Value | Record]] = {}
    for child, field_ in _matched(element, structure, version):
        found.setdefault(field_.name, []).append(_read_field(child, field_, version))
    _check_counts(element, structure.of_version(version), found, line)
    return Record(MappingProxyType(found), attributes, line)


def _elements(element: etree._Element) -> Iterator[etree._Element]:
    """Child elements without comments and instructions; text between them must be blank."""
    texts = [element.text or ""]
    for child in element:
        texts.append(child.tail or "")
        if isinstance(child.tag, str):
            yield child
    if "".join(texts).strip(" \t\r\n"):
        line = element.sourceline or 0
        raise malformed(line, f"text stands between the elements of '{short(_tag(element))}'")


def _tag(element: etree._Element) -> str:
    return str(element.tag)


def _matched(
    element: etree._Element, structure: Structure, version: int
) -> Iterator[tuple[etree._Element, Field]]:
    """Pair each child with its field, in order; what follows an open structure is left alone."""
    fields = structure.of_version(version)
    position = 0
    matched = False  # whether the field at the position has been met
    for child in _elements(element):
        ahead = range(position, len(fields))
        match = next((i for i in ahead if fields[i].name == child.tag), None)
        opened = _may_be_anything(structure, version, fields[position + 1 :])
        repeated = matched and match == position and fields[position].most == 1
        if match is not None and not (opened and repeated):
            position, matched = match, True
            yield child, fields[match]
        elif opened:
            position = len(fields)
        else:
            raise _unexpected(child, element, structure, version)


def _may_be_anything(structure: Structure, version: int, rest: Sequence[Field]) -> bool:
    opened = structure.open_since is not None and version >= structure.open_since
    return opened and not any(field_.least for field_ in rest)


def _unexpected(
    child: etree._Element, parent: etree._Element, structure: Structure, version: int
) -> MalformedMessage:
    name, inside = short(_tag(child)), short(_tag(parent))
    line = child.sourceline or 0
    known = next((field_ for field_ in structure.fields if field_.name == child.tag), None)
    if known is None:
        return malformed(line, f"'{name}' is not expected in '{inside}'")
    if known.since > version:
        since = f"exists from version {known.since} on, and this is version {version}"
        return malformed(line, f"'{name}' in '{inside}' {since}")
    return malformed(line, f"'{name}' does not stand in its place in '{inside}'")


def _read_field(child: etree._Element, field_: Field, version: int) -> Value | Record:
    if isinstance(field_.type, Structure):
        return read_structure(child, field_.type, version)
    line = child.sourceline or 0
    _read_attributes(child, (), line)
    texts = [child.text or ""]
    for inner in child:
        if isinstance(inner.tag, str):
            raise malformed(line, f"'{short(_tag(child))}' holds elements, expected text")
        texts.append(inner.tail or "")
    return _read_value("".join(texts), field_.type, short(_tag(child)), line)


def _read_value(text: str, kind: Simple, name: str, line: int) -> Value:
    try:
        return kind.read(text)
    except ValueError as error:
        raise malformed(line, f"'{name}' is no {kind.what}: {error}") from error


def _read_attributes(
    element: etree._Element, wanted: Sequence[Attribute], line: int
) -> Mapping[str, Value]:
    found = {str(name): str(value) for name, value in element.attrib.items()}
    name = short(_tag(element))
    unknown = found.keys() - _HINTS - {attribute.name for attribute in wanted}
    if unknown:
        raise malformed(line, f"'{name}' has an unexpected attribute '{short(min(unknown))}'")
    for attribute in wanted:
        if attribute.required and attribute.name not in found:
            raise malformed(line, f"'{name}' has no attribute '{short(attribute.name)}'")
    return {
        attribute.name: _read_value(
            found[attribute.name], attribute.type, short(attribute.name), line
        )
        for attribute in wanted
        if attribute.name in found
    }


def _check_counts(
    element: etree._Element,
    fields: Sequence[Field],
    found: Mapping[str, Sequence[object]],
    line: int,
) -> None:
    inside = short(_tag(element))
    for field_ in fields:
        count = len(found.get(field_.name, ()))
        if count < field_.least:
            raise malformed(line, f"'{inside}' has no '{short(field_.name)}'")
        if field_.most is not None and count > field_.most:
            raise malformed(line, f"'{inside}' has {count} times '{short(field_.name)}'")


def write_structure(name: str, structure: Structure, record: Record, version: int) -> bytes:
    """Write a document: the record as root element `name` in the namespace of X-Road.

    Fields that the version does not have are left out. Raises MalformedMessage for a missing
    required value and for text that XML can't hold.
    """
    root = etree.Element(
        f"{{{XROAD_NAMESPACE}}}{name}",
        nsmap={"xroad": XROAD_NAMESPACE, "id": IDENTIFIERS_NAMESPACE},
    )
    _write(root, structure, record, version)
    return etree.tostring(
        root, encoding="UTF-8", xml_declaration=True, standalone=True, pretty_print=True
    )


def _write(element: etree._Element, structure: Structure, record: Record, version: int) -> None:
    fields = structure.of_version(version)
    _check_counts(element, fields, record.children, 0)
    for attribute in structure.attributes:
        if attribute.name in record.attributes:
            element.set(attribute.name, write_value(record.attributes[attribute.name]))
    for field_ in fields:
        for value in record.children.get(field_.name, ()):
            child = etree.SubElement(element, field_.name)
            if isinstance(field_.type, Structure):
                _write(child, field_.type, _as_record(value), version)
            else:
                _write_text(child, value)


def _as_record(value: Value | Record) -> Record:
    if not isinstance(value, Record):
        raise TypeError("a structure is written from a record")
    return value


def _write_text(element: etree._Element, value: Value | Record) -> None:
    if isinstance(value, Record):
        raise TypeError("a text is not written from a record")
    try:
        element.text = write_value(value)
    except ValueError as error:
        name = short(_tag(element))
        raise MalformedMessage(f"'{name}' can't be written as XML: {error}", MALFORMED) from error
