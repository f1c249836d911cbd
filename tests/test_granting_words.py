"""What is asked for, what narrower means, and what two nodes tell each other of it."""

import contextlib
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.services import Endpoint
from catalog.terms import Quota, Terms
from node.once.granting.asked import NEXT, AskedGrant, GrantState, check_asked, wider
from node.once.granting.wire import (
    LARGEST,
    Ask,
    DecisionTold,
    Taken,
    Withdrawal,
    build_answer,
    build_message,
    build_problem,
    parse_answer,
    parse_message,
    parse_problem,
)
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PERSONS = ClientId("EX", "GOV", "1000", "persons")
PORTAL = ClientId("EX", "MUN", "2000", "portal")
SERVER = ServerId(PORTAL.member, "NODE 1")
TERMS = Terms(
    ("name", "/person/birth"),
    ("urn:example:benefit",),
    "School Act 4",
    Quota(100, timedelta(days=1)),
    AT,
    AT + timedelta(days=365),
)
ASKED = AskedGrant(
    uuid.UUID(int=7),
    PORTAL,
    ServiceId(PERSONS, "persons"),
    TERMS,
    Endpoint("GET", "/persons/*"),
    "Benefits for pupils",
)


def asked(**changes: object) -> AskedGrant:
    return replace(ASKED, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        Ask(ASKED, SERVER),
        Ask(asked(terms=Terms(legal_basis="Act"), endpoint=Endpoint(), reason=""), SERVER),
        Withdrawal(ASKED.id, "No more"),
        DecisionTold(ASKED.id, GrantState.APPROVED, 17, TERMS, "Fine"),
        DecisionTold(ASKED.id, GrantState.APPROVED, 17, Terms(legal_basis="Act")),
        DecisionTold(ASKED.id, GrantState.REFUSED, 17, None, "No"),
        DecisionTold(ASKED.id, GrantState.REVOKED, 17),
    ],
)
def test_what_is_told_is_read(message: Ask | Withdrawal | DecisionTold) -> None:
    assert parse_message(build_message(message), PERSONS) == message


def test_answers_are_read() -> None:
    taken = Taken(GrantState.WAITING, 17, SERVER)
    assert parse_answer(build_answer(taken)) == taken
    assert parse_problem(build_problem("No\x1b[2J room")) == "No[2J room"
    assert parse_problem(b"<html>") == ""
    with pytest.raises(MalformedMessage, match="a state"):
        parse_answer(build_problem("x"))
    with pytest.raises(MalformedMessage, match="number"):
        parse_answer(build_answer(replace(taken, number=2**70)))
    odd = Taken(GrantState.WAITING, 17, ServerId(PORTAL.member, "\x1b[2J"))
    with pytest.raises(MalformedMessage, match="plain identifier"):
        parse_answer(build_answer(odd))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{}", "one of ask"),
        (b"[", "says nothing of a grant"),
        (b"[" * 20_000, "says nothing of a grant"),
        (b" " * (LARGEST + 1), "at most"),
        (b'{"withdraw": {"id": "7"}}', "UUID"),
        (
            build_message(Withdrawal(ASKED.id))[:-1] + b"," + build_message(Ask(ASKED, SERVER))[1:],
            "one of ask",
        ),
        (build_message(DecisionTold(ASKED.id, GrantState.WAITING, 1)), "a decision"),
        (build_message(DecisionTold(ASKED.id, GrantState.APPROVED, 1)), "the terms of what"),
        (build_message(DecisionTold(ASKED.id, GrantState.REFUSED, 1, Terms())), "the terms of"),
        (
            build_message(DecisionTold(ASKED.id, GrantState.APPROVED, 1, Terms(("\x1b[2J",)))),
            "can be printed",
        ),
        (build_message(Withdrawal(ASKED.id, "x" * 2001)), "at most 2000"),
        (build_message(DecisionTold(ASKED.id, GrantState.REFUSED, 2**63)), "number"),
        (build_message(DecisionTold(ASKED.id, GrantState.REFUSED, -1)), "number"),
        (build_message(Withdrawal(ASKED.id, "\x1b[2J")), "can be printed"),
    ],
)
def test_what_says_nothing_of_a_grant_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        parse_message(raw, PERSONS)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (asked(terms=replace(TERMS, legal_basis="")), "without a legal basis"),
        (asked(terms=Terms()), "a grant has a term"),
        (asked(terms=replace(TERMS, fields=())), "no field"),
        (asked(terms=replace(TERMS, fields=("a\u202eb",))), "only characters that can be printed"),
        (asked(terms=replace(TERMS, fields=("a,b",))), "without a comma"),
        (asked(terms=replace(TERMS, fields=("a",) * 501)), "at most 500 fields"),
        (asked(terms=replace(TERMS, purposes=("benefit",))), "a URI"),
        (asked(terms=replace(TERMS, quota=Quota(0, timedelta(days=1)))), "1 to 999999999 calls"),
        (
            asked(terms=replace(TERMS, quota=Quota(2**64, timedelta(days=1)))),
            "1 to 999999999 calls",
        ),
        (asked(terms=replace(TERMS, valid_until=AT)), "a moment after"),
        (asked(reason="x" * 2001), "at most 2000"),
        (asked(service=ServiceId(PERSONS, "persons", "v1")), "all its versions"),
        (asked(client=ClientId("EX", "MUN", "2000", "a/b")), "identifiers have no"),
        (asked(endpoint=Endpoint("GET", "persons")), "endpoint"),
    ],
)
def test_what_nobody_should_be_asked_for_is_told(bad: AskedGrant, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        check_asked(bad)


def test_a_bad_request_is_refused_when_it_comes_from_elsewhere_too() -> None:
    bad = asked(terms=replace(TERMS, purposes=("benefit",)))
    with pytest.raises(MalformedMessage, match="a URI"):
        parse_message(build_message(Ask(bad, SERVER)), PERSONS)


@given(st.text(alphabet='{}[]":,asknumbert17\\u00', max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (lambda raw: parse_message(raw, PERSONS), parse_answer):
        with contextlib.suppress(MalformedMessage):
            read(text.encode())
    parse_problem(text.encode())


@given(st.data())
def test_a_damaged_message_is_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(build_message(Ask(ASKED, SERVER)))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedMessage):
        parse_message(bytes(raw), PERSONS)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (TERMS, ()),
        (replace(TERMS, fields=("name",), valid_until=AT + timedelta(days=1)), ()),
        (replace(TERMS, quota=Quota(10, timedelta(days=7)), legal_basis="Another act"), ()),
        (replace(TERMS, fields=None), ("fields",)),
        (replace(TERMS, fields=("name", "income")), ("fields",)),
        (replace(TERMS, purposes=()), ("purposes",)),
        (replace(TERMS, purposes=("urn:other",)), ("purposes",)),
        (replace(TERMS, quota=None), ("quota",)),
        (replace(TERMS, quota=Quota(100, timedelta(hours=1))), ("quota",)),
        (replace(TERMS, valid_from=None, valid_until=None), ("from", "until")),
        (Terms(), ("fields", "purposes", "quota", "from", "until")),
    ],
)
def test_wider_terms_are_named(given_: Terms, expected: tuple[str, ...]) -> None:
    assert wider(TERMS, given_) == expected


def test_anything_is_narrower_than_no_terms() -> None:
    assert wider(Terms(), TERMS) == ()


def test_what_has_ended_stays_ended() -> None:
    ended = {GrantState.REFUSED, GrantState.REVOKED, GrantState.WITHDRAWN}
    assert {state for state, following in NEXT.items() if not following} == ended
    assert set(NEXT) == set(GrantState)
