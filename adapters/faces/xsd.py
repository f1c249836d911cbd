"""Shapes as XML Schema: element declarations for records and what is in them.

A list is an element that repeats; a list in a list has elements named `item` in it. What nobody
knows anything about is a text: that of a single value, or JSON. A name that XML does not have is
written with `_xHHHH_` for each character that is in the way, as SQL/XML does.
"""

import re

from lxml import etree

from adapters.shapes import AnyValue, Document, Field, ListOf, Record, Scalar, Shape, ValueType
from catalog.uris import ONCE_NAMESPACE

XS = "http://www.w3.org/2001/XMLSchema"
SAWSDL = "http://www.w3.org/ns/sawsdl"
ITEM, VALUE = "item", "value"
MEDIA_TYPE, DATA = "mediaType", "data"
_TYPES = {
    ValueType.TEXT: "string",
    ValueType.INTEGER: "long",
    ValueType.NUMBER: "double",
    ValueType.DECIMAL: "decimal",
    ValueType.BOOLEAN: "boolean",
    ValueType.DATE: "date",
    ValueType.DATETIME: "dateTime",
    ValueType.UUID: "string",
    ValueType.BINARY: "base64Binary",
}
# Letters of Latin, Greek and Cyrillic that a name may have in every edition of XML 1.0; libxml2's
# schemas keep to the fourth, which has fewer than the fifth.
_FIRST = (
    r"A-Za-z_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    r"\u0388-\u038a\u038e-\u03a1\u03a3-\u03ce\u0401-\u040c\u040e-\u044f\u0451-\u045c\u045e-\u0481"
)
_NO_NAME = re.compile(rf"[^{_FIRST}0-9.\-\u00b7]|_(?=x[0-9A-F]{{4,6}}_)")
_NO_BEGINNING = re.compile(rf"[^{_FIRST}]|[xX][mM][lL]")


def xml_name(name: str) -> str:
    """The element name for a field; two names never get the same."""
    written = _NO_NAME.sub(lambda match: _escaped(match[0][0]), name)
    if not written or _NO_BEGINNING.match(written):
        written = _escaped(written[0]) + written[1:] if written else "_x_"
    return written


def _escaped(character: str) -> str:
    return f"_x{ord(character):04X}_"


def record_of(answer: Shape) -> Record:
    """An answer as the content of its wrapper element."""
    match answer:
        case Record(nullable=False):
            return answer
        case ListOf():
            return Record((Field(ITEM, answer),))
        case Document():
            data = Field(DATA, Scalar(ValueType.BINARY))
            return Record((Field(MEDIA_TYPE), data))
        case _:
            return Record((Field(VALUE, answer, required=False),))


def declare_record(parent: etree._Element, name: str, record: Record) -> None:
    """Add a global element with these fields to a schema."""
    element = etree.SubElement(parent, f"{{{XS}}}element", name=name)
    _add_sequence(element, record)


def _add_sequence(element: etree._Element, record: Record) -> None:
    kind = etree.SubElement(element, f"{{{XS}}}complexType")
    sequence = etree.SubElement(kind, f"{{{XS}}}sequence")
    for field in record.fields:
        _add_field(sequence, field)


def _add_field(sequence: etree._Element, field: Field) -> None:
    element = etree.SubElement(sequence, f"{{{XS}}}element", name=xml_name(field.name))
    shape = field.shape
    if isinstance(shape, ListOf):
        element.set("minOccurs", "0")
        element.set("maxOccurs", str(shape.max_items) if shape.max_items else "unbounded")
        shape = shape.item
    elif not field.required:
        element.set("minOccurs", "0")
    if field.concept is not None:
        element.set(f"{{{SAWSDL}}}modelReference", field.concept)
    if field.subject is not None:
        element.set(f"{{{ONCE_NAMESPACE}}}subject", field.subject)
    if field.description:
        annotation = etree.SubElement(element, f"{{{XS}}}annotation")
        etree.SubElement(annotation, f"{{{XS}}}documentation").text = field.description
    _set_type(element, shape)


def _set_type(element: etree._Element, shape: Shape) -> None:
    match shape:
        case Record():
            if shape.nullable:
                element.set("nillable", "true")
            _add_sequence(element, shape)
        case ListOf():
            _add_sequence(element, Record((Field(ITEM, shape),)))
        case Scalar():
            if shape.nullable:
                element.set("nillable", "true")
            _set_simple_type(element, shape)
        case AnyValue() | Document():
            element.set("nillable", "true")
            element.set("type", "xs:string")


def _set_simple_type(element: etree._Element, shape: Scalar) -> None:
    base = f"xs:{_TYPES[shape.type]}"
    text = shape.type is ValueType.TEXT
    if not shape.choices and not (text and shape.max_length is not None):
        element.set("type", base)
        return
    simple = etree.SubElement(element, f"{{{XS}}}simpleType")
    restriction = etree.SubElement(simple, f"{{{XS}}}restriction", base=base)
    for choice in shape.choices:
        etree.SubElement(restriction, f"{{{XS}}}enumeration", value=choice)
    if text and shape.max_length is not None and not shape.choices:
        etree.SubElement(restriction, f"{{{XS}}}maxLength", value=str(shape.max_length))
