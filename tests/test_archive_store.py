"""The archive store, the same over a folder and over an S3 service."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from node.archive.store import ArchiveStore, StoreAddress, open_store
from tests.archive_stores import bucket_address, s3_service
from trust.errors import StorageError


@pytest.fixture(scope="module")
def s3() -> Iterator[ThreadedMotoServer]:
    with s3_service() as server:
        yield server


@pytest.fixture(params=["folder", "bucket"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> StoreAddress:
    if request.param == "folder":
        return StoreAddress(f"file://{tmp_path}/new/archive")
    return bucket_address(request.getfixturevalue("s3"), tmp_path)


@pytest.fixture
def store(address: StoreAddress) -> ArchiveStore:
    return open_store(address)


async def content(store: ArchiveStore, name: str) -> bytes:
    return b"".join([piece async for piece in store.get(name)])


NAMES = ["mlog-EX_GOV_1-20230102030405-20230102030406-0123456789abcdef.zip.age",
         "tile/0/x001/002", "mlog-é%41 +&'.zip"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
async def test_what_was_put_is_read_listed_and_deleted(store: ArchiveStore, name: str) -> None:
    assert await store.size_of(name) is None
    await store.put(name, b"bytes")
    assert await content(store, name) == b"bytes"
    assert await store.read(name, 5) == b"bytes"
    assert await store.size_of(name) == 5
    [listed] = [each async for each in store.list()]
    assert (listed.name, listed.size) == (name, 5)
    await store.put(name, b"others")
    assert await content(store, name) == b"others"
    await store.delete(name)
    await store.delete(name)
    assert [each async for each in store.list()] == []


async def test_files_are_listed_by_folder(store: ArchiveStore) -> None:
    for name in ("tile/0/000", "tile/1/000", "tiles", "a.zip"):
        await store.put(name, b"x")
    assert {each.name async for each in store.list("tile")} == {"tile/0/000", "tile/1/000"}


async def test_a_large_file_goes_in_and_out_in_pieces(store: ArchiveStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(20 << 20))
    await store.put("large.zip", source)
    pieces = [piece async for piece in store.get("large.zip")]
    assert max(len(piece) for piece in pieces) < 12 << 20
    assert b"".join(pieces) == source.read_bytes()
    with pytest.raises(StorageError, match=r"large\.zip is larger than 1000 bytes"):
        await store.read("large.zip", 1000)


async def test_a_file_that_is_there_may_be_left_as_it_is(store: ArchiveStore) -> None:
    await store.put("one", b"1", overwrite=False)
    with pytest.raises(StorageError, match="has one already"):
        await store.put("one", b"2", overwrite=False)
    assert await content(store, "one") == b"1"


async def test_what_is_not_there_can_t_be_read(store: ArchiveStore) -> None:
    with pytest.raises(StorageError, match="can't be read: it is not there"):
        await content(store, "none")
    with pytest.raises(StorageError, match="has no none"):
        await store.read("none", 10)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a//b", "."])
async def test_a_name_leads_nowhere_else(store: ArchiveStore, name: str) -> None:
    with pytest.raises(StorageError):
        await store.put(name, b"x")


# --- folders --------------------------------------------------------------------------------------


async def test_a_file_and_its_folders_are_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def record(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    monkeypatch.setattr(os, "fsync", record)
    store = open_store(StoreAddress(f"file://{tmp_path}/new/archive"))
    assert synced == [f"{tmp_path}", f"{tmp_path}/new"]
    synced.clear()
    await store.put("a/b.zip", b"x")
    archive = f"{tmp_path}/new/archive"
    assert synced == [f"{archive}/a/b.zip", f"{archive}/a", archive]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    synced.clear()
    await store.delete("a/b.zip")
    assert synced == [f"{archive}/a", archive]


async def test_an_address_is_a_url(tmp_path: Path) -> None:
    folder = tmp_path / "an archive"
    await open_store(StoreAddress(folder.as_uri())).put("a", b"x")
    assert (folder / "a").read_bytes() == b"x"


async def test_a_failed_sync_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match="can't be written: Input/output error"):
        await store.put("a.zip", b"x")


@pytest.mark.parametrize(
    "url", ["archive", "http://x/y", "file://host/x", "file:x", "s3:///x", "s3://"]
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(StorageError, match="is neither file:///folder nor s3://bucket/prefix"):
        open_store(StoreAddress(url))


# --- buckets --------------------------------------------------------------------------------------


async def test_a_service_that_has_gone_away_is_told(tmp_path: Path) -> None:
    with s3_service() as server:
        address = bucket_address(server, tmp_path)
    with pytest.raises(StorageError, match="can't be written: "):
        await open_store(address).put("a", b"x")


async def test_a_bucket_that_is_not_there_is_told(s3: ThreadedMotoServer, tmp_path: Path) -> None:
    made = bucket_address(s3, tmp_path)
    store = open_store(StoreAddress("s3://another/x", made.endpoint, made.region, made.credentials))
    with pytest.raises(StorageError, match="can't be written: it is not there"):
        await store.put("a", b"x")


@pytest.mark.parametrize("text", ["access_key_id", "user = x", "access_key_id ="])
def test_other_credentials_are_refused_and_not_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"# comment\n\n{text}\nsecret_access_key = hidden\n")
    with pytest.raises(StorageError, match="must be lines of access_key_id = …") as caught:
        open_store(StoreAddress("s3://bucket", credentials=file))
    assert "hidden" not in str(caught.value)
    with pytest.raises(StorageError, match="of the archive store can't be read"):
        open_store(StoreAddress("s3://bucket", credentials=tmp_path / "none"))
