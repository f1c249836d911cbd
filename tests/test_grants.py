"""Grants asked for, approved, revoked and withdrawn by signed messages between two real nodes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from catalog.services import AccessRight
from catalog.terms import Terms
from node.exchange.own_call import OwnAnswer, OwnRequest
from node.log.records import Side
from node.once.granting import sender
from node.once.granting.asked import GrantState
from node.once.granting.deciding import NotDecided
from node.once.granting.rows import WrongState
from node.once.granting.wire import (
    LARGEST,
    SERVICE_CODE,
    Ask,
    DecisionTold,
    Withdrawal,
    build_message,
)
from node.parts.database import open_database
from scripts.postgres import PostgresServer
from tests.grants_stage import (
    GUEST,
    OTHER,
    PURPOSE,
    SETTINGS,
    STRANGER,
    GrantStage,
    Office,
    asked,
    by,
    grants_stage,
    offered,
)
from tests.instance import CONSUMER, PROVIDER
from tests.scene import records, unexpected
from trust.errors import NetworkFailure, PeerFault, StorageError, UnknownMember
from trust.ids import ClientId, ServiceId

pytestmark = pytest.mark.asyncio(loop_scope="module")
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
HERE = ServiceId(PROVIDER, SERVICE_CODE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> AsyncIterator[GrantStage]:
    async with grants_stage(tmp_path_factory.mktemp("grants"), postgres_server) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: GrantStage) -> GrantStage:
    for office in (module_stage.civil, module_stage.muni):
        await office.pool.execute("DELETE FROM grant_request")
        await office.pool.execute("DELETE FROM granted_right")
        await office.pool.execute("UPDATE server_conf SET version = version + 1")
        await office.node.running.services.refresh()
        office.late = timedelta(0)
    return module_stage


@pytest.fixture(autouse=True)
def _nothing_unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert unexpected(caplog) == []


async def send(office: Office, body: bytes, client: ClientId, to: ServiceId = HERE) -> OwnAnswer:
    request = OwnRequest(client, to, method="POST", body=body)
    return await office.sender.ask(request)


async def test_a_grant_is_asked_for_approved_used_and_revoked_between_two_calls(
    stage: GrantStage,
) -> None:
    refused = await stage.call()
    assert refused.status == 500
    assert b"access_denied" in refused.body
    ours, theirs = await stage.ask()
    assert (await stage.call()).status == 500

    waiting = await stage.civil.one(theirs)
    assert (waiting.side, waiting.asked.client) == (Side.PROVIDER, CONSUMER)
    given = await stage.civil.deciding.approve(theirs, by("anna"), waiting.asked.terms, "Granted")
    assert given.state is GrantState.APPROVED
    await stage.settle()
    assert (await stage.call()).status == 200
    await stage.civil.tell()
    told = await stage.muni.one(ours)
    assert (told.state, told.given, told.answer, told.their_number) == (
        GrantState.APPROVED, waiting.asked.terms, "Granted", theirs,
    )  # fmt: skip

    await stage.civil.deciding.revoke(theirs, by("anna"), "No longer needed")
    after = await stage.call()
    assert after.status == 500
    assert b"access_denied" in after.body
    await stage.civil.tell()
    assert (await stage.muni.one(ours)).state is GrantState.REVOKED


async def test_every_step_names_the_signed_message_that_proves_it(stage: GrantStage) -> None:
    ours, theirs = await stage.ask()
    await stage.civil.deciding.refuse(theirs, by("anna"), "Ask the other registry")
    await stage.civil.tell()
    at_muni = await stage.muni.book.steps(ours)
    at_civil = await stage.civil.book.steps(theirs)
    assert [(one.what, one.who) for one in at_muni] == [
        ("asked", "operator"), ("asked: taken", str(PROVIDER)), ("refused", str(PROVIDER.member)),
    ]  # fmt: skip
    assert [(one.what, one.who) for one in at_civil] == [
        ("asked", str(CONSUMER.member)), ("refused", "anna"), ("refused: taken", str(CONSUMER)),
    ]  # fmt: skip
    assert at_muni[1].exchange_id == at_civil[0].exchange_id
    assert at_muni[2].exchange_id == at_civil[2].exchange_id
    assert at_muni[2].said == at_civil[1].said == "Ask the other registry"
    for office, step in ((stage.civil, at_civil[0]), (stage.muni, at_muni[2])):
        kept = await records(office.node, exchange_id=step.exchange_id)
        assert [one.response for one in kept] == [False, True]


async def test_a_grant_is_approved_for_less_and_never_for_more(stage: GrantStage) -> None:
    terms = Terms(("name", "age"), (PURPOSE,), "School Act 4")
    ours, theirs = await stage.ask(terms=terms)
    for wider in (replace(terms, fields=None), replace(terms, purposes=())):
        with pytest.raises(NotDecided, match="more than was asked for"):
            await stage.civil.deciding.approve(theirs, by(), wider)
    with pytest.raises(NotDecided, match="a grant has a term"):
        await stage.civil.deciding.approve(theirs, by(), Terms())
    with pytest.raises(NotDecided, match="without a legal basis"):
        await stage.civil.deciding.approve(theirs, by(), replace(terms, legal_basis=""))
    assert (await stage.civil.one(theirs)).state is GrantState.WAITING
    less = replace(terms, fields=("age",))
    await stage.civil.deciding.approve(theirs, by(), less)
    await stage.civil.tell()
    assert (await stage.muni.one(ours)).given == less
    conf = stage.civil.node.running.services
    await conf.refresh()
    (right,) = conf.conf.clients[0].grants
    assert (right.number, right.terms, right.subject) == (theirs, less, CONSUMER)


async def test_numbers_of_declared_and_granted_rights_never_meet(stage: GrantStage) -> None:
    _, first = await stage.ask()
    declared = AccessRight(STRANGER, "people")
    await stage.instance.apply(stage.civil.node, [offered(stage.system, declared)])
    _, second = await stage.ask()
    await stage.civil.deciding.approve(first, by(), asked().terms)
    await stage.civil.deciding.approve(second, by(), asked().terms)
    await stage.civil.node.running.services.refresh()
    (client,) = stage.civil.node.running.services.conf.clients
    numbers = [right.number for right in (*client.rights, *client.grants)]
    assert len(set(numbers)) == 3
    await stage.instance.apply(stage.civil.node, [offered(stage.system)])
    (client,) = stage.civil.node.running.services.conf.clients
    assert [right.number for right in client.grants] == [first, second]
    assert not client.rights


async def test_the_consumer_withdraws_what_waits_and_what_it_was_given(stage: GrantStage) -> None:
    first, waiting = await stage.ask()
    second, given = await stage.ask()
    await stage.civil.deciding.approve(given, by(), asked().terms)
    await stage.settle()
    assert (await stage.call()).status == 200
    for number in (first, second):
        await stage.muni.asking.withdraw(number, by("ben"), "Another way was found")
    await stage.muni.tell()
    for number in (waiting, given):
        grant = await stage.civil.one(number)
        assert (grant.state, grant.answer) == (GrantState.WITHDRAWN, "Another way was found")
    assert (await stage.call()).status == 500
    await stage.civil.tell()  # the approval comes late and changes nothing
    assert (await stage.muni.one(second)).state is GrantState.WITHDRAWN
    with pytest.raises(WrongState, match="is withdrawn"):
        await stage.civil.deciding.approve(waiting, by(), asked().terms)


async def test_nobody_asks_in_the_name_of_another_member(stage: GrantStage) -> None:
    mine = asked(client=STRANGER)
    with pytest.raises(PeerFault, match="can't ask in the name") as raised:
        await send(stage.muni, build_message(Ask(mine, stage.muni.node.server)), CONSUMER.member)
    assert raised.value.code.endswith("access_denied")
    with pytest.raises(PeerFault, match="can't ask in the name"):  # a system of the same member
        await send(stage.muni, build_message(Ask(asked(), stage.muni.node.server)), OTHER)
    with pytest.raises(PeerFault, match="is not registered for"):
        await send(stage.muni, build_message(Ask(asked(), stage.strange.node.server)), CONSUMER)
    assert await stage.civil.book.all() == ()


async def test_a_node_asks_for_clients_of_other_members_in_their_own_name(
    stage: GrantStage,
) -> None:
    ours, theirs = await stage.ask(client=GUEST)
    steps = await stage.civil.book.steps(theirs)
    assert steps[0].who == str(GUEST)
    await stage.civil.deciding.approve(theirs, by(), asked().terms)
    await stage.civil.tell()
    assert (await stage.muni.one(ours)).state is GrantState.APPROVED
    with pytest.raises(UnknownMember, match="not found"):
        await send(stage.muni, build_message(Withdrawal(asked().id)), STRANGER)


async def test_nobody_decides_or_withdraws_for_others(stage: GrantStage) -> None:
    ours, theirs = await stage.ask()
    id_ = (await stage.muni.one(ours)).asked.id
    answer = await send(stage.strange, build_message(Withdrawal(id_)), STRANGER)
    assert (answer.status, b"No such request" in answer.body) == (404, True)
    told = build_message(DecisionTold(id_, GrantState.APPROVED, 1, asked().terms))
    with pytest.raises(PeerFault, match="Only SUBSYSTEM:TEST/GOV/1001/persons decides"):
        await send(stage.strange, told, STRANGER, ServiceId(CONSUMER, SERVICE_CODE))
    answer = await send(stage.civil, told, PROVIDER.member, ServiceId(OTHER, SERVICE_CODE))
    assert answer.status == 404
    assert (await stage.muni.one(ours)).state is GrantState.WAITING
    assert (await stage.civil.one(theirs)).state is GrantState.WAITING


async def test_the_same_request_again_is_the_same(stage: GrantStage) -> None:
    ask = Ask(asked(), stage.muni.node.server)
    answers = [await send(stage.muni, build_message(ask), CONSUMER) for _ in range(2)]
    assert answers[0].body == answers[1].body
    assert len(await stage.civil.book.all()) == 1
    other = Ask(asked(id=ask.asked.id, reason="Something else"), ask.server)
    answer = await send(stage.muni, build_message(other), CONSUMER)
    assert (answer.status, b"same id" in answer.body) == (409, True)


async def test_a_flood_of_requests_finds_no_room(stage: GrantStage) -> None:
    async def ask() -> OwnAnswer:
        return await send(stage.muni, build_message(Ask(asked(), stage.muni.node.server)), CONSUMER)

    answers = [await ask() for _ in range(SETTINGS.waiting_per_member + 2)]
    assert [one.status for one in answers] == [200] * 3 + [429] * 2
    assert b"wait for a decision here" in answers[-1].body
    for grant in await stage.civil.book.all():
        await stage.civil.deciding.refuse(grant.number, by(), "No")
    for _ in range(SETTINGS.asked_per_day - 3):
        await ask()
        for grant in await stage.civil.book.all(states=[GrantState.WAITING]):
            await stage.civil.deciding.refuse(grant.number, by(), "No")
    answer = await ask()
    assert (answer.status, b"within a day" in answer.body) == (429, True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "A body of at most"),
        (b"{}", "one of ask"),
        (b" " * (LARGEST + 1), "A body of at most"),
    ],
)
async def test_what_is_no_message_is_refused(stage: GrantStage, body: bytes, said: str) -> None:
    with pytest.raises(PeerFault, match=said):
        await send(stage.muni, body, CONSUMER)


async def test_a_service_that_is_not_there_is_not_granted(stage: GrantStage) -> None:
    number = await stage.muni.asking.ask(asked(service=ServiceId(PROVIDER, "nothing")), by())
    await stage.muni.tell()
    grant = await stage.muni.one(number)
    assert (grant.state, grant.answer) == (
        GrantState.NOT_TAKEN, f"There is no {ServiceId(PROVIDER, 'nothing')} here",
    )  # fmt: skip


async def test_a_node_of_another_kind_is_told_as_such(stage: GrantStage) -> None:
    service = ServiceId(STRANGER, "people")
    number = await stage.muni.asking.ask(asked(service=service), by())
    await stage.muni.tell()
    grant = await stage.muni.one(number)
    assert grant.state is GrantState.NOT_TAKEN
    assert "has no service sacbe-grants: it is none of our kind" in grant.answer


async def test_what_a_node_that_is_away_is_to_be_told_waits_for_it(stage: GrantStage) -> None:
    await stage.civil.node.stop()
    try:
        number = await stage.muni.asking.ask(asked(), by())
        await stage.muni.tell()
        telling = (await stage.muni.book.telling([number]))[number]
        assert (telling.attempts, telling.what) == (1, "asked")
        assert "network_error" in telling.problem
        await stage.muni.tell()  # not due yet
        assert (await stage.muni.book.telling([number]))[number].attempts == 1
        assert (await stage.muni.one(number)).state is GrantState.WAITING
        await stage.muni.asking.withdraw(number, by())
    finally:
        await stage.instance.start(stage.civil.node)
        stage.civil.serve()
    stage.muni.late = timedelta(minutes=10)
    await stage.muni.tell()
    assert await stage.muni.book.telling([number]) == {}
    (grant,) = await stage.civil.book.all()
    assert grant.state is GrantState.WITHDRAWN
    assert [one.what for one in await stage.civil.book.steps(grant.number)] == [
        "asked", "withdrawn",
    ]  # fmt: skip


async def test_a_node_that_stays_away_is_given_up(stage: GrantStage) -> None:
    absent = ServiceId(ClientId("TEST", "GOV", "9999", "gone"), "people")
    number = await stage.muni.asking.ask(asked(service=absent), by())
    await stage.muni.tell()
    assert (await stage.muni.one(number)).state is GrantState.WAITING
    stage.muni.late = SETTINGS.give_up + timedelta(days=1)
    await stage.muni.tell()
    grant = await stage.muni.one(number)
    assert (grant.state, "unknown_member" in grant.answer) == (GrantState.NOT_TAKEN, True)


async def test_an_answer_that_was_lost_is_asked_for_again(stage: GrantStage) -> None:
    async def lose(request: OwnRequest) -> OwnAnswer:
        await stage.muni.sender.ask(request)
        raise PeerFault("network_error", "gone")

    number = await stage.muni.asking.ask(asked(), by())
    assert await replace(stage.muni.sender, ask=lose).send_next()
    stage.muni.late = timedelta(minutes=10)
    await stage.muni.tell()
    grant = await stage.muni.one(number)
    assert grant.their_number == (await stage.civil.book.all())[0].number


async def test_what_is_not_there_can_t_be_decided(stage: GrantStage) -> None:
    ours, theirs = await stage.ask()
    with pytest.raises(StorageError, match="There is no grant 999999"):
        await stage.civil.deciding.revoke(999_999, by(), "")
    with pytest.raises(WrongState, match="not approved"):
        await stage.civil.deciding.revoke(theirs, by(), "")
    with pytest.raises(WrongState, match="asked for"):
        await stage.muni.deciding.approve(ours, by(), asked().terms)
    await stage.civil.deciding.refuse(theirs, by(), "No")
    with pytest.raises(WrongState, match="is refused"):
        await stage.civil.deciding.refuse(theirs, by(), "No")


async def test_a_database_that_is_gone_is_told_as_such(stage: GrantStage) -> None:
    pool = await open_database(stage.muni.node.dsn, stage.muni.node.settings)
    await pool.close()
    office = Office(stage.muni.node, pool)
    message = DecisionTold(asked().id, GrantState.REFUSED, 1)
    for action in (
        office.asking.ask(asked(), by()),
        office.asking.withdraw(1, by()),
        office.asking.take_decision(message, CONSUMER, by()),
        office.deciding.take_ask(Ask(asked(), stage.muni.node.server), by()),
        office.deciding.take_withdrawal(Withdrawal(asked().id), PROVIDER, by()),
        office.deciding.approve(1, by(), asked().terms),
        office.deciding.refuse(1, by(), ""),
        office.book.find(1),
        office.book.all(),
        office.book.steps(1),
        office.book.forget(AT),
        office.sender.send_next(),
    ):
        with pytest.raises(StorageError, match="grants of this node can't be used"):
            await action


async def test_a_node_that_is_silent_is_in_nobody_s_way(stage: GrantStage) -> None:
    first, second = [await stage.muni.asking.ask(asked(), by()) for _ in range(2)]
    under_way, both = [], asyncio.Event()

    async def wait(request: OwnRequest) -> OwnAnswer:
        under_way.append(request)
        if len(under_way) == 2:
            both.set()
        await both.wait()
        raise NetworkFailure("silent")

    async with asyncio.timeout(20):
        await replace(stage.muni.sender, ask=wait)._send_all()
    assert len(under_way) == 2
    for number in (first, second):
        await stage.muni.asking.withdraw(number, by())
    await stage.muni.tell()


async def test_a_sender_outlives_its_database(
    stage: GrantStage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = await open_database(stage.muni.node.dsn, stage.muni.node.settings)
    await pool.close()
    monkeypatch.setattr(sender, "_LOOK", 0.001)
    task = asyncio.create_task(Office(stage.muni.node, pool).sender.run())
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert len([one for one in caplog.messages if one.startswith("Grants wait")]) == 1


async def test_what_ended_long_ago_is_forgotten(stage: GrantStage) -> None:
    ours, theirs = await stage.ask()
    await stage.civil.deciding.refuse(theirs, by(), "No")
    _, living = await stage.ask()
    await stage.civil.book.forget(AT)
    assert len(await stage.civil.book.all()) == 2
    await stage.civil.book.forget(by().at)
    assert [one.number for one in await stage.civil.book.all()] == [living]
    assert (await stage.muni.one(ours)).state is GrantState.WAITING
