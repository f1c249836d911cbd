"""Service paths: how they are read when access is judged, and the patterns they match.

A path is forwarded exactly as it came, so the provider's system may read it in more than one way:
`%2F` as a slash or as data, `//` as one slash or two, `;parameters` of a segment as part of it or
not, a backslash as itself or as a slash. Access is granted only when every such reading is granted,
and a path that any system might resolve to another one (dot segments, however they are encoded) is
never granted.

Source: messages.md 8.2; design.md 3 step 1; X-Road 7.8 PathGlob.java, UriUtils.java and its fix
XRDDEV-3054 (7.7.1), which judges the decoded, normalised path alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from trust.errors import MalformedMessage

MAX_PATTERN_LENGTH = 2048
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_STRAY = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_RAW_PARAMETERS = re.compile(rb";[^/]*")  # cut before decoding, as servlet containers do
_PARAMETERS = re.compile(";[^/]*")
_SEPARATORS = re.compile(r"[/\\]")
_MAX_DECODINGS = 4  # how often a system behind systems might decode


@dataclass(frozen=True, slots=True)
class ServicePath:
    """The part of a request path behind the service code: empty, or from a slash on.

    Attributes:
        raw: as received.
        readings: the decoded forms that all must be granted; empty when no right can grant it.
    """

    raw: str
    readings: tuple[str, ...]

    @classmethod
    def parse(cls, raw: str) -> Self:
        """Read a raw service path; raises MalformedMessage for bad percent-encoding."""
        data = _encoded(raw)
        if _climbs(data):
            return cls(raw, ())
        readings: list[str] = []
        for form in (data, _RAW_PARAMETERS.sub(b"", data)):
            readings += _readings(_decode(form))
            readings += _readings(_text(_ESCAPE.sub(_keep_slash, form)))
        return cls(raw, tuple(dict.fromkeys(readings)))


def _readings(text: str) -> list[str]:
    """What a decoded path becomes by the ways of systems, one after another in every order."""
    found = dict.fromkeys((_merge(text), text))
    waiting = list(found)
    while waiting:
        reading = waiting.pop()
        for other in (_PARAMETERS.sub("", reading), reading.replace("\\", "/"), _merge(reading)):
            if other not in found:
                found[other] = None
                waiting.append(other)
    return list(found)


def _merge(text: str) -> str:
    return re.sub("/{2,}", "/", text)


def _encoded(raw: str) -> bytes:
    try:
        data = raw.encode("ascii")
    except UnicodeEncodeError as error:
        raise MalformedMessage("Invalid character in path segment", "internal_error") from error
    if _STRAY.search(data):
        raise MalformedMessage("Invalid percent encoding", "internal_error")
    return data


def _keep_slash(match: re.Match[bytes]) -> bytes:
    byte = bytes.fromhex(match[1].decode())
    return b"%2F" if byte == b"/" else byte


def _unescape(data: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), data)


def _decode(data: bytes) -> str:
    return _text(_unescape(data))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:  # overlong forms of `.` and `/` among them
        raise MalformedMessage("Invalid percent encoding", "internal_error") from error


def _climbs(data: bytes) -> bool:
    """Whether some decoding holds a dot segment or a NUL.

    Servlet containers cut `;parameters` off a segment before they resolve dots, and some systems
    take a backslash for a slash.
    """
    for _ in range(_MAX_DECODINGS):
        text = data.decode("latin-1")
        segments = (part.partition(";")[0] for part in _SEPARATORS.split(text))
        if "\0" in text or any(segment in (".", "..") for segment in segments):
            return True
        decoded = _unescape(data)
        if decoded == data:
            return False
        data = decoded
    return True  # still encoded after so many rounds: nobody sends that honestly


@dataclass(frozen=True, slots=True)
class PathGlob:
    r"""A pattern for paths: `*` is any run inside a segment, `**` any run; `\*` and `\\` escape.

    Matching keeps the set of all positions in the pattern that the text so far may have reached,
    as bits of one number: work grows with text times pattern, whatever they hold.

    X-Road's own `*` is greedy to the end of the segment, so that `/a*b` matches nothing there; we
    follow the documented meaning.
    """

    pattern: str
    _letters: Mapping[str, int] = field(repr=False, compare=False)  # bit i: token i is this letter
    _star: int = field(repr=False, compare=False)  # bit i: token i is `*`
    _double: int = field(repr=False, compare=False)  # bit i: token i is `**`
    _end: int = field(repr=False, compare=False)

    @classmethod
    def parse(cls, pattern: str) -> Self:
        """Read a pattern; raises ValueError when it is longer than MAX_PATTERN_LENGTH."""
        if len(pattern) > MAX_PATTERN_LENGTH:
            raise ValueError(f"a path pattern has at most {MAX_PATTERN_LENGTH} characters")
        letters: dict[str, int] = {}
        star = double = 0
        bit = 1
        for piece in re.findall(r"\\[*\\]|\*+|.", pattern, re.DOTALL):
            if piece == "*":
                star |= bit
            elif piece.startswith("**"):
                double |= bit
            else:
                letters[piece[-1]] = letters.get(piece[-1], 0) | bit
            bit <<= 1
        return cls(pattern, letters, star, double, bit)

    def matches(self, path: str) -> bool:
        any_run = self._star | self._double
        reached = 1
        for letter in path:
            reached |= (reached & any_run) << 1  # a run may be empty; no two runs are neighbours
            stay = reached & (self._double if letter == "/" else any_run)
            reached = stay | (reached & self._letters.get(letter, 0)) << 1
            if not reached:
                return False
        reached |= (reached & any_run) << 1
        return bool(reached & self._end)
