"""The data tracker: the protocol's answers from the node's own log, and nothing that is hidden."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
import yaml
from hypothesis import given
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import validate

from catalog.central.entries import Catalog, CatalogService
from catalog.meaning.vocabulary import Procedure, Purpose, Vocabulary
from catalog.services import HostedClient, ServerConf, Service, ServiceType
from node.log.messagelog import MIGRATIONS
from node.log.uses import Openness
from node.messages.intent import Intent
from node.messages.rest import RestRequestHead
from node.once.citizen.description import PROTOCOL_VERSION, build_description
from node.once.citizen.questions import BEGINNING, END, BadQuestion, find_usage, moment
from tests.citizen_stage import (
    CIVIL,
    CLERK,
    CODE,
    NOW,
    OTHER_PORTAL,
    PERSON,
    PLAIN,
    PORTAL,
    PSEUDONYMS,
    TAX,
    YEAR,
    answered,
    call,
    fetched,
    tracker,
    use,
    write,
)
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.errors import AccessDenied
from trust.ids import ClientId, ServiceId
from trust.witness.announcement import log_origin

FIND = f"/v2/findUsage?userCode={CODE}"
# The protocol's own description. Source: e-gov/AJ 600c397b, doc/spetsifikatsioonid (MIT).
PROTOCOL = Path(__file__).parent / "vectors" / "tracker" / "dumonitor-openapi.yaml"


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=4))
    await migrate(opened, "node", MIGRATIONS)
    yield opened
    await opened.close()


async def found(pool: Pool, target: str = FIND, **changes: Any) -> Any:  # noqa: ANN401 - JSON
    answer = await answered(tracker(pool, **changes), call(target))
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


async def refused(pool: Pool, target: str, **changes: Any) -> tuple[int, str]:  # noqa: ANN401
    answer = await answered(tracker(pool), call(target, **changes))
    return answer.status, answer.body.decode()


def protocol() -> Any:  # noqa: ANN401 - YAML
    return yaml.safe_load(PROTOCOL.read_text())


def check_schema(document: Any, name: str) -> None:  # noqa: ANN401 - JSON
    schema = {"$ref": f"#/components/schemas/{name}", "components": protocol()["components"]}
    OAS30Validator(schema, format_checker=OAS30Validator.FORMAT_CHECKER).validate(document)


# --- the protocol ---------------------------------------------------------------------------------


async def test_answers_are_what_the_protocol_describes(pool: Pool) -> None:
    await write(pool, [use(1), use(2, intent=Intent(), given=()), fetched(3)])
    for target, name in (
        (FIND, "FindUsageResponse"),
        ("/v2/usagePeriod", "UsagePeriodResponse"),
        ("/v2/heartbeat", "HeartbeatResponse"),
    ):
        answer = await answered(tracker(pool), call(target))
        assert (answer.status, answer.headers) == (200, ((b"content-type", b"application/json"),))
        check_schema(json.loads(answer.body), name)


async def test_a_use_says_who_when_what_and_why(pool: Pool) -> None:
    await write(pool, [use(1, derived=("urn:c:adult",))])
    told = await found(pool)
    assert told == {
        "totalUsages": 1,
        "sealedUsages": 0,
        "usages": [
            {
                "logtime": "2026-11-21T11:00:00Z",
                "action": "urn:proc:benefit",
                "receiverCode": "75000001",
                "receiverName": "Municipality of Käo",
                "receiverSystem": "Benefits <b>",
                "part": "gave",
                "receiver": CLERK.path,
                "source": PERSON.path,
                "purpose": "urn:p:benefits",
                "legalBasis": "Act 5, § 2",
                "procedure": "urn:proc:benefit",
                "caseId": "case 7",
                "facts": ["urn:c:birthDate", "urn:c:address"],
                "derivedFacts": ["urn:c:adult"],
                "exchangeId": "exchange-1",
            }
        ],
    }


async def test_a_use_by_a_plain_system_has_the_protocol_s_members_alone(pool: Pool) -> None:
    stranger = ClientId("EX", "COM", "9")
    await write(pool, [use(1, client=stranger, intent=Intent(), given=(), exchange_id="e")])
    (told,) = (await found(pool))["usages"]
    ours = {"part": "gave", "receiver": stranger.path, "source": PERSON.path, "exchangeId": "e"}
    assert told == {
        "logtime": "2026-11-21T11:00:00Z", "action": "person", "receiverCode": "9",
        "receiverSystem": "9", **ours,
    }  # fmt: skip


async def test_reasons_have_the_names_of_the_catalog(pool: Pool) -> None:
    labels = {"et": "Toetus", "en": "Child benefit"}
    vocabulary = Vocabulary(
        purposes=(Purpose("urn:p:benefits", {"de": "Leistungen"}, "Act"),),
        procedures=(Procedure("urn:proc:benefit", labels, (), "urn:p:benefits"),),
    )
    listed = CatalogService(ServiceId(TAX, "income"), ServiceType.REST, "Income of a year")
    catalog = Catalog("EX", 1, NOW, services=(listed,), vocabulary=vocabulary)
    purposeful = Intent(purpose="urn:p:benefits")
    await write(pool, [use(1), use(2, intent=purposeful), fetched(3, intent=Intent())])
    service = replace(tracker(pool), catalog=lambda: catalog)
    told = json.loads((await answered(service, call(FIND))).body)
    actions = [one["action"] for one in told["usages"]]
    assert actions == ["Child benefit", "Leistungen", "Income of a year"]


async def test_uses_are_kept_since_the_first_and_as_long_as_declared(pool: Pool) -> None:
    assert (await found(pool, "/v2/usagePeriod"))["periodStart"] == "2026-11-21T12:00:00Z"
    await write(pool, [use(48)])
    assert (await found(pool, "/v2/usagePeriod"))["periodStart"] == "2026-11-19T12:00:00Z"
    await write(pool, [use(3, time=NOW - 9 * YEAR)])
    assert (await found(pool, "/v2/usagePeriod"))["periodStart"] == "2021-11-20T12:00:00Z"
    assert (await found(pool))["totalUsages"] == 1


async def test_the_heart_beats_while_the_node_is_in_order(pool: Pool) -> None:
    assert (await found(pool, "/v2/heartbeat"))["status"] == "OK"
    service = replace(tracker(pool), problem=lambda: "the disk of host x is full")
    ill = await answered(service, call("/v2/heartbeat"))
    assert json.loads(ill.body) == {"status": "FAIL", "message": "The node is not in order"}
    await pool.close()
    assert (await found(pool, "/v2/heartbeat"))["status"] == "FAIL"
    assert await refused(pool, FIND) == (500, "Uses can't be looked up now")


def test_our_description_is_valid_and_has_all_that_the_protocol_has() -> None:
    ours, theirs = json.loads(json.dumps(build_description("findUsage"))), protocol()
    validate(ours)
    assert theirs["info"]["version"] == PROTOCOL_VERSION
    assert ours["paths"].keys() == theirs["paths"].keys()
    schemas, named = ours["components"]["schemas"], theirs["components"]["schemas"]
    for name, other in (
        ("FindUsageAnswer", "FindUsageResponse"),
        ("Usage", "Usage"),
        ("UsagePeriodAnswer", "UsagePeriodResponse"),
        ("HeartbeatAnswer", "HeartbeatResponse"),
    ):
        missing = named[other]["properties"].keys() - schemas[name]["properties"].keys()
        assert missing <= {"periodEnd"}
        assert set(named[other].get("required", ())) <= set(schemas[name]["required"])
    for path, one in theirs["paths"].items():
        wanted = {(each["name"], each["in"]) for each in one["get"].get("parameters", ())}
        offered = {(each["name"], each["in"]) for each in ours["paths"][path]["get"]["parameters"]}
        assert offered == wanted


async def test_the_node_gives_its_own_description(pool: Pool) -> None:
    assert await found(pool, "/v2/openapi.json") == json.loads(
        json.dumps(build_description("findUsage"))
    )


# --- what is told ---------------------------------------------------------------------------------


async def test_only_the_subject_s_uses_at_this_provider_are_told(pool: Pool) -> None:
    await write(
        pool,
        [
            use(1),
            use(2, subject=PSEUDONYMS.of("national-id", "EE99999999999")),
            use(3, subject=None),
            use(4, service=ServiceId(TAX, "income")),
            use(5, refusal="purpose_not_granted", given=()),
        ],
    )
    told = await found(pool)
    assert [one["exchangeId"] for one in told["usages"]] == ["exchange-1"]
    assert told["totalUsages"] == 1


async def test_identifiers_may_be_written_with_and_without_their_country(pool: Pool) -> None:
    await write(pool, [use(1)])
    assert (await found(pool, FIND.replace("EE", "")))["totalUsages"] == 1
    assert (await found(pool, FIND.replace("EE", "ee")))["totalUsages"] == 0


async def test_what_was_fetched_is_told_when_the_giver_tells_nothing(pool: Pool) -> None:
    theirs = fetched(2, peer="SERVER:EX/GOV/70000009/NEW")
    await write(pool, [fetched(1), theirs, fetched(3, peer="SERVER:EX/GOV/70000002/NODE1")])
    told = await found(pool)
    assert [one["exchangeId"] for one in told["usages"]] == ["exchange-1", "exchange-2"]
    assert {one["part"] for one in told["usages"]} == {"fetched"}
    await pool.execute(
        "INSERT INTO witness_peer VALUES ($1, $2, $3, 0, $3), ('nonsense', 'x', $3, 0, $3)",
        log_origin(PLAIN).replace("70000004/OLD", "70000009/NEW"),
        TAX.path,
        NOW,
    )
    told = await found(pool)
    assert [one["exchangeId"] for one in told["usages"]] == ["exchange-1"]


async def test_sealed_uses_are_counted_and_never_told(pool: Pool) -> None:
    sealed = Openness.SEALED
    await write(pool, [use(1), use(2, openness=sealed), use(3, openness=sealed)])
    told = await found(pool)
    assert [one["exchangeId"] for one in told["usages"]] == ["exchange-1"]
    assert (told["totalUsages"], told["sealedUsages"]) == (1, 2)


async def test_periods_do_not_tell_when_a_sealed_use_was(pool: Pool) -> None:
    await write(pool, [use(1, openness=Openness.SEALED), use(30, openness=Openness.SEALED)])
    told = await found(pool, f"{FIND}&periodStart=2026-11-21T00:00:00Z")
    assert told["sealedUsages"] == 2
    told = await found(pool, count_sealed_after=timedelta(days=1))
    assert told["sealedUsages"] == 1


async def test_a_delayed_use_is_told_from_its_moment_on(pool: Pool) -> None:
    moments = {1: NOW, 2: NOW + timedelta(microseconds=1)}
    uses = [use(n, openness=Openness.DELAYED, visible_from=at) for n, at in moments.items()]
    await write(pool, uses)
    told = await found(pool)
    assert [one["exchangeId"] for one in told["usages"]] == ["exchange-1"]
    assert (told["totalUsages"], told["sealedUsages"]) == (1, 0)


async def test_pages_and_periods_leave_nothing_out_and_tell_nothing_twice(pool: Pool) -> None:
    same = NOW - timedelta(days=3)
    uses = [use(n, time=same if n % 3 else NOW - timedelta(hours=n)) for n in range(1, 24)]
    await write(pool, uses)
    whole = await found(pool)
    times = [one["logtime"] for one in whole["usages"]]
    assert times == sorted(times, reverse=True)
    assert whole["totalUsages"] == len(times) == 23
    for size in (1, 4, 23):
        pages = [await found(pool, f"{FIND}&offset={n}&limit={size}") for n in range(0, 23, size)]
        assert [one for page in pages for one in page["usages"]] == whole["usages"]
        assert {page["totalUsages"] for page in pages} == {23}
    for border in (times[0], times[10], "2026-11-21T12:00:00Z"):
        before = await found(pool, f"{FIND}&periodEnd={border}")
        after = await found(pool, f"{FIND}&periodStart={border}")
        assert after["usages"] + before["usages"] == whole["usages"]
    beyond = await found(pool, f"{FIND}&offset=2147483647&limit=0")
    assert (beyond["totalUsages"], beyond["usages"]) == (23, [])


# --- who asks what --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "userCode must have 1 to 255"),
        ("userCode=", "userCode must have"),
        (f"userCode={'1' * 256}", "userCode must have"),
        ("userCode=1%0A2", "userCode must have"),
        ("userCode=%FF", "query can't be read"),
        ("userCode=1&userCode=2", "there twice"),
        ("userCode=1&offset=-1", "offset must be a whole number"),
        ("userCode=1&offset=2147483648", "offset must be"),
        ("userCode=1&offset=1e3", "offset must be"),
        ("userCode=1&offset=%D9%A1", "offset must be"),  # a digit of another script
        ("userCode=1&limit=1001", "limit must be a whole number from 0 to 1000"),
        ("userCode=1&limit=", "limit must be"),
        ("userCode=1&limit=" + "0" * 5000, "limit must be"),
        ("userCode=1&periodStart=yesterday", "periodStart must be a time with its zone"),
        ("userCode=1&periodStart=2021-01-31T10:20:30", "periodStart must be"),
        ("userCode=1&periodEnd=2021-01-31", "periodEnd must be"),
        ("userCode=1&periodEnd=" + "2" * 5000, "periodEnd must be"),
        ("userCode=1&" + "&".join(f"p{n}=" for n in range(50)), "query can't be read"),
    ],
)
async def test_bad_questions_are_told_what_is_wrong(query: str, text: str) -> None:
    with pytest.raises(BadQuestion, match=text):
        find_usage(head_of(f"/v2/findUsage?{query}"))


def head_of(target: str) -> RestRequestHead:
    head = call(target).request
    assert isinstance(head, RestRequestHead)
    return head


def test_a_zone_may_have_lost_its_plus() -> None:
    found = find_usage(head_of(f"{FIND}&periodStart=2021-01-31T10:20:30+02:00&periodEnd="))
    assert found.period.since.isoformat() == "2021-01-31T08:20:30+00:00"
    assert (found.period.until, found.period.offset, found.period.limit) == (END, 0, 1000)


@given(st.text(alphabet="0123456789-:.TZ+ z", max_size=30))
def test_any_moment_is_read_or_refused(text: str) -> None:
    try:
        read = moment("periodStart", text, BEGINNING)
    except BadQuestion:
        return
    assert read.utcoffset() == timedelta(0)


@given(st.dictionaries(st.sampled_from(["userCode", "limit", "offset", "periodEnd"]), st.text()))
def test_any_query_is_read_or_refused(asked: dict[str, str]) -> None:
    query = "&".join(f"{name}={quote(text, errors='replace')}" for name, text in asked.items())
    try:
        read = find_usage(head_of(f"/v2/findUsage?{query}"))
    except BadQuestion:
        return
    assert 0 <= read.period.limit <= 1000


async def test_the_user_must_be_named(pool: Pool) -> None:
    status, text = await refused(pool, FIND, headers=())
    assert (status, text) == (400, "The header X-Road-UserId must say who asks")


async def test_other_paths_and_methods_are_none_of_the_protocol(pool: Pool) -> None:
    assert (await refused(pool, "/v1/findUsage"))[0] == 404
    assert (await refused(pool, ""))[0] == 404
    assert (await refused(pool, "/v2/../v2/findUsage"))[0] == 404
    assert (await refused(pool, FIND, method="POST"))[0] == 405


async def test_somebody_else_is_asked_about_in_his_name_where_that_must_be_stated(
    pool: Pool,
) -> None:
    mother = ("X-Road-UserId", "EE40000000000")
    service = tracker(pool, state_representation=True)
    for headers, status in (
        ((mother,), 400),
        ((mother, ("X-Road-Represented-Party", "EE40000000000")), 400),
        ((mother, ("X-Road-Represented-Party", CODE)), 200),
        ((mother, ("X-Road-Represented-Party", "PERSON/12345678901")), 200),
        ((("X-Road-UserId", "12345678901"),), 200),
    ):
        assert (await answered(service, call(FIND, headers=headers))).status == status
    lenient = await answered(tracker(pool), call(FIND, headers=(mother,)))
    assert lenient.status == 200  # the protocol leaves representation to the portal


async def test_only_portals_may_ask(pool: Pool) -> None:
    service = tracker(pool)
    for client in (CLERK, CIVIL, PORTAL.member):
        with pytest.raises(AccessDenied):
            service.check_access(call(FIND, client))
    for client in (PORTAL, OTHER_PORTAL):
        service.check_access(call(FIND, client))


async def test_without_portals_there_is_no_such_service(pool: Pool) -> None:
    assert not tracker(pool, clients=(), groups=()).takes(call(FIND))


async def test_a_client_s_own_tracker_is_left_to_it(pool: Pool) -> None:
    own = Service(ServiceId(CIVIL, "findUsage"), ServiceType.REST, "http://127.0.0.1/")
    services = ServerConf((HostedClient(CIVIL, services=(own,)),))
    assert not tracker(pool).takes(call(FIND, services=services))
    assert tracker(pool, service_code="uses").takes(call(FIND)) is False
