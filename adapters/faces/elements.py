"""Values as XML elements, by the shapes that the schema declares."""

import base64
import math
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

import msgspec
from lxml import etree

from adapters.faces.xsd import ITEM, xml_name
from adapters.operations import BadParameter
from adapters.shapes import AnyValue, Field, ListOf, Record, Scalar, Shape, ValueType

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_NIL = f"{{{_XSI}}}nil"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ZONED_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:Z|[+-][0-9]{2}:[0-9]{2})")
_BINARY_TRUTH = {"1": "true", "0": "false"}
_encode = msgspec.json.Encoder(decimal_format="string", enc_hook=str).encode


class UnfitAnswer(Exception):
    """A source answered something else than was declared; the text names the place alone."""


def read_record(
    record: Record, parent: etree._Element, namespace: str, prefix: str = ""
) -> dict[str, object]:
    """What the elements in `parent` give, by field names; raises BadParameter.

    Types are read later, with those of all other faces; here it is about the form: every element is
    declared, in the namespace, and stands there once unless it is a list.
    """
    fields = {f"{{{namespace}}}{xml_name(field.name)}": field for field in record.fields}
    given: dict[str, object] = {}
    for child in parent.iterchildren(tag=etree.Element):
        field = fields.get(str(child.tag))
        if field is None:
            raise _unknown(child, namespace, prefix)
        place = prefix + field.name
        shape = field.shape.item if isinstance(field.shape, ListOf) else field.shape
        value = _read(shape, child, namespace, place)
        if isinstance(field.shape, ListOf):
            items = given.setdefault(field.name, [])
            assert isinstance(items, list)  # noqa: S101 - set one line above
            items.append(value)
        elif field.name in given:
            raise BadParameter(place, f"parameter '{place}' is given twice")
        else:
            given[field.name] = value
    _refuse_text(parent, prefix.rstrip("."))
    for field in record.fields:
        if isinstance(field.shape, ListOf) and field.required:
            given.setdefault(field.name, [])  # no element says that it is empty
    return given


def _unknown(child: etree._Element, namespace: str, prefix: str) -> BadParameter:
    name = etree.QName(child)
    place = f"{prefix}{name.localname}"[:200]
    if name.namespace != namespace:
        return BadParameter(place, f"element '{place}' is not in the namespace {namespace}")
    return BadParameter(place, f"there is no parameter '{place}'")


def _read(shape: Shape, element: etree._Element, namespace: str, place: str) -> object:
    if element.get(_NIL) in ("true", "1"):
        return None
    match shape:
        case Record():
            return read_record(shape, element, namespace, f"{place}.")
        case ListOf():
            inner = Record((Field(ITEM, shape),))
            return read_record(inner, element, namespace, f"{place}.").get(ITEM, [])
        case _:
            return _read_text(shape, element, place)


def _read_text(shape: Shape, element: etree._Element, place: str) -> str:
    if len(element):
        raise BadParameter(place, f"parameter '{place}' must be a text without markup")
    text = element.text or ""
    if not isinstance(shape, Scalar) or shape.type is ValueType.TEXT:
        return text
    text = "".join(text.split()) if shape.type is ValueType.BINARY else text.strip()
    if shape.type is ValueType.BOOLEAN:
        return _BINARY_TRUTH.get(text, text)
    zoned = _ZONED_DATE.fullmatch(text) if shape.type is ValueType.DATE else None
    return zoned[1] if zoned else text  # a zone says nothing about a day in a register


def _refuse_text(parent: etree._Element, place: str) -> None:
    texts = (parent.text, *(child.tail for child in parent))
    if any(text and text.strip() for text in texts):
        raise BadParameter(place, "there is text between the elements")


def write_record(record: Record, value: object, parent: etree._Element, namespace: str) -> None:
    """Add the fields of a value to `parent`; raises UnfitAnswer where it is not of the shape."""
    if not isinstance(value, Mapping):
        raise UnfitAnswer(f"'{etree.QName(parent).localname}' is no object")
    for field in record.fields:
        item = value.get(field.name)
        tag = f"{{{namespace}}}{xml_name(field.name)}"
        if isinstance(field.shape, ListOf):
            for one in _list(item, field.name):
                _write(field.shape.item, one, etree.SubElement(parent, tag), namespace)
        elif item is not None:
            _write(field.shape, item, etree.SubElement(parent, tag), namespace)
        elif field.required or field.name in value:
            _write_nothing(field, parent, tag)


def _list(value: object, place: str) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise UnfitAnswer(f"'{place}' is no list")
    return list(value)


def _write_nothing(field: Field, parent: etree._Element, tag: str) -> None:
    nullable = isinstance(field.shape, AnyValue) or getattr(field.shape, "nullable", False)
    if nullable:
        etree.SubElement(parent, tag).set(_NIL, "true")
    elif field.required:
        raise UnfitAnswer(f"'{field.name}' is missing")


def _write(shape: Shape, value: object, element: etree._Element, namespace: str) -> None:
    if value is None:
        element.set(_NIL, "true")
        return
    match shape:
        case Record():
            write_record(shape, value, element, namespace)
        case ListOf():
            write_record(Record((Field(ITEM, shape),)), {ITEM: value}, element, namespace)
        case _:
            element.text = _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text_of(value))


def text_of(value: object) -> str:
    """The text of a single value, as XML Schema writes its type; JSON for anything else."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return f"{value:f}"
        case float():
            return _float_text(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case date():
            return value.isoformat()
        case list() | tuple() | dict():
            return _encode(value).decode()
        case _:
            return str(value)


def _float_text(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
