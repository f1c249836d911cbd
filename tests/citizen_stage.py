"""Uses of people's data in a node's database, and a trust list that knows who is who."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from catalog.services import HostedClient, ServerConf
from node.exchange.builtin import Call, RestAnswer
from node.exchange.snapshot import Snapshot
from node.log.records import Side
from node.log.rows import USE_COLUMNS, build_use_row
from node.log.uses import DataUse
from node.messages.intent import Intent
from node.messages.rest import RestRequestHead
from node.once.citizen.kin import Kin
from node.once.citizen.settings import CitizenSettings, TrackerSettings
from node.once.citizen.tracker import TrackerService
from node.once.pseudonyms import Pseudonyms, SchemeAlias
from node.once.use_search import UseSearch
from trust.database import Pool
from trust.globalconf import (
    GlobalConf,
    GlobalGroup,
    InstanceConf,
    Member,
    Server,
    SharedParameters,
    Subsystem,
)
from trust.ids import ClientId, GlobalGroupId, ServerId, ServiceId

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
CIVIL = ClientId("EX", "GOV", "70000002", "civil")
TAX = ClientId("EX", "GOV", "70000004", "tax")
CLERK = ClientId("EX", "MUN", "75000001", "benefits")
PORTAL = ClientId("EX", "GOV", "70000003", "portal")
OTHER_PORTAL = ClientId("EX", "GOV", "70000003", "other")
PORTALS = GlobalGroupId("EX", "portals")
PERSON = ServiceId(CIVIL, "person")
OWN = ServerId(CIVIL.member, "NODE1")
THEIRS = ServerId(CLERK.member, "NODE2")
PLAIN = ServerId(TAX.member, "OLD")
CODE = "EE12345678901"

PSEUDONYMS = Pseudonyms(b"k" * 32, [SchemeAlias(scheme="national-id", prefix="EE")])
SUBJECT = PSEUDONYMS.of("national-id", CODE)


def member(client: ClientId, name: str, system: str | None = None) -> Member:
    return Member(client.member, name, (Subsystem(client, system),))


SERVERS = (
    Server(OWN, "civil.example", (), (CIVIL,)),
    Server(THEIRS, "muni.example", (), (CLERK,)),
    Server(PLAIN, "tax.example", (), (TAX,)),
    Server(ServerId(PORTAL.member, "NODE3"), "portal.example", (), (PORTAL,)),
)


def trust_list(servers: tuple[Server, ...] = SERVERS) -> GlobalConf:
    members = (
        member(CIVIL, "Civil Registry", "Population"),
        member(CLERK, "Municipality of Käo", "Benefits <b>"),
        member(TAX, "Tax Authority"),
        member(PORTAL, "Portal Office"),
    )
    groups = (GlobalGroup(PORTALS, "portals", frozenset({OTHER_PORTAL})),)
    shared = SharedParameters("EX", 6, (), (), (), members, servers, groups, {}, 3600)
    return GlobalConf("EX", {"EX": InstanceConf(shared, None, None)})


def use(number: int = 1, **changes: Any) -> DataUse:  # noqa: ANN401 - any field of the use
    given = DataUse(
        time=NOW - timedelta(hours=number),
        side=Side.PROVIDER,
        exchange_id=f"exchange-{number}",
        message_id=f"message-{number}",
        client=CLERK,
        service=PERSON,
        peer=str(THEIRS),
        subject=SUBJECT,
        intent=Intent("urn:p:benefits", "Act 5, § 2", "urn:proc:benefit", case="case 7"),
        given=("urn:c:birthDate", "urn:c:address"),
    )
    return replace(given, **changes)


def fetched(number: int = 1, **changes: Any) -> DataUse:  # noqa: ANN401 - any field of the use
    """A use that our own client fetched from a plain node."""
    plain = {
        "side": Side.CONSUMER, "client": CIVIL, "service": ServiceId(TAX, "income"),
        "peer": str(PLAIN),
    }  # fmt: skip
    return use(number, **(plain | changes))


async def write(pool: Pool, uses: Iterable[DataUse]) -> None:
    rows = [build_use_row(one) for one in uses]
    async with pool.acquire() as connection:
        await connection.copy_records_to_table("data_use", columns=USE_COLUMNS, records=rows)


def tracker(pool: Pool, **changes: Any) -> TrackerService:  # noqa: ANN401 - any tracker setting
    told = {"clients": (PORTAL,), "groups": (PORTALS,), "scheme": "national-id"} | changes
    return TrackerService(
        CitizenSettings(tracker=TrackerSettings(**told)),
        UseSearch(pool),
        PSEUDONYMS,
        Kin(pool, OWN),
        lambda: None,
        lambda: None,
    )


def call(
    target: str,
    client: ClientId = PORTAL,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (("X-Road-UserId", CODE),),
    *,
    services: ServerConf | None = None,
    at: datetime = NOW,
) -> Call:
    """A call of the tracker of CIVIL; `target` follows the service code."""
    head = RestRequestHead.from_http(
        method,
        f"/r1/{ServiceId(CIVIL, 'findUsage').path}{target}",
        [
            (name.encode(), value.encode())
            for name, value in (("X-Road-Client", client.path), *headers)
        ],
        request_id="e" * 36,
        instance="EX",
    )
    hosted = ServerConf((HostedClient(CIVIL),))
    return Call(head, Snapshot(trust_list(), services or hosted, at))


async def answered(service: TrackerService, asked: Call) -> RestAnswer:
    assert service.takes(asked)
    service.check_access(asked)
    return await service.answer(asked)
