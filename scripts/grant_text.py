"""Grants as the `sacbe grant` command tells them, to people and to programs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from catalog.declared.term_words import words_of
from catalog.encoding import TermsForm, form_of
from catalog.services import BASE_ENDPOINT
from catalog.terms import Terms
from node.log.records import Side
from node.once.granting.asked import GrantState
from node.once.granting.book import Step, Telling
from node.once.granting.rows import Grant

_HEAD = ("NUMBER", "THIS NODE", "STATE", "CLIENT", "SERVICE", "CHANGED")
_DOES = {Side.CONSUMER: "asks", Side.PROVIDER: "decides"}
_SAID = {
    GrantState.WAITING: "waits for the provider's decision",
    GrantState.APPROVED: "approved",
    GrantState.REFUSED: "refused",
    GrantState.REVOKED: "revoked; the next call does not have the right",
    GrantState.WITHDRAWN: "withdrawn",
    GrantState.NOT_TAKEN: "not taken by the provider's node",
}


def came_of(grant: Grant) -> str:
    """How a grant stands, in one line."""
    said = f"Grant {grant.number}: {_SAID[grant.state]}"
    if grant.state is GrantState.WAITING and grant.their_number is not None:
        said += f", where it is number {grant.their_number}"
    return f"{said}: {grant.answer}" if grant.answer else said


def list_text(grants: Sequence[Grant], telling: Mapping[int, Telling], now: datetime) -> str:
    """A table, the newest first."""
    rows = [_HEAD, *(_row(grant, telling.get(grant.number), now) for grant in grants)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_HEAD))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(grant: Grant, telling: Telling | None, now: datetime) -> tuple[str, ...]:
    state: str = grant.state
    until = grant.given.valid_until if grant.given is not None else None
    if grant.state is GrantState.APPROVED and until is not None and until <= now:
        state = "expired"
    if telling is not None:
        state += ", not told yet"
    asked = grant.asked
    return (
        str(grant.number),
        _DOES[grant.side],
        state,
        asked.client.colons,
        _service(grant),
        _moment(grant.changed_at),
    )


def _service(grant: Grant) -> str:
    asked = grant.asked
    part = "" if asked.endpoint == BASE_ENDPOINT else f" {asked.endpoint}"
    return f"{asked.service.colons}{part}"


def grant_text(grant: Grant, steps: Sequence[Step], telling: Telling | None) -> str:
    """Everything about one."""
    return "\n".join(_lines(grant, steps, telling))


def _lines(grant: Grant, steps: Sequence[Step], telling: Telling | None) -> Iterator[str]:
    asked = grant.asked
    yield came_of(grant)
    yield f"  request     {asked.id}"
    yield f"  client      {asked.client.colons}"
    yield f"  service     {_service(grant)}"
    yield f"  asked for   {_terms(asked.terms)}"
    if asked.reason:
        yield f"  reason      {asked.reason}"
    if grant.given is not None:
        yield f"  given       {_terms(grant.given)}"
    if grant.peer is not None:
        number = "" if grant.their_number is None else f", where it is number {grant.their_number}"
        yield f"  other node  {grant.peer.colons}{number}"
    yield "  history"
    for step in steps:
        said = f": {step.said}" if step.said else ""
        yield f"    {_moment(step.time)}  {step.what}, by {step.who}{said}"
        if step.exchange_id:
            yield f"{'':24}exchange {step.exchange_id}"
    if telling is not None:
        yield f"  still to be told: {telling.what}, next try {_moment(telling.due)}" + (
            f" ({telling.attempts} failed: {telling.problem})" if telling.problem else ""
        )


def _terms(terms: Terms) -> str:
    return words_of(terms) or "everything, whatever for"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def list_json(grants: Sequence[Grant], telling: Mapping[int, Telling]) -> str:
    """One JSON array."""
    return _json([_told(grant, telling.get(grant.number)) for grant in grants])


def grant_json(grant: Grant, steps: Sequence[Step], telling: Telling | None) -> str:
    """One JSON object with the history."""
    return _json({**_told(grant, telling), "history": [msgspec.to_builtins(one) for one in steps]})


def _told(grant: Grant, telling: Telling | None) -> dict[str, object]:
    asked = grant.asked
    return {
        "number": grant.number,
        "side": grant.side.value,
        "state": grant.state.value,
        "id": str(asked.id),
        "client": asked.client.colons,
        "service": asked.service.colons,
        "endpoint": str(asked.endpoint),
        "asked": _terms_json(asked.terms),
        "reason": asked.reason,
        "given": None if grant.given is None else _terms_json(grant.given),
        "answer": grant.answer,
        "peer": None if grant.peer is None else grant.peer.colons,
        "their_number": grant.their_number,
        "asked_at": _moment(grant.asked_at),
        "changed_at": _moment(grant.changed_at),
        "telling": None if telling is None else msgspec.to_builtins(telling),
    }


def _terms_json(terms: Terms) -> object:
    return msgspec.to_builtins(form_of(terms, TermsForm))


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value)).decode()
