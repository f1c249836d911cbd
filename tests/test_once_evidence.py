"""Facts from registries that are well, down, slow, wrong or closed, through real nodes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from openapi_spec_validator import validate

from catalog.mapping import FieldMapping, ServiceMapping
from catalog.meaning.vocabulary import Authority
from node.log.search import RecordQuery
from scripts.postgres import PostgresServer
from tests.instance import PROVIDER
from tests.once_stage import (
    ADULT,
    BASIS,
    BORN,
    CAR,
    CHILDREN,
    DEBT,
    DERIVED,
    DOG,
    GRANTED,
    HEIGHT,
    HOUSE,
    INCOME,
    INSURED,
    NAME,
    NUMBER,
    PAID,
    PERSON,
    PURPOSE,
    SCHOOL,
    STATUS,
    TAX_NUMBER,
    TERRITORY,
    WITHHELD,
    Stage,
    answer,
    once_stage,
    question,
    service_id,
)
from tests.raw_http import RawMessage
from tests.scene import answering
from trust.ids import ClientId

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.database]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with once_stage(tmp_path_factory.mktemp("once"), postgres_server) as stage:
        yield stage


@pytest.fixture
def stage(shared: Stage) -> Stage:
    shared.system.reset()
    shared.system.answer = answer
    return shared


def values(found: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
    return {one["concept"]: one["value"] for one in found["evidence"]}


def reasons(found: Any) -> dict[str, str]:  # noqa: ANN401 - JSON
    return {one["concept"]: one["reason"] for one in found["missing"]}


# --- facts ----------------------------------------------------------------------------------------


async def test_facts_come_with_their_source_and_their_exchange(stage: Stage) -> None:
    found = await stage.evidence(NAME, BORN, CHILDREN)
    assert values(found) == {NAME: "Ana Chel", BORN: "2001-02-03", CHILDREN: ["Ix", "Ek"]}
    assert found["missing"] == []
    assert len(stage.system.requests) == 1, "one exchange for one endpoint"
    one = found["evidence"][0]
    assert (one["source"], one["source_name"]) == (f"{PROVIDER.path}/people", "Civil Registry")
    kept = await stage.consumer.running.kept.log.find(RecordQuery(exchange_id=one["exchange_id"]))
    assert [each.response for each in kept.records] == [False, True]
    assert found["catalog_version"] == 7


async def test_the_request_says_what_it_is_for(stage: Stage) -> None:
    await stage.evidence(NAME, mandate="COM/99", official="clérk 7")
    asked = stage.system.last
    assert asked.first("Once-Purpose") == PURPOSE
    assert asked.first("Once-Legal-Basis") == BASIS
    assert asked.first("Once-Fields") == "name"
    assert asked.first("X-Road-Issue") == "2026/17"
    assert asked.first("X-Road-Represented-Party") == "COM/99"
    assert asked.first("Once-Procedure") is None


async def test_the_receipt_of_a_value_is_had_at_its_address(stage: Stage) -> None:
    found = await stage.evidence(NAME)
    path = found["evidence"][0]["receipt"]
    url = f"{stage.consumer.url}{path}&force"
    async with stage.session.get(url) as response:
        assert response.status == 200, await response.text()
        assert (await response.read()).startswith(b"PK")


async def test_another_registry_s_identifier_is_followed(stage: Stage) -> None:
    found = await stage.evidence(INCOME)
    assert values(found) == {INCOME: 1234.5}
    targets = [one.target for one in stage.system.requests]
    assert targets[0] == f"/people/{NUMBER}"
    assert targets[1].startswith("/taxes/T-9?year=20")
    assert [one["stage"] for one in found["plan"]] == [1, 2]
    assert TAX_NUMBER not in values(found), "what nobody asked for is not told"


async def test_a_soap_service_is_asked_like_any_other(stage: Stage) -> None:
    found = await stage.evidence(STATUS, PAID)
    assert values(found) == {STATUS: "paid up", PAID: 12}
    asked = stage.system.last.body.decode()
    assert f'<getState xmlns="urn:p"><person>{NUMBER}</person><year>20' in asked
    assert "<xro:userId>clerk7</xro:userId><xro:issue>2026/17</xro:issue>" in asked
    assert f'<purpose xmlns="urn:sacbe:once:1">{PURPOSE}</purpose>' in asked
    assert ">getStateResponse-status,getStateResponse-paid</fields>" in asked


async def test_a_plain_source_is_reduced_here_and_that_is_said(stage: Stage) -> None:
    found = await stage.evidence("urn:t:born-plain", ADULT, "urn:t:none")
    assert values(found) == {"urn:t:born-plain": "2001-02-03", ADULT: True}
    assert all(one["reduced_here"] for one in found["evidence"])
    assert reasons(found) == {"urn:t:none": "no_value"}


async def test_the_territory_is_found_first_where_authorities_differ(stage: Stage) -> None:
    found = await stage.evidence(SCHOOL)
    assert values(found) == {SCHOOL: "School 1"}
    assert found["plan"][-1] == {"stage": 2, "depends_on": TERRITORY, "concepts": [SCHOOL]}
    known = await stage.evidence(SCHOOL, territory="T1")
    assert values(known) == {SCHOOL: "School 1"}
    assert len(known["plan"]) == 1
    nowhere = await stage.evidence(SCHOOL, territory="T3")
    assert reasons(nowhere) == {SCHOOL: "no_authority"}


# --- sources that fail ----------------------------------------------------------------------------


async def test_down_slow_lying_and_closed_sources_leave_the_rest_complete(stage: Stage) -> None:
    found = await stage.evidence(NAME, CAR, HOUSE, HEIGHT, DEBT, INSURED, INCOME, deadline=2)
    assert values(found) == {
        NAME: "Ana Chel",
        CAR: "a red one",  # from the next source, for the first is down
        HOUSE: "a blue one",  # for the first is slow
        DEBT: "none",  # from the one that lies about another fact
        INCOME: 1234.5,
    }
    assert reasons(found) == {HEIGHT: "wrong_type", INSURED: "no_right"}
    assert {one["who_can_fix"] for one in found["missing"]} == {"source"}


async def test_an_identifier_is_had_from_the_next_source(stage: Stage) -> None:
    kept = stage.catalog
    assert kept is not None
    vocabulary = kept.vocabulary
    link = Authority((TAX_NUMBER, TERRITORY), service_id("down"), (service_id("people"),))
    there = (FieldMapping("n", "/n", TAX_NUMBER), FieldMapping("t", "/t", TERRITORY))
    down = next(one for one in kept.services if one.id == service_id("down"))
    (endpoint,) = down.mapping.endpoints
    mapping = ServiceMapping((replace(endpoint, fields=(*endpoint.fields, *there)),))
    others = (one for one in vocabulary.authorities if TAX_NUMBER not in one.concepts)
    stage.catalog = replace(
        kept,
        services=tuple(
            replace(one, mapping=mapping) if one.id == down.id else one for one in kept.services
        ),
        vocabulary=replace(vocabulary, authorities=(link, *others)),
    )
    try:
        found = await stage.evidence(INCOME, SCHOOL, CAR)
    finally:
        stage.catalog = kept
    assert values(found) == {INCOME: 1234.5, SCHOOL: "School 1", CAR: "a red one"}
    assert [len(one["concepts"]) for one in found["plan"]] == [3, 1, 1]
    assert sum(one.target.startswith("/people/") for one in stage.system.requests) == 1


async def test_of_a_grant_comes_what_it_covers(stage: Stage) -> None:
    found = await stage.evidence(GRANTED, WITHHELD, DERIVED)
    assert values(found) == {GRANTED: "Ana", DERIVED: True}
    assert reasons(found) == {WITHHELD: "not_granted"}
    assert not any(one["reduced_here"] for one in found["evidence"])
    row = await stage.pool.fetchrow(
        "SELECT * FROM data_use WHERE exchange_id = $1 AND side = 'consumer'",
        found["evidence"][0]["exchange_id"],
    )
    assert row is not None
    assert row["grant_number"] > 0
    assert (row["withheld"], row["derived"]) == (["/born", "/secret"], ["adult"])


async def test_refusals_have_their_reason_and_are_remembered(stage: Stage) -> None:
    stage.refused.clear()
    found = await stage.evidence(GRANTED, INSURED, purpose="urn:t:other", legal_basis="x")
    assert reasons(found) == {GRANTED: "purpose_not_granted", INSURED: "no_right"}
    refused = {one.service.service_code: one.refusal for one in stage.refused}
    assert refused == {"granted": "purpose_not_granted", "closed": "no_right"}
    assert {one.subject for one in stage.refused} == {f"{PERSON}|{NUMBER}".encode()}
    assert all(one.exchange_id and one.message_id for one in stage.refused)


async def test_what_is_late_is_missing_at_the_deadline(stage: Stage) -> None:
    async def slow(_request: RawMessage) -> bytes:
        await asyncio.sleep(3600)
        raise AssertionError

    stage.system.answer = slow
    found = await stage.evidence(NAME, INCOME, SCHOOL, deadline=0.3)
    assert reasons(found)[NAME] == "source_slow"
    assert set(reasons(found)) == {NAME, INCOME, SCHOOL}
    assert values(found) == {}


@pytest.mark.parametrize(
    "number",
    [b"null", b'"\\ud800"', b'"\\u0000"', b'"1\\r\\nX-Road-UserId: EE1"', b'"%s"' % (b"7" * 5000)],
    ids=["none", "half a character", "nothing", "two lines", "long"],
)
async def test_an_identifier_that_is_not_had_is_told(stage: Stage, number: bytes) -> None:
    def without(request: RawMessage) -> bytes:
        return answering(b'{"name":"x","taxNumber":%s}' % number)

    stage.system.answer = without
    found = await stage.evidence(NAME, INCOME, SCHOOL)
    assert values(found) == {NAME: "x"}
    assert reasons(found) == {INCOME: "no_identifier", SCHOOL: "territory_unknown"}


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        (b"<html>", "200 OK", "unreadable_answer"),
        (b'{"name": "a", "name": "b"}', "200 OK", "unreadable_answer"),
        (b'{"name": ["a"]}', "200 OK", "wrong_type"),
        (b'{"name": 7}', "200 OK", "wrong_type"),
        (b"{}", "200 OK", "no_value"),
        (b"[]", "200 OK", "no_value"),
        (b"{}", "404 Not Found", "unknown_subject"),
        (b"{}", "500 Internal Server Error", "source_failed"),
        (b'{"name": "%s"}' % (b"x" * 2_000_000), "200 OK", "source_failed"),
    ],
)
async def test_bad_answers_have_their_reason(
    stage: Stage, said: bytes, status: str, reason: str
) -> None:
    stage.system.answer = lambda _: answering(said, status)
    found = await stage.evidence(NAME)
    assert reasons(found) == {NAME: reason}


async def test_a_subject_whose_value_leads_elsewhere_is_not_asked_for(stage: Stage) -> None:
    subject = {"scheme": PERSON, "value": "../../admin"}
    found = await stage.evidence(NAME, subject=subject)
    assert reasons(found) == {NAME: "bad_identifier"}
    assert not stage.system.requests


# --- uses and counts ------------------------------------------------------------------------------


async def test_uses_are_kept_with_the_answers_they_belong_to(stage: Stage) -> None:
    found = await stage.evidence(INCOME, STATUS)
    for one in found["evidence"]:
        row = await stage.pool.fetchrow(
            "SELECT * FROM data_use WHERE exchange_id = $1 AND side = 'consumer'",
            one["exchange_id"],
        )
        assert row is not None
        assert row["given"] == [one["concept"]]
        assert row["subject"] == f"{PERSON}|{NUMBER}".encode()
        assert (row["purpose"], row["case_id"]) == (PURPOSE, "2026/17")


async def test_submissions_are_counted_by_paper_and_by_source(stage: Stage) -> None:
    procedure = question(procedure="urn:t:benefit")
    status, found = await stage.post("/once/v1/evidence", procedure)
    assert status == 200, found
    assert set(values(found)) == {NAME, BORN, STATUS, INCOME}
    assert found["spared"] == 3  # two papers, and the source of the status
    half = await stage.evidence(NAME, DOG)
    assert half["spared"] == 2  # a name is half a paper, but nothing more was asked for
    ids = {one["exchange_id"] for one in found["evidence"]}
    counted = await stage.pool.fetchval(
        "SELECT sum(spared) FROM data_use WHERE exchange_id = ANY($1) AND side = 'consumer'",
        list(ids),
    )
    assert counted == 3
    assert stage.system.requests[0].first("Once-Procedure") == "urn:t:benefit"


# --- the API --------------------------------------------------------------------------------------


async def test_a_plan_asks_nobody(stage: Stage) -> None:
    asked = {"procedure": "urn:t:benefit", "subject": {"scheme": PERSON}}
    status, found = await stage.post("/once/v1/plan", asked)
    assert status == 200
    assert [one["service"].rpartition("/")[2] for one in found["plan"]] == [
        "people",
        "v1",
        "taxes",
    ]
    assert found["missing"] == []
    assert not stage.system.requests


async def test_every_error_of_a_request_is_told_at_once(stage: Stage) -> None:
    status, told = await stage.post(
        "/once/v1/evidence",
        {
            "concepts": ["", 3],
            "subject": {"scheme": "a\nb", "extra": 1},
            "purpose": "urn:t:other",
            "official": "x" * 2000,
            "mandate": "a/b/c",
            "parameters": {"year": [1]},
            "deadline": -1,
            "preview": "yes",
            "nonsense": 1,
        },
    )
    assert status == 400
    wrong = {(one["field"], one["reason"]) for one in told["errors"]}
    assert wrong == {
        ("concepts/0", "invalid"),
        ("concepts/1", "invalid"),
        ("subject/scheme", "invalid"),
        ("subject/value", "missing"),
        ("subject/extra", "unknown_field"),
        ("legal_basis", "no_legal_basis"),
        ("case", "missing"),
        ("official", "invalid"),
        ("mandate", "invalid"),
        ("parameters/year", "invalid"),
        ("deadline", "invalid"),
        ("preview", "invalid"),
        ("nonsense", "unknown_field"),
    }


@pytest.mark.parametrize(
    ("said", "field", "reason"),
    [
        ({"procedure": "urn:t:benefit", "purpose": "urn:t:x"}, "purpose", "contradiction"),
        ({"procedure": "urn:t:benefit", "legal_basis": "x"}, "legal_basis", "contradiction"),
        ({"procedure": "urn:t:nothing"}, "procedure", "unknown"),
        ({}, "procedure", "missing"),
        ({"concepts": [NAME], "procedure": "urn:t:benefit"}, "procedure", "missing"),
        ({"concepts": [NAME]}, "purpose", "missing"),
        ({"concepts": []}, "concepts", "invalid"),
        ({"concepts": ["x"] * 201, "purpose": PURPOSE}, "concepts", "too_many"),
        (
            {"concepts": [NAME], "purpose": PURPOSE, "legal_basis": "x"},
            "legal_basis",
            "contradiction",
        ),
        (
            {
                "concepts": [NAME],
                "purpose": PURPOSE,
                "parameters": {str(n): "1" for n in range(51)},
            },
            "parameters",
            "too_many",
        ),
    ],
)
async def test_contradictions_are_refused(
    stage: Stage, said: dict[str, object], field: str, reason: str
) -> None:
    status, told = await stage.post("/once/v1/evidence", question(**said))
    assert status == 400
    assert (field, reason) in {(one["field"], one["reason"]) for one in told["errors"]}


@pytest.mark.parametrize("body", [b"", b"[1]", b'{"a":1,"a":2}', b"\xff", b"[" * 5000])
async def test_what_is_no_request_is_refused(stage: Stage, body: bytes) -> None:
    status, told = await stage.post("/once/v1/evidence", body)
    assert (status, len(told["errors"])) == (400, 1)


async def test_a_body_without_end_is_refused(stage: Stage) -> None:
    status, _ = await stage.post("/once/v1/plan", b" " * 70_000)
    assert status == 413


async def test_who_calls_is_authenticated(stage: Stage) -> None:
    for client in (None, ClientId("TEST", "MUN", "2001", "nobody")):
        status, told = await stage.ask("POST", "/once/v1/plan", {}, client)
        assert (status, told["status"]) == (401, 401)


async def test_addresses_and_methods_that_are_not_there(stage: Stage) -> None:
    assert (await stage.ask("GET", "/once/v1/evidence"))[0] == 405
    assert (await stage.ask("GET", "/once/v1/nothing"))[0] == 404
    assert (await stage.ask("POST", "/once/v2/plan"))[0] == 404


async def test_without_a_catalog_nothing_is_planned(stage: Stage) -> None:
    kept, stage.catalog = stage.catalog, None
    try:
        status, told = await stage.post("/once/v1/plan", question(NAME))
    finally:
        stage.catalog = kept
    assert (status, told["title"]) == (503, "Not now")


async def test_more_questions_than_allowed_are_asked_to_come_again(stage: Stage) -> None:
    stage.api._under_way = stage.api.resolver.settings.questions
    try:
        status, told = await stage.post("/once/v1/evidence", question(NAME))
    finally:
        stage.api._under_way = 0
    assert (status, told["detail"]) == (503, "Too many questions are under way")


async def test_the_description_is_valid_and_has_every_address(stage: Stage) -> None:
    status, document = await stage.ask("GET", "/once/v1/openapi.json", client=None)
    assert status == 200
    validate(document)
    assert set(document["paths"]) == {
        "/evidence", "/plan", "/previews/{id}", "/previews/{id}/confirm",
        "/previews/{id}/reject", "/previews/{id}/evidence",
    }  # fmt: skip
