"""Receipts: everything that proves one exchange, in one file.

    mimetype                                    of receipts
    receipt.json                                what is in the file, each entry by its SHA-512
    exchange.json                               who asked for what, by which right, as a node says
    request.asice, response.asice               as that node holds them; stored, not packed again
    verificationconf/instance-identifier        the trust list to judge them by, in X-Road's layout
    verificationconf/<instance>/shared-params.xml, and .metadata beside it
    signed/<instance>/directory                 how that instance's part of the list was signed
    log/request.proof, log/response.proof       that the records are in the node's log
    log/key.asice                               whose log it is: its owner's announcement

The request and the trust list must be there, all else may be missing. The order is fixed and times
are left out, so that the same parts give the same bytes. Reading is as strict as that of
containers.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Self

from trust.errors import MalformedMessage
from trust.evidence.zipreader import (
    STORED,
    Unpacking,
    ZipBounds,
    ZipEntry,
    read_entries,
)
from trust.evidence.zipwriters import find_oddities

RECEIPT_TYPE = "application/vnd.sacbe.receipt+zip"
RECEIPT_SUFFIX = ".receipt"
INVALID_RECEIPT = "invalid_receipt"
INCONSISTENT = "inconsistent_receipt"

MIMETYPE = "mimetype"
MANIFEST = "receipt.json"
EXCHANGE = "exchange.json"
REQUEST = "request.asice"
RESPONSE = "response.asice"
REQUEST_PROOF = "log/request.proof"
RESPONSE_PROOF = "log/response.proof"
LOG_KEY = "log/key.asice"
CONFIGURATION = "verificationconf/"
SIGNED = "signed/"

FORM = "sacbe receipt 1"
MAX_JSON_BYTES = 256 * 1024
MAX_ENTRY_BYTES = 32 * 1024 * 1024  # of all but containers
MAX_FILES_BYTES = 128 * 1024 * 1024  # of those together
_BOUNDS = ZipBounds(entries=256)
_EARLIEST = (1980, 1, 1, 0, 0, 0)
_DIGEST = re.compile(r"[0-9a-f]{128}")
_CHUNK = 64 * 1024
_LARGEST_NUMBER = 2**53 - 1  # beyond it JavaScript has no whole numbers


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt as it was read: whole and what its manifest says, and nothing in it believed.

    Attributes:
        files: the small entries by name, without `mimetype` and `receipt.json`.
        request, response: the containers' bytes, seekable, where they lie in the file; there is no
            response when the node has none.
        issuer: the node that says to have made it, in path form; whose log the proofs are of.
        without_proof: why there is none, as that node says; empty when there is one.
        damage: sentences about bytes that no writer leaves like that.
    """

    files: Mapping[str, bytes] = field(repr=False)
    request: BinaryIO = field(repr=False)
    response: BinaryIO | None = field(repr=False)
    issuer: str
    without_proof: str
    damage: tuple[str, ...] = ()

    def below(self, folder: str) -> dict[str, bytes]:
        """The small entries of a folder, by their names in it."""
        return {
            name.removeprefix(folder): data
            for name, data in self.files.items()
            if name.startswith(folder)
        }


def is_receipt(file: BinaryIO) -> bool:
    """Whether the file begins as a receipt does, so that it is judged as one."""
    file.seek(0)
    start = file.read(30 + len(MIMETYPE) + len(RECEIPT_TYPE))
    return start[:4] == b"PK\3\4" and start[30:] == (MIMETYPE + RECEIPT_TYPE).encode()


def to_json(value: object) -> bytes:
    """The one spelling of a JSON text in a receipt."""
    return (json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def from_json(raw: bytes, name: str) -> dict[str, object]:
    """Read an object in that one spelling; raises MalformedMessage for any other.

    Refused as well is what readers in other languages take for something else: fractions, numbers
    beyond 2^53, members that are named by a number.
    """
    try:
        found = json.loads(
            raw.decode("utf-8"),
            parse_float=_no_number,
            parse_int=_whole_number,
            object_pairs_hook=_object,
        )
        if isinstance(found, dict) and to_json(found) == raw:
            return found
    except (ValueError, RecursionError):
        pass
    raise _invalid(f"{name} is no JSON object as receipts have it")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no whole number")


def _whole_number(text: str) -> int:
    number = int(text[:20])
    if abs(number) > _LARGEST_NUMBER:
        raise ValueError(f"{text[:20]} is too large")
    return number


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs) or any(name.isdecimal() for name in found):
        raise ValueError("a member twice, or one that is named by a number")
    return found


def _invalid(text: str) -> MalformedMessage:
    return MalformedMessage(text, INVALID_RECEIPT)


# --- writing --------------------------------------------------------------------------------------


def write_receipt(
    target: BinaryIO,
    request: BinaryIO,
    response: BinaryIO | None,
    files: Mapping[str, bytes],
    *,
    issuer: str,
    without_proof: str = "",
) -> None:
    """Write a receipt to a seekable file; containers are read twice and never held whole.

    Args:
        files: the further entries by name; all but the containers and the manifest.
        without_proof: why there is no proof of the records in the log; said in the manifest.
    """
    containers = {REQUEST: request} | ({} if response is None else {RESPONSE: response})
    small = {name: files[name] for name in sorted(files, key=_place)}
    digests = {name: hashlib.sha512(data).hexdigest() for name, data in small.items()}
    digests |= {name: _digest(_pieces(file)) for name, file in containers.items()}
    order = [
        *(n for n in small if n == EXCHANGE),
        *containers,
        *(n for n in small if n != EXCHANGE),
    ]
    manifest: dict[str, object] = {"form": FORM, "issuer": issuer}
    if without_proof:
        manifest["without_proof"] = without_proof
    manifest["files"] = [{"name": name, "sha512": digests[name]} for name in order]
    with zipfile.ZipFile(target, "w") as archive:
        _write_entry(archive, MIMETYPE, (RECEIPT_TYPE.encode(),), packed=False)
        _write_entry(archive, MANIFEST, (to_json(manifest),))
        for name in order:
            if name in containers:
                _write_entry(archive, name, _pieces(containers[name]), packed=False)
            else:
                _write_entry(archive, name, (small[name],))


_ORDER = (
    re.compile(re.escape(EXCHANGE)),
    re.compile(re.escape(CONFIGURATION) + r"(?:[^/]+/)?[^/]+"),
    re.compile(re.escape(SIGNED) + r"[^/]+/directory"),
    re.compile("|".join(map(re.escape, (REQUEST_PROOF, RESPONSE_PROOF, LOG_KEY)))),
)


def _place(name: str) -> tuple[int, str]:
    for place, pattern in enumerate(_ORDER):
        if pattern.fullmatch(name):
            return place, name
    raise ValueError(f"{name} has no place in a receipt")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_CHUNK):
        yield piece


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha512()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _write_entry(
    archive: zipfile.ZipFile, name: str, pieces: Iterable[bytes], *, packed: bool = True
) -> None:
    info = zipfile.ZipInfo(name, _EARLIEST)
    info.compress_type = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    info.create_system = 3  # Unix, whatever we run on
    info.external_attr = 0o100644 << 16
    with archive.open(info, "w") as entry:
        for piece in pieces:
            entry.write(piece)


# --- reading --------------------------------------------------------------------------------------


class _Stretch(io.RawIOBase):
    """A stretch of a file, read as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size = file, start, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what it is given
        wanted = min(len(buffer), max(0, self._size - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@dataclass(frozen=True, slots=True)
class _Manifest:
    issuer: str
    without_proof: str
    digests: Mapping[str, str]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        found = from_json(raw, MANIFEST)
        files = found.get("files")
        issuer, reason = found.get("issuer"), found.get("without_proof", "")
        if (
            found.get("form") != FORM
            or not isinstance(issuer, str)
            or not isinstance(reason, str)
            or found.keys() - {"form", "issuer", "without_proof", "files"}
            or not isinstance(files, list)
        ):
            raise _invalid(f"{MANIFEST} is not of the form {FORM!r}")
        return cls(issuer, reason, dict(map(_listed, files)))


def _listed(item: object) -> tuple[str, str]:
    if isinstance(item, dict) and item.keys() == {"name", "sha512"}:
        name, digest = item["name"], item["sha512"]
        if isinstance(name, str) and isinstance(digest, str) and _DIGEST.fullmatch(digest):
            return name, digest
    raise _invalid(f"{MANIFEST} lists something that is no file")


def parse_receipt(file: BinaryIO) -> Receipt:
    """Read a receipt from a seekable file, or raise MalformedMessage.

    Codes: `invalid_receipt`, and `asic_invalid_container` for a file that is no sound ZIP. The
    file must stay open as long as the containers are read.
    """
    entries = read_entries(file, _BOUNDS)
    _check_sizes(entries)
    reading = _Reading(file, entries)
    if reading.small(MIMETYPE) != RECEIPT_TYPE.encode():
        raise _invalid("The file is no receipt")
    manifest = _Manifest.parse(reading.small(MANIFEST))
    names = [entry.name for entry in entries]
    if names != [MIMETYPE, MANIFEST, *manifest.digests]:
        raise _invalid(f"{MANIFEST} lists other entries than the file has")
    containers: dict[str, BinaryIO] = {}
    files: dict[str, bytes] = {}
    for name, stated in manifest.digests.items():
        if name in (REQUEST, RESPONSE):
            found, containers[name] = reading.container(name)
        else:
            files[name] = reading.small(name)
            found = hashlib.sha512(files[name]).hexdigest()
        if found != stated:
            raise _invalid(f"{name} is not the one that {MANIFEST} lists")
    _check_complete(files, containers)
    return Receipt(
        files=files,
        request=containers[REQUEST],
        response=containers.get(RESPONSE),
        issuer=manifest.issuer,
        without_proof=manifest.without_proof,
        damage=(*reading.damage, *find_oddities(entries)),
    )


def _check_sizes(entries: Sequence[ZipEntry]) -> None:
    small = [entry for entry in entries if entry.name not in (REQUEST, RESPONSE)]
    if sum(entry.size for entry in small) > MAX_FILES_BYTES:
        raise _invalid(f"The receipt holds more than {MAX_FILES_BYTES} bytes besides containers")
    for entry in small:
        limit = MAX_JSON_BYTES if entry.name.endswith(".json") else MAX_ENTRY_BYTES
        if entry.size > limit:
            raise _invalid(f"{entry.name} is larger than {limit} bytes")


def _check_complete(files: Mapping[str, bytes], containers: Mapping[str, object]) -> None:
    if REQUEST not in containers:
        raise _invalid(f"The receipt has no {REQUEST}")
    for name in files:
        try:
            _place(name)
        except ValueError as error:
            raise _invalid(str(error)) from error
    if RESPONSE_PROOF in files and RESPONSE not in containers:
        raise _invalid(f"The receipt has {RESPONSE_PROOF} and no {RESPONSE}")


class _Reading:
    """One pass over the entries; collects what is odd on the way."""

    def __init__(self, file: BinaryIO, entries: Sequence[ZipEntry]) -> None:
        self._file = file
        self._entries = {entry.name: entry for entry in entries}
        self.damage: list[str] = []

    def small(self, name: str) -> bytes:
        if name not in self._entries:
            raise _invalid(f"The receipt has no {name}")
        return b"".join(self._unpacked(self._entries[name]))

    def container(self, name: str) -> tuple[str, BinaryIO]:
        """The digest of a container and the bytes where they lie."""
        entry = self._entries[name]
        if entry.method != STORED:
            raise _invalid(f"{name} is packed, which containers in receipts are not")
        digest = _digest(self._unpacked(entry))
        return digest, io.BufferedReader(_Stretch(self._file, entry.start, entry.size))

    def _unpacked(self, entry: ZipEntry) -> Iterator[bytes]:
        unpacking = Unpacking(self._file, entry)
        yield from unpacking.chunks()
        self.damage += unpacking.damage
