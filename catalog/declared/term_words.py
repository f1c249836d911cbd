"""The terms of a right in words, for whoever reads what changed or why something was refused."""

from collections.abc import Iterator
from datetime import datetime

from catalog.terms import Terms
from trust.settings import format_duration


def words_of(terms: Terms) -> str:
    """What the terms limit, in one line; empty when they limit nothing."""
    return "; ".join(_parts(terms))


def _parts(terms: Terms) -> Iterator[str]:
    if terms.fields is not None:
        yield "fields " + ", ".join(terms.fields)
    if terms.purposes:
        yield "for " + ", ".join(terms.purposes)
    if terms.legal_basis:
        yield f"by {terms.legal_basis}"
    if terms.quota is not None:
        yield f"{terms.quota.calls} calls per {format_duration(terms.quota.per)}"
    if terms.valid_from is not None:
        yield f"from {_moment(terms.valid_from)}"
    if terms.valid_until is not None:
        yield f"until {_moment(terms.valid_until)}"


def _moment(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
