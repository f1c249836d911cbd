"""Parameters as an operator declares them in adapter.toml."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from adapters.shapes import MAX_TEXT, Field, Scalar, ValueType
from catalog.mapping import Rule, View
from catalog.uris import UriOrNone
from trust.settings import Bounds, Matching, required, setting

# An XML name and a service code, which X-Road takes in a path, a header and an element.
ServiceName = Annotated[
    str, Matching(r"[A-Za-z][A-Za-z0-9_.-]{0,99}", "a letter, then letters, digits, '_', '.', '-'")
]
ValueName = Annotated[
    str, Matching(r"[A-Za-z_][A-Za-z0-9_]{0,62}", "a letter or '_', then letters, digits, '_'")
]
ServicePath = Annotated[
    str,
    Matching(
        r"(?:/(?:[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]*\}))+",
        "an absolute path of plain segments and {names}",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a caller may give; a parameter without default is required."""

    name: ValueName = required("as it stands in path, query or body", example="county")
    type: ValueType = setting(ValueType.TEXT, "how its text is read")
    required: bool = setting(True, "whether it must be given")
    max_length: Annotated[int, Bounds(1, 1_000_000)] = setting(MAX_TEXT, "characters, for text")
    choices: tuple[str, ...] = setting((), "the only values; none: any", example=("A", "B"))
    description: str = setting("", "for the descriptions")
    concept: str | None = setting(
        None, "URI of the fact that it is", example="http://data.europa.eu/m8g/person/identifier"
    )
    subject: UriOrNone = setting(
        "", "kind of identifier, where it names whom a request is about", example="urn:ex:id"
    )
    example: str | None = setting(None, "a harmless value, for sample calls", example="HARJU")

    @property
    def field(self) -> Field:
        shape = Scalar(self.type, max_length=self.max_length, choices=self.choices)
        return Field(
            self.name, shape, self.required, self.description, self.concept, self.example,
            self.subject or None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedFact:
    """A fact that follows from another one; a node computes it, the adapter only says so."""

    name: ServiceName = required("unlike those of all fields of the answer", example="adult")
    source: ServiceName = required("name of the field that it follows from", example="birth_date")
    rule: Rule = required("how it follows; see docs/mapping.md", example="years-at-least")
    value: str = setting("", "what is compared with, | between several", example="18")
    concept: UriOrNone = setting("", "URI of the fact that it is", example="urn:example:adult")

    @property
    def view(self) -> View:
        return View(self.name, self.source, self.rule, self.value, self.concept)


def views_of(facts: Sequence[DerivedFact]) -> tuple[View, ...]:
    return tuple(fact.view for fact in facts)


def fields_of(parameters: Sequence[Parameter]) -> tuple[Field, ...]:
    return tuple(parameter.field for parameter in parameters)
