"""What values look like: single values, lists and records, and how JSON Schema says it.

A shape is a tree: whoever reads a description with a type that contains itself cuts it with
`AnyValue`. Values that fit a shape are plain Python: `str int Decimal float bool date datetime UUID
bytes`, lists, dicts by field name, and None where a shape is nullable.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

MAX_TEXT = 4096


class ValueType(StrEnum):
    TEXT = "text"
    INTEGER = "integer"  # within 64 bits
    NUMBER = "number"  # given as any decimal number, answered as a float
    DECIMAL = "decimal"  # every digit counts: a text in JSON
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    UUID = "uuid"
    BINARY = "binary"  # base64 where it is text


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value.

    Attributes:
        max_length: characters of a text that is given; answers are not judged by it.
        choices: the only texts that are allowed; none means any.
    """

    type: ValueType = ValueType.TEXT
    nullable: bool = False
    max_length: int | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    item: "Shape"
    nullable: bool = False
    max_items: int | None = None  # of a list that is given


@dataclass(frozen=True, slots=True)
class Record:
    """An object with named fields; a field that is not declared is refused when it is given."""

    fields: tuple["Field", ...]
    nullable: bool = False

    def field(self, name: str) -> "Field | None":
        return next((field for field in self.fields if field.name == name), None)


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Whatever JSON can say; nothing is known about it."""


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes with a media type instead of a JSON value; only as the whole of an answer."""

    media_type: str = "application/octet-stream"


Shape: TypeAlias = Scalar | ListOf | Record | AnyValue | Document


@dataclass(frozen=True, slots=True)
class Field:
    """A named value: a parameter, or a field of a record.

    Attributes:
        required: whether it must be there; an absent one is None in what is read.
        concept: URI of the fact that stands here, where one is known.
        example: a harmless value for descriptions and sample calls, as text.
        subject: URI of the kind of identifier by which it names whom a request is about.
    """

    name: str
    shape: Shape = Scalar()
    required: bool = True
    description: str = ""
    concept: str | None = None
    example: str | None = None
    subject: str | None = None


def json_schema(shape: Shape) -> dict[str, object]:
    """How OpenAPI 3.0 says it."""
    match shape:
        case Scalar():
            schema = _scalar_schema(shape)
        case ListOf():
            schema = {"type": "array", "items": json_schema(shape.item)}
            if shape.max_items is not None:
                schema["maxItems"] = shape.max_items
        case Record():
            schema = _object_schema(shape.fields)
        case Document():
            return {"type": "string", "format": "binary"}
        case _:
            return {}
    return schema | ({"nullable": True} if shape.nullable else {})


def _scalar_schema(shape: Scalar) -> dict[str, object]:
    schema = dict(_JSON_TYPES[shape.type])
    if shape.choices:
        schema["enum"] = [*shape.choices]
    if shape.max_length is not None and shape.type is ValueType.TEXT:
        schema["maxLength"] = shape.max_length
    return schema


def _object_schema(fields: Iterable[Field]) -> dict[str, object]:
    listed = tuple(fields)
    schema: dict[str, object] = {"type": "object"}
    needed = [field.name for field in listed if field.required]
    if needed:
        schema["required"] = needed  # an empty list is not allowed
    return schema | {"properties": {field.name: field_schema(field) for field in listed}}


def field_schema(field: Field) -> dict[str, object]:
    """The schema of a field, with its meaning."""
    schema = json_schema(field.shape)
    if field.description:
        schema["description"] = field.description
    if field.concept is not None:
        schema["x-concept"] = field.concept
    if field.subject is not None:
        schema["x-subject"] = field.subject
    return schema


_JSON_TYPES: dict[ValueType, dict[str, object]] = {
    ValueType.TEXT: {"type": "string"},
    ValueType.INTEGER: {"type": "integer", "format": "int64"},
    ValueType.NUMBER: {"type": "number"},
    ValueType.DECIMAL: {"type": "string", "format": "decimal"},
    ValueType.BOOLEAN: {"type": "boolean"},
    ValueType.DATE: {"type": "string", "format": "date"},
    ValueType.DATETIME: {"type": "string", "format": "date-time"},
    ValueType.UUID: {"type": "string", "format": "uuid"},
    ValueType.BINARY: {"type": "string", "format": "byte"},
}
