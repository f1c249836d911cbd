"""A grant that a consumer asks for, and what may become of it.

waiting ─ approved ─ revoked        by the provider
   │  │      └────── withdrawn      by the consumer
   │  ├─ refused
   │  └─ withdrawn
   └─ not taken                     the provider's node does not take the request
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import get_args

from catalog.declared.declared_access import FieldText
from catalog.declared.declared_services import Code, EndpointText, Title
from catalog.declared.term_rules import term_problems
from catalog.services import BASE_ENDPOINT, Endpoint
from catalog.terms import NO_TERMS, Quota, Terms
from catalog.uris import Uri
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId, suspicious
from trust.settings import Matching

LONGEST_REASON = 2000
MOST_FIELDS, MOST_PURPOSES = 500, 100


class GrantState(StrEnum):
    WAITING = "waiting"  # for the provider's decision
    APPROVED = "approved"
    REFUSED = "refused"
    REVOKED = "revoked"
    WITHDRAWN = "withdrawn"
    NOT_TAKEN = "not taken"  # by the provider's node, which may be none of our kind


NEXT: Mapping[GrantState, frozenset[GrantState]] = {
    GrantState.WAITING: frozenset(
        {
            GrantState.APPROVED,
            GrantState.REFUSED,
            GrantState.REVOKED,
            GrantState.WITHDRAWN,
            GrantState.NOT_TAKEN,
        }
    ),
    GrantState.APPROVED: frozenset({GrantState.REVOKED, GrantState.WITHDRAWN}),
    GrantState.REFUSED: frozenset(),
    GrantState.REVOKED: frozenset(),
    GrantState.WITHDRAWN: frozenset(),
    # the provider may have got it though its answer never came
    GrantState.NOT_TAKEN: frozenset({GrantState.APPROVED, GrantState.REFUSED, GrantState.REVOKED}),
}


@dataclass(frozen=True, slots=True)
class AskedGrant:
    """What a consumer asks for.

    Attributes:
        id: made by who asks; both nodes know the request by it.
        client: who would get the right.
        service: without a version.
        reason: why, for the person who decides.
    """

    id: uuid.UUID
    client: ClientId
    service: ServiceId
    terms: Terms
    endpoint: Endpoint = BASE_ENDPOINT
    reason: str = ""


def check_asked(asked: AskedGrant) -> None:
    """Raise MalformedMessage with everything that no provider should be asked for."""
    problems = tuple(_asked_problems(asked))
    if problems:
        raise MalformedMessage("; ".join(problems), "invalid_request")


def check_reason(reason: str) -> None:
    """Raise MalformedMessage for what is too long, or does more to a screen than be read."""
    for problem in _reason_problems(reason):
        raise MalformedMessage(problem, "invalid_request")


def _reason_problems(reason: str) -> Iterator[str]:
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        yield f"a reason has at most {LONGEST_REASON} characters, which can be printed"


def _asked_problems(asked: AskedGrant) -> Iterator[str]:
    for parts in (asked.client.parts, asked.service.parts):
        if suspicious(parts) or not "".join(parts).isprintable():
            yield "identifiers have no control characters and none of % : ; / \\"
    yield from _matching("service code", asked.service.service_code, Code)
    yield from _matching("endpoint", str(asked.endpoint), EndpointText)
    if asked.service.service_version is not None:
        yield "a grant is for a service in all its versions"
    yield from _reason_problems(asked.reason)
    yield from terms_problems(asked.terms)


def terms_problems(terms: Terms) -> Iterator[str]:
    """What is wrong with terms, in sentences.

    A right without any could not be taken away at once, for it is judged as X-Road's are, and what
    it gave would not be remembered under its number.
    """
    if terms == NO_TERMS:
        yield "a grant has a term: fields, purposes, a quota, dates, or a legal basis at least"
    fields = terms.fields or ()
    if len(fields) > MOST_FIELDS or len(terms.purposes) > MOST_PURPOSES:
        yield f"at most {MOST_FIELDS} fields and {MOST_PURPOSES} purposes"
    for field in fields:
        yield from _matching("field", field, FieldText)
    for purpose in terms.purposes:
        yield from _matching("purpose", purpose, Uri)
    yield from _matching("legal basis", terms.legal_basis, Title)
    for problem in term_problems(terms):
        yield f"{problem.found}, expected {problem.expected}"


def _matching(name: str, text: str, kind: object) -> Iterator[str]:
    rules = (rule for rule in get_args(kind)[1:] if isinstance(rule, Matching))
    if not text.isprintable():
        yield f"{name}: only characters that can be printed"
    elif (rule := next((rule for rule in rules if not rule.hold(text)), None)) is not None:
        yield f"{name} '{text[:100]}', expected {rule.expected}"


# --- narrowing ------------------------------------------------------------------------------------


def wider(asked: Terms, given: Terms) -> tuple[str, ...]:
    """Where given terms allow more than was asked for, in words; empty when they nowhere do."""
    return tuple(name for name, holds in _WIDER.items() if holds(asked, given))


def _more_fields(asked: Terms, given: Terms) -> bool:
    if asked.fields is None:
        return False
    return given.fields is None or not set(given.fields) <= set(asked.fields)


def _more_purposes(asked: Terms, given: Terms) -> bool:
    if not asked.purposes:
        return False
    return not given.purposes or not set(given.purposes) <= set(asked.purposes)


def _more_calls(asked: Terms, given: Terms) -> bool:
    """A quota allows more when some stretch of time could see more calls under it."""
    if asked.quota is None:
        return False
    return given.quota is None or not _within(given.quota, asked.quota)


def _within(quota: Quota, other: Quota) -> bool:
    """Whether whoever keeps the one keeps the other: as many calls at the most, in as long."""
    return quota.calls <= other.calls and quota.per >= other.per


def _earlier(asked: Terms, given: Terms) -> bool:
    if asked.valid_from is None:
        return False
    return given.valid_from is None or given.valid_from < asked.valid_from


def _later(asked: Terms, given: Terms) -> bool:
    if asked.valid_until is None:
        return False
    return given.valid_until is None or given.valid_until > asked.valid_until


_WIDER: Mapping[str, Callable[[Terms, Terms], bool]] = {
    "fields": _more_fields,
    "purposes": _more_purposes,
    "quota": _more_calls,
    "from": _earlier,
    "until": _later,
}
