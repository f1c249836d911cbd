"""What a witness makes of checkpoints: alarms for forks and shrunken logs, and for nothing else."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.log.messagelog import MIGRATIONS
from node.transparency.transparency import LogKey
from tests.log_leaves import KEY, NOON, SERVER, leaf
from trust.database import Pool, PoolSettings, migrate, open_pool
from trust.errors import EvidenceRejected, MalformedMessage, StorageError
from trust.evidence.checkpoints import Checkpoint, CheckpointOffer
from trust.evidence.merkle import Subtree, build_consistency, root_of
from trust.evidence.notes import NoteKey, NoteKeyKind, SignedNote, sign_note
from trust.ids import ClientId, ServerId
from trust.pki.notekey import KEY_FILE, open_note_key
from trust.registry import registry_app
from trust.witness.announcement import (
    KEY_HEADER,
    OFFER_HEADER,
    Announcement,
    BadCheckpoint,
    announcement_headers,
    as_witness,
    build_announcement,
    log_origin,
    read_announcement,
    registry_origin,
    server_of,
    sign_checkpoint,
)
from trust.witness.witness_store import WitnessStore
from trust.witness.witnessing import Alarm, Behind, Continued, Raised, Verdict, judge

OWNER = SERVER.owner
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
LOG = LogKey.of(KEY, SERVER)


def checkpoint(size: int, salt: str = "", server: ServerId = SERVER) -> Checkpoint:
    root = root_of(leaf(index, salt) for index in range(size))
    return Checkpoint(log_origin(server), size, root)


def proof(old: int, new: int, salt: str = "") -> tuple[bytes, ...]:
    def node(subtree: Subtree) -> bytes:
        first = subtree.index << subtree.level
        return root_of(leaf(index, salt) for index in range(first, first + (1 << subtree.level)))

    return build_consistency(old, new, node)


def offer(
    size: int,
    at: datetime = NOON,
    *,
    old: int = 0,
    salt: str = "",
    said: tuple[bytes, ...] | None = None,
) -> CheckpointOffer:
    note = sign_checkpoint(checkpoint(size, salt), LOG.public, at, LOG.sign)
    return CheckpointOffer(old, proof(old, size, salt) if said is None else said, note.raw)


def announced(size: int, minutes: int = 0, **changes: object) -> Announcement:
    made = offer(size, NOON + timedelta(minutes=minutes), **changes)  # type: ignore[arg-type] # of offer
    return Announcement.parse(announcement_headers(LOG.public, made), OWNER)


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["NODE1", "a b", "a+b", "a/b", "ñ%", "+", "100%2B"])
def test_every_node_has_a_name_for_its_log(code: str) -> None:
    server = ServerId(ClientId("EX", "GOV", "1001"), code)
    name = log_origin(server)
    NoteKey(name, NoteKeyKind.LOG, bytes(32))  # which a note can bear
    assert server_of(name) == server


@pytest.mark.parametrize(
    "name", ["", "sacbe/", "sacbe/EX/GOV/1001", "sacbe/EX/GOV/1001/a+b", "x/y"]
)
def test_no_other_name_is_a_node_s(name: str) -> None:
    with pytest.raises(MalformedMessage):
        server_of(name)


def test_a_registry_has_a_name_that_no_node_has() -> None:
    assert registry_origin("EX") == "sacbe-registry/EX"
    assert registry_origin("E X+") == "sacbe-registry/E%20X%2B"


# --- announcements ----------------------------------------------------------------------------


def test_an_announcement_is_read_as_it_was_written() -> None:
    made = offer(7)
    said = read_announcement(build_announcement(SERVER, LOG.public, made), OWNER)
    assert (said.server, said.key, said.offer, said.at) == (SERVER, LOG.public, made, NOON)
    assert said.checkpoint == checkpoint(7)


def test_nobody_announces_another_s_log() -> None:
    stranger = ClientId("EX", "GOV", "2002")
    for client in (stranger, ClientId("EX", "GOV", "1001", "portal")):
        with pytest.raises(EvidenceRejected, match="does not own"):
            Announcement.parse(announcement_headers(LOG.public, offer(7)), client)


def test_a_checkpoint_that_the_log_did_not_sign_is_told_apart() -> None:
    text = checkpoint(7).text
    wrong = LogKey.of(OTHER, SERVER)
    elsewhere = checkpoint(7, server=ServerId(OWNER, "NODE2"))
    good = offer(7).note
    for note in (
        sign_checkpoint(checkpoint(7), wrong.public, NOON, wrong.sign).raw,
        sign_note(text, LOG.public, LOG.sign).raw,  # without a time
        sign_checkpoint(elsewhere, LOG.public, NOON, LOG.sign).raw,
        good.replace(b"\n7\n", b"\n8\n"),
        good[:-1],
        b"garbage",
    ):
        said = CheckpointOffer(0, (), note)
        with pytest.raises(BadCheckpoint) as caught:
            Announcement.parse(announcement_headers(LOG.public, said), OWNER)
        assert (caught.value.origin, caught.value.note) == (LOG.public.name, note)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((KEY_HEADER, LOG.public.text),),
        ((KEY_HEADER, "x"), (OFFER_HEADER, "x")),
        ((KEY_HEADER, LOG.public.text), (OFFER_HEADER, "?")),
        ((KEY_HEADER, LOG.public.text), (OFFER_HEADER, "eA==")),
        ((KEY_HEADER, LOG.public.text), (OFFER_HEADER, "A" * 200_000)),
        ((KEY_HEADER, as_witness(LOG.public).text), announcement_headers(LOG.public, offer(1))[1]),
        (*announcement_headers(LOG.public, offer(1)), (KEY_HEADER.lower(), LOG.public.text)),
    ],
)
def test_garbage_is_refused_without_an_alarm(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(MalformedMessage):
        Announcement.parse(headers, OWNER)


@pytest.mark.parametrize("message", [b"", b"PUT", b"\xff\r\n", b"GET\r\n/r1/a/sacbe-witness\r\n"])
def test_another_message_is_no_announcement(message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_announcement(message, OWNER)


# --- judging ----------------------------------------------------------------------------------


def judged(kept: Announcement | None, said: Announcement) -> Verdict:
    return judge(
        None if kept is None else kept.checkpoint,
        None if kept is None else kept.at,
        said.checkpoint,
        said.at,
        said.offer.old,
        said.offer.proof,
    )


def test_a_log_that_grows_is_no_cause_for_alarm() -> None:
    assert judged(None, announced(5)) == Continued()
    assert judged(announced(5), announced(5)) == Continued()
    assert judged(announced(5), announced(9, 1, old=5)) == Continued()
    assert judged(announced(0), announced(9, 1)) == Continued()


def test_a_witness_that_stands_elsewhere_says_where() -> None:
    assert judged(None, announced(9, old=5)) == Behind(0)
    assert judged(announced(5), announced(9, 1, old=4)) == Behind(5)
    assert judged(announced(5), announced(9, 1, old=7)) == Behind(5)
    assert judged(announced(5), announced(9, 1)) == Behind(5)


def test_an_old_checkpoint_sent_again_is_no_cause_for_alarm() -> None:
    kept = announced(9, 10)
    assert judged(kept, announced(5, 1)) == Behind(9)
    assert judged(kept, announced(5, 10)) == Behind(9)
    assert judged(kept, announced(9, 1)) == Continued()


def test_a_log_that_shrinks_forks_or_is_rewritten_raises_an_alarm() -> None:
    kept = announced(9, 10)
    for said, alarm in (
        (announced(5, 11), Alarm.SHRUNK),
        (announced(9, 11, salt="other"), Alarm.FORK),
        (announced(9, 1, salt="other"), Alarm.FORK),
        (announced(12, 11, old=9, salt="other"), Alarm.REWRITTEN),
        (announced(12, 11, old=9, said=()), Alarm.REWRITTEN),
        (announced(12, 11, old=9, said=proof(8, 12)), Alarm.REWRITTEN),
    ):
        verdict = judged(kept, said)
        assert isinstance(verdict, Raised)
        assert verdict.alarm is alarm


# --- keeping ----------------------------------------------------------------------------------


@pytest_asyncio.fixture(params=["node", "registry"])
async def pool(request: pytest.FixtureRequest, database_dsn: str) -> AsyncIterator[Pool]:
    opened = await open_pool(database_dsn, "sacbe-test", PoolSettings(max_connections=6))
    folders = {"node": MIGRATIONS, "registry": registry_app.MIGRATIONS}
    await migrate(opened, request.param, folders[request.param])
    yield opened
    await opened.close()


async def test_a_witness_keeps_the_last_checkpoint_and_every_alarm(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    store = WitnessStore(pool)
    assert await store.take(announced(5), b"first", NOON) == Continued()
    assert await store.take(announced(9, 1, old=5), b"second", NOON) == Continued()
    (kept,) = await WitnessStore(pool).logs()  # as after a restart
    assert (kept.origin, kept.size, kept.root) == (LOG.public.name, 9, checkpoint(9).root)
    forked = announced(9, 2, salt="other")
    for _ in range(3):
        assert isinstance(await store.take(forked, b"third", NOON), Raised)
    (alarm,) = await store.alarms()
    assert alarm.alarm is Alarm.FORK
    assert (alarm.note, alarm.source) == (forked.offer.note, b"third")
    assert alarm.kept is not None
    for note in (alarm.kept, alarm.note):  # both signed: that is the proof
        SignedNote.parse(note).check_signed(LOG.public)
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "ALARM 1 (fork) about the log sacbe/EX/GOV/1001/NODE1: two roots" in caplog.text
    (kept,) = await store.logs()
    assert (kept.size, kept.root, kept.open_alarms) == (9, checkpoint(9).root, 1)


async def test_an_operator_settles_alarms_and_the_log_begins_anew(pool: Pool) -> None:
    store = WitnessStore(pool)
    await store.take(announced(9, 1), b"", NOON)
    assert await store.settle(LOG.public.name, NOON) == 0  # nothing to settle, nothing forgotten
    await store.take(announced(5, 2), b"", NOON)
    assert await store.open_alarms() == 1
    assert await store.settle(LOG.public.name, NOON) == 1
    assert await store.open_alarms() == 0
    assert await store.alarms() == []
    (alarm,) = await store.alarms(settled=True)
    assert alarm.alarm is Alarm.SHRUNK
    assert await store.take(announced(5, 3), b"", NOON) == Continued()


async def test_unsigned_checkpoints_are_kept_once_and_not_without_end(pool: Pool) -> None:
    store = WitnessStore(pool)
    raised = Raised(Alarm.UNSIGNED, "the signature does not hold")
    for number in range(130):
        await store.refuse(LOG.public.name, raised, b"note %d" % number, b"", NOON)
    assert await store.open_alarms() == 100


async def test_a_damaged_memory_is_told(pool: Pool) -> None:
    store = WitnessStore(pool)
    await store.take(announced(5), b"", NOON)
    await pool.execute("UPDATE witnessed_log SET note = 'x'")
    with pytest.raises(StorageError, match="kept of sacbe/EX/GOV/1001/NODE1 is damaged"):
        await store.take(announced(9, 1, old=5), b"", NOON)


# --- the key ----------------------------------------------------------------------------------


def test_the_key_is_made_once_and_opened_with_its_password(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    key = open_note_key(folder, b"secret")
    assert open_note_key(folder, b"secret").private_bytes_raw() == key.private_bytes_raw()
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(StorageError, match="its password"):
        open_note_key(folder, b"wrong")
