"""What the log hands out can be read by everybody who reads X-Road's containers."""

import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from node.log import containers
from node.log.containers import (
    ArchiveTooLarge,
    archive_name,
    name_of,
    stamped_documents,
    write_archive,
    write_record_container,
)
from node.log.messagelog import MessageLog, Place, RecordQuery
from node.log.records import Side
from node.log.settings import Beyond
from tests.containers import chained
from tests.message_records import CLIENT, PROVIDER, bodies_of, message_log, quick, sample_record
from tests.signing import MESSAGE, Signatory
from trust.errors import StorageError
from trust.evidence.asic import parse_container
from trust.evidence.stamped_signature import remove_timestamp
from trust.ids import ClientId
from trust.settings import ByteSize

AT = datetime(2026, 3, 1, 12, 30, 10, tzinfo=UTC)


@dataclass(frozen=True)
class AStamp:
    """A time-stamp as the log has it, in either form."""

    token: bytes
    chain_result: bytes | None = None
    chain: bytes | None = None


async def container_bytes(log: MessageLog, message_id: str, stamp: AStamp | None = None) -> bytes:
    (record,) = (await log.find(RecordQuery(message_id=message_id))).records
    target = io.BytesIO()
    await write_record_container(log, record, target, stamp)
    return target.getvalue()


async def archive_of(
    log: MessageLog, message_id: str, target: BinaryIO, folder: Path, largest: int = 1 << 30
) -> int:
    query = RecordQuery(message_id=message_id, local=CLIENT)
    page = await log.find(query, limit=500)
    places = [Place(record.time, record.number) for record in page.records]
    found = stamped_documents(log, NoStamps(), places)
    return await write_archive(found, target, folder=folder, largest=largest)


class NoStamps:
    """The time-stamps of a log that has none."""

    async def stamp_of(self, number: int) -> AStamp | None:
        return None


async def test_a_record_becomes_a_container_with_everything_it_has(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        await log.append(
            sample_record(
                message_id="full", time=AT, hash_chain=b"<c/>", hash_chain_result=b"<r/>",
                attachments=bodies_of(b"the body"),
            )
        )  # fmt: skip
        container = parse_container(await container_bytes(log, "full"), keep_attachments=True)
    record = sample_record()
    assert container.message == record.message
    assert container.signature == record.signature
    assert (container.signature_chain, container.signature_chain_result) == (b"<c/>", b"<r/>")
    assert [(a.name, a.data) for a in container.attachments] == [("attachment1", b"the body")]
    assert container.time.replace(tzinfo=UTC) == AT
    assert container.packing.damage == ()


async def test_a_time_stamp_stands_where_the_reference_has_it(database_dsn: str) -> None:
    signatory = Signatory()
    signature = chained(signatory).signature
    async with message_log(database_dsn) as log:
        await log.append(
            sample_record(
                message_id="one", message=MESSAGE, signature=signature,
                hash_chain=b"<c/>", hash_chain_result=b"<r/>", attachments=bodies_of(b"1", b"2"),
            )
        )  # fmt: skip
        single = await container_bytes(log, "one", AStamp(b"token"))
        batch = await container_bytes(log, "one", AStamp(b"token", b"<result/>", b"<chain/>"))
        assert batch == await container_bytes(
            log, "one", AStamp(b"token", b"<result/>", b"<chain/>")
        )
    assert names_in(single) == [
        "mimetype", "message.xml", "META-INF/signatures.xml", "sig-hashchainresult.xml",
        "sig-hashchain.xml", "META-INF/manifest.xml", "attachment1", "attachment2",
    ]  # fmt: skip
    assert names_in(batch) == [
        "mimetype", "message.xml", "META-INF/signatures.xml", "sig-hashchainresult.xml",
        "sig-hashchain.xml", "ts-hashchainresult.xml", "ts-hashchain.xml", "META-INF/manifest.xml",
        "META-INF/ASiCManifest.xml", "META-INF/timestamp.tst", "attachment1", "attachment2",
    ]  # fmt: skip
    one, many = parse_container(single), parse_container(batch)
    assert remove_timestamp(one.signature) == signature == many.signature
    assert one.signature != signature
    assert (one.timestamp, many.timestamp) == (None, b"token")
    assert (many.timestamp_chain_result, many.timestamp_chain) == (b"<result/>", b"<chain/>")


def names_in(container: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(container)) as archive:
        return archive.namelist()


async def test_a_signature_that_lost_the_place_of_its_token_is_told(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        await log.append(sample_record(message_id="one", signature=b"<signature/>"))
        with pytest.raises(StorageError, match="is not what was time-stamped"):
            await container_bytes(log, "one", AStamp(b"token"))


@pytest.mark.parametrize("beyond", [Beyond.DROP, Beyond.FOLDER])
async def test_a_large_body_is_in_the_container_when_it_was_kept(
    database_dsn: str, tmp_path: Path, beyond: Beyond
) -> None:
    data = bytes(range(256)) * 20_000
    settings = quick(body_limit=ByteSize(10), body_beyond=beyond, body_folder=tmp_path)
    async with message_log(database_dsn, settings) as log:
        await log.append(sample_record(message_id="large", attachments=bodies_of(data)))
        container = parse_container(await container_bytes(log, "large"), keep_attachments=True)
        kept = [attachment.data for attachment in container.attachments]
        assert kept == ([data] if beyond is Beyond.FOLDER else [])


def spoil(folder: Path, damage: str) -> None:
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(b"x" * 999)


@pytest.mark.parametrize("damage", ["gone", "short"])
async def test_a_body_file_that_was_tampered_with_is_reported(
    database_dsn: str, tmp_path: Path, damage: str
) -> None:
    settings = quick(body_limit=ByteSize(10), body_beyond=Beyond.FOLDER, body_folder=tmp_path)
    async with message_log(database_dsn, settings) as log:
        await log.append(sample_record(message_id="large", attachments=bodies_of(b"x" * 1000)))
        spoil(tmp_path, damage)
        with pytest.raises(StorageError, match="body of record"):
            await container_bytes(log, "large")


async def test_the_archive_has_both_directions_of_one_party_and_nothing_else(
    database_dsn: str, tmp_path: Path
) -> None:
    async with message_log(database_dsn) as log:
        request = await log.append(sample_record(message_id="a/b c", time=AT))
        answer = await log.append(sample_record(message_id="a/b c", time=AT, response=True))
        other = ClientId("EX", "GOV", "1")
        await log.append(sample_record(message_id="a/b c", local=other))
        await log.append(sample_record(message_id="a/b c", local=PROVIDER, side=Side.PROVIDER))
        await log.append(sample_record(message_id="another"))
        target = io.BytesIO()
        assert await archive_of(log, "a/b c", target, tmp_path) == 2
        found = await log.find(RecordQuery(message_id="a/b c", local=CLIENT))
        names = [name_of(record) for record in found.records]
        assert [record.number for record in found.records] == [request, answer]
    with zipfile.ZipFile(target) as archive:
        assert sorted(archive.namelist()) == sorted(names)
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        assert {info.date_time for info in archive.infolist()} == {(2026, 3, 1, 12, 30, 10)}
        for name in names:
            assert parse_container(archive.read(name)).message == sample_record().message
    assert request < answer
    assert names[0].startswith("a%2Fb+c-request-")
    assert names[1].startswith("a%2Fb+c-response-")


async def test_a_record_that_left_the_log_is_passed_over(database_dsn: str) -> None:
    async with message_log(database_dsn) as log:
        number = await log.append(sample_record(time=AT))
        places = [Place(AT, number), Place(AT, number + 1), Place(datetime.now(UTC), number)]
        found = [document.time async for document in stamped_documents(log, NoStamps(), places)]
    assert found == [AT]


async def test_an_archive_of_many_documents_and_one_of_nothing(
    database_dsn: str, tmp_path: Path
) -> None:
    async with message_log(database_dsn) as log:
        for _ in range(101):
            await log.append(sample_record(message_id="many"))
        assert await archive_of(log, "many", io.BytesIO(), tmp_path) == 101
        assert await archive_of(log, "none", io.BytesIO(), tmp_path) == 0


async def test_an_archive_of_too_many_or_too_large_documents_is_refused(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with message_log(database_dsn) as log:
        for _ in range(3):
            await log.append(
                sample_record(message_id="three", attachments=bodies_of(b"x" * 10_000))
            )
        whole = io.BytesIO()
        assert await archive_of(log, "three", whole, tmp_path) == 3
        assert await archive_of(log, "three", io.BytesIO(), tmp_path, whole.tell()) == 3
        most = whole.tell() // 2
        with pytest.raises(ArchiveTooLarge, match=f"larger than {most} bytes together"):
            await archive_of(log, "three", io.BytesIO(), tmp_path, most)
        await log.append(sample_record(message_id="one", attachments=bodies_of(b"x" * 10_000)))
        assert await archive_of(log, "one", io.BytesIO(), tmp_path, 10) == 1
        monkeypatch.setattr(containers, "MAX_RECORDS", 3)
        assert await archive_of(log, "three", io.BytesIO(), tmp_path) == 3
        monkeypatch.setattr(containers, "MAX_RECORDS", 2)
        with pytest.raises(ArchiveTooLarge, match="more than 2 signed documents"):
            await archive_of(log, "three", io.BytesIO(), tmp_path)


async def test_large_containers_are_built_in_the_folder_and_nowhere_else(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "_IN_MEMORY", 100)
    async with message_log(database_dsn) as log:
        await log.append(sample_record(message_id="one"))
        assert await archive_of(log, "one", io.BytesIO(), tmp_path) == 1
        with pytest.raises(FileNotFoundError):
            await archive_of(log, "one", io.BytesIO(), tmp_path / "absent")


def test_archive_names_follow_the_reference() -> None:
    assert archive_name("a/b c") == "a%2Fb+c.zip"
    assert archive_name("id", response=False) == "id-request.zip"
    assert archive_name("id", response=True) == "id-response.zip"
