"""JSON text that is read, cut down and written again: what stays says exactly what it said.

Numbers keep their digits. What two readers may take for two things is refused, and so is what would
take much more memory than its bytes.

Source: RFC 8259 4, 6, 8.
"""

import json
import re
from collections.abc import Callable
from json.encoder import encode_basestring, encode_basestring_ascii

MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_VALUES = 500_000  # of `,`, `[` and `{` in one text: about its values
MAX_DEPTH = 64

_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_BOM = b"\xef\xbb\xbf"


class NoJson(ValueError):
    """A text is not taken for JSON; why, without any of its values."""


class Number(str):
    """A number as it is written."""

    __slots__ = ()


def parse_json(raw: bytes, max_bytes: int = MAX_JSON_BYTES) -> object:
    """Parse JSON text in UTF-8, or raise NoJson.

    Returns:
        dict, list, str, Number, bool or None, and these within each other.
    """
    if len(raw) > max_bytes:
        raise NoJson(f"more than {max_bytes} bytes")
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES:
        raise NoJson(f"more than {MAX_VALUES} values")
    if is_nested_deeper(raw, MAX_DEPTH):
        raise NoJson(f"nested deeper than {MAX_DEPTH}")
    try:
        return json.loads(
            raw.removeprefix(_BOM).decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        raise NoJson(error.msg) from error
    except UnicodeDecodeError as error:
        raise NoJson("bytes that are no UTF-8") from error


def is_nested_deeper(raw: bytes, most: int) -> bool:
    """Whether brackets are nested deeper than `most`, seen before anything is built."""
    if raw.count(b"[") + raw.count(b"{") <= most:
        return False
    depth = 0
    for match in _BRACKETS.finditer(raw):
        if match[0] in (b"[", b"{"):
            depth += 1
            if depth > most:
                return True
        elif match[0] in (b"]", b"}"):
            depth -= 1
    return False


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NoJson("a name twice in one object")
    return found


def _no_constant(_name: str) -> object:
    raise NoJson("a number that is none")


def build_json(value: object) -> bytes:
    """Write what `parse_json` gave, in UTF-8 and without white space."""
    pieces: list[str] = []
    _write(value, pieces.append, encode_basestring)
    try:
        return "".join(pieces).encode("utf-8")
    except UnicodeEncodeError:  # half of a character, which only an escape can say
        pieces.clear()
        _write(value, pieces.append, encode_basestring_ascii)
        return "".join(pieces).encode("ascii")


def _write(value: object, put: Callable[[str], object], quote: Callable[[str], str]) -> None:
    match value:
        case Number():
            put(value)
        case str():
            put(quote(value))
        case dict():
            between = "{"
            for name, item in value.items():
                put(f"{between}{quote(name)}:")
                _write(item, put, quote)
                between = ","
            put("}" if value else "{}")
        case list():
            between = "["
            for item in value:
                put(between)
                _write(item, put, quote)
                between = ","
            put("]" if value else "[]")
        case _:
            put(json.dumps(value))
