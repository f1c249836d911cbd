"""The last entry of an archive file: what chains its containers, and the files to one another.

    <previous digest or -> <previous file name or -> SHA-512
    <digest 1> <file 1>
    <digest 2> <file 2>

Every digest is over the digest before it and the container's own, both as lower-case hexadecimal
text. The first of a file continues the last of the file before it.

Source: signatures.md 11.2; X-Road 7.8 LinkingInfoBuilder.java, LinkingInfo.java. X-Road's reader
splits lines at any white space, so that a member code with a blank in it breaks its first line; the
file name is here what stands between the first blank and the last.
"""

import hashlib
import re
from dataclasses import dataclass, field

from trust.errors import MalformedMessage

LINKING_INFO = "linkinginfo"
MAX_CONTAINERS = 65_000  # in one file: what a ZIP file can hold without extensions
MAX_LINKING_BYTES = 32 << 20
ALGORITHM = "SHA-512"  # for new files

_NAMES = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_HEX = re.compile(r"[0-9a-f]+")
_LONGEST_NAME = 512
_NOTHING = "-"


class MalformedLinkingInfo(MalformedMessage):
    """The text does not say how an archive's containers are chained."""

    code = "archive_malformed_linking_info"


@dataclass(frozen=True, slots=True)
class ArchiveEnd:
    """Where an archive file ends and the next one goes on.

    Attributes:
        digest: the last digest, in hexadecimal; empty before the first file.
        file: the file's name; empty before the first file.
    """

    digest: str
    file: str


START = ArchiveEnd("", "")  # before the first file of a group


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A container and the digest that it has in the chain."""

    digest: str
    name: str


@dataclass(frozen=True, slots=True)
class LinkingInfo:
    """What an archive file says about its containers, read and not believed."""

    previous: ArchiveEnd
    algorithm: str
    files: tuple[LinkedFile, ...] = field(repr=False)

    @property
    def last_digest(self) -> str:
        return self.files[-1].digest

    @classmethod
    def parse(cls, raw: bytes) -> "LinkingInfo":
        """Read the text, or raise MalformedLinkingInfo; no name stands in it twice."""
        if len(raw) > MAX_LINKING_BYTES:
            raise MalformedLinkingInfo(f"It is larger than {MAX_LINKING_BYTES} bytes")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise MalformedLinkingInfo("It is no UTF-8 text") from error
        first, *lines = text.removesuffix("\n").split("\n")
        if not 0 < len(lines) <= MAX_CONTAINERS:
            raise MalformedLinkingInfo(f"It names no container, or more than {MAX_CONTAINERS}")
        previous, algorithm = _parse_first(first.removesuffix("\r"))
        size = 2 * hashlib.new(_NAMES[algorithm]).digest_size
        if previous.digest:
            _check_digest(previous.digest, size, 1)
        files = []
        for number, line in enumerate(lines, 2):
            digest, blank, name = line.removesuffix("\r").partition(" ")
            if not blank or not name or " " in name or len(name) > _LONGEST_NAME:
                raise MalformedLinkingInfo(f"Line {number} is no digest with a file name")
            _check_digest(digest, size, number)
            files.append(LinkedFile(digest, name))
        if len({each.name for each in files}) != len(files):
            raise MalformedLinkingInfo("It names a container twice")
        return cls(previous, algorithm, tuple(files))

    def build(self) -> bytes:
        """The text as X-Road writes it."""
        previous = f"{self.previous.digest or _NOTHING} {self.previous.file or _NOTHING}"
        lines = [f"{previous} {self.algorithm}"]
        lines += [f"{each.digest} {each.name}" for each in self.files]
        return "\n".join([*lines, ""]).encode()


def next_digest(previous: str, container_digest: bytes, algorithm: str = ALGORITHM) -> str:
    """The digest of a container in the chain, after the one before it; "" before the first.

    Args:
        container_digest: of the container's bytes, by the same algorithm.
    """
    joined = previous + container_digest.hex()
    return hashlib.new(_NAMES[algorithm], joined.encode("ascii")).hexdigest()


def hash_name(algorithm: str) -> str:
    """The hashlib name of an algorithm that a LinkingInfo has."""
    return _NAMES[algorithm]


def _parse_first(line: str) -> tuple[ArchiveEnd, str]:
    digest, _, rest = line.partition(" ")
    name, _, algorithm = rest.rpartition(" ")
    if not digest or not name or len(name) > _LONGEST_NAME:
        raise MalformedLinkingInfo("Line 1 does not name the file before and the algorithm")
    if algorithm not in _NAMES:
        raise MalformedLinkingInfo(f"Line 1 names none of the algorithms {', '.join(_NAMES)}")
    if (digest == _NOTHING) != (name == _NOTHING):
        raise MalformedLinkingInfo("Line 1 has half of what names the file before")
    return START if digest == _NOTHING else ArchiveEnd(digest, name), algorithm


def _check_digest(text: str, size: int, line: int) -> None:
    if len(text) != size or not _HEX.fullmatch(text):
        raise MalformedLinkingInfo(f"Line {line} has no digest of {size} hexadecimal digits")
