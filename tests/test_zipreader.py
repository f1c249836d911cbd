"""ZIP files read strictly: what is accepted, and that no byte of one is idle."""

import contextlib
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.errors import MalformedMessage
from trust.evidence.zipreader import (
    CONTAINER_COMMENT,
    MAX_ENTRIES,
    BrokenZip,
    NotAZip,
    Unpacking,
    read_entries,
)
from trust.evidence.zipwriters import find_oddities

FILES = {"one.xml": b"<one/>" * 40, "two.xml": b"<two/>" * 30, "META-INF/three": b"3" * 50}


def packed(
    files: Mapping[str, bytes] = FILES,
    *,
    comment: bytes = CONTAINER_COMMENT,
    method: int = zipfile.ZIP_DEFLATED,
    change: Callable[[zipfile.ZipInfo], None] = lambda info: None,
) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = comment
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2026, 3, 2, 9, 15, 0))
            info.compress_type = method
            info.external_attr = 0o100644 << 16
            change(info)
            archive.writestr(info, data)
    return target.getvalue()


class _Unseekable(io.BytesIO):
    """A target that can't be rewound: sizes then follow the data, as Java writes them."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def streamed(files: Mapping[str, bytes] = FILES) -> bytes:
    target = _Unseekable()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2026, 3, 2, 9, 15, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return target.getvalue()


def unpack(data: bytes) -> tuple[dict[str, bytes], list[str]]:
    """The content by name, and everything that is odd."""
    source = io.BytesIO(data)
    entries = read_entries(source)
    odd = list(find_oddities(entries))
    content = {}
    for entry in entries:
        unpacking = Unpacking(source, entry)
        content[entry.name] = unpacking.read()
        odd += unpacking.damage
    return content, odd


@pytest.mark.parametrize(
    "data",
    [packed(), packed(comment=b""), packed(method=zipfile.ZIP_STORED), streamed()],
    ids=["sizes first", "without comment", "stored", "sizes behind"],
)
def test_sound_files_are_read(data: bytes) -> None:
    assert unpack(data) == (FILES, [])


@pytest.mark.parametrize("data", [packed(), streamed()], ids=["sizes first", "sizes behind"])
def test_every_single_byte_counts(data: bytes) -> None:
    """Each byte in turn, by every other value: the file is refused, or found to be odd."""
    for position in range(len(data)):
        for change in range(1, 256):
            damaged = bytearray(data)
            damaged[position] ^= change
            with contextlib.suppress(MalformedMessage):
                assert unpack(bytes(damaged))[1], (position, change)


def test_a_packed_form_with_a_farther_match_is_found() -> None:
    """Deflate has many forms for one content; one that is a byte away is damage."""
    words = b"".join(b"<word number='%d'/>" % (number % 7) for number in range(90))
    data = packed({"one.xml": words, "two.xml": b"2"})
    (entry, _) = read_entries(io.BytesIO(data))
    found = 0
    for position in range(entry.start, entry.start + entry.packed_size):
        for value in range(256):
            damaged = bytearray(data)
            damaged[position] = value
            inflater = zlib.decompressobj(-15)
            with contextlib.suppress(zlib.error):
                packed_form = bytes(damaged[entry.start : entry.start + entry.packed_size])
                if value != data[position] and inflater.decompress(packed_form) == words:
                    found += 1
                    with contextlib.suppress(BrokenZip):
                        assert unpack(bytes(damaged))[1]
    assert found > 1


def test_a_wholly_different_packed_form_is_told() -> None:
    words = random.Random(7).choices([b"anna ", b"berta ", b"carla ", b"dora "], k=4000)
    data = packed(
        {"one.xml": b"".join(words)}, change=lambda info: setattr(info, "_compresslevel", 1)
    )
    source = io.BytesIO(data)
    unpacking = Unpacking(source, read_entries(source)[0])
    assert unpacking.read() == b"".join(words)
    assert (unpacking.damage, unpacking.comparable) == ([], False)


def test_large_content_comes_in_small_pieces() -> None:
    size = 3_000_000
    source = io.BytesIO(packed({"large": b"\0" * size, "small": b"s"}))
    unpacking = Unpacking(source, read_entries(source)[0])
    pieces = [len(piece) for piece in unpacking.chunks()]
    assert sum(pieces) == size
    assert max(pieces) <= 64 * 1024
    assert unpacking.damage == []


@pytest.mark.parametrize(
    "name", ["../up", "/root", "a//b", "a\\b", "c:x", "a/../b", "..", "./a", "é"]
)
def test_names_with_tricks_are_refused(name: str) -> None:
    with pytest.raises(BrokenZip, match="plain"):
        read_entries(io.BytesIO(packed({name: b"x"})))


def test_message_ids_make_plain_names() -> None:
    files = {"-a%2Fb+c*d.._1-request-1.asice": b"x", "..a": b"y", "META-INF/": b""}
    assert unpack(packed(files, method=zipfile.ZIP_STORED))[0] == files


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(BrokenZip, match="twice"):
        read_entries(io.BytesIO(packed({"one.xml": b"1", "ONE.xml": b"2"})))


def test_bytes_between_before_and_behind_are_refused() -> None:
    data = packed()
    for damaged in (b"x" + data, data + b"x", data.replace(b"PK\1\2", b"xPK\1\2", 1), data[:-1]):
        with pytest.raises(BrokenZip):
            read_entries(io.BytesIO(damaged))


def test_an_entry_that_the_directory_does_not_know_is_refused() -> None:
    """Readers that go from header to header would see it, others not."""
    data = packed(comment=b"")
    size, start = struct.unpack("<2L", data[-10:-2])
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 1)
    shorter = data[:first] + data[second:]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, size - (second - first), start, 0)
    with pytest.raises(BrokenZip, match="follow"):
        read_entries(io.BytesIO(shorter[:-22] + end))


def test_what_is_no_zip_is_told_apart_from_a_broken_one() -> None:
    for data in (b"", b"hello", b"<xml/>" * 30):
        with pytest.raises(NotAZip):
            read_entries(io.BytesIO(data))
    with pytest.raises(BrokenZip):
        read_entries(io.BytesIO(packed()[:100]))


def test_a_folder_with_a_content_is_refused() -> None:
    with pytest.raises(BrokenZip, match="folder"):
        read_entries(io.BytesIO(packed({"META-INF/": b"x"})))


def test_an_entry_that_reaches_into_the_directory_is_refused() -> None:
    data = bytearray(packed({"one": b"1" * 90}, method=zipfile.ZIP_STORED))
    for place in (18, 22, data.index(b"PK\1\2") + 20, data.index(b"PK\1\2") + 24):
        data[place] += 60
    with pytest.raises(BrokenZip, match="before"):
        read_entries(io.BytesIO(bytes(data)))


def test_too_many_entries_are_refused() -> None:
    files = {f"f{number}": b"" for number in range(MAX_ENTRIES + 1)}
    with pytest.raises(BrokenZip, match="more than"):
        read_entries(io.BytesIO(packed(files)))


def test_a_file_that_grows_beyond_measure_is_refused() -> None:
    with pytest.raises(BrokenZip, match="unpacks to more"):
        read_entries(io.BytesIO(packed({"bomb": b"\0" * (65 * 1024 * 1024)})))


def test_encrypted_entries_and_foreign_methods_are_refused() -> None:
    with pytest.raises(BrokenZip):
        read_entries(io.BytesIO(packed(method=zipfile.ZIP_LZMA)))
    data = bytearray(packed())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(BrokenZip, match="encrypted"):
        read_entries(io.BytesIO(bytes(data)))


def _extra(kind: int, data: bytes) -> bytes:
    return struct.pack("<2H", kind, len(data)) + data


@pytest.mark.parametrize(
    "change",
    [
        lambda info: setattr(info, "create_system", 0 if info.filename == "one.xml" else 3),
        lambda info: setattr(info, "external_attr", len(info.filename)),
        lambda info: setattr(info, "internal_attr", int(info.filename == "one.xml")),
        lambda info: setattr(info, "extra", _extra(0x4242, b"x")),
        lambda info: setattr(info, "extra", b"\x55\x54\x09"),
        lambda info: setattr(info, "extra", _extra(0x5455, b"\1") * 2),
        lambda info: setattr(info, "extra", _extra(0x5455, b"\2abcd")),
        lambda info: setattr(info, "extra", _extra(0x7875, info.filename[:3].encode())),
    ],
    ids=["writer", "rights", "internal", "unknown", "malformed", "twice", "flags", "owners"],
)
def test_fields_that_no_known_writer_leaves_like_that_are_odd(
    change: Callable[[zipfile.ZipInfo], None],
) -> None:
    content, odd = unpack(packed(change=change))
    assert content == FILES
    assert odd


def test_java_writes_the_same_time_in_both_headers() -> None:
    stamp = _extra(0x5455, b"\1" + (1767345300).to_bytes(4, "little"))
    assert unpack(packed(change=lambda info: setattr(info, "extra", stamp)))[1] == []


@given(
    st.integers(0, 700),
    st.integers(0, 60),
    st.lists(
        st.sampled_from([b"PK\1\2", b"PK\3\4", b"PK\5\6", b"\0", b"\xff\xff", b"a", b"\x14\0"]),
        max_size=4,
    ).map(b"".join),
)
def test_any_damaged_file_is_read_or_refused(start: int, length: int, other: bytes) -> None:
    data = packed()
    damaged = data[:start] + other + data[start + length :]
    with contextlib.suppress(MalformedMessage):
        content, odd = unpack(damaged)
        assert odd or content == FILES
