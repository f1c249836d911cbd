"""Terms of rights through two real nodes: what goes out, what is refused, what is remembered."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from catalog.terms import NO_TERMS, Quota, Terms
from scripts.postgres import PostgresServer
from tests.exchange_stage import verified
from tests.raw_http import Headers, RawMessage
from tests.scene import answering, records, unexpected
from tests.terms_stage import (
    FORTY,
    INTENT,
    JSON,
    PERSON,
    PURPOSE,
    SCHEME,
    Stage,
    pseudonym,
    terms_stage,
)
from trust.errors import StorageError

pytestmark = pytest.mark.asyncio(loop_scope="module")

THREE = Terms(fields=("f1", "urn:c:f2", "/person/f3"), purposes=(PURPOSE,), legal_basis="law")
NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[Stage]:
    async with terms_stage(tmp_path_factory.mktemp("terms"), postgres_server) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: Stage) -> Stage:
    await module_stage.reset()
    return module_stage


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    assert [line for line in unexpected(caplog) if "policy can't be asked" not in line] == []


def refused(answer: RawMessage) -> str:
    """The word of a refusal; nothing of the terms is told beside it."""
    assert answer.status == 500
    fault = json.loads(answer.body)
    start = "server.serverproxy.access_denied"
    assert fault["type"].startswith(start)
    assert not any(word in answer.body.decode() for word in (PURPOSE, "law", "secret", "grant 1"))
    return str(fault["type"].removeprefix(start).removeprefix("."))


def detail(caplog: pytest.LogCaptureFixture) -> str:
    """What only the provider's operator reads."""
    lines = [one.getMessage() for one in caplog.records if "role=provider" in one.getMessage()]
    return lines[-1].partition(" detail=")[2]


def told(answer: RawMessage, name: str) -> list[str]:
    """What a header of ours lists."""
    return (answer.first(name) or "").split(",")


async def kept_facts(stage: Stage, exchange: str | None) -> bytes:
    """The body of the answer as the provider's log has it, once its signature was judged."""
    _, response = await records(stage.provider, exchange_id=exchange)
    body = await stage.provider.running.kept.log.body_of(response)
    assert body is not None
    await verified(stage.instance, stage.provider, response, [body])
    return body


# --- what goes out --------------------------------------------------------------------------------


async def test_of_forty_fields_three_are_in_the_message_and_the_others_named(stage: Stage) -> None:
    await stage.grant(THREE)
    more: Headers = (("X-Road-Issue", "case 7"), ("X-Road-UserId", "EE1"))
    answer = await stage.get(headers=(*INTENT, *more, ("Accept-Encoding", "gzip, br")))
    assert answer.status == 200
    expected = {name: FORTY[name] for name in ("f1", "f2", "f3")}
    assert json.loads(answer.body) == {"person": expected}
    assert answer.first("content-type") == "application/json"
    assert answer.first("cache-control") == "no-store"
    assert not {"etag", "x-person"} & {name.lower() for name, _ in answer.headers}
    body = await kept_facts(stage, answer.first("x-road-request-id"))
    assert body == answer.body
    withheld = [f"/person/{name}" for name in FORTY if name not in expected]
    assert answer.first("once-given") == "f1,f2,f3"
    assert told(answer, "once-withheld") == withheld
    [use] = await stage.uses()
    assert answer.first("once-grant") == str(use["grant_number"])
    assert use["grant_number"] > 0
    assert use["given"] == ["urn:c:f1", "urn:c:f2", "urn:c:f3"]
    assert use["withheld"] == withheld
    assert len(withheld) == 37
    assert use["subject"] == pseudonym(SCHEME, "39001010000")
    said = (use["purpose"], use["legal_basis"], use["case_id"], use["official"], use["refusal"])
    assert said == (PURPOSE, "urn:ex:law:1", "case 7", "EE1", "")
    assert stage.system.last.first("accept-encoding") == "identity"
    assert b"39001010000" not in repr(dict(use)).encode()


async def test_what_is_asked_for_narrows_what_is_granted(stage: Stage) -> None:
    await stage.grant(THREE)
    answer = await stage.get(headers=(*INTENT, ("Once-Fields", "f1, f9,nonsense")))
    assert json.loads(answer.body) == {"person": {"f1": FORTY["f1"]}}
    assert answer.first("once-given") == "f1"
    named = told(answer, "once-withheld")
    assert {"/person/f2", "/person/f9", "nonsense"} <= set(named)
    [use] = await stage.uses()
    assert "nonsense" not in use["withheld"]


async def test_a_derived_fact_leaves_without_its_source(stage: Stage) -> None:
    await stage.grant(Terms(fields=("adult",)))
    body = json.dumps({"person": {"birth": "1990-01-01", "f1": "secret"}}).encode()
    stage.system.answer = lambda _: answering(body, headers=JSON)
    answer = await stage.get()
    assert json.loads(answer.body) == {"person": {"adult": True}}
    [use] = await stage.uses()
    assert (use["given"], use["derived"]) == (["urn:c:adult"], ["adult"])
    assert use["withheld"] == ["/person/birth", "/person/f1"]


async def test_a_plain_right_narrows_only_when_asked(stage: Stage) -> None:
    await stage.grant(NO_TERMS)
    whole = await stage.get()
    assert json.loads(whole.body) == {"person": FORTY}
    assert (whole.first("once-grant"), whole.first("once-given")) == ("0", "*")
    assert whole.first("etag") == '"secret"'
    narrow = await stage.get(headers=(("Once-Fields", "f7"),))
    assert json.loads(narrow.body) == {"person": {"f7": FORTY["f7"]}}
    first, second = await stage.uses()
    assert (first["grant_number"], len(first["given"])) == (0, 41)
    assert (second["given"], len(second["withheld"])) == (["urn:c:f7"], 39)


async def test_who_states_no_intent_notices_nothing(stage: Stage) -> None:
    for terms, mapped in ((NO_TERMS, True), (NO_TERMS, False), (Terms(legal_basis="law"), True)):
        await stage.grant(terms, mapped=mapped)
        answer = await stage.get(headers=())
        assert json.loads(answer.body) == {"person": FORTY}
        assert answer.first("x-person") == "secret"
        assert not [name for name, _ in answer.headers if name.lower().startswith("once-")]
    plain, limited = await stage.uses()  # the citizen's log needs the first one, too
    assert (plain["grant_number"], plain["purpose"]) == (0, "")
    assert limited["grant_number"] > 0


@pytest.mark.parametrize(
    ("status", "phrase"), [("404 Nobody called secret", "Not Found"), ("303 x", "See Other")]
)
async def test_of_an_error_of_the_system_its_status_goes_out_and_no_word_of_it(
    stage: Stage, status: str, phrase: str
) -> None:
    await stage.grant(THREE)
    own = (("Content-Type", "text/html"), ("Location", "/secret"))
    stage.system.answer = lambda _: answering(b"secret", status, own)
    answer = await stage.get()
    number = int(status[:3])
    assert (answer.status, answer.first("content-type")) == (number, "application/problem+json")
    expected = {"type": "about:blank", "title": phrase, "status": number}
    assert json.loads(answer.body) == expected
    assert "secret" not in str(answer.headers)
    [use] = await stage.uses()
    assert (use["given"], use["withheld"], use["refusal"]) == ([], [], "")


async def test_answers_without_content_pass(stage: Stage) -> None:
    await stage.grant(THREE)
    stage.system.answer = lambda _: answering(b"", "204 No Content")
    assert (await stage.get()).status == 204
    stage.system.answer = lambda _: b"HTTP/1.1 200 OK\r\nX-Person: secret\r\n\r\n"
    answer = await stage.get(method="HEAD")
    assert answer.status == 200
    assert "secret" not in str(answer.headers)


async def test_no_guess_is_confirmed_and_nothing_else_is_asked_than_what_was_judged(
    stage: Stage,
) -> None:
    await stage.grant(THREE)
    odd: Headers = (
        ("If-None-Match", '"guess"'), ("If-Modified-Since", "Sat, 21 Nov 2026 00:00:00 GMT"),
        ("IF-MATCH", '"guess"'), ("Range", "bytes=0-1"), ("X-HTTP-Method-Override", "DELETE"),
        ("X-Original-URL", "/persons/1"),
    )  # fmt: skip
    assert (await stage.get(headers=(*INTENT, *odd, ("X-Other", "kept")))).status == 200
    sent = {name.lower() for name, _ in stage.system.last.headers}
    assert not {name.lower() for name, _ in odd} & sent
    assert "x-other" in sent


async def test_an_answer_of_many_bytes_is_cut_beside_the_event_loop(stage: Stage) -> None:
    await stage.grant(THREE)
    body = json.dumps({"person": {"f1": "x" * 300_000, "f9": "secret"}}).encode()
    stage.system.answer = lambda _: answering(body, headers=JSON)
    answer = await stage.get()
    assert json.loads(answer.body) == {"person": {"f1": "x" * 300_000}}


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (b"secret", JSON, "is no JSON"),
        (b'{"person":{"f1":1,"f1":2}}', JSON, "a name twice"),
        (b'{"person":', JSON, "is no JSON"),
        (b"<secret/>", (("Content-Type", "text/xml"),), "not JSON"),
        (b"{}", (), "one content type"),
        (b"{}", (*JSON, *JSON), "one content type"),
        (b"{}", (("Content-Type", "application/json; charset=utf-16"),), "not in UTF-8"),
        (b"secret", (*JSON, ("Content-Encoding", "gzip")), "compressed"),
        (b"[" + b"0," * 500_001 + b"0]", JSON, "more than 500000 values"),
    ],
)
async def test_of_an_answer_that_cannot_be_cut_nothing_leaves(
    stage: Stage, caplog: pytest.LogCaptureFixture, body: bytes, headers: Headers, why: str
) -> None:
    await stage.grant(THREE)
    stage.system.answer = lambda _: answering(body, headers=headers)
    answer = await stage.get()
    assert refused(answer) == "answer_not_reducible"
    assert why in detail(caplog)
    [use] = await stage.uses()
    assert (use["refusal"], use["given"]) == ("answer_not_reducible", [])
    assert use["grant_number"] > 0
    kept = await records(stage.provider, exchange_id=use["exchange_id"])
    assert [one.response for one in kept] == [False]


@pytest.mark.parametrize(
    ("terms", "headers", "word"),
    [
        (THREE, (), "purpose_missing"),
        (THREE, (("Once-Purpose", "urn:other"),), "purpose_not_granted"),
        (Terms(valid_until=NOW - DAY), INTENT, "grant_expired"),
        (Terms(valid_from=NOW + DAY), INTENT, "grant_not_yet_valid"),
        (THREE, (*INTENT, ("Once-Fields", "f9,birth")), "fields_not_granted"),
        (Terms(quota=Quota(0, DAY)), INTENT, "quota_used_up"),
        (None, INTENT, ""),
    ],
)
async def test_a_term_that_is_not_met_is_told_in_a_word_and_in_full_to_the_operator(
    stage: Stage,
    caplog: pytest.LogCaptureFixture,
    terms: Terms | None,
    headers: Headers,
    word: str,
) -> None:
    await stage.grant(*(() if terms is None else (terms,)))
    assert refused(await stage.get(headers=headers)) == word
    assert stage.system.requests == []
    [use] = await stage.uses()
    assert use["refusal"] == (word or "no_right")
    assert use["subject"] == pseudonym(SCHEME, "39001010000")
    assert (use["grant_number"] > 0) is bool(word)
    assert (f"grant {use['grant_number']} to" in detail(caplog)) is bool(word)
    assert (f"grant {use['grant_number']} to" in use["detail"]) is bool(word)
    if word.startswith("purpose"):
        assert f"purposes {PURPOSE}" in detail(caplog)


async def test_fields_of_an_endpoint_that_nobody_mapped_are_not_given(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.grant(THREE)
    for path in ("/other", "/persons/1%2Ff", "/persons//1", "/persons/"):
        assert refused(await stage.get(path)) == "answer_not_reducible"
        assert "no mapping tells" in detail(caplog)
    await stage.grant(THREE, mapped=False)
    assert refused(await stage.get()) == "answer_not_reducible"
    assert stage.system.requests == []


async def test_a_quota_counts_calls_and_no_two_get_the_last_one(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.grant(Terms(fields=("f1",), quota=Quota(3, timedelta(hours=1))))
    answers = await asyncio.gather(*(stage.get() for _ in range(7)))
    assert sorted(one.status for one in answers) == [200] * 3 + [500] * 4
    assert {refused(one) for one in answers if one.status != 200} == {"quota_used_up"}
    assert "3 of 3 calls in 1:00:00" in detail(caplog)
    uses = await stage.uses()
    assert sorted(use["refusal"] for use in uses) == [""] * 3 + ["quota_used_up"] * 4


async def test_a_right_that_is_revoked_ends_with_the_next_call(stage: Stage) -> None:
    await stage.grant(THREE)
    assert (await stage.get()).status == 200
    await stage.grant(told=False)  # by another process: this one has not looked yet
    assert refused(await stage.get()) == ""
    await stage.grant(THREE)
    assert (await stage.get()).status == 200
    await stage.grant(Terms(fields=("f1",), valid_until=NOW - DAY), told=False)
    assert refused(await stage.get()) == "grant_expired"


async def test_a_policy_refuses_what_rights_allow_and_uses_up_no_quota(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.grant(Terms(fields=("f1",), quota=Quota(1, DAY)))
    stage.enforcement.policy = stage.guard
    for reason in ("not at night", "broken"):
        stage.guard.reason = reason
        assert refused(await stage.get()) == "refused_by_policy"
        assert ("not at night" if reason != "broken" else "can't be asked") in detail(caplog)
    stage.guard.reason = None
    assert (await stage.get()).status == 200
    facts = stage.guard.asked[0]
    assert (facts.method, facts.path, facts.terms, facts.fields) == ("GET", PERSON, True, ("f1",))
    assert facts.about_person
    assert facts.intent.purpose == PURPOSE


async def test_a_policy_is_asked_for_every_way_in_which_a_path_may_be_read(stage: Stage) -> None:
    await stage.grant(NO_TERMS)
    stage.enforcement.policy = stage.guard
    assert (await stage.get("//other;x/y", ())).status == 200
    assert {one.path for one in stage.guard.asked} >= {"/other/y", "//other;x/y", "/other;x/y"}
    assert not any(one.about_person for one in stage.guard.asked)
    stage.guard.asked.clear()
    assert (await stage.get("/find?id=7&id=8", ())).status == 200
    assert [one.about_person for one in stage.guard.asked] == [True]


async def test_thinking_of_many_fields_fills_no_memory(stage: Stage) -> None:
    await stage.grant(NO_TERMS)
    enforcement = stage.enforcement
    for number in range(120):
        deep = f"/a{number}" + "/b" * 30
        asked = ",".join([*(f"{deep}/{end}" for end in range(15)), "f1"])
        assert (await stage.get(headers=(*INTENT, ("Once-Fields", asked)))).status == 200
    assert enforcement._kept <= 50_000
    assert len(enforcement._selections) <= 100
    huge = ",".join(["f1", *("/1" * 30 + f"/{number}" for number in range(100))])
    before = dict(enforcement._selections)
    assert (await stage.get(headers=(*INTENT, ("Once-Fields", huge)))).status == 200
    assert enforcement._selections == before
    absurd = "f1,/" + "a/" * 500
    answer = await stage.get(headers=(*INTENT, ("Once-Fields", absurd)))
    assert answer.first("once-given") == "f1"


async def test_while_rights_and_quotas_cannot_be_looked_up_nobody_passes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.grant(Terms(fields=("f1",), quota=Quota(9, DAY)))

    async def away(*_: object) -> None:
        raise StorageError("away")

    for target, name in ((stage.enforcement, "fresh"), (stage.enforcement.uses, "take_call")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, away)
            answer = await stage.get()
        assert json.loads(answer.body)["type"] == "server.serverproxy.database_error"
    assert stage.system.requests == []
    assert (await stage.get()).status == 200


async def test_without_enforcement_rights_with_terms_allow_nothing(stage: Stage) -> None:
    provider = stage.provider.running.exchanges.provider
    await stage.grant(THREE)
    provider.once = None
    try:
        assert refused(await stage.get()) == ""
        await stage.grant(NO_TERMS)
        assert (await stage.get()).status == 200
    finally:
        provider.once = stage.enforcement


@pytest.mark.parametrize(
    "headers",
    [
        (*INTENT, ("once-purpose", "urn:second")),
        (("Once-Purpose", "x" * 1025),),
        (("Once-Purpose", "a\tb"),),
        (("Once-Procedure", "a\u202eb"),),
        (("Once-Fields", ",".join(f"f{n}" for n in range(501))),),
        (("Once-Fields", "f1,a\tb"),),
    ],
)
async def test_an_intent_that_cannot_be_read_is_refused(stage: Stage, headers: Headers) -> None:
    await stage.grant(THREE)
    answer = await stage.get(headers=headers)
    assert answer.status == 500
    assert json.loads(answer.body)["type"].endswith("service_failed.invalid_intent")
    assert stage.system.requests == []


# --- whom it is about -----------------------------------------------------------------------------


async def test_the_subject_is_found_in_a_body_and_in_a_query(stage: Stage) -> None:
    await stage.grant(NO_TERMS)
    body = b'{"who":{"id":"7"},"secret":1}'
    await stage.get("/search", JSON, "POST", body)
    await stage.get("/find?x=1&id=a%20b")
    await stage.get("/find?x=1")
    found = [use["subject"] for use in await stage.uses()]
    assert found == [pseudonym(SCHEME, "7"), pseudonym(SCHEME, "a b")]


@pytest.mark.parametrize(
    "path", ["/find?id=7&id=8", "/persons/7;x", "//persons/7", "/persons/7/", "/Persons/7"]
)
async def test_a_use_of_nobody_can_tell_whom_is_remembered(stage: Stage, path: str) -> None:
    await stage.grant(NO_TERMS)
    assert (await stage.get(path, ())).status == 200
    assert [use["subject"] for use in await stage.uses()] == [None]


async def test_under_terms_a_request_about_two_people_or_nobody_is_refused(stage: Stage) -> None:
    await stage.grant(Terms(legal_basis="law"))
    for path, method, body in (
        ("/find?id=7&id=8", "GET", None),
        ("/find?ID=7", "GET", None),
        ("/persons/1;x", "GET", None),
        ("/search", "POST", b'{"who":{"id":"7"},"who":{"id":"8"}}'),
        ("/search", "POST", b'{"who":{"id":"7"}}' + b" " * 2**20),
    ):
        answer = await stage.get(path, (*INTENT, *JSON), method, body)
        assert json.loads(answer.body)["type"].endswith("invalid_intent")
    assert stage.system.requests == []
    assert await stage.uses() == []
