"""What must hold for the terms of a right, wherever it was declared or asked for."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from catalog.mapping import EndpointMapping, ServiceMapping
from catalog.terms import Terms
from trust.settings import Place, Problems, SettingProblem, format_duration

MAX_QUOTA_CALLS = 999_999_999
MAX_QUOTA_TIME = timedelta(days=366)  # beyond it the records that are counted may be gone


def term_problems(terms: Terms, place: Place = ()) -> Problems:
    """What is wrong with terms in themselves; a path names the key of the declaration."""
    if terms.purposes and not terms.legal_basis.strip():
        yield SettingProblem(
            (*place, "purposes"), "purposes without a legal basis", "legal_basis beside them"
        )
    if terms.fields is not None and not terms.fields:
        yield SettingProblem((*place, "fields"), "no field", "at least one, or no such key")
    begin, end = terms.valid_from, terms.valid_until
    if begin is not None and end is not None and end <= begin:
        yield SettingProblem(
            (*place, "valid_until"), end.isoformat(), f"a moment after {begin.isoformat()}"
        )
    yield from _quota(terms, (*place, "quota"))


def _quota(terms: Terms, place: Place) -> Problems:
    if terms.quota is None:
        return
    if not 0 < terms.quota.calls <= MAX_QUOTA_CALLS:
        expected = f"1 to {MAX_QUOTA_CALLS} calls"
        yield SettingProblem(place, f"{terms.quota.calls:.3g} calls", expected)
    per = terms.quota.per
    if not timedelta(0) < per <= MAX_QUOTA_TIME:
        expected = f"a time of up to {format_duration(MAX_QUOTA_TIME)}"
        yield SettingProblem(place, f"'{per}' for the quota", expected)


def unknown_fields(terms: Terms, mappings: Iterable[ServiceMapping], place: Place = ()) -> Problems:
    """Fields of terms that no mapping of the service knows; all are known without a mapping.

    Args:
        mappings: of all versions of the service; rights hang on none of them.
    """
    endpoints = [endpoint for mapping in mappings for endpoint in mapping.endpoints]
    if not endpoints:
        return
    for index, name in enumerate(terms.fields or ()):
        if not any(_knows(endpoint, name) for endpoint in endpoints):
            known = sorted({one for endpoint in endpoints for one in _names(endpoint)})
            expected = "a field or view of its mapping: " + (", ".join(known) or "which has none")
            yield SettingProblem((*place, "fields", index), f"'{name}'", expected[:1000])


def _names(endpoint: EndpointMapping) -> Iterator[str]:
    yield from endpoint.field
    yield from endpoint.view


def _knows(endpoint: EndpointMapping, name: str) -> bool:
    """Whether the name, concept or path is one of the endpoint's; a path may hold or be held."""
    if name in endpoint.field or name in endpoint.view or name in endpoint.names_of:
        return True
    return name.startswith("/") and any(
        _holds(name, field.path) or _holds(field.path, name) for field in endpoint.fields
    )


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(outer.rstrip("/") + "/")
