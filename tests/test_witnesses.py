"""Witnesses end to end: real nodes, real exchanges, and what a tampered log brings upon itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from catalog.services import AccessRight, ConnectionType, HostedClient
from node.exchange.own_call import OwnAnswer, OwnRequest
from node.transparency.transparency import Transparency
from node.witness.witnesses import Witnesses
from scripts.postgres import PostgresServer
from tests.instance import CONSUMER, PROVIDER, SERVICE, Instance, NodeUnderTest, rest_service
from tests.log_leaves import first_round
from tests.scene import System
from trust.errors import PeerFault, StorageError
from trust.evidence.asic import parse_container
from trust.evidence.checkpoints import Checkpoint, CheckpointOffer
from trust.evidence.container import verify_container
from trust.evidence.merkle import EMPTY_ROOT
from trust.evidence.notes import NoteKey, SignedNote
from trust.ids import ServiceId
from trust.report import Outcome
from trust.witness.announcement import (
    METHOD,
    SERVICE_CODE,
    announcement_headers,
    as_witness,
    log_origin,
    read_announcement,
    sign_checkpoint,
)
from trust.witness.witnessing import Alarm

OWNER = CONSUMER.member


@dataclass
class Pair:
    """A consumer's and a provider's node."""

    instance: Instance
    muni: NodeUnderTest
    civil: NodeUnderTest

    async def call(self) -> OwnAnswer:
        """An exchange like any other."""
        answer = await self.muni.running.exchanges.consumer.ask(
            OwnRequest(OWNER, SERVICE, rest="/x")
        )
        assert answer.status == 200
        return answer


@pytest_asyncio.fixture
async def pair(tmp_path: Path, postgres_server: PostgresServer) -> AsyncIterator[Pair]:
    async with Instance(tmp_path, postgres_server) as instance, System().listening() as system:
        offered = HostedClient(
            PROVIDER,
            connection=ConnectionType.HTTP,
            services=(rest_service(system.url),),
            rights=(AccessRight(OWNER, SERVICE.service_code), AccessRight(CONSUMER, "people")),
        )
        civil = await instance.add("CIVIL", PROVIDER, hosted=[offered])
        muni = await instance.add("MUNI", CONSUMER)
        for one in (civil, muni):  # rounds are made by hand
            settings = replace(one.settings.transparency, interval=timedelta(days=1))
            one.settings = replace(one.settings, transparency=settings)
        await instance.start()
        for one in (civil, muni):
            await first_round(one)
        yield Pair(instance, muni, civil)


def of(member: NodeUnderTest) -> Witnesses:
    return member.running.kept.witnesses


async def connect(member: NodeUnderTest) -> asyncpg.Connection:
    return await asyncpg.connect(member.dsn)


async def execute(member: NodeUnderTest, statement: str, *values: object) -> None:
    connection = await connect(member)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


async def round_of(member: NodeUnderTest) -> None:
    """Every record gets its place, and everything that is done in an interval is done."""
    while await member.running.kept.sequencer.step():
        pass
    await of(member).rounds.once()


async def leaves_of(member: NodeUnderTest) -> int:
    newest = await of(member).transparency.newest()
    return 0 if newest is None else newest.size


def origin(member: NodeUnderTest) -> str:
    return log_origin(member.server)


async def kept_of(witness: NodeUnderTest, log: NodeUnderTest) -> int:
    """The size at which a witness stands."""
    found = [each for each in await of(witness).store.logs() if each.origin == origin(log)]
    return found[0].size if found else 0


# --- all is well ------------------------------------------------------------------------------


async def test_nodes_that_met_keep_and_cosign_each_other_s_checkpoints(pair: Pair) -> None:
    answer = await pair.call()
    for each in (pair.muni, pair.civil):
        await round_of(each)
    assert await kept_of(pair.civil, pair.muni) == await leaves_of(pair.muni) > 0
    assert await kept_of(pair.muni, pair.civil) == await leaves_of(pair.civil) > 0

    connection = await connect(pair.muni)
    number = await connection.fetchval(
        "SELECT number FROM message_record WHERE exchange_id = $1 LIMIT 1", answer.exchange_id
    )
    leaf = await connection.fetchval("SELECT leaf_hash FROM log_leaf WHERE number = $1", number)
    await connection.close()
    proof = await of(pair.muni).transparency.inclusion(number)
    checkpoint = proof.check(leaf)
    note = SignedNote.parse(proof.note)
    witness = as_witness(of(pair.civil).transparency.key.public)
    assert note.cosigned_at(witness) is not None
    assert (checkpoint.origin, checkpoint.size) == (origin(pair.muni), await leaves_of(pair.muni))


async def test_checkpoints_go_on_from_where_the_witness_stands(pair: Pair) -> None:
    for _ in range(3):
        await pair.call()
        await round_of(pair.muni)
        assert await kept_of(pair.civil, pair.muni) == await leaves_of(pair.muni)
    await execute(pair.muni, "UPDATE witness_peer SET handed = 1")  # as if we had forgotten
    await pair.call()
    await round_of(pair.muni)
    assert await kept_of(pair.civil, pair.muni) == await leaves_of(pair.muni)
    assert of(pair.muni).warning() is None
    assert await of(pair.civil).store.alarms() == []


async def test_nodes_that_have_nothing_to_do_fall_silent(pair: Pair) -> None:
    await pair.call()
    for _ in range(2):
        await round_of(pair.muni)
        await round_of(pair.civil)
    sizes = await leaves_of(pair.muni), await leaves_of(pair.civil)
    for _ in range(3):
        await round_of(pair.muni)
        await round_of(pair.civil)
    assert (await leaves_of(pair.muni), await leaves_of(pair.civil)) == sizes


async def test_a_node_that_was_away_gets_the_checkpoint_later(pair: Pair) -> None:
    await pair.call()
    await pair.civil.stop()
    await round_of(pair.muni)
    await pair.civil.start()
    await pair.instance.start()
    await first_round(pair.civil)
    assert await kept_of(pair.civil, pair.muni) == 0
    await round_of(pair.muni)
    assert await kept_of(pair.civil, pair.muni) == await leaves_of(pair.muni) > 0


async def test_a_restarted_node_keeps_its_key_and_goes_on(pair: Pair) -> None:
    await pair.call()
    await round_of(pair.muni)
    key = of(pair.muni).transparency.key.public
    await pair.muni.stop()
    await pair.muni.start()
    await pair.instance.start()
    await first_round(pair.muni)
    assert of(pair.muni).transparency.key.public == key
    await pair.call()
    await round_of(pair.muni)
    assert await kept_of(pair.civil, pair.muni) == await leaves_of(pair.muni)


async def test_checkpoints_and_the_owner_s_word_are_time_stamped(pair: Pair) -> None:
    await pair.call()
    await round_of(pair.muni)
    witnesses = of(pair.muni)
    newest = await witnesses.transparency.newest()
    assert newest is not None
    assert newest.token is not None
    raw = await witnesses.statements.newest(newest.key)
    assert raw is not None
    container = parse_container(raw)
    verdict = verify_container(container, pair.instance.conf(), datetime.now(UTC))
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    assert verdict.timestamp is not None
    assert verdict.signer == OWNER
    said = read_announcement(container.message, verdict.signer)
    assert said.key == NoteKey.parse(newest.key) == witnesses.transparency.key.public
    assert said.server == pair.muni.server
    await round_of(pair.muni)
    connection = await connect(pair.muni)
    assert await connection.fetchval("SELECT count(*) FROM log_statement") == 1
    await connection.close()


# --- what is wrong with a log -----------------------------------------------------------------


async def forked(pair: Pair, log: Transparency) -> None:
    """The newest checkpoint is written anew and signed with the log's own key."""
    newest = await log.newest()
    assert newest is not None
    other = Checkpoint(log.key.public.name, newest.size, EMPTY_ROOT)
    note = sign_checkpoint(other, log.key.public, datetime.now(UTC), log.key.sign)
    await execute(
        pair.muni, "UPDATE log_checkpoint SET note = $1 WHERE size = $2", note.raw, newest.size
    )


async def unsigned(pair: Pair, log: Transparency) -> None:
    """Somebody without the key changes a byte."""
    newest = await log.newest()
    assert newest is not None
    changed = newest.note.replace(b"\n%d\n" % newest.size, b"\n%d\n" % (newest.size + 1))
    await execute(
        pair.muni, "UPDATE log_checkpoint SET note = $1 WHERE size = $2", changed, newest.size
    )


async def rewritten(pair: Pair, log: Transparency) -> None:
    """A record of the past is another one, and everything was made to fit."""
    await execute(
        pair.muni,
        "UPDATE log_leaf SET leaf_hash = sha256('x') WHERE leaf = 0;"
        " DELETE FROM log_cosignature; DELETE FROM log_checkpoint; DELETE FROM log_tile;"
        " UPDATE log_tree SET size = 0",
    )
    await pair.call()
    while await pair.muni.running.kept.sequencer.step():
        pass


async def shrunk(pair: Pair, log: Transparency) -> None:
    """The last records are gone, and everything was made to fit."""
    await execute(
        pair.muni,
        "DELETE FROM evidence_queue; DELETE FROM log_leaf WHERE leaf > 1;"
        " UPDATE log_size SET leaves = 2, stamped = least(stamped, 2);"
        " DELETE FROM log_cosignature; DELETE FROM log_checkpoint; DELETE FROM log_tile;"
        " UPDATE log_tree SET size = 0",
    )
    await asyncio.sleep(1.1)  # checkpoints say when they were made in whole seconds


_TAMPERED: list[tuple[Callable[[Pair, Transparency], Awaitable[None]], Alarm]] = [
    (forked, Alarm.FORK),
    (unsigned, Alarm.UNSIGNED),
    (rewritten, Alarm.REWRITTEN),
    (shrunk, Alarm.SHRUNK),
]


@pytest.mark.parametrize(("tamper", "alarm"), _TAMPERED, ids=[alarm for _, alarm in _TAMPERED])
async def test_the_peer_raises_the_alarm_at_the_next_checkpoint(
    pair: Pair,
    caplog: pytest.LogCaptureFixture,
    tamper: Callable[[Pair, Transparency], Awaitable[None]],
    alarm: Alarm,
) -> None:
    await pair.call()
    await pair.call()
    await round_of(pair.muni)
    size = await kept_of(pair.civil, pair.muni)
    await tamper(pair, of(pair.muni).transparency)
    await execute(pair.muni, "UPDATE witness_peer SET tried = '-infinity'")  # they met again
    await of(pair.muni).rounds.once()  # without the records of the hand-over before
    (raised,) = await of(pair.civil).store.alarms()
    assert (raised.alarm, raised.origin) == (alarm, origin(pair.muni))
    assert raised.kept is not None
    assert await kept_of(pair.civil, pair.muni) == size
    # both operators see it, and both nodes work on
    assert f"ALARM 1 ({alarm})" in caplog.text
    assert of(pair.civil).rounds.open_alarms == 1
    for each in (pair.muni, pair.civil):
        found = await each.running.health.readiness()
        assert found.ready
        assert found.warnings["witnesses"]
    assert origin(pair.civil) in of(pair.muni).handover.alarms
    await pair.call()
    # the exchange that brought it is in the log, signed by the owner
    connection = await connect(pair.civil)
    kept = await connection.fetchval(
        "SELECT message FROM message_record WHERE exchange_id = $1 AND NOT response",
        raised.source.decode(),
    )
    await connection.close()
    assert b"X-Sacbe-Offer:" in kept


# --- who may say what -------------------------------------------------------------------------


async def hand(pair: Pair, log: Transparency, **changes: object) -> OwnAnswer:
    """Announce a log to the civil registry's node, whatever log that is."""
    made = Checkpoint(log.key.public.name, 5, EMPTY_ROOT)
    note = sign_checkpoint(made, log.key.public, datetime.now(UTC), log.key.sign)
    headers = announcement_headers(log.key.public, CheckpointOffer(0, (), note.raw))
    request = OwnRequest(OWNER, ServiceId(PROVIDER, SERVICE_CODE), None, METHOD, headers=headers)
    return await pair.muni.running.exchanges.consumer.ask(replace(request, **changes))  # type: ignore[arg-type] # of the request


async def test_nobody_speaks_for_the_log_of_another(pair: Pair) -> None:
    with pytest.raises(PeerFault, match="does not own"):
        await hand(pair, of(pair.civil).transparency)
    with pytest.raises(PeerFault, match="an announcement has one header"):
        await hand(pair, of(pair.muni).transparency, headers=())
    assert await of(pair.civil).store.logs() == []
    assert await of(pair.civil).store.alarms() == []
    assert (await hand(pair, of(pair.muni).transparency)).status == 200


async def test_a_witness_without_its_database_cosigns_nothing(pair: Pair) -> None:
    await execute(pair.civil, "ALTER TABLE witnessed_log RENAME TO gone")
    with pytest.raises(PeerFault):
        await hand(pair, of(pair.muni).transparency)
    with pytest.raises(StorageError, match="witness's tables"):
        await of(pair.civil).store.logs()


async def test_a_node_that_does_not_witness_says_nothing_and_takes_nothing(pair: Pair) -> None:
    await pair.civil.stop()
    settings = replace(pair.civil.settings.transparency, peers=False)
    pair.civil.settings = replace(pair.civil.settings, transparency=settings)
    await pair.civil.start()
    await pair.instance.start()
    await first_round(pair.civil)
    await pair.call()
    await round_of(pair.muni)
    connection = await connect(pair.muni)
    assert await connection.fetchval("SELECT count(*) FROM witness_peer") == 0
    await connection.close()
    with pytest.raises(PeerFault):
        await hand(pair, of(pair.muni).transparency)
