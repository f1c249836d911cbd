"""The grammar of an element's content, as a tree, and the shape of the JSON that stands for it.

A tree and no graph: a type that contains itself is cut by whoever builds it. Every element and
attribute has a field of its own in the record around it; a group that may be repeated is one field
with a list of records.
"""

import dataclasses
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TypeAlias

from adapters.shapes import AnyValue, Field, ListOf, Record, Shape
from adapters.soap.lexical import Simple


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever XML can say; nothing is known about it."""


@dataclass(frozen=True, slots=True)
class Attribute:
    tag: str  # `{namespace}name`, or the name alone
    field: str
    simple: Simple
    required: bool = False


@dataclass(frozen=True, slots=True)
class Complex:
    """Attributes, and elements or a text.

    Attributes:
        particle: the elements; None where there are none.
        text: the type of the text where elements are not allowed; `text_field` holds it.
        other_attributes: the field for attributes of any name, which are read and never written;
            None where there may be none.
        type_name: `{namespace}name` of the type; empty when it has none.
    """

    particle: "Particle | None" = None
    attributes: tuple[Attribute, ...] = ()
    text: Simple | None = None
    text_field: str = "value"
    other_attributes: str | None = None
    type_name: str = ""


Content: TypeAlias = Simple | Complex | Anything


@dataclass(frozen=True, slots=True)
class Element:
    """An element in its place.

    Attributes:
        least, most: how often it stands there; None is without end.
    """

    tag: str
    field: str
    content: Content
    least: int = 1
    most: int | None = 1
    nillable: bool = False

    @property
    def starts(self) -> frozenset[str]:
        return frozenset((self.tag,))

    @property
    def optional(self) -> bool:
        return self.least == 0


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Elements of any name; what stands there is read and never written."""

    field: str
    least: int = 0
    most: int | None = 1
    starts: frozenset[str] = frozenset()

    @property
    def optional(self) -> bool:
        return True


class Order(Enum):
    SEQUENCE = auto()
    CHOICE = auto()
    ALL = auto()


@dataclass(frozen=True, slots=True)
class Group:
    """Several particles together.

    Attributes:
        field: of the list, when the group may be repeated; its parts then have a record of their
            own, else they are fields of the record around it.
        starts: the elements it can begin with; of a wildcard none.
        optional: whether nothing at all fits it.
        wild: whether it can begin with an element of any name.
    """

    order: Order
    parts: tuple["Particle", ...]
    least: int = 1
    most: int | None = 1
    field: str | None = None
    starts: frozenset[str] = dataclasses.field(init=False, compare=False, repr=False)
    optional: bool = dataclasses.field(init=False, compare=False, repr=False)
    wild: bool = dataclasses.field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        starts: set[str] = set()
        wild = False
        for part in self.parts:
            starts |= part.starts
            wild = wild or begins_with_any(part)
            if self.order is Order.SEQUENCE and not part.optional:
                break
        empty = any if self.order is Order.CHOICE else all
        optional = not self.parts or empty(part.optional for part in self.parts)
        object.__setattr__(self, "starts", frozenset(starts))
        object.__setattr__(self, "optional", self.least == 0 or optional)
        object.__setattr__(self, "wild", wild)


Particle: TypeAlias = Element | Wildcard | Group


def begins_with_any(particle: Particle) -> bool:
    match particle:
        case Wildcard():
            return True
        case Group():
            return particle.wild
        case Element():
            return False


def shape_of(content: Content, *, nullable: bool = False) -> Shape:
    """The shape of the value that stands for this content."""
    match content:
        case Anything():
            return AnyValue()
        case Simple(listed=True):
            return ListOf(content.scalar, nullable=nullable)
        case Simple():
            return replace(content.scalar, nullable=nullable)
        case Complex(text=Simple() as text, attributes=(), other_attributes=None):
            return shape_of(text, nullable=nullable)
        case Complex():
            return Record(fields_of(content), nullable=nullable)


def fields_of(content: Complex) -> tuple[Field, ...]:
    """The fields of a record: attributes, then the text or the elements."""
    fields = [
        Field(attribute.field, shape_of(attribute.simple), required=attribute.required)
        for attribute in content.attributes
    ]
    if content.other_attributes is not None:
        fields.append(Field(content.other_attributes, AnyValue(), required=False))
    if content.text is not None:
        fields.append(Field(content.text_field, shape_of(content.text)))
    if content.particle is not None:
        fields += particle_fields(content.particle)
    return tuple(fields)


def particle_fields(particle: Particle, *, needed: bool = True) -> list[Field]:
    """The fields of a particle; `needed` says that nothing around it makes it optional."""
    match particle:
        case Element(most=1):
            shape = shape_of(particle.content, nullable=particle.nillable)
            return [Field(particle.field, shape, required=needed and particle.least > 0)]
        case Element():
            item = shape_of(particle.content, nullable=particle.nillable)
            shape = ListOf(item, max_items=particle.most)
            return [Field(particle.field, shape, required=needed and particle.least > 0)]
        case Wildcard():
            return [Field(particle.field, ListOf(AnyValue()), required=False)]
        case Group(field=None):
            inner = needed and particle.least > 0 and particle.order is not Order.CHOICE
            return [
                found for part in particle.parts for found in particle_fields(part, needed=inner)
            ]
        case Group(field=str() as name):
            inner = particle.order is not Order.CHOICE
            parts = [f for part in particle.parts for f in particle_fields(part, needed=inner)]
            shape = ListOf(Record(tuple(parts)), max_items=particle.most)
            return [Field(name, shape, required=needed and particle.least > 0)]
    raise AssertionError(particle)
