r"""What two nodes tell each other of grants: requests in JSON, signed like every message.

    POST /r1/…/sacbe-grants
    {"ask": {"id": "…", "client": "EX/MUN/2001/benefits", "service": "persons", "terms": {…}, …}}
    {"withdraw": {"id": "…", "reason": "…"}}
    {"decision": {"id": "…", "state": "approved", "number": 17, "terms": {…}, "reason": "…"}}

    200 {"state": "waiting", "number": 17, "server": "EX/GOV/1001/NODE1"}
    4xx {"problem": "why in words"}

The provider is the one that the service id of the message names, and so is the consumer of a
decision. Who signs must be whom the message speaks for, or the member that it belongs to.
"""

import uuid
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec

from catalog.encoding import TermsForm, form_of, value_of
from catalog.services import ANY_METHOD, ANY_PATH, Endpoint
from catalog.terms import Terms
from node.once.granting.asked import (
    AskedGrant,
    GrantState,
    check_asked,
    check_reason,
    terms_problems,
)
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServerId, ServiceId, suspicious

SERVICE_CODE = "sacbe-grants"
LARGEST = 1 << 20  # bytes of a message
_LONGEST_PROBLEM = 2000
_DECIDED = frozenset({GrantState.APPROVED, GrantState.REFUSED, GrantState.REVOKED})

T = TypeVar("T")
Text = Annotated[str, msgspec.Meta(max_length=4000)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


@dataclass(frozen=True, slots=True)
class Ask:
    """A consumer asks.

    Attributes:
        server: the node that asks, which is told of the decision.
    """

    asked: AskedGrant
    server: ServerId


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A consumer does not want a grant any more."""

    id: uuid.UUID
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DecisionTold:
    """A provider tells what became of a request.

    Attributes:
        number: of the request and of the right at the provider's node.
        terms: of the right that was given; None when none was.
    """

    id: uuid.UUID
    state: GrantState
    number: int
    terms: Terms | None = None
    reason: str = ""


Message = Ask | Withdrawal | DecisionTold


@dataclass(frozen=True, slots=True)
class Taken:
    """A message was taken; how the request stands now at the node that answers."""

    state: GrantState
    number: int
    server: ServerId


class _AskForm(msgspec.Struct, omit_defaults=True):
    id: uuid.UUID
    client: Text
    service: Text
    server: Text
    method: Text = ANY_METHOD
    path: Text = ANY_PATH
    terms: TermsForm = TermsForm()
    reason: Text = ""


class _WithdrawalForm(msgspec.Struct, omit_defaults=True):
    id: uuid.UUID
    reason: Text = ""


class _DecisionForm(msgspec.Struct, omit_defaults=True):
    id: uuid.UUID
    state: GrantState
    number: Number
    terms: TermsForm | None = None
    reason: Text = ""


class _MessageForm(msgspec.Struct, omit_defaults=True):  # what a later version adds is passed over
    ask: _AskForm | None = None
    withdraw: _WithdrawalForm | None = None
    decision: _DecisionForm | None = None


class _AnswerForm(msgspec.Struct, omit_defaults=True):
    state: GrantState | None = None
    number: Number = 0
    server: Text = ""
    problem: Text = ""


def build_message(message: Message) -> bytes:
    """The body of a message."""
    return msgspec.json.encode(_form(message))


def _form(message: Message) -> _MessageForm:
    match message:
        case Ask():
            return _MessageForm(ask=_ask_form(message))
        case Withdrawal():
            return _MessageForm(withdraw=_WithdrawalForm(message.id, message.reason))
        case DecisionTold():
            terms = None if message.terms is None else form_of(message.terms, TermsForm)
            told = _DecisionForm(message.id, message.state, message.number, terms, message.reason)
            return _MessageForm(decision=told)


def _ask_form(ask: Ask) -> _AskForm:
    asked = ask.asked
    return _AskForm(
        asked.id,
        asked.client.path,
        asked.service.service_code,
        ask.server.path,
        asked.endpoint.method,
        asked.endpoint.path,
        form_of(asked.terms, TermsForm),
        asked.reason,
    )


def parse_message(raw: bytes, to: ClientId) -> Message:
    """Read a message to a client of this node, or raise MalformedMessage."""
    form = _decoded(raw, _MessageForm)
    given = [one for one in (form.ask, form.withdraw, form.decision) if one is not None]
    match given:
        case [_AskForm() as ask]:
            return _ask(ask, to)
        case [_WithdrawalForm() as withdrawal]:
            check_reason(withdrawal.reason)
            return Withdrawal(withdrawal.id, withdrawal.reason)
        case [_DecisionForm() as decision]:
            return _decision(decision)
        case _:
            raise _malformed("one of ask, withdraw and decision")


def _ask(form: _AskForm, provider: ClientId) -> Ask:
    asked = AskedGrant(
        form.id,
        ClientId.from_header(form.client),
        ServiceId(provider, form.service),
        value_of(form.terms, Terms),
        Endpoint(form.method.upper(), form.path),
        form.reason,
    )
    check_asked(asked)
    return Ask(asked, ServerId.from_header(form.server))


def _decision(form: _DecisionForm) -> DecisionTold:
    check_reason(form.reason)
    if form.state not in _DECIDED:
        raise _malformed("a decision")
    terms = None if form.terms is None else value_of(form.terms, Terms)
    if (form.state is GrantState.APPROVED) != (terms is not None):
        raise _malformed("the terms of what was approved, and of nothing else")
    if terms is not None and (problems := "; ".join(terms_problems(terms))):
        raise MalformedMessage(problems, "invalid_request")
    return DecisionTold(form.id, form.state, form.number, terms, form.reason)


def build_answer(taken: Taken) -> bytes:
    """The body of an answer 200."""
    return msgspec.json.encode(_AnswerForm(taken.state, taken.number, taken.server.path))


def build_problem(text: str) -> bytes:
    """The body of every other answer."""
    return msgspec.json.encode(_AnswerForm(problem=text[:_LONGEST_PROBLEM]))


def parse_answer(raw: bytes) -> Taken:
    """Read an answer 200, or raise MalformedMessage."""
    form = _decoded(raw, _AnswerForm)
    if form.state is None:
        raise _malformed("a state")
    server = ServerId.from_header(form.server)
    if suspicious(server.parts) or not server.colons.isprintable():
        raise _malformed("a server's plain identifier")
    return Taken(form.state, form.number, server)


def parse_problem(raw: bytes) -> str:
    """What a node says that did not take a message; empty when it says nothing."""
    try:
        said = _decoded(raw, _AnswerForm).problem
    except MalformedMessage:
        return ""
    return shown(said)


def shown(said: str) -> str:
    """What another node said, as it may stand on a screen and in a line."""
    return "".join(letter for letter in said[:_LONGEST_PROBLEM] if letter.isprintable())


def _decoded(raw: bytes, form: type[T]) -> T:
    if len(raw) > LARGEST:
        raise _malformed(f"at most {LARGEST} bytes")
    try:
        return msgspec.json.decode(raw, type=form)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(
            f"This says nothing of a grant: {error}", "invalid_request"
        ) from error


def _malformed(expected: str) -> MalformedMessage:
    return MalformedMessage(f"This says nothing of a grant: expected {expected}", "invalid_request")
