"""Requests to the resolver, as they are read."""

import json

from hypothesis import given
from hypothesis import strategies as st

from catalog.meaning.vocabulary import Procedure, Purpose, Vocabulary
from node.once.resolver.question import BadQuestion, Problem, Question, read_question

VOCABULARY = Vocabulary(
    purposes=(Purpose("urn:p", {}, "Act"),),
    procedures=(Procedure("urn:x", {}, (), "urn:p"),),
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "urn:p", "urn:x", "a", "é\n"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["scheme", "value", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
_names = st.sampled_from(
    [
        "procedure", "concepts", "subject", "purpose", "legal_basis", "case", "official", "mandate",
        "parameters", "territory", "deadline", "preview", "other",
    ]
)  # fmt: skip


def asked(raw: bytes, *, plan_only: bool = False) -> tuple[Question | None, tuple[Problem, ...]]:
    try:
        return read_question(raw, VOCABULARY, plan_only=plan_only), ()
    except BadQuestion as error:
        return None, error.problems


@given(st.dictionaries(_names, _values), st.booleans())
def test_any_request_is_read_or_every_problem_is_told(
    said: dict[str, object], plan_only: bool
) -> None:
    question, problems = asked(json.dumps(said).encode(), plan_only=plan_only)
    if question is None:
        assert problems
        assert all(one.text and one.reason for one in problems)
        return
    assert bool(question.concepts) != bool(question.intent.procedure)
    assert question.intent.legal_basis or not question.intent.purpose
    assert question.value or plan_only


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    question, problems = asked(raw)
    assert (question is None) == bool(problems)


def test_a_procedure_brings_its_purpose() -> None:
    said = {
        "procedure": "urn:x",
        "subject": {"scheme": "s", "value": "v"},
        "case": "1",
        "official": "o",
        "deadline": 1.5,
        "parameters": {"year": 2025},
    }
    question = read_question(json.dumps(said).encode(), VOCABULARY)
    assert (question.intent.purpose, question.intent.legal_basis) == ("urn:p", "Act")
    assert question.deadline is not None
    assert question.deadline.total_seconds() == 1.5
    assert question.parameters == {"year": "2025"}
