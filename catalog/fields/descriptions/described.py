"""What a description says of the fields, parameters and meanings of one endpoint.

OpenAPI descriptions and WSDLs become the same; a mapping is made of it, or judged by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from catalog.mapping import Place, View
from catalog.meaning.vocabulary import FactType

MAX_NODES = 50_000  # fields of one description, those of types that are used twice counted twice
MAX_DEPTH = 24  # of one answer
MAX_WARNINGS = 50


@dataclass(frozen=True, slots=True)
class DescribedField:
    """A place in an answer.

    Attributes:
        type: None when nothing is said of it.
        open: whether it may hold more than is told.
    """

    path: str
    type: FactType | None
    concept: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class DescribedParameter:
    """A part of a request.

    Attributes:
        scheme: the kind of identifier, where it names the subject.
    """

    name: str
    place: Place
    required: bool = False
    default: str | None = None
    scheme: str = ""


@dataclass(frozen=True)
class DescribedEndpoint:
    """An endpoint, or the operation of a SOAP service.

    Attributes:
        open: whether the answer, or the request's body, may hold more than is told.
        views: derived facts that the description itself declares.
        loose: whether values are texts whatever their type, as in XML.
    """

    method: str = ""
    path: str = ""
    namespace: str = ""
    qualified: bool = True
    parameters: tuple[DescribedParameter, ...] = ()
    fields: tuple[DescribedField, ...] = ()
    open: bool = False
    views: tuple[View, ...] = ()
    loose: bool = False

    @cached_property
    def at(self) -> Mapping[str, DescribedField]:
        """Fields by their path."""
        return {one.path: one for one in self.fields}

    @property
    def says_facts(self) -> bool:
        """Whether anything in it is said to mean something."""
        return bool(
            self.views
            or any(one.concept for one in self.fields)
            or any(one.scheme for one in self.parameters)
        )


@dataclass(slots=True)
class Warnings:
    """What is odd, each once, in order, and not without end."""

    texts: dict[str, None] = field(default_factory=dict)

    def add(self, text: str) -> None:
        if len(self.texts) < MAX_WARNINGS:
            self.texts.setdefault(text[:500], None)


@dataclass(slots=True)
class Budget:
    """How much of a description may still be looked at; types may refer to each other at will."""

    left: int = MAX_NODES

    def take(self) -> bool:
        self.left -= 1
        return self.left >= 0
