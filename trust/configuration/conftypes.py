"""Simple types of configuration XML, headers and metadata: text to value and back.

Every reader raises ValueError with what it found. Source: XML Schema part 2; times as
java.time.OffsetDateTime reads them.
"""

import re
from datetime import UTC, datetime

from trust.base64text import decode_base64, encode_base64

Value = str | bytes | bool | int | datetime

MAX_SECONDS = 2**31 - 1
_SPACE = " \t\r\n"
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?(?:\.(\d{1,12}))?(Z|[+-]\d\d:\d\d)?", re.ASCII
)
_INTEGER = re.compile(r"[+-]?\d{1,40}", re.ASCII)
# Name of XML without colon; the ranges are those of XML 1.0 in short.
_ID = re.compile(r"[^\W\d][\w.\-\u00b7]*")


def _shown(text: str) -> str:
    return f"'{text[:40]}'"


def read_string(text: str) -> str:
    return text


def read_base64(text: str) -> bytes:
    """Read base64 with white space anywhere; anything else that is not canonical is refused."""
    try:
        return decode_base64(text)
    except ValueError as error:
        raise ValueError(_shown(text)) from error


def read_boolean(text: str) -> bool:
    word = text.strip(_SPACE)
    if word not in ("true", "false", "1", "0"):
        raise ValueError(_shown(text))
    return word in ("true", "1")


def read_integer(text: str) -> int:
    """A number from 0 to 2147483647: X-Road keeps it in a Java int, and it is never negative."""
    word = text.strip(_SPACE)
    if not _INTEGER.fullmatch(word) or not 0 <= int(word) <= MAX_SECONDS:
        raise ValueError(_shown(text))
    return int(word)


def read_id(text: str) -> str:
    word = text.strip(_SPACE)
    if not _ID.fullmatch(word):
        raise ValueError(_shown(text))
    return word


def read_time(text: str) -> datetime:
    """Read ISO 8601 to an aware UTC time; without offset it is taken for UTC.

    Digits beyond microseconds are cut off.
    """
    match = _TIME.fullmatch(text.strip(_SPACE))
    if match is None:
        raise ValueError(_shown(text))
    day, minutes, seconds, fraction, offset = match.groups()
    digits = (fraction or "0")[:6].ljust(6, "0")
    zone = "+00:00" if offset in (None, "Z") else offset
    try:
        found = datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}.{digits}{zone}")
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(_shown(text)) from error


def read_offset_time(text: str) -> datetime:
    """As `read_time`, and the offset must be there: expiry dates of directories and metadata."""
    if not re.search(r"(Z|[+-]\d\d:\d\d)\s*\Z", text):
        raise ValueError(f"{_shown(text)} has no offset from UTC")
    return read_time(text)


def write_time(at: datetime) -> str:
    """Seconds and `Z`, as a central server writes expiry dates; fractions are cut off."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _write_exact_time(at: datetime) -> str:
    precision = "microseconds" if at.microsecond % 1000 else "milliseconds"
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def write_value(value: Value) -> str:
    """The XML text of a value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return encode_base64(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return _write_exact_time(value)
