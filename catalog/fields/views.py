"""Derived facts: what follows from a value by the rules that a mapping may name.

A value that is not there, or that does not fit its rule, gives null: nothing is guessed. Dates are
compared in UTC; who was born on 29 February is a year older on 1 March of other years.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from catalog.fields.json_text import Number
from catalog.mapping import EndpointMapping, FieldMapping, Rule, View
from catalog.meaning.vocabulary import FactType

MAX_CHAIN = 16  # views that follow from each other
_LONGEST = 4000  # characters of a value that is looked at
_NUMBER = re.compile(r"[+-]?[0-9]{1,400}(?:\.[0-9]{0,400})?(?:[eE][+-]?[0-9]{1,4})?")
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*|Z|[+-][0-9]{2}:[0-9]{2})?", re.DOTALL)
NUMBERS = (FactType.INTEGER, FactType.NUMBER)
DATES = (FactType.DATE, FactType.DATETIME)


@dataclass(frozen=True, slots=True)
class Derivation:
    """A view with the whole way from its field.

    Attributes:
        rules: views in the order in which they are computed; the last one is `view`.
    """

    view: View
    field: FieldMapping
    rules: tuple[View, ...]


def derivation_of(view: View, mapping: EndpointMapping) -> Derivation | None:
    """How a view follows from a field; None when it does not lead to one."""
    chain = [view]
    while (field := mapping.field.get(chain[-1].source)) is None:
        source = mapping.view.get(chain[-1].source)
        if source is None or len(chain) == MAX_CHAIN:
            return None
        chain.append(source)
    return Derivation(view, field, tuple(reversed(chain)))


def derive(derivation: Derivation, value: object, at: datetime) -> bool | int | None:
    """Compute a view of a value of its field; None when it can't be told.

    Args:
        value: text, Number or bool; None when it is missing or null; anything else is no single
            value, of which only its presence can be told.
        at: the moment, aware.
    """
    kind = derivation.field.type
    found: bool | int | None = None
    for view in derivation.rules:
        found = _apply(view, value, kind, at.astimezone(UTC).date())
        kind = view.type
        value = Number(found) if kind is FactType.INTEGER and found is not None else found
    return found


def _apply(view: View, value: object, kind: FactType, today: date) -> bool | int | None:
    if view.rule is Rule.PRESENT:
        return value is not None
    text = _text(value)
    if text is None:
        return None
    match view.rule:
        case Rule.YEARS_AT_LEAST:
            return _years_at_least(text, view.value, today)
        case Rule.YEAR:
            day = _day(text)
            return None if day is None else day.year
        case Rule.BELOW:
            return _compared(text, view.value, kind, -1)
        case Rule.AT_LEAST:
            return _compared(text, view.value, kind, 0, 1)
        case Rule.EQUALS:
            return _equal(text, view.value, kind)
        case _:
            return _one_of(text, view.value.split("|"), kind)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) and len(value) <= _LONGEST else None


def _years_at_least(text: str, years: str, today: date) -> bool | None:
    day = _day(text)
    if day is None or not years.isascii() or not years.isdigit():
        return None
    passed = today.year - day.year - ((today.month, today.day) < (day.month, day.day))
    return passed >= int(years)


def _day(text: str) -> date | None:
    match = _DAY.fullmatch(text.strip())
    try:
        return None if match is None else date.fromisoformat(match[1])
    except ValueError:
        return None


def _compared(text: str, other: str, kind: FactType, *wanted: int) -> bool | None:
    """Whether the order of two values is one of these; None when they have none."""
    order = _order(text, other, kind)
    return None if order is None else order in wanted


def _order(text: str, other: str, kind: FactType) -> int | None:
    if kind in DATES:
        return _order_of_times(text.strip(), other, kind)
    one, two = _number(text), _number(other)
    return None if one is None or two is None else (one > two) - (one < two)


def _order_of_times(text: str, other: str, kind: FactType) -> int | None:
    if kind is FactType.DATETIME:
        moment, then = _moment(text), _moment(other)
        return None if moment is None or then is None else (moment > then) - (moment < then)
    day, that = _day(text), _day(other)
    return None if day is None or that is None else (day > that) - (day < that)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _number(text: str) -> Decimal | None:
    text = text.strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _equal(text: str, other: str, kind: FactType) -> bool | None:
    if kind in NUMBERS or kind is FactType.DATETIME:
        order = _order(text, other, kind)
        return None if order is None else order == 0
    return text == other


def _one_of(text: str, choices: Sequence[str], kind: FactType) -> bool | None:
    answers = [_equal(text, choice, kind) for choice in choices]
    return True if True in answers else None if None in answers else False
