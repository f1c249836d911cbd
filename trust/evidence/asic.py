"""ASiC-E containers: one message with everything that proves it, in one file.

Source: signatures.md 9.1 to 9.3 and 9.5; X-Road 7.8 AsicContainer.java, AsicContainerEntries.java,
AsicContainerNameGenerator.java. Where X-Road does not care we keep to the ASiC standard
(docs/decisions/0010-asic-mimetype-entry.md).
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import quote_plus

from trust.digests import SHA256_URI, SHA384_URI, SHA512_URI
from trust.errors import MalformedMessage
from trust.evidence.manifests import CONTAINER_TYPE, build_asic_manifest, build_manifest
from trust.evidence.zipreader import CONTAINER_COMMENT, Unpacking, ZipEntry, read_entries
from trust.evidence.zipwriters import find_oddities

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = 4 * 1024 * 1024  # signature, chains, time-stamp, manifests

MESSAGE = "message.xml"
SIGNATURE = "META-INF/signatures.xml"
SIGNATURE_CHAIN_RESULT = "sig-hashchainresult.xml"
SIGNATURE_CHAIN = "sig-hashchain.xml"
TIMESTAMP_CHAIN_RESULT = "ts-hashchainresult.xml"
TIMESTAMP_CHAIN = "ts-hashchain.xml"
MANIFEST = "META-INF/manifest.xml"
ASIC_MANIFEST = "META-INF/ASiCManifest.xml"
TIMESTAMP = "META-INF/timestamp.tst"
OLD_SIGNATURE_CHAIN = "hashchain.xml"  # as both files were called once; nothing reads them
OLD_SIGNATURE_CHAIN_RESULT = "hashchainresult.xml"
_MIMETYPE = "mimetype"
_ATTACHMENT = re.compile(r"attachment[1-9][0-9]{0,3}")

_KNOWN = (
    _MIMETYPE, MESSAGE, SIGNATURE, SIGNATURE_CHAIN_RESULT, SIGNATURE_CHAIN, TIMESTAMP_CHAIN_RESULT,
    TIMESTAMP_CHAIN, MANIFEST, ASIC_MANIFEST, TIMESTAMP, OLD_SIGNATURE_CHAIN,
    OLD_SIGNATURE_CHAIN_RESULT,
)  # fmt: skip
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # of ZIP
_LATEST = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A body or attachment: its digests, and its bytes where somebody asked for them."""

    name: str  # `attachment1`
    size: int
    digests: Mapping[str, bytes] = field(repr=False)  # by algorithm URI
    data: bytes | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, number: int, data: bytes) -> "Attachment":
        digests = {uri: hashlib.new(name, data).digest() for uri, name in _DIGESTS.items()}
        return cls(f"attachment{number}", len(data), digests, data)


_DIGESTS = {SHA256_URI: "sha256", SHA384_URI: "sha384", SHA512_URI: "sha512"}


@dataclass(frozen=True, slots=True)
class Packing:
    """What reading a container's file showed beyond its content.

    Attributes:
        manifest, asic_manifest: the tables of contents as they stand.
        old_chain: hash chain files under the names that they had once, by name.
        others: names of entries that no container has.
        damage: sentences about bytes that no known writer leaves like that.
        incomparable: entries packed by a program whose packed form can't be foreseen.
    """

    manifest: bytes | None = field(default=None, repr=False)
    asic_manifest: bytes | None = field(default=None, repr=False)
    old_chain: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    others: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    incomparable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """A message and its evidence, read and not believed.

    Attributes:
        message: SOAP envelope or the text form of a REST message.
        timestamp: a token in a file of its own, as batch time-stamps have it.
        time: of the log record; kept to two seconds, and in a container that was read without zone.
        packing: of a container that was read.
    """

    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signature_chain_result: bytes | None = field(default=None, repr=False)
    signature_chain: bytes | None = field(default=None, repr=False)
    timestamp_chain_result: bytes | None = field(default=None, repr=False)
    timestamp_chain: bytes | None = field(default=None, repr=False)
    timestamp: bytes | None = field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()
    time: datetime = _EARLIEST
    packing: Packing = field(default=Packing(), compare=False)

    def files(self) -> dict[str, bytes]:
        """The entries that a manifest lists, by name, in their order; without attachments."""
        found = {
            MESSAGE: self.message,
            SIGNATURE_CHAIN_RESULT: self.signature_chain_result,
            SIGNATURE_CHAIN: self.signature_chain,
            TIMESTAMP_CHAIN_RESULT: self.timestamp_chain_result,
            TIMESTAMP_CHAIN: self.timestamp_chain,
        }
        return {name: data for name, data in found.items() if data is not None}


def container_name(query_id: str, *, response: bool, record: int) -> str:
    """The file name that X-Road gives a container: message id, direction, record in base 32."""
    if record < 0:
        raise ValueError("records are numbered from 0")
    digits = ""
    while record or not digits:
        record, digit = divmod(record, 32)
        digits = "0123456789abcdefghijklmnopqrstuv"[digit] + digits
    direction = "response" if response else "request"
    return f"{form_encode(query_id)[:226]}-{direction}-{digits}.asice"


def form_encode(text: str) -> str:
    """URL-encode as Java does for forms: letters, digits and `.-*_` stay, a blank becomes `+`."""
    return quote_plus(text, safe="*").replace("~", "%7E")


# --- writing --------------------------------------------------------------------------------------


def build_container(container: Container) -> bytes:
    """The file; the same bytes for the same content and time. Attachments must have their data."""
    target = io.BytesIO()
    write_container(container, target)
    return target.getvalue()


def write_container(
    container: Container, target: BinaryIO, bodies: Mapping[str, Iterable[bytes]] | None = None
) -> None:
    """Write a container to a seekable file, attachments of any size in pieces.

    Args:
        bodies: the bytes of attachments that do not hold them, by attachment name.
    """
    if (container.signature_chain is None) != (container.signature_chain_result is None) or (
        container.timestamp_chain is None
    ) != (container.timestamp_chain_result is None):
        raise ValueError("a hash chain and its result go together")
    listed = container.files()
    manifest = build_manifest([*listed, *(body.name for body in container.attachments)])
    stamp = container.timestamp if container.timestamp_chain_result is not None else None
    asic_manifest = (
        build_asic_manifest(container.timestamp_chain_result)
        if stamp is not None and container.timestamp_chain_result is not None
        else None
    )
    entries: dict[str, bytes | None] = {
        _MIMETYPE: CONTAINER_TYPE.encode(),
        MESSAGE: listed.pop(MESSAGE),
        SIGNATURE: container.signature,
        **listed,
        MANIFEST: manifest,
        ASIC_MANIFEST: asic_manifest,
        TIMESTAMP: container.timestamp,
    }
    with zipfile.ZipFile(target, "w") as archive:
        archive.comment = CONTAINER_COMMENT
        for name, data in entries.items():
            if data is not None:
                _write_entry(archive, name, (data,), container.time)
        for body in container.attachments:
            chunks = (bodies or {}).get(body.name, () if body.data is None else (body.data,))
            written = _write_entry(archive, body.name, chunks, container.time)
            if written != body.size:
                raise ValueError(f"{body.name} has {written} bytes instead of {body.size}")


def _write_entry(
    archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes], time: datetime
) -> int:
    """Write one entry the same way on every platform; returns its size."""
    at = min(max(time.astimezone(UTC), _EARLIEST), _LATEST)
    info = zipfile.ZipInfo(name, (at.year, at.month, at.day, at.hour, at.minute, at.second))
    info.compress_type = zipfile.ZIP_STORED if name == _MIMETYPE else zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, whatever we run on
    info.external_attr = 0o100644 << 16
    size = 0
    with archive.open(info, "w") as entry:
        for chunk in chunks:
            size += entry.write(chunk)
    return size


# --- reading --------------------------------------------------------------------------------------


def parse_container(source: bytes | BinaryIO, *, keep_attachments: bool = False) -> Container:
    """Read a container from bytes or a seekable file, or raise MalformedMessage.

    Attachments are digested in pieces, and kept only if asked. Names count exactly. Codes are those
    of signatures.md 9.3 (`asic_message_not_found`, …), and `asic_invalid_container` for a file that
    is no sound ZIP.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    entries = read_entries(file)
    reading = _Reading(file, {entry.name: entry for entry in entries}, keep_attachments)
    mimetype = reading.text(_MIMETYPE, "asic_mime_type_not_found", needed=True)
    if mimetype != CONTAINER_TYPE.encode():
        raise MalformedMessage("The container is not of type ASiC-E", "asic_invalid_mime_type")
    message = reading.text(MESSAGE, "asic_message_not_found", needed=True)
    signature = reading.text(SIGNATURE, "asic_signature_not_found", needed=True)
    signature_chain = reading.pair(SIGNATURE_CHAIN_RESULT, SIGNATURE_CHAIN)
    timestamp_chain = reading.pair(TIMESTAMP_CHAIN_RESULT, TIMESTAMP_CHAIN)
    timestamp = reading.text(TIMESTAMP, "asic_timestamp_not_found")
    manifest = reading.text(MANIFEST, "asic_manifest_not_found")
    asic_manifest = reading.text(ASIC_MANIFEST, "asic_manifest_not_found")
    old_chain = reading.present(OLD_SIGNATURE_CHAIN, OLD_SIGNATURE_CHAIN_RESULT)
    attachments = reading.attachments()
    others = reading.others()
    return Container(
        message=message or b"",
        signature=signature or b"",
        signature_chain_result=signature_chain[0],
        signature_chain=signature_chain[1],
        timestamp_chain_result=timestamp_chain[0],
        timestamp_chain=timestamp_chain[1],
        timestamp=timestamp,
        attachments=attachments,
        time=_time(entries),
        packing=Packing(
            manifest,
            asic_manifest,
            old_chain,
            others,
            (*reading.damage, *find_oddities(entries)),
            tuple(reading.incomparable),
        ),
    )


class _Reading:
    """One pass over the entries of a container; collects what is odd on the way."""

    def __init__(self, file: BinaryIO, entries: Mapping[str, ZipEntry], keep: bool) -> None:
        self._file = file
        self._entries = entries
        self._keep = keep
        self.damage: list[str] = []
        self.incomparable: list[str] = []

    def text(self, name: str, code: str, *, needed: bool = False) -> bytes | None:
        """A file of the container; refused when it is blank, or needed and absent."""
        entry = self._entries.get(name)
        limit = MAX_MESSAGE_BYTES if name == MESSAGE else MAX_FILE_BYTES
        if entry is None and not needed:
            return None
        if entry is None:
            raise MalformedMessage(f"The container has no {name}", code)
        if entry.size > limit:
            raise MalformedMessage(f"{name} is larger than {limit} bytes", "asic_invalid_container")
        data = b"".join(self._chunks(entry))
        if not data.strip():
            raise MalformedMessage(f"{name} is empty", code)
        return data

    def pair(self, result: str, chain: str) -> tuple[bytes | None, bytes | None]:
        """A hash chain result and its chain, both or none."""
        files = self._entries.keys() & {result, chain}
        return (
            self.text(result, "asic_hash_chain_result_not_found", needed=bool(files)),
            self.text(chain, "asic_hash_chain_not_found", needed=bool(files)),
        )

    def present(self, *names: str) -> dict[str, bytes]:
        """Those of the files that are there, by name."""
        found = {name: self.text(name, "asic_invalid_container") for name in names}
        return {name: data for name, data in found.items() if data is not None}

    def attachments(self) -> tuple[Attachment, ...]:
        """The attachments in the order of their numbers."""
        entries = [entry for name, entry in self._entries.items() if _ATTACHMENT.fullmatch(name)]
        return tuple(
            self._attachment(entry)
            for entry in sorted(entries, key=lambda entry: (len(entry.name), entry.name))
        )

    def _attachment(self, entry: ZipEntry) -> Attachment:
        digests = {uri: hashlib.new(name) for uri, name in _DIGESTS.items()}
        kept = []
        for chunk in self._chunks(entry):
            for digest in digests.values():
                digest.update(chunk)
            if self._keep:
                kept.append(chunk)
        return Attachment(
            entry.name,
            entry.size,
            {uri: digest.digest() for uri, digest in digests.items()},
            b"".join(kept) if self._keep else None,
        )

    def others(self) -> tuple[str, ...]:
        """Entries that no container has; they are read to the end as well, for their checksums."""
        names = []
        for name, entry in self._entries.items():
            if name not in _KNOWN and not _ATTACHMENT.fullmatch(name):
                for _ in self._chunks(entry):
                    pass
                if name != "META-INF/":
                    names.append(name)
        return tuple(names)

    def _chunks(self, entry: ZipEntry) -> Iterable[bytes]:
        unpacking = Unpacking(self._file, entry)
        yield from unpacking.chunks()
        self.damage += unpacking.damage
        if not unpacking.comparable:
            self.incomparable.append(entry.name)


def _time(entries: Sequence[ZipEntry]) -> datetime:
    """The first entry's time as it stands; ZIP knows no zone, ours is UTC."""
    date, time = entries[0].time >> 16, entries[0].time & 0xFFFF
    try:
        return datetime(
            1980 + (date >> 9), date >> 5 & 15, date & 31,
            time >> 11, time >> 5 & 63, (time & 31) * 2, tzinfo=UTC,
        )  # fmt: skip
    except ValueError:
        return _EARLIEST
