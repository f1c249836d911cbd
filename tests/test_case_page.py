"""The pages of the once-only story: what they tell, and what bad input gets."""

import io
import json
import re
import sys
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from scripts.ecosystem import concepts as c
from scripts.ecosystem.case_page.case_view import value_text
from scripts.ecosystem.case_page.cases import MOST_CASES, Case, Cases
from scripts.ecosystem.case_page.figures import Group, Reports, read_report, totals
from scripts.ecosystem.case_page.frame import WHOLE_STYLE
from scripts.ecosystem.case_page.places import NodePlace, Places, places_text, read_places
from scripts.ecosystem.case_page.used import read_used
from scripts.ecosystem.case_system import Answer, decoded, said
from scripts.ecosystem.institutions import CASES, CITIZENS, INSTITUTIONS, MUNI
from scripts.ecosystem.on_the_wire import read_wire
from tests.case_page_stage import (
    FACT,
    GAP,
    SOMEBODY,
    Pages,
    StageNode,
    answered_container,
    pages_of,
    receipt_of,
    usage,
)
from tests.receipt_parts import Exchange
from tests.soap_messages import Envelope
from trust.errors import MalformedMessage, StorageError
from trust.evidence.asic import Container, build_container
from trust.receipts.receipts import is_receipt

HOSTILE = "<script>alert('x')</script>\"onload=\"x\u202e"
FORM = {"person": SOMEBODY.national_id, "procedure": c.SCHOOL_BENEFIT}


@pytest.fixture(scope="module")
def made() -> Exchange:
    return Exchange()


@pytest.fixture
def node(made: Exchange) -> StageNode:
    container = answered_container(
        {"birth_date": "1967-05-04"}, "Once-Given:birth_date", "Once-Withheld:/given_name,/town"
    )
    return StageNode(made, None, container, [usage()])


@pytest_asyncio.fixture
async def pages(node: StageNode, tmp_path: Path) -> AsyncIterator[Pages]:
    async with pages_of(node, tmp_path) as client:
        yield client


class Reader(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def text_of(page: str) -> str:
    return " ".join(" ".join(read(page).texts).replace(WHOLE_STYLE, "").split())


async def opened(pages: Pages) -> str:
    """Open a case; its address."""
    response = await pages.post("/cases", data=FORM, allow_redirects=False)
    assert response.status == 303, await response.text()
    return response.headers["Location"]


async def shown(pages: Pages, address: str, status: int = 200) -> str:
    response = await pages.get(address)
    text = await response.text()
    assert response.status == status, text
    assert "script" not in response.headers["Content-Security-Policy"]
    return text


# --- the clerk ------------------------------------------------------------------------------------


async def test_the_first_page_offers_ten_people_and_the_procedures(pages: Pages) -> None:
    reader = read(await shown(pages, "/"))
    radios = [one["value"] for tag, one in reader.tags if one.get("type") == "radio"]
    assert len(radios) == 11
    assert radios[0] == SOMEBODY.national_id
    assert radios[-1] == c.SCHOOL_BENEFIT
    assert "School benefit" in " ".join(reader.texts)


async def test_a_case_is_opened_with_a_national_id_and_nothing_else(
    pages: Pages, node: StageNode
) -> None:
    address = await opened(pages)
    number = address.rpartition("/")[2]
    question = {
        "procedure": c.SCHOOL_BENEFIT,
        "subject": {"scheme": c.NATIONAL_ID, "value": SOMEBODY.national_id},
        "case": number,
        "official": "clerk-7",
    }
    assert node.asked[0] == (question, CASES.path)


async def test_a_case_tells_facts_gaps_and_what_was_withheld(pages: Pages) -> None:
    address = await opened(pages)
    text = text_of(await shown(pages, address))
    for part in (
        "School benefit for Elsaan Filiberg",
        "4 papers spared",
        "1 fact missing",
        "asked at 20",
        "Date of birth 1967-05-04 Civil Registry",
        "58571 Tax Authority",
        "yes Civil Registry",
        "the whole answer came",
        "Tax debt Why The source has given no right to ask",
        "Who can fix it the institution that has the fact",
        "birth_date /given_name /town",
        "Where the person lives decides who is asked for: Street and number",
        "sacbe grant request --config",
        "sacbe grant approve 1",
        "catalog was version 3",
    ):
        assert part in text, part
    assert address.rpartition("/")[2] in await shown(pages, "/cases")


async def test_a_case_can_be_asked_again(pages: Pages, node: StageNode) -> None:
    address = await opened(pages)
    node.changes = {"missing": [], "spared": 5}
    response = await pages.post(address, allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, address)
    text = text_of(await shown(pages, address))
    assert "Everything is there." in text
    assert "grant request" not in text
    first, again = (one for one in node.asked if isinstance(one, tuple))
    assert first == again


async def test_a_catalog_that_still_grows_is_told(pages: Pages, node: StageNode) -> None:
    node.changes = {"missing": [GAP | {"reason": "no_field"}]}
    text = text_of(await shown(pages, await opened(pages)))
    assert "ask again in some seconds" in text
    assert "grant request" not in text


async def test_a_case_stands_when_a_container_can_t_be_read(pages: Pages, node: StageNode) -> None:
    node.container = b"PK no container"
    assert "58571" in await shown(pages, await opened(pages))


async def test_texts_of_others_do_nothing(pages: Pages, node: StageNode) -> None:
    fact = FACT | {"value": HOSTILE, "source_name": HOSTILE}
    gap = GAP | {"text": HOSTILE, "reason": HOSTILE, "who_can_fix": HOSTILE}
    node.changes = {"evidence": [fact], "missing": [gap]}
    node.usages = [usage() | {"caseId": HOSTILE, "receiverName": HOSTILE, "factNames": [HOSTILE]}]
    address = await opened(pages)
    for page in (address, "/cases", f"/citizens/{SOMEBODY.national_id}"):
        html = await shown(pages, page)
        assert "<script" not in html
        assert "\u202e" not in html
        assert not [name for _, one in read(html).tags for name in one if name.startswith("on")]


async def test_every_address_of_a_page_is_its_own_or_the_catalog(pages: Pages) -> None:
    own = re.compile(r"(?:/|#|http://127\.0\.0\.1:[0-9]+/catalog).*")
    address = await opened(pages)
    proof = re.findall(r'href="(/cases/[^"]+/proofs/[^"/]+)"', await shown(pages, address))[0]
    for page in ("/", "/cases", address, proof, "/citizens", "/audit"):
        for tag, attributes in read(await shown(pages, page)).tags:
            target = attributes.get("href") or attributes.get("src") or attributes.get("action")
            assert not target or own.fullmatch(target), tag
            assert "style" not in attributes


# --- proofs ---------------------------------------------------------------------------------------


PROOF = "proofs/exchange-people"


async def test_a_proof_is_judged_and_handed_out(pages: Pages) -> None:
    case = await opened(pages)
    text = text_of(await shown(pages, f"{case}/{PROOF}"))
    for part in ("Passed.", "It proves Date of birth: 1967-05-04", "Case " + case[7:],
                 "/field_1 Mill Lane 7", "pairing passed",
                 "sacbe verify exchange-people.receipt --anchor"):  # fmt: skip
        assert part in text, part
    response = await pages.get(f"{case}/{PROOF}/receipt")
    assert is_receipt(io.BytesIO(await response.read()))
    assert response.headers["Content-Disposition"].endswith('"exchange-people.receipt"')


@pytest.mark.parametrize(
    ("code", "case", "values", "text"),
    [
        ("assessments", "", None, "of another exchange"),
        ("people", "CASE-0", None, "of another case"),
        ("people", "", ["1967-05-05", "Mill Lane 7", True], "birthDate does not stand"),
        ("people", "", ["1967-05-04", "Mill Lane 7", False], "adult does not stand"),
    ],
)
async def test_a_receipt_that_holds_must_be_of_this_case(
    pages: Pages, node: StageNode, code: str, case: str, values: list[object] | None, text: str
) -> None:
    address = await opened(pages)
    node.receipt = receipt_of(node.made, code, case or node.case, values)
    shown_text = text_of(await shown(pages, f"{address}/{PROOF}"))
    assert "Passed." not in shown_text
    assert "It holds, and proves something else." in shown_text
    assert text in shown_text
    assert "of something else" in await shown(pages, "/audit")


@pytest.mark.parametrize("broken", [b"no receipt", b"PK\x03\x04"])
async def test_a_receipt_that_is_none_is_told(pages: Pages, node: StageNode, broken: bytes) -> None:
    node.receipt = broken
    text = text_of(await shown(pages, f"{await opened(pages)}/{PROOF}"))
    assert "Passed." not in text
    assert "Failed." in text


async def test_a_forged_receipt_is_told(pages: Pages, node: StageNode, made: Exchange) -> None:
    node.receipt = made.receipt({"exchange.json": b'{\n "message_id": "another"\n}\n'})
    text = text_of(await shown(pages, f"{await opened(pages)}/{PROOF}"))
    assert "Failed." in text
    assert "inconsistent_receipt" in text


# --- others ---------------------------------------------------------------------------------------


async def test_the_citizen_sees_what_the_portal_says(pages: Pages, node: StageNode) -> None:
    assert SOMEBODY.national_id in await shown(pages, "/citizens")
    text = text_of(await shown(pages, f"/citizens/{SOMEBODY.national_id}"))
    for part in ("Municipality", "CASE-7", "Date of birth", "Deciding on school benefits"):
        assert part in text, part
    asked = {"scheme": c.NATIONAL_ID, "value": SOMEBODY.national_id}
    assert (asked, CITIZENS.path) in node.asked


async def test_the_auditor_sees_every_exchange(pages: Pages) -> None:
    assert "No case was opened yet" in await shown(pages, "/audit")
    await opened(pages)
    text = text_of(await shown(pages, "/audit"))
    assert text.count("passed Steps") == 3
    assert "sacbe audit --config" in text
    assert "Civil Registry people" in text
    assert "sacbe once report --config" in text


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/cases/CASE-X-1", 404),
        ("/cases/%00%3Cscript%3E", 404),
        ("/cases/CASE-X-1/proofs/exchange-people", 404),
        ("/citizens/000000000000", 404),
        ("/citizens/..%2F..%2Fetc", 404),
        ("/nothing", 404),
    ],
)
async def test_what_is_not_there_has_a_page(pages: Pages, address: str, status: int) -> None:
    page = await shown(pages, address, status)
    assert f"Status {status}" in page
    assert "Open a new case" in page


async def test_an_exchange_of_another_case_is_not_there(pages: Pages) -> None:
    address = await opened(pages)
    for path in ("proofs/exchange-9", "proofs/exchange-9/receipt"):
        assert "no such exchange" in await shown(pages, f"{address}/{path}", 404)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({}, "Choose one of the people"),
        (FORM | {"person": "000000000000"}, "Choose one of the people"),
        (FORM | {"procedure": "urn:none"}, "no such procedure"),
    ],
)
async def test_a_forged_form_is_refused(pages: Pages, form: dict[str, str], text: str) -> None:
    response = await pages.post("/cases", data=form)
    assert response.status == 400
    assert text in await response.text()


async def test_a_form_is_small_and_of_this_site(pages: Pages, node: StageNode) -> None:
    assert (await pages.post("/cases", data=FORM | {"more": "x" * 20_000})).status == 413
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere.example"}):
        assert (await pages.post("/cases", data=FORM, headers=header)).status == 403
    assert (await pages.get("/audit")).status == 200
    assert (await pages.delete("/cases")).status == 405
    assert node.asked == []


@pytest.mark.parametrize(
    ("status", "refusal", "text"),
    [
        (503, '{"title": "No catalog", "detail": "It has not come yet"}', "It has not come yet"),
        (503, "", "try again soon"),
        (400, '{"problems": [{"field": "case", "text": "must be given"}]}', "case: must be given"),
        (500, "", "status 500"),
    ],
)
async def test_what_the_node_says_is_passed_on(
    pages: Pages, node: StageNode, status: int, refusal: str, text: str
) -> None:
    node.status, node.refusal = status, refusal
    response = await pages.post("/cases", data=FORM)
    assert response.status == (503 if status == 503 else 502)
    assert text in text_of(await response.text())


async def test_an_answer_of_another_form_is_told(pages: Pages, node: StageNode) -> None:
    node.changes = {"evidence": "nothing"}
    response = await pages.post("/cases", data=FORM)
    assert response.status == 502
    assert "of another form" in await response.text()


# --- parts ----------------------------------------------------------------------------------------


def test_old_cases_leave(node: StageNode) -> None:
    cases = Cases()
    answer = decoded(json.dumps(node.answer()).encode(), Answer)
    for _ in range(MOST_CASES + 5):
        at = answer.evidence[0].valid_at
        cases.keep(Case(cases.new_number(), SOMEBODY, c.SCHOOL_BENEFIT, at, answer))
    assert len(cases.latest) == MOST_CASES
    assert cases.latest[0].number.endswith(f"-{MOST_CASES + 5}")
    assert len({one.number for one in cases.latest}) == MOST_CASES


def test_where_things_are_is_written_and_read(tmp_path: Path) -> None:
    file = tmp_path / "places.json"
    file.write_text(
        places_text(INSTITUTIONS, tmp_path, lambda name: f"http://{name}", ("sacbe",)), "utf-8"
    )
    places = read_places(file)
    assert places.node(MUNI).url == "http://muni-http"
    assert places.node(MUNI).config == str(tmp_path / "muni" / "node.toml")
    assert places.registry == "http://registry"
    file.write_text("{}", "utf-8")
    with pytest.raises(MalformedMessage):
        read_places(file)
    with pytest.raises(StorageError):
        read_places(tmp_path / "none")


async def test_reports_are_asked_once_in_a_while(tmp_path: Path) -> None:
    printed = json.dumps({"groups": [{"group": "p", "given": 4, "refused": {"no_right": 2}}]})
    script = tmp_path / "report.py"
    script.write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('x')\nprint({printed!r})")
    places = Places({"muni": NodePlace("M", "", "c")}, "", "", (sys.executable, str(script)))
    reports = Reports(places)
    (found,) = await reports.all()
    assert found.groups == (Group("p", given=4, refused={"no_right": 2}),)
    assert totals(found.groups)["refused"] == 2
    assert await reports.all() == [found]
    assert (tmp_path / "ran").read_text() == "x"


async def test_a_report_that_fails_is_told() -> None:
    places = Places({"muni": NodePlace("M", "", "c")}, "", "", (sys.executable, "-c", "exit(3)"))
    (found,) = await Reports(places).all()
    assert "exit code 3" in found.problem
    with pytest.raises(MalformedMessage):
        read_report(b"[]")


def test_what_stands_in_a_soap_message_is_read() -> None:
    content = "<status>insured</status><more><months>7</months></more>"
    header = '<o:withheld xmlns:o="urn:sacbe:once:1">/employer, /nationalId</o:withheld>'
    envelope = Envelope(content=content, more=header).raw
    wire = read_wire(build_container(Container(envelope, b"<none/>")))
    assert wire.fields == {"/status": "insured", "/more/months": "7"}
    assert wire.names == {"status", "months"}
    assert wire.withheld == ("/employer", "/nationalId")
    assert "withheld" in wire.headers


@given(st.binary(max_size=200))
def test_any_bytes_are_a_container_or_rejected(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_wire(raw)


@given(st.text(alphabet='{}[]"usages:,0é ', max_size=60))
def test_any_text_is_a_portals_answer_or_rejected(text: str) -> None:
    with pytest.raises(MalformedMessage):
        read_used(text.encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "yes"), (False, "no"), (7, "7"), ("Käo", "Käo"), (["a", 1], '["a", 1]')],
)
def test_values_are_told_in_words(value: object, text: str) -> None:
    assert value_text(value) == text
    assert len(value_text("x" * 1000)) == 301


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"errors": [{"field": "a", "text": "b"}, 7]}', "a: b"),
        (b'{"message": "no"}', "no"),
        (b"plain   text\n", "plain text"),
        (b"\xff", "\ufffd"),
        (b"[1]", "[1]"),
    ],
)
def test_refusals_are_told_in_their_own_words(raw: bytes, text: str) -> None:
    assert said(raw) == text
