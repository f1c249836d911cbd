"""The log encrypted at rest: nothing of a message stands in the database or in a file of a body."""

import asyncio
import base64
import io
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from node.log.containers import write_record_container
from node.log.messagelog import MessageLog, RecordQuery
from node.log.records import BodyPlace, StoredRecord
from node.log.settings import Beyond, MessageLogSettings
from tests.containers import with_bodies
from tests.database_proxy import COMMIT, Cut
from tests.message_records import bodies_of, message_log, quick, sample_record
from tests.pki import NOON
from tests.signing import Signatory
from tests.test_messagelog import broken_way_to
from trust.digests import sha512
from trust.errors import ConfigurationError, StorageError
from trust.evidence.asic import parse_container
from trust.evidence.container import verify_container
from trust.evidence.evidence_leaf import leaf_data, leaf_hash
from trust.report import Outcome
from trust.settings import ByteSize

pytestmark = pytest.mark.database

SECRET = b"Itzamna lives in Calle 60"
LARGE = SECRET * 40_000  # a megabyte
ATTACHMENTS = (b"first " + SECRET, b"", b"third " + SECRET, LARGE)
WRONG = r"^The log's key '2026a' does not open a record: another key has that name"
MASTERS = {name: base64.b64encode(sha512(name.encode())[:32]) for name in ("2025a", "2026a")}
OTHER = base64.b64encode(bytes(32))


class Place:
    """Where a log lives: a database, a folder of bodies, a key ring."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn = dsn
        self.bodies = folder / "bodies"
        self.ring = folder / "log.keys"
        self.keys("2026a")

    def keys(self, *names: str, other: bool = False) -> None:
        """Write a key ring, its newest key last; `other` keys have these names as well."""
        lines = [b"%b %b\n" % (name.encode(), OTHER if other else MASTERS[name]) for name in names]
        self.ring.write_bytes(b"".join(lines))
        self.ring.chmod(0o600)

    def settings(self, *, ring: bool = True) -> MessageLogSettings:
        return quick(
            body_limit=ByteSize(1000),
            body_beyond=Beyond.FOLDER,
            body_folder=self.bodies,
            key_ring=self.ring if ring else None,
        )

    def log(self, *, ring: bool = True) -> AbstractAsyncContextManager[MessageLog]:
        return message_log(self.dsn, self.settings(ring=ring))

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.bodies.rglob("*") if path.is_file())


@pytest.fixture
def place(database_dsn: str, tmp_path: Path) -> Place:
    return Place(database_dsn, tmp_path)


async def stored(log: MessageLog, message_id: str = "secret") -> StoredRecord:
    (record,) = (await log.find(RecordQuery(message_id=message_id))).records
    return record


async def append(
    log: MessageLog, message_id: str = "secret", bodies: tuple[bytes, ...] = ATTACHMENTS
) -> int:
    record = sample_record(
        message_id=message_id, message=b"GET " + SECRET, attachments=bodies_of(*bodies)
    )
    return await log.append(record)


async def bodies_in(log: MessageLog, record: StoredRecord) -> list[bytes]:
    found = []
    for position, body in enumerate(record.attachments, 1):
        if body.place is BodyPlace.FILE:
            found.append(b"".join(log.file_of(body)))
        else:
            data = await log.body_of(record, position)
            assert data is not None
            found.append(data)
    return found


async def everything(log: MessageLog) -> bytes:
    """All values of all tables as text and bytes."""
    tables = await log._pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = bytearray()
    for (table,) in tables:
        for row in await log._pool.fetch(f"SELECT * FROM {table}"):
            for value in row.values():
                found += value if isinstance(value, bytes) else str(value).encode()
    return bytes(found)


async def test_a_record_comes_back_and_nothing_of_it_stands_there_in_plain(place: Place) -> None:
    async with place.log() as log:
        await append(log)
        record = await stored(log)
        assert record.message == b"GET " + SECRET
        assert await bodies_in(log, record) == list(ATTACHMENTS)
        assert [body.size for body in record.attachments] == [len(one) for one in ATTACHMENTS]
        assert [body.digest for body in record.attachments] == [sha512(o) for o in ATTACHMENTS]
        assert SECRET[:8] not in await everything(log)
        rows = await log._pool.fetch(
            "SELECT key_id FROM message_record UNION ALL SELECT key_id FROM message_attachment"
        )
        assert [row["key_id"] for row in rows] == ["2026a"] * 4
    (file,) = place.files
    assert SECRET[:8] not in file.read_bytes()


@pytest.mark.parametrize("bodies", [(), (b"one " + SECRET,)])
async def test_a_lone_record_is_encrypted_as_well(place: Place, bodies: tuple[bytes, ...]) -> None:
    async with place.log() as log:
        await append(log, bodies=bodies)
        record = await stored(log)
        assert record.message == b"GET " + SECRET
        assert await bodies_in(log, record) == list(bodies)
        assert SECRET[:8] not in await everything(log)


async def test_many_at_once_are_encrypted(place: Place) -> None:
    async with place.log() as log:
        await asyncio.gather(*(append(log, f"m{number}", (SECRET,)) for number in range(60)))
        for number in range(60):
            record = await stored(log, f"m{number}")
            assert record.message == b"GET " + SECRET
            assert await bodies_in(log, record) == [SECRET]
        assert SECRET[:8] not in await everything(log)


async def test_encryption_can_end_while_what_is_encrypted_is_still_read(place: Place) -> None:
    async with place.log() as log:
        await append(log, "sealed")
    with place.ring.open("ab") as ring:
        ring.write(b"plain\n")
    async with place.log() as log:
        await append(log, "plain")
        for name in ("sealed", "plain"):
            assert await bodies_in(log, await stored(log, name)) == list(ATTACHMENTS)
        assert all(body.seal is None for body in (await stored(log, "plain")).attachments)


async def test_without_a_key_ring_everything_stays_as_it_was(place: Place) -> None:
    async with place.log(ring=False) as log:
        await append(log)
        record = await stored(log)
        assert all(body.seal is None for body in record.attachments)
        assert await bodies_in(log, record) == list(ATTACHMENTS)
        assert SECRET in await everything(log)
    assert [file.read_bytes() for file in place.files] == [LARGE]


async def test_the_leaf_is_over_the_plain_evidence(place: Place) -> None:
    async with place.log() as log:
        number = await append(log)
        record = await stored(log)
        leaf = await log._pool.fetchval(
            "SELECT leaf_hash FROM evidence_queue WHERE number = $1"
            " UNION ALL SELECT leaf_hash FROM log_leaf WHERE number = $1",
            number,
        )
    digests = [sha512(body) for body in ATTACHMENTS]
    plain = leaf_data(sha512(record.message), sha512(record.signature), None, None, digests)
    assert leaf == leaf_hash(plain)


async def test_rotation_encrypts_with_the_newest_and_reads_all(place: Place) -> None:
    async with place.log(ring=False) as log:
        await append(log, "plain")
    place.keys("2025a")
    async with place.log() as log:
        await append(log, "old")
    place.keys("2025a", "2026a")
    async with place.log() as log:
        await append(log, "new")
        for name, key_id in (("plain", None), ("old", "2025a"), ("new", "2026a")):
            record = await stored(log, name)
            assert record.message == b"GET " + SECRET
            assert await bodies_in(log, record) == list(ATTACHMENTS)
            seals = {body.seal and body.seal.key_id for body in record.attachments}
            assert seals == {key_id}
        used = await log._pool.fetch("SELECT id FROM log_key ORDER BY first_used")
        assert [row["id"] for row in used] == ["2025a", "2026a"]


async def test_a_missing_key_is_named_where_it_is_needed(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.keys("2025a")
    async with place.log() as log:
        await append(log, "old")
        record = await stored(log, "old")
    place.keys("2026a")
    async with place.log() as log:
        assert "The key ring lacks 2025a: what these keys encrypted can't be read" in caplog.text
        await append(log, "new")
        assert (await stored(log, "new")).message == b"GET " + SECRET
        missing = r"^The log's key '2025a' is not in the key ring$"
        with pytest.raises(StorageError, match=missing):
            await stored(log, "old")
        for position in (1, 3):
            with pytest.raises(StorageError, match=missing):
                await log.body_of(record, position)
        with pytest.raises(StorageError, match=missing):
            b"".join(log.file_of(record.attachments[3]))
        with pytest.raises(StorageError, match=missing):
            await write_record_container(log, record, io.BytesIO(), None)
    async with place.log(ring=False) as log:
        with pytest.raises(StorageError, match=r"'2025a' is needed, and there is no key ring$"):
            await stored(log, "old")


async def test_a_wrong_key_of_the_same_name_starts_no_log(place: Place) -> None:
    async with place.log() as log:
        await append(log)
    place.keys("2026a", other=True)
    with pytest.raises(StorageError, match=WRONG):
        async with place.log():
            pytest.fail("the log was started")
    async with place.log(ring=False) as log:
        assert len(await log._pool.fetch("SELECT FROM message_record")) == 1


async def test_a_wrong_key_opens_nothing_and_says_so(place: Place) -> None:
    """Where the log is read without being started, as the command does."""
    async with place.log() as log:
        await append(log)
        record = await stored(log)
        place.keys("2026a", other=True)
        reader = MessageLog(log._pool, place.settings())
        with pytest.raises(StorageError, match=WRONG):
            await stored(reader)
        with pytest.raises(StorageError, match=WRONG):
            await reader.body_of(record)
        with pytest.raises(StorageError, match=WRONG):
            b"".join(reader.file_of(record.attachments[3]))


SWAPS = {
    "two messages": "UPDATE message_record AS r SET message = o.message FROM message_record AS o"
    " WHERE o.number <> r.number",
    "two bodies": "UPDATE message_record AS r SET body = o.body FROM message_record AS o"
    " WHERE o.number <> r.number",
    "a message and a body": "UPDATE message_record SET message = body, body = message",
    "attachments of one message": "UPDATE message_attachment AS r SET body = o.body"
    " FROM message_attachment AS o WHERE o.number = r.number AND o.position = 5 - r.position",
    "an attachment of another message": "UPDATE message_attachment AS r SET body = o.body"
    " FROM message_attachment AS o WHERE o.number <> r.number AND o.position = r.position",
    "two files": "UPDATE message_attachment AS r SET body_file = o.body_file FROM"
    " message_attachment AS o WHERE o.number <> r.number AND o.position = r.position",
    "the numbers": "UPDATE message_record AS r SET number = CASE"
    " WHEN number = (SELECT min(number) FROM message_record) THEN -1 ELSE number + 1000 END",
    "the times": "UPDATE message_record SET time = time + interval '1 microsecond'",
    "a bit": "UPDATE message_record SET message = set_bit(message, 200, 1 - get_bit(message, 200))",
    "the key": "UPDATE message_record SET message = message || '\\x00'::bytea",
}


@pytest.mark.parametrize("swap", SWAPS, ids=str)
async def test_what_was_swapped_does_not_open(place: Place, swap: str) -> None:
    async with place.log() as log:
        for name in ("one", "two"):
            await append(log, name, (b"a", b"b" * 7, b"c" * 7, b"%b " % name.encode() + LARGE))
        assert not await _failures(log)
        await log._pool.execute(
            "ALTER TABLE message_attachment DROP CONSTRAINT"
            " IF EXISTS message_attachment_pkey CASCADE"
        )
        await log._pool.execute(SWAPS[swap])
        if swap in ("the numbers", "the times"):  # their attachments go along
            await log._pool.execute("UPDATE message_record SET further_attachments = NULL")
        failures = await _failures(log)
    assert failures
    assert all("does not open a record" in failure for failure in failures)


async def _failures(log: MessageLog) -> list[str]:
    """What can't be read of any record, in words."""
    found = []
    for message_id in ("one", "two"):
        try:
            record = await stored(log, message_id)
            await bodies_in(log, record)
        except StorageError as error:
            found.append(str(error))
    return found


async def test_a_container_of_an_encrypted_record_is_as_any_other(place: Place) -> None:
    signatory = Signatory()
    bodies = (b"small", b"also small", os.urandom(600_000))
    signed = with_bodies(signatory, bodies)
    record = sample_record(
        message_id="secret",
        message=signed.message,
        signature=signed.signature,
        attachments=bodies_of(*bodies, soap=True),
        time=NOON,
    )
    async with place.log() as log:
        await log.append(record)
        target = io.BytesIO()
        await write_record_container(log, await stored(log), target, None)
    verdict = verify_container(parse_container(target.getvalue()), signatory.conf, NOON)
    assert verdict.verdict is Outcome.PASSED, verdict.reason
    assert all(part.covered for part in verdict.parts)


async def test_a_file_that_was_changed_on_disk_is_told(place: Place) -> None:
    async with place.log() as log:
        await append(log)
        body = (await stored(log)).attachments[3]
        (file,) = place.files
        whole = file.read_bytes()
        for damaged in (whole[:-1], whole[: 31 + (1 << 18) + 16], whole[:-1] + b"x"):
            file.write_bytes(damaged)
            with pytest.raises(StorageError, match="does not open a record"):
                b"".join(log.file_of(body))
        file.write_bytes(LARGE)
        with pytest.raises(StorageError, match="not encrypted as its record says"):
            b"".join(log.file_of(body))


@pytest.mark.parametrize("cut", [Cut.BEFORE_COMMIT, Cut.AFTER_COMMIT])
async def test_an_attempt_in_doubt_stores_a_record_that_opens(place: Place, cut: Cut) -> None:
    async with broken_way_to(place.dsn, place.settings()) as (log, proxy):
        proxy.cut, proxy.commit_mark = cut, COMMIT
        await append(log)
        assert proxy.cuts == 1
        record = await stored(log)
        assert record.message == b"GET " + SECRET
        assert await bodies_in(log, record) == list(ATTACHMENTS)


async def test_megabytes_are_encrypted_without_holding_up_the_loop(place: Place) -> None:
    settings = quick(body_limit=ByteSize(8 << 20), key_ring=place.ring)
    data = os.urandom(6 << 20)
    async with message_log(place.dsn, settings) as log:
        await append(log, bodies=(data, b"x", data))
        assert await bodies_in(log, await stored(log)) == [data, b"x", data]


def test_a_key_ring_that_others_can_read_starts_no_log(tmp_path: Path) -> None:
    place = Place("", tmp_path)
    place.ring.chmod(0o644)
    with pytest.raises(ConfigurationError, match="open to every user"):
        MessageLog(None, place.settings())  # type: ignore[arg-type]  # it gets no further
