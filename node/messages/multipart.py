"""Multipart bodies as streams: bytes exact, split anywhere, bounded.

    message   = [preamble line-end] delimiter line-end part *(line-end delimiter line-end part)
                line-end delimiter "--" [epilogue]
    delimiter = "--" boundary

A part's body is what stands between its header block and the line end in front of the next
delimiter; nothing inside it is decoded. Reader and writer are pure: bytes in, events or bytes out.

Source: transport.md 4; RFC 2046 5.1; X-Road 7.8 MultipartEncoder.java; mime4j 0.8 for the limits
and for what counts as a delimiter.
"""

import re
import secrets
import string
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto

from trust.errors import MalformedMessage

BOUNDARY_PREFIX = "xtop"
ATTACHMENTS_PREFIX = "xatt"  # of the multipart inside, for the attachments of a SOAP message
_BOUNDARY_LETTERS = 30
_LETTER_OF_BYTE = (string.ascii_letters.encode() * 5)[:256]  # 5.7 bits in each letter
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LF, _CR = 0x0A, 0x0D
_AFTER_DELIMITER = b"\r\n\t -"  # anything else makes it content, as for mime4j
_MAX_PADDING = 200  # white space after a delimiter, in bytes


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """What a multipart message may cost before it is refused; mime4j's defaults where it has any.

    Attributes:
        line: bytes of one header line without its end.
        field: bytes of one header field with its continuation lines.
        fields: header fields of one part.
        head: bytes of one part's whole header block.
        heads: bytes of all header blocks together; they are kept while the message is.
        parts: parts of one message.
        around: bytes before the first and after the last delimiter; they belong to no part, and
            nobody reads them.
    """

    line: int = 1000
    field: int = 10_000
    fields: int = 1000
    head: int = 65_536
    heads: int = 1024 * 1024
    parts: int = 1000
    around: int = 64 * 1024


@dataclass(frozen=True, slots=True)
class PartHead:
    """The header fields of a part that begins, in order, values unfolded and trimmed."""

    fields: tuple[tuple[str, str], ...]

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a field; the name is compared without case."""
        return tuple(value for key, value in self.fields if key.lower() == name)

    def content_type(self) -> str:
        """The one content type; two of them would let two readers disagree.

        Raises:
            MalformedMessage: `invalid_content_type`.
        """
        values = self.values("content-type")
        if len(values) != 1:
            raise MalformedMessage("Could not get content type for part", "invalid_content_type")
        return values[0]

    def others(self) -> tuple[tuple[str, str], ...]:
        """The fields besides the content type."""
        return tuple(field for field in self.fields if field[0].lower() != "content-type")


@dataclass(frozen=True, slots=True)
class PartData:
    """The next bytes of the current part's body, never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The current part is complete."""


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """The closing delimiter was read."""


MultipartEvent = PartHead | PartData | PartEnd | MessageEnd


class _State(Enum):
    PREAMBLE_START = auto()
    PREAMBLE = auto()
    DELIMITER = auto()  # behind "--boundary", before the end of that line
    FIELDS = auto()
    BODY_START = auto()
    BODY = auto()
    EPILOGUE = auto()


def _broken(text: str) -> MalformedMessage:
    return MalformedMessage(text, "mime_parsing_failed")


class MultipartReader:
    """Reads one multipart message that arrives in pieces of any size.

    `feed` gives the events that the bytes so far decide; `close` says that no more will come.
    After an error the reader is of no further use.
    """

    def __init__(self, boundary: str, limits: MultipartLimits | None = None) -> None:
        """Prepare for a message whose content type names `boundary`, 1 to 70 characters."""
        if not _BOUNDARY.fullmatch(boundary):
            raise MalformedMessage("Invalid multipart boundary", "invalid_content_type")
        self._delimiter = b"\n--" + boundary.encode("ascii")
        self._limits = limits or MultipartLimits()
        self._state = _State.PREAMBLE_START
        self._held = b""
        self._around = 0
        self._parts = 0
        self._fields: list[tuple[str, str]] = []
        self._field = b""  # the last field, still open to continuation lines
        self._head_size = 0
        self._heads_size = 0
        self._steps = {
            _State.PREAMBLE_START: self._first_delimiter,
            _State.PREAMBLE: self._content,
            _State.DELIMITER: self._delimiter_line,
            _State.FIELDS: self._field_line,
            _State.BODY_START: self._first_delimiter,
            _State.BODY: self._content,
            _State.EPILOGUE: self._epilogue,
        }

    @property
    def begun(self) -> bool:
        """Whether a first delimiter was read."""
        return self._state not in (_State.PREAMBLE_START, _State.PREAMBLE)

    @property
    def ended(self) -> bool:
        return self._state is _State.EPILOGUE

    def feed(self, data: bytes) -> list[MultipartEvent]:
        """Take the next bytes; raises MalformedMessage (`mime_parsing_failed`)."""
        events: list[MultipartEvent] = []
        buffer = self._held + data if self._held else data
        at = 0
        while True:
            state = self._state
            reached = self._steps[state](buffer, at, events)
            if reached == at and self._state is state:
                break
            at = reached
        self._held = buffer[at:]
        return events

    def close(self) -> None:
        """Say that the stream ended; raises MalformedMessage without the closing delimiter.

        X-Road takes such a message over a connection that ends by closing; we don't, for it may
        have been cut (transport.md 19 row 55).
        """
        if not self.ended:
            raise _broken("The multipart message ends without its closing delimiter")

    # Each step reads `buffer` from `at` on and returns how far it came. No progress and the same
    # state mean that more bytes are needed.

    def _first_delimiter(self, buffer: bytes, at: int, events: list[MultipartEvent]) -> int:
        """Where a body or preamble may begin, a delimiter needs no line end in front."""
        wanted = self._delimiter[1:]
        window = buffer[at : at + len(wanted) + 1]
        if len(window) <= len(wanted) and wanted.startswith(window):
            return at
        if window.startswith(wanted) and window[-1] in _AFTER_DELIMITER:
            self._found(events)
            return at + len(wanted)
        body = self._state is _State.BODY_START
        self._state = _State.BODY if body else _State.PREAMBLE
        return at

    def _content(self, buffer: bytes, at: int, events: list[MultipartEvent]) -> int:
        delimiter = self._delimiter
        found = buffer.find(delimiter, at)
        while found >= 0:
            after = found + len(delimiter)
            if after == len(buffer):
                break
            if buffer[after] in _AFTER_DELIMITER:
                self._emit(buffer, at, self._line_end(buffer, found, at), events)
                self._found(events)
                return after
            found = buffer.find(delimiter, found + 1)
        safe = self._safe(buffer, at) if found < 0 else self._line_end(buffer, found, at)
        self._emit(buffer, at, safe, events)
        return safe

    def _safe(self, buffer: bytes, at: int) -> int:
        """Up to where the buffer can't belong to a delimiter that goes on in the next piece."""
        delimiter = self._delimiter
        line = buffer.find(b"\n", max(at, len(buffer) - len(delimiter) + 1))
        while line >= 0:
            if delimiter.startswith(buffer[line:]):
                return self._line_end(buffer, line, at)
            line = buffer.find(b"\n", line + 1)
        size = len(buffer)
        return size - 1 if size > at and buffer[size - 1] == _CR else size

    @staticmethod
    def _line_end(buffer: bytes, line_feed: int, at: int) -> int:
        """Where the line end begins whose LF stands at `line_feed`: there, or at a CR before."""
        crlf = line_feed > at and buffer[line_feed - 1] == _CR
        return line_feed - 1 if crlf else line_feed

    def _emit(self, buffer: bytes, start: int, end: int, events: list[MultipartEvent]) -> None:
        if start == end:
            return
        if self._state is _State.BODY:
            whole = start == 0 and end == len(buffer)
            events.append(PartData(buffer if whole else buffer[start:end]))
        else:
            self._skip(end - start)

    def _skip(self, count: int) -> None:
        self._around += count
        if self._around > self._limits.around:
            raise _broken(f"More than {self._limits.around} bytes stand outside all parts")

    def _found(self, events: list[MultipartEvent]) -> None:
        if self._state in (_State.BODY, _State.BODY_START):
            events.append(PartEnd())
        self._state = _State.DELIMITER

    def _delimiter_line(self, buffer: bytes, at: int, events: list[MultipartEvent]) -> int:
        rest = buffer[at : at + _MAX_PADDING]
        if rest[:1] == b"-":
            if len(rest) < 2:
                return at
            if rest[1:2] != b"-":
                raise _broken("A delimiter line holds more than the delimiter")
            self._state = _State.EPILOGUE
            self._around = 0
            events.append(MessageEnd())
            return at + 2
        line_feed = rest.find(b"\n")
        if rest[: line_feed if line_feed >= 0 else None].strip(b" \t\r"):
            raise _broken("A delimiter line holds more than the delimiter")
        if line_feed < 0:
            if len(rest) == _MAX_PADDING:
                raise _broken("A delimiter line does not end")
            return at
        self._begin_part()
        return at + line_feed + 1

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise _broken(f"The message has more than {self._limits.parts} parts")
        self._fields = []
        self._field = b""
        self._head_size = 0
        self._state = _State.FIELDS

    def _field_line(self, buffer: bytes, at: int, events: list[MultipartEvent]) -> int:
        line_feed = buffer.find(b"\n", at, at + self._limits.line + 2)
        if line_feed < 0:
            if len(buffer) - at > self._limits.line + 1:
                raise _broken(f"A header line is longer than {self._limits.line} bytes")
            return at
        self._take_line(buffer[at:line_feed].removesuffix(b"\r"), events)
        self._head_size += line_feed + 1 - at
        if self._head_size > self._limits.head:
            raise _broken(f"The header of a part is larger than {self._limits.head} bytes")
        self._heads_size += line_feed + 1 - at
        if self._heads_size > self._limits.heads:
            raise _broken(f"The headers of all parts are larger than {self._limits.heads} bytes")
        return line_feed + 1

    def _take_line(self, line: bytes, events: list[MultipartEvent]) -> None:
        if line[:1] in (b" ", b"\t"):
            if not self._field:
                raise _broken("The header of a part begins with a continuation line")
            self._field += line
            if len(self._field) > self._limits.field:
                raise _broken(f"A header field is longer than {self._limits.field} bytes")
            return
        if self._field:
            self._fields.append(_parse_field(self._field))
            if len(self._fields) > self._limits.fields:
                raise _broken(f"A part has more than {self._limits.fields} header fields")
        self._field = line
        if not line:
            events.append(PartHead(tuple(self._fields)))
            self._state = _State.BODY_START

    def _epilogue(self, buffer: bytes, at: int, events: list[MultipartEvent]) -> int:
        self._skip(len(buffer) - at)
        return len(buffer)


def _parse_field(raw: bytes) -> tuple[str, str]:
    """Split `name: value`; ISO-8859-1, so that every byte has a character."""
    name, colon, value = raw.decode("latin-1").partition(":")
    name = name.rstrip(" \t")
    value = value.strip(" \t")
    if not colon or not _FIELD_NAME.fullmatch(name):
        raise _broken("A header field of a part has no name")
    if _CONTROL.search(value):
        raise _broken(f"The header field {name} of a part holds a control character")
    return name, value


def new_boundary(prefix: str = BOUNDARY_PREFIX) -> str:
    """A boundary that no content holds: the prefix and 30 letters, about 170 bits."""
    letters = secrets.token_bytes(_BOUNDARY_LETTERS).translate(_LETTER_OF_BYTE)
    return prefix + letters.decode("ascii")


class MultipartWriter:
    """Writes the delimiters and header blocks; bodies go between them as they are.

    writer.open_part("application/ocsp-response") + body + writer.open_part(…) + … + close()
    """

    def __init__(self, boundary: str, *, spaced: bool = True) -> None:
        """Begin a message.

        Args:
            spaced: whether a space stands between `content-type:` and its value. X-Road writes
                SOAP messages with attachments without it, and programs look for that.
        """
        if not _BOUNDARY.fullmatch(boundary):
            raise MalformedMessage("Invalid multipart boundary", "invalid_content_type")
        self._delimiter = b"--" + boundary.encode("ascii")
        self._colon = ": " if spaced else ":"
        self._line_end = b""

    def open_part(self, content_type: str, fields: Iterable[tuple[str, str]] = ()) -> bytes:
        """What stands in front of a part's body, the line end after the previous one included.

        Raises:
            MalformedMessage: a field can't be written in ISO-8859-1 or would add another one.
        """
        first = _field_line("content-type", content_type, self._colon)
        lines = [self._line_end + self._delimiter, first]
        lines += [_field_line(name, value, ": ") for name, value in fields]
        self._line_end = b"\r\n"
        return b"\r\n".join([*lines, b"", b""])

    def close(self) -> bytes:
        """The closing delimiter, with the line end after the last part."""
        return b"\r\n" + self._delimiter + b"--\r\n"


def _field_line(name: str, value: str, colon: str) -> bytes:
    try:
        line = f"{name}{colon}{value}".encode("latin-1")
    except UnicodeEncodeError as error:
        raise _broken(f"The header field {name} of a part is not ISO-8859-1") from error
    if not _FIELD_NAME.fullmatch(name) or _CONTROL.search(value):
        raise _broken(f"The header field {name!r} of a part can't be written")
    return line
