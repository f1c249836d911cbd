"""Parameters as an operator declares them in adapter.toml."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from adapters.shapes import MAX_TEXT, Field, Scalar, ValueType
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
    example: str | None = setting(None, "a harmless value, for sample calls", example="HARJU")

    @property
    def field(self) -> Field:
        shape = Scalar(self.type, max_length=self.max_length, choices=self.choices)
        return Field(self.name, shape, self.required, self.description, self.concept, self.example)


def fields_of(parameters: Sequence[Parameter]) -> tuple[Field, ...]:
    return tuple(parameter.field for parameter in parameters)
