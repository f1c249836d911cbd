import hashlib
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.body import BodyTooLarge, SpooledBody
from trust.errors import LoggingFailed


async def read(body: SpooledBody, size: int = 7) -> bytes:
    return b"".join([piece async for piece in body.pieces(size)])


async def source(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("memory_limit", [0, 10, 1000])
async def test_a_body_is_read_as_it_was_written_again_and_again(
    tmp_path: Path, memory_limit: int
) -> None:
    with SpooledBody(tmp_path, memory_limit=memory_limit) as body:
        await body.fill(source(b"once ", b"", b"upon a time"))
        assert body.spooled is (memory_limit < 16)
        assert body.size == 16
        assert body.digest == hashlib.sha512(b"once upon a time").digest()
        assert await read(body) == b"once upon a time"
        assert await read(body, 1000) == b"once upon a time"
        body.write(b"!")
        assert await read(body) == b"once upon a time!"


@given(pieces=st.lists(st.binary(max_size=30), max_size=8), limit=st.integers(0, 60))
async def test_pieces_and_limits_make_no_difference(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    with SpooledBody(folder, memory_limit=limit) as body:
        await body.fill(source(*pieces))
        whole = b"".join(pieces)
        assert (await read(body), body.size) == (whole, len(whole))
        assert body.digest == hashlib.sha512(whole).digest()
        assert body.read_at(2, 5) == whole[2:7]


def test_a_spooled_body_has_no_name_on_the_disk(tmp_path: Path) -> None:
    with SpooledBody(tmp_path, memory_limit=0) as body:
        body.write(b"secret")
        assert body.spooled
        assert list(tmp_path.iterdir()) == []


async def test_a_body_beyond_the_limit_is_refused_and_what_came_before_stays(
    tmp_path: Path,
) -> None:
    with SpooledBody(tmp_path, size_limit=4) as body:
        body.write(b"1234")
        with pytest.raises(BodyTooLarge, match="maximum loggable size"):
            body.write(b"5")
        assert await read(body) == b"1234"


def test_a_missing_spool_folder_is_a_logging_failure(tmp_path: Path) -> None:
    with (
        SpooledBody(tmp_path / "gone", memory_limit=0) as body,
        pytest.raises(LoggingFailed, match="takes no file"),
    ):
        body.write(b"x")


async def test_a_full_disk_is_a_logging_failure_and_keeps_what_was_written(
    tmp_path: Path,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with SpooledBody(tmp_path, memory_limit=0) as body:
        body.write(b"a" * 4096)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))  # the file may not grow beyond
        try:
            with pytest.raises(LoggingFailed, match="full"):
                body.write(b"b" * 4096)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert body.size == 4096
        assert body.digest == hashlib.sha512(b"a" * 4096).digest()
        body.write(b"c")
        assert await read(body, 4096) == b"a" * 4096 + b"c"


def test_a_closed_body_is_neither_read_nor_written(tmp_path: Path) -> None:
    body = SpooledBody(tmp_path, memory_limit=0)
    body.write(b"x")
    body.close()
    body.close()
    with pytest.raises(ValueError, match="closed"):
        body.write(b"y")
    with pytest.raises(ValueError, match="closed"):
        body.read_at(0, 1)


def test_a_forgotten_body_gives_its_file_back(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    body = SpooledBody(tmp_path, memory_limit=0)
    body.write(b"x")
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del body
    assert len(os.listdir("/proc/self/fd")) == before


BIG = """
import asyncio, resource, sys
from pathlib import Path
from node.body import SpooledBody

async def main():
    piece = bytes(65536)
    with SpooledBody(Path(sys.argv[1])) as body:
        body.write(piece)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(2048):
            body.write(piece)
        seen = 0
        async for read in body.pieces():
            seen += len(read)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert seen == body.size == 2049 * 65536
        print(after - before)

asyncio.run(main())
"""


def test_memory_does_not_grow_with_the_body(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-c", BIG, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096  # kB, for 128 MiB


def test_a_body_leaves_the_reserve_of_the_disk_alone(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    with SpooledBody(tmp_path, memory_limit=10, reserve=free) as body:
        body.write(b"in memory")
        with pytest.raises(LoggingFailed, match="nearly full"):
            body.write(b"no longer")
    with SpooledBody(tmp_path, memory_limit=10, reserve=1) as body:
        body.write(b"more than ten bytes")
        assert body.read_at(0, 100) == b"more than ten bytes"


@pytest.mark.parametrize("memory_limit", [0, 5, 1000])
async def test_sections_are_bodies_of_their_own(tmp_path: Path, memory_limit: int) -> None:
    contents = [b"first", b"", b"second and longer", b"x"]
    with SpooledBody(tmp_path, memory_limit=memory_limit) as body:
        sections = []
        for content in contents:
            for byte in content:
                body.write(bytes([byte]))
            sections.append(body.cut())
        assert body.size == sum(map(len, contents))
        for section, content in zip(sections, contents, strict=True):
            assert (section.size, section.digest) == (
                len(content),
                hashlib.sha512(content).digest(),
            )
            assert b"".join([piece async for piece in section.pieces(3)]) == content
            assert section.read_at(1, 100) == content[1:]
            assert section.read_at(len(content), 1) == b""
            assert section.spooled is body.spooled


def test_sections_share_the_limits_of_their_body(tmp_path: Path) -> None:
    with SpooledBody(tmp_path, size_limit=10, memory_limit=4) as body:
        body.write(b"12345")
        body.cut()
        body.write(b"67890")
        body.cut()
        with pytest.raises(BodyTooLarge):
            body.write(b"!")
