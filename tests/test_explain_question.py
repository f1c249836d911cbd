"""What the operator's port takes for a question."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.once.explaining.page import parse_question
from node.once.explaining.question import Question
from trust.errors import MalformedMessage
from trust.ids import ClientId, ServiceId

START = "client=EX:MUN:2000:portal&service=EX:GOV:1000:persons:register:v1"


def test_a_question_is_read() -> None:
    query = f"{START}&method=GET&path=/a%2520b&purpose=urn:x:y&field=a&field=b&at=2026-03-02T09:00"
    assert parse_question(query) == Question(
        client=ClientId("EX", "MUN", "2000", "portal"),
        service=ServiceId(ClientId("EX", "GOV", "1000", "persons"), "register", "v1"),
        at=datetime(2026, 3, 2, 9, tzinfo=UTC),
        method="GET",
        path="/a%20b",
        purpose="urn:x:y",
        fields=("a", "b"),
    )


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("", "missing: 'client'"),
        ("client=EX:MUN:2000:portal", "missing: 'service'"),
        ("client=EX&service=EX", "no INSTANCE"),
        (f"{START}&at=soon", "no question"),
        (f"{START}&colour=red", "Unknown parameter: colour"),
        ("&".join([START, *["field=a"] * 700]), "no question"),
    ],
)
def test_what_is_no_question_is_refused(query: str, reason: str) -> None:
    with pytest.raises(MalformedMessage, match=reason):
        parse_question(query)


@given(st.text(alphabet="client=EX:GOV1&service%at20-T+path/", max_size=80))
def test_any_query_is_a_question_or_refused(query: str) -> None:
    with contextlib.suppress(MalformedMessage):
        parse_question(query)
