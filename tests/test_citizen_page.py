"""The citizen's page: every fact in plain words, and no text of others that does anything."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.meaning.vocabulary import Concept, Purpose, Vocabulary
from node.once.citizen.collected import Asked, Collected, collect
from node.once.citizen.names import MemberNames, Words
from node.once.citizen.page import PAGE_HEADERS, STYLE, Reading, render_body, render_usage
from node.once.citizen.reading import Told
from node.once.citizen.sources import Source, Standing
from node.once.citizen.told import Part, Usage
from tests.citizen_stage import CIVIL, CLERK, NOW, OWN, PERSON, PLAIN, TAX, trust_list

WORDS = Words(
    "es",
    Vocabulary(
        concepts=(Concept("urn:c:birthDate", {"en": "birth date", "es": "fecha de nacimiento"}),),
        purposes=(Purpose("urn:p:benefits", {"en": "Benefits"}, "Act"),),
    ),
)
NAMES = MemberNames.among(trust_list(), (CIVIL, CLERK, TAX), NOW)
READING = Reading(WORDS, NAMES)
HOSTILE = "<script>alert('x')</script>\" onload=\"x\u202e\x1b]0;&amp;javascript:alert(1)"


def usage(**changes: Any) -> Usage:  # noqa: ANN401 - any member
    members: dict[str, Any] = {
        "logtime": NOW,
        "action": "Child benefit",
        "receiverCode": "75000001",
        "receiverName": "Municipality of Käo",
        "receiverSystem": "Benefits",
        "part": Part.GAVE,
        "receiver": CLERK.path,
        "source": PERSON.path,
        "purpose": "urn:p:benefits",
        "legalBasis": "Act 5, § 2",
        "caseId": "case 7",
        "facts": ["urn:c:birthDate", "urn:c:adult"],
        "derivedFacts": ["adult"],
        "exchangeId": "exchange-1",
    }
    return Usage(**(members | changes))


def collected(*usages: Usage, sealed: int = 0, more: int = 0) -> Collected:
    asked = (
        Asked(Source(CIVIL, OWN), Standing.ANSWERED),
        Asked(Source(TAX, PLAIN), Standing.SILENT, "did not answer in time"),
    )
    return Collected(tuple((CIVIL, one) for one in usages), more, sealed, asked)


class Reader(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def text_of(page: str) -> str:
    return " ".join("".join(read(page).texts).replace(STYLE, "").split())


def test_a_use_is_told_in_words() -> None:
    text = text_of(render_usage(collected(usage()), READING))
    for part in (
        "1 use of your data is shown",
        "Municipality of Käo",
        "21.11.2026 12:00:00 UTC",
        "Got it fromCivil Registry, Population",
        "Whatfecha de nacimiento, urn:c:adult",
        "Only derivedadult",
        "ReasonChild benefit",
        "PurposeBenefits",
        "LawAct 5, § 2",
        "Casecase 7",
        "Proofexchange-1",
        "Some institutions did not answer",
        "Tax Authority, tax: did not answer in time",
        "No use of your data is sealed",
    ):
        assert part in text, part


def test_an_answer_that_went_out_whole_is_said_so() -> None:
    assert "Whatthe whole answer" in text_of(render_body(collected(usage(facts=["*"])), READING))


def test_what_was_fetched_names_the_giver() -> None:
    given = usage(part=Part.FETCHED, source=f"{TAX.path}/income")
    assert "Got it fromTax Authority, tax" in text_of(render_body(collected(given), READING))
    unreadable = usage(part=Part.FETCHED, source="%zz")
    assert "Got it from%zz" in text_of(render_body(collected(unreadable), READING))


@pytest.mark.parametrize(
    ("count", "text"),
    [(1, "1 more use of your data is sealed"), (3, "3 more uses of your data are sealed")],
)
def test_sealed_uses_are_counted_in_words(count: int, text: str) -> None:
    assert text in text_of(render_body(collected(sealed=count), READING))


def test_an_empty_page_says_so() -> None:
    nothing = render_usage(Collected((), 0, 0, ()), READING)
    assert "0 uses of your data are shown" in text_of(nothing)
    assert "Who told nothing" not in nothing
    assert "5 older uses are not on this page" in text_of(render_body(collected(more=5), READING))


def test_texts_of_others_do_nothing() -> None:
    texts = ("action", "receiverName", "receiverSystem", "purpose", "legalBasis", "caseId")
    hostile = usage(**dict.fromkeys((*texts, "exchangeId", "source"), HOSTILE), facts=[HOSTILE])
    asked = Asked(Source(TAX, PLAIN), Standing.WRONG, HOSTILE)
    page = render_usage(Collected(((CIVIL, hostile),), 0, 0, (asked,)), READING)
    harmless = render_usage(Collected(((CIVIL, usage()),), 0, 0, (asked,)), READING)
    assert {tag for tag, _ in read(page).tags} == {tag for tag, _ in read(harmless).tags}
    assert not {"script", "a", "img", "form"} & {tag for tag, _ in read(page).tags}
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert page.count("&lt;script&gt;") == 9


@given(st.text(alphabet="<>&\"'/ab\u202e\0\ud800\n", max_size=12))
def test_any_text_stays_text(text: str) -> None:
    page = render_usage(collected(usage(action=text, facts=[text], receiverName=text)), READING)
    plain = render_usage(collected(usage(action="x", facts=["x"], receiverName="x")), READING)
    tags = [tag for tag in read(page).tags if tag[0] not in ("bdi", "dt", "dd")]
    assert tags == [tag for tag in read(plain).tags if tag[0] not in ("bdi", "dt", "dd")]
    page.encode()


def test_long_texts_and_lists_are_cut() -> None:
    page = render_body(collected(usage(action="x" * 5000, facts=["f"] * 500)), READING)
    assert "x" * 300 + "…" in page
    assert "x" * 301 not in page
    assert "and 400 more" in page


def test_the_page_needs_nothing_from_elsewhere() -> None:
    headers, page = dict(PAGE_HEADERS), render_usage(collected(usage()), READING)
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert f"<style>{STYLE}</style>" in page  # byte for byte what the policy's digest is of
    attributes = {name for _, found in read(page).tags for name in found}
    assert attributes == {"lang", "charset", "name", "content", "datetime", "class"}
    assert headers["Cache-Control"] == "no-store"


def test_a_use_that_both_sides_tell_of_is_the_giver_s() -> None:
    given, taken = usage(), usage(part=Part.FETCHED, action="also")
    other = usage(part=Part.FETCHED, exchangeId="exchange-2")
    told = [
        Asked(Source(CLERK, PLAIN), Standing.ANSWERED, "", Told(CLERK, 3, 1, (taken, other))),
        Asked(Source(CIVIL, OWN), Standing.ANSWERED, "", Told(CIVIL, 9, 2, (given,))),
        Asked(Source(TAX, PLAIN), Standing.SILENT),
    ]
    found = collect(told)
    assert [(source, one.exchangeId) for source, one in found.usages] == [
        (CLERK, "exchange-2"),
        (CIVIL, "exchange-1"),
    ]
    assert (found.more, found.sealed, found.complete) == (9, 3, False)
