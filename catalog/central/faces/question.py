"""What is asked of the catalog and what is answered, apart from any web framework."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from catalog.central.faces.wording import languages_of
from trust.ids import encode_segment

MAX_TARGET = 8_000  # characters of path and query
_MOST_PARAMETERS = 20
_LONGEST_PAGE = 1_000_000
_NUMBER = re.compile(r"[0-9]{1,7}")


class BadQuestion(Exception):
    """What is asked can't be answered as it stands; the text is for who asks."""


class NotFound(Exception):
    """The catalog has no such thing."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    Attributes:
        path: below the catalog's own address, as received; without a slash at its end.
        known: the entity tags of answers that who asks has already (`If-None-Match`).
    """

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    languages: tuple[str, ...] = ()
    known: str = ""

    @classmethod
    def of(cls, target: str, headers: Mapping[str, str], root: str) -> "Question":
        """Read a request's target; raises BadQuestion."""
        if len(target) > MAX_TARGET:
            raise BadQuestion("The address is too long")
        path, _, query = target.partition("?")
        return cls(
            path.removeprefix(root).rstrip("/"),
            _query(query),
            languages_of(headers.get("Accept-Language", "")),
            headers.get("If-None-Match", "")[:1_000],
        )

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts, still percent-encoded."""
        return tuple(part for part in self.path.split("/") if part)

    def behind(self, prefix: str) -> str:
        """What is named behind a prefix of the path, percent-decoded once."""
        return decoded(self.path.removeprefix(prefix).removeprefix("/"))

    def identifier(self, prefix: str) -> str:
        """An identifier behind a prefix, in its path form, however it was percent-encoded."""
        parts = self.path.removeprefix(prefix).removeprefix("/").split("/")
        return "/".join(encode_segment(decoded(part)) for part in parts)

    def text(self, name: str) -> str:
        """A text that is asked with; empty when there is none."""
        return self.query.get(name, "").strip()

    def wish(self, name: str) -> bool:
        """Whether something is asked for that is left out otherwise; raises BadQuestion."""
        value = self.text(name)
        if value not in ("", "true", "false"):
            raise BadQuestion(f"'{name}' must be true or false")
        return value == "true"

    def number(self, name: str, otherwise: int, largest: int = _LONGEST_PAGE) -> int:
        """A whole number from 1 on; raises BadQuestion."""
        value = self.query.get(name, "")
        if not value:
            return otherwise
        if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= largest:
            raise BadQuestion(f"'{name}' must be a whole number from 1 to {largest}")
        return int(value)


def decoded(text: str) -> str:
    """Undo percent-encoding; raises BadQuestion for what is no UTF-8."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise BadQuestion("The address holds bytes that are no UTF-8") from error


def _query(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise BadQuestion("The query can't be read") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        varies: whether it depends on the language of who asks.
    """

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    varies: bool = False


def json_answer(value: object, status: int = 200, kind: str = "application/json") -> Answer:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Answer(text.encode("utf-8", "replace") + b"\n", kind, status)


def problem(status: int, title: str, detail: str = "") -> Answer:
    """An error as RFC 9457 has it."""
    told = {"type": "about:blank", "title": title, "status": status}
    if detail:
        told["detail"] = detail
    return json_answer(told, status, "application/problem+json")
