"""MIME as signed configuration directories use it: split into raw parts, read headers.

Nothing is normalised, since the bytes between two delimiters are what was signed. Accepted as by
the reference reader: LF or CRLF, also mixed; text before the first delimiter; folded header
lines; a missing last delimiter.

Source: trust.md 4.1, 14.2 (found by running X-Road's MIME parser).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_LINE = re.compile(rb"\r?\n")
_LAST_BREAK = re.compile(rb"\r?\n\Z")
_PARAMETER = re.compile(
    r""";[ \t]*([A-Za-z0-9!#$&.+^_-]+)[ \t]*=[ \t]*(?:"([^"]*)"|'([^']*)'|([^\s;"']*))[ \t]*"""
)
MAX_HEADERS = 50


@dataclass(frozen=True, slots=True)
class Entity:
    """Headers by lower-case name, and the body's bytes as they came."""

    headers: Mapping[str, str]
    body: bytes


def read_entity(part: bytes) -> Entity:
    """Read header lines up to the first empty line; the rest is the body.

    Raises ValueError for a line without colon, a repeated name, text that is not UTF-8, and more
    than 50 headers.
    """
    lines: list[bytes] = []
    position = 0
    while position < len(part):
        match = _LINE.search(part, position)
        end, following = match.span() if match else (len(part), len(part))
        line, position = part[position:end], following
        if not line:
            break
        if line[:1] in (b" ", b"\t") and lines:
            lines[-1] += b" " + line.strip()
        else:
            lines.append(line)
        if len(lines) > MAX_HEADERS:
            raise ValueError(f"more than {MAX_HEADERS} headers")
    return Entity(_headers(lines), part[position:])


def _headers(lines: list[bytes]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("utf-8").partition(":")
        key = name.strip().lower()
        if not colon or not key:
            raise ValueError(f"'{name[:40]}' is no header line")
        if key in found:
            raise ValueError(f"the header {key} stands there twice")
        found[key] = value.strip()
    return MappingProxyType(found)


def split_parts(body: bytes, boundary: str) -> tuple[bytes, ...]:
    """The raw parts between delimiter lines; the line break before one belongs to it."""
    delimiter = re.compile(
        rb"(?:\A|(?<=\n))--" + re.escape(boundary.encode("utf-8")) + rb"(--)?[ \t]*(?:\r?\n|\Z)"
    )
    parts: list[bytes] = []
    start: int | None = None
    for match in delimiter.finditer(body):
        if start is not None:
            parts.append(_LAST_BREAK.sub(b"", body[start : match.start()]))
        if match[1]:
            return tuple(parts)
        start = match.end()
    if start is not None:
        parts.append(body[start:])
    return tuple(parts)


def read_value(text: str) -> tuple[str, Mapping[str, str]]:
    """Split `value; name=parameter; …`; quotes of either kind are taken off.

    Raises ValueError for what does not have this form and for a repeated parameter.
    """
    value, semicolon, _ = text.partition(";")
    parameters: dict[str, str] = {}
    position = len(value)
    while semicolon and position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise ValueError(f"'{text[position:][:40]}' is no parameter")
        name = match[1].lower()
        if name in parameters:
            raise ValueError(f"the parameter {name} stands there twice")
        parameters[name] = next((group for group in match.groups()[1:] if group is not None), "")
        position = match.end()
    return value.strip(), MappingProxyType(parameters)
