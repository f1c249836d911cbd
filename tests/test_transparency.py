"""Checkpoints of a log in PostgreSQL: what they cover, what proves it, and what they refuse."""

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from node.log.messagelog import MIGRATIONS
from node.transparency.proofs import KeptCheckpoint, NotInCheckpoint
from node.transparency.transparency import (
    Transparency,
    TransparencySettings,
)
from node.transparency.tree import BrokenLog
from scripts.postgres import PostgresServer
from tests.database_fixtures import quick_folder
from tests.log_leaves import NOON, Clock, MemoryStore, add_leaves, leaf, transparency
from trust.database import DATABASE_ERRORS, Pool, PoolSettings, migrate, open_pool
from trust.errors import EvidenceRejected, NetworkFailure, StorageError
from trust.evidence.checkpoints import Checkpoint, InclusionProof
from trust.evidence.merkle import root_of
from trust.evidence.notes import NoteKey, NoteKeyKind, SignedNote, cosign
from trust.evidence.tiles import Tile, tiles_of
from trust.witness.announcement import as_witness, check_checkpoint


@pytest_asyncio.fixture
async def pool(database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=6))
    await migrate(opened, "node", MIGRATIONS)
    yield opened
    await opened.close()


async def newest(log: Transparency) -> tuple[Checkpoint, KeptCheckpoint]:
    kept = await log.newest()
    assert kept is not None
    return check_checkpoint(kept.note, log.key.public)[0], kept


def root(size: int) -> bytes:
    return root_of(map(leaf, range(size)))


# --- making -----------------------------------------------------------------------------------


async def test_a_checkpoint_has_the_root_of_the_leaves(pool: Pool) -> None:
    log = transparency(pool)
    assert await log.make() is None  # an empty log has nothing to say
    for count in (1, 2, 253, 1, 255, 600, 1):
        size = await add_leaves(pool, count)
        made = await log.make()
        assert made == Checkpoint("sacbe/EX/GOV/1001/NODE1", size, root(size))
        checkpoint, kept = await newest(log)
        assert checkpoint == made
        assert kept.at == NOON
    assert await log.make() is None
    assert await pool.fetchval("SELECT count(*) FROM log_checkpoint") == 7


async def test_a_long_backlog_is_taken_in_steps(pool: Pool) -> None:
    size = await add_leaves(pool, (1 << 16) + 70_000)
    log = transparency(pool)
    made = await log.make()
    assert made is not None
    assert made.size == size
    assert made.root == root(size)
    assert await pool.fetchval("SELECT max(level) FROM log_tile") == 2


async def test_a_restarted_node_goes_on_where_it_was(pool: Pool) -> None:
    await add_leaves(pool, 700)
    await transparency(pool).make()
    size = await add_leaves(pool, 700)
    made = await transparency(pool).make()
    assert made is not None
    assert made.root == root(size)


async def test_a_tree_that_is_behind_its_tiles_grows_again(pool: Pool) -> None:
    """The tiles are written with the size, and writing them twice changes nothing."""
    await add_leaves(pool, 70_000)
    await transparency(pool).make()
    tiles = await pool.fetch("SELECT * FROM log_tile ORDER BY level, tile")
    await pool.execute("UPDATE log_tree SET size = 300")
    assert await transparency(pool).make() is None
    assert await pool.fetch("SELECT * FROM log_tile ORDER BY level, tile") == tiles


async def test_several_nodes_make_one_checkpoint(pool: Pool) -> None:
    await add_leaves(pool, 3000)
    made = await asyncio.gather(*(transparency(pool).make() for _ in range(5)))
    assert [each.size for each in made if each is not None] == [3000]
    assert await pool.fetchval("SELECT count(*) FROM log_checkpoint") == 1


async def test_the_time_of_a_checkpoint_never_goes_back(pool: Pool) -> None:
    clock = Clock()
    log = transparency(pool, clock=clock)
    await add_leaves(pool, 3)
    await log.make()
    clock.now = NOON - timedelta(hours=1)
    await add_leaves(pool, 3)
    await log.make()
    _, kept = await newest(log)
    assert check_checkpoint(kept.note, log.key.public)[1] == NOON


async def test_what_fails_is_told_and_goes_away_by_itself(pool: Pool) -> None:
    store = MemoryStore()
    log = transparency(pool, store=store)
    store.broken = True
    await add_leaves(pool, 300)
    await log.round()
    assert log.problem is not None
    assert "it is broken" in log.problem
    assert log.size == 300  # the checkpoint itself is there
    store.broken = False
    await log.round()
    assert log.problem is None
    assert store.files


async def test_the_database_is_killed_between_the_steps(pool: Pool) -> None:
    """Whatever was interrupted, what is there afterwards is the log and nothing twice."""
    size = await add_leaves(pool, 90_000)
    log = transparency(pool)

    async def kill_often() -> None:
        for _ in range(25):
            await asyncio.sleep(0.02)
            await pool.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                " AND state <> 'idle'"
            )

    killer = asyncio.create_task(kill_often())
    failed = 0
    while log.size < size:
        try:
            await log.make()
        except StorageError:
            failed += 1
    await killer
    checkpoint, _ = await newest(log)
    assert failed > 0
    assert checkpoint == Checkpoint(log.key.public.name, size, root(size))


async def answering(pool: Pool) -> None:
    """Wait until the database is back."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(*DATABASE_ERRORS):
                await pool.fetchval("SELECT 1")
                return
            await asyncio.sleep(0.1)


@pytest.fixture
def durable_folder() -> Iterator[Path]:
    folder = quick_folder()
    yield folder
    shutil.rmtree(folder)


async def test_postgresql_is_killed_again_and_again(durable_folder: Path) -> None:
    """Every checkpoint that was made is there, continues the one before and is the log's."""
    made: list[Checkpoint] = []
    async with PostgresServer(durable_folder) as server:
        dsn = await server.create_database("node")
        supervisor = asyncio.create_task(server.supervise())
        patient = PoolSettings(max_connections=3, patience=timedelta(seconds=60))
        pool = await open_pool(dsn, "sacbe-test", patient)
        await migrate(pool, "node", MIGRATIONS)
        log = transparency(pool, store=MemoryStore())

        async def kill_after(seconds: float) -> None:
            await asyncio.sleep(seconds)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await asyncio.sleep(0.1)

        for seconds in (0.0, 0.05, 0.15, 1.5):  # in the middle, and afterwards
            await answering(pool)
            await add_leaves(pool, 20_000)
            killer = asyncio.create_task(kill_after(seconds))
            with contextlib.suppress(StorageError):
                checkpoint = await log.make()
                made += [] if checkpoint is None else [checkpoint]
            await killer
            await answering(pool)
            await log.store_files()
        last = await log.make()
        made += [] if last is None else [last]
        assert made
        rows = await pool.fetch("SELECT size, note FROM log_checkpoint ORDER BY size")
        kept = [check_checkpoint(row["note"], log.key.public)[0] for row in rows]
        assert [each.size for each in kept] == [row["size"] for row in rows]
        assert set(made) <= set(kept)
        for older, newer in itertools.pairwise(kept):
            newer.check_follows(older, await log.consistency(older.size, newer.size))
        assert kept[-1].root == root(kept[-1].size)
        await pool.close()
        await server.stop()
        await supervisor


# --- what a tampered log gets -----------------------------------------------------------------

_CHANGES = {
    "a leaf altered": "UPDATE log_leaf SET leaf_hash = sha256('x') WHERE leaf = 290",
    "a leaf deleted": "DELETE FROM log_leaf WHERE leaf = 290",
    "a tile altered": "UPDATE log_tile SET hashes = sha256('x') WHERE level = 1",
    "a tile deleted": "DELETE FROM log_tile",
    "the log made smaller": "UPDATE log_size SET leaves = 299",
    "its note altered": "UPDATE log_checkpoint SET note = replace_byte(note)",
    "its note replaced": "UPDATE log_checkpoint SET note = 'x'",
    "its size altered": "UPDATE log_checkpoint SET size = 298",
    "its key altered": "UPDATE log_checkpoint SET key = 'x'",
}


@pytest.mark.parametrize("change", _CHANGES)
async def test_a_changed_log_is_not_signed(pool: Pool, change: str) -> None:
    await pool.execute(
        "CREATE FUNCTION replace_byte(bytea) RETURNS bytea LANGUAGE sql AS"
        " $$ SELECT set_byte($1, 30, get_byte($1, 30) # 1) $$"
    )
    log = transparency(pool)
    await add_leaves(pool, 300)
    await log.make()
    await pool.execute(_CHANGES[change])
    if "smaller" not in change:
        await add_leaves(pool, 1)
    with pytest.raises(BrokenLog, match=r"log|Leaf|checkpoint"):
        await log.make()
    await log.round()
    assert log.problem is not None
    assert await pool.fetchval("SELECT count(*) FROM log_checkpoint") == 1


# --- time-stamps ------------------------------------------------------------------------------


class Token:
    def __init__(self, token: bytes) -> None:
        self.token = token


async def test_checkpoints_are_stamped_and_those_that_were_not_later(pool: Pool) -> None:
    asked: list[bytes] = []
    working = False

    async def stamp(data: bytes) -> Token:
        asked.append(data)
        if not working:
            raise NetworkFailure("nobody answers")
        return Token(b"token over " + data[:7])

    log = transparency(pool)
    log = Transparency(pool, log.key, TransparencySettings(), Clock(), stamp)
    for _ in range(2):
        await add_leaves(pool, 5)
        await log.round()
    assert log.problem is None  # a checkpoint counts without, too
    assert await pool.fetchval("SELECT count(*) FROM log_checkpoint WHERE token IS NULL") == 2
    working = True
    assert await log.stamp() == 2
    assert await log.stamp() == 0
    _, kept = await newest(log)
    assert kept.token == b"token over sacbe/E"
    assert kept.note in asked


# --- proofs -----------------------------------------------------------------------------------


async def test_every_record_is_proved_to_be_in_the_newest_checkpoint(pool: Pool) -> None:
    log = transparency(pool)
    size = await add_leaves(pool, 1111)
    await log.make()
    for index in (0, 1, 255, 256, 511, 1023, 1024, 1109, 1110):
        proof = InclusionProof.parse((await log.inclusion(index + 1000)).raw)
        assert proof.check(leaf(index)).root == root(size)
        with pytest.raises(EvidenceRejected):
            proof.check(leaf(index + 1))
        SignedNote.parse(proof.note).check_signed(log.key.public)


async def test_a_record_behind_the_newest_checkpoint_has_no_proof_yet(pool: Pool) -> None:
    log = transparency(pool)
    await add_leaves(pool, 5)
    with pytest.raises(NotInCheckpoint, match="Record 1003 is in no checkpoint"):
        await log.inclusion(1003)
    await log.make()
    await log.inclusion(1003)
    await add_leaves(pool, 1)
    for number in (1005, 77):
        with pytest.raises(NotInCheckpoint):
            await log.inclusion(number)


async def test_every_checkpoint_is_proved_to_continue_those_before(pool: Pool) -> None:
    log = transparency(pool)
    made = []
    for count in (3, 254, 300, 700):
        await add_leaves(pool, count)
        checkpoint = await log.make()
        assert checkpoint is not None
        made.append(checkpoint)
    for place, new in enumerate(made):
        for old in made[: place + 1]:
            new.check_follows(old, await log.consistency(old.size, new.size))
    with pytest.raises(ValueError, match="has no 9999"):
        await log.consistency(1, 9999)


async def test_what_witnesses_signed_comes_with_the_proof(pool: Pool) -> None:
    log = transparency(pool)
    await add_leaves(pool, 5)
    await log.make()
    checkpoint, kept = await newest(log)
    witness = NoteKey("witness", NoteKeyKind.WITNESS, log.key.public.public)
    for hour in (1, 2):
        line = cosign(checkpoint.text, witness, NOON + timedelta(hours=hour), log.key.sign)
        await log.cosigned(checkpoint.size, witness, line, NOON)
    note = SignedNote.parse((await log.inclusion(1002)).note)
    assert note.cosigned_at(witness) == NOON + timedelta(hours=2)
    assert note.cosigned_at(as_witness(log.key.public)) == NOON
    assert note.text == SignedNote.parse(kept.note).text


# --- tiles in the archive store ---------------------------------------------------------------


def paths(tiles: Iterable[Tile]) -> set[str]:
    return {f"log/{tile.path}" for tile in tiles}


async def test_the_store_has_the_tree_of_the_newest_checkpoint(pool: Pool) -> None:
    store = MemoryStore()
    log = transparency(pool, store=store)
    size = 0
    for count in (100, 400, 70_000 - 500, 1):
        size = await add_leaves(pool, count)
        await log.round()
        tiles = set(tiles_of(0, size))
        assert {name for name in store.files if "/tile/" in name} == paths(tiles)
        checkpoint = Checkpoint.parse(SignedNote.parse(store.files["log/checkpoint"]).text)
        assert (checkpoint.size, checkpoint.root) == (size, root(size))
    leaves: list[bytes] = []
    for number in range(274):
        tile = Tile(0, number, min(256, size - 256 * number))
        leaves += tile.hashes(store.files[f"log/{tile.path}"])
    assert leaves == [leaf(index) for index in range(size)]
    assert await log.stored_leaves() == 273 * 256
    assert len([name for name in store.files if "/checkpoints/" in name]) == 4
    before = dict(store.files)
    await log.round()
    assert store.files == before
    witness = NoteKey("witness", NoteKeyKind.WITNESS, log.key.public.public)
    checkpoint, _ = await newest(log)
    line = cosign(checkpoint.text, witness, NOON, log.key.sign)
    await log.cosigned(size, witness, line, NOON)
    await log.round()
    assert SignedNote.parse(store.files["log/checkpoint"]).cosigned_at(witness) == NOON


async def test_a_checkpoint_is_stored_with_its_time_stamp_once_it_has_one(pool: Pool) -> None:
    store = MemoryStore()
    log = transparency(pool, store=store)
    await add_leaves(pool, 5)
    await log.round()
    await pool.execute("UPDATE log_checkpoint SET token = 'a token'")
    await pool.execute(
        "INSERT INTO log_statement (key, signer, container, stamped, at)"
        " VALUES ('', '', 'a container', true, now())"
    )
    await log.round()
    _, kept = await newest(log)
    assert {name: data for name, data in store.files.items() if "/tile/" not in name} == {
        "log/checkpoint": kept.note,
        "log/checkpoints/5": kept.note,
        "log/checkpoints/5.tst": b"a token",
        "log/statements/1.asice": b"a container",
    }
    assert await pool.fetchval("SELECT bool_and(stored) FROM log_checkpoint")


async def test_leaves_that_are_in_the_store_may_go_from_the_database(pool: Pool) -> None:
    store = MemoryStore()
    log = transparency(pool, store=store)
    await add_leaves(pool, 1000)
    await log.round()
    old, _ = await newest(log)
    await pool.execute("DELETE FROM log_leaf WHERE leaf < $1", await log.stored_leaves())
    await add_leaves(pool, 1000)
    await log.round()
    assert log.problem is None
    new, _ = await newest(log)
    assert new.root == root(2000)
    new.check_follows(old, await log.consistency(1000, 2000))
    assert (await log.inclusion(2900)).check(leaf(1900)) == new
    store.files.pop("log/tile/0/001")
    with pytest.raises(BrokenLog, match="Leaf 510 of the log is missing"):
        await log.consistency(511, 2000)
