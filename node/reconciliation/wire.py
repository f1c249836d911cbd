r"""What two nodes that reconcile say to each other: questions in a query, answers in JSON.

    GET /r1/…/sacbe-reconcile?server=…&run=…&day=2026-03-02&until=86400&range=0001
    GET /r1/…/sacbe-reconcile?server=…&run=…&day=2026-03-02&until=86400&exchange=…&consumer=…

    {"counting": 120000}                                    come again
    {"range": {"parts": [["00", 51, "<hash>"], …]}}         the parts of a large range
    {"range": {"entries": [{…}, …]}}                        the exchanges of a small one
    {"held": {"request": ["sacbe leaf 1\n…"], "response": ["…"]}}
    {"refused": "why in words"}

Every answer is judged before it is believed: its size, its order, and whether it is what the same
node said of the range from which the question came.
"""

import uuid
from dataclasses import dataclass
from datetime import date
from urllib.parse import parse_qsl, urlencode

import msgspec

from trust.errors import MalformedMessage
from trust.evidence.evidence_leaf import leaf_data
from trust.evidence.exchange_tree import (
    DAY_SECONDS,
    HASH_SIZE,
    KEY_SIZE,
    MOST_ENTRIES,
    Entry,
    Part,
    Range,
    entry_key,
)
from trust.ids import ServerId

SERVICE_CODE = "sacbe-reconcile"
LARGEST_ANSWER = 1 << 20
MOST_HELD = 10  # messages of one direction of an exchange that are told
_LONGEST_LEAF = 1 << 18
_LONGEST_TEXT = 1000
_MOST_PARAMETERS = 10
_MOST_COUNTED = 1 << 48
_NO_LEAF = len(leaf_data(bytes(64), bytes(64)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a day, as both nodes name it.

    Attributes:
        server: the node that asks.
        run: a fresh id; what is counted is counted for this run.
        until: the second of the day before which exchanges count; 86400 for the whole day.
    """

    server: ServerId
    run: str
    day: date
    until: int = DAY_SECONDS


@dataclass(frozen=True, slots=True)
class RangeQuestion:
    """What a range holds."""

    of: Comparison
    prefix: bytes

    @property
    def query(self) -> str:
        return _query(self.of, {"range": self.prefix.hex()})


@dataclass(frozen=True, slots=True)
class ExchangeQuestion:
    """What is held of one exchange now."""

    of: Comparison
    exchange_id: str
    consumer: ServerId

    @property
    def query(self) -> str:
        return _query(self.of, {"exchange": self.exchange_id, "consumer": self.consumer.path})


Question = RangeQuestion | ExchangeQuestion


def _query(of: Comparison, more: dict[str, str]) -> str:
    named = {
        "server": of.server.path,
        "run": of.run,
        "day": of.day.isoformat(),
        "until": str(of.until),
    }
    return urlencode({**named, **more})


def parse_question(query: str) -> Question:
    """Read a question, or raise MalformedMessage."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_PARAMETERS
        )
        named = dict(pairs)
        if len(named) != len(pairs):
            raise ValueError("a parameter twice")
        of = Comparison(
            ServerId.from_header(named["server"]),
            str(uuid.UUID(named["run"])),
            date.fromisoformat(named["day"]),
            int(named["until"]),
        )
        if not 0 < of.until <= DAY_SECONDS:
            raise ValueError("no second of a day")
        if "exchange" in named:
            consumer = ServerId.from_header(named["consumer"])
            return ExchangeQuestion(of, named["exchange"][:_LONGEST_TEXT], consumer)
        prefix = bytes.fromhex(named["range"])
    except (LookupError, ValueError) as error:
        raise MalformedMessage(f"This is no question: {error}", "invalid_request") from error
    if len(prefix) >= KEY_SIZE:
        raise MalformedMessage("This is no question: no range is so narrow", "invalid_request")
    return RangeQuestion(of, prefix)


# --- answers --------------------------------------------------------------------------------------


class _Exchange(msgspec.Struct, forbid_unknown_fields=True):
    second: int
    consumer: str
    exchange: str
    request: str
    response: str


class _Range(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    parts: list[tuple[str, int, str]] = msgspec.field(default_factory=list)
    entries: list[_Exchange] = msgspec.field(default_factory=list)


class _Held(msgspec.Struct, forbid_unknown_fields=True):
    request: list[str]
    response: list[str]


class _Answer(msgspec.Struct, omit_defaults=True):  # what a later version adds is passed over
    counting: int | None = None
    range: _Range | None = None
    held: _Held | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Counting:
    """The node is not ready to answer; so many messages it has looked at."""

    messages: int


@dataclass(frozen=True, slots=True)
class Held:
    """The messages of an exchange that a node holds, as the texts of their leaves, in order."""

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The node can't answer; why, in words."""

    reason: str


Answer = Counting | Range | Held | Refused


def build_answer(answer: Answer) -> bytes:
    """The body of an answer."""
    match answer:
        case Counting():
            return msgspec.json.encode(_Answer(counting=answer.messages))
        case Refused():
            return msgspec.json.encode(_Answer(refused=answer.reason))
        case Held():
            told = _Held(list(answer.request), list(answer.response))
            return msgspec.json.encode(_Answer(held=told))
        case Range():
            parts = [(f"{one.byte:02x}", one.count, one.hash.hex()) for one in answer.parts]
            entries = [_told(entry) for entry in answer.entries]
            return msgspec.json.encode(_Answer(range=_Range(parts, entries)))


def _told(entry: Entry) -> _Exchange:
    return _Exchange(
        entry.second,
        entry.consumer,
        entry.exchange_id,
        entry.request.hex(),
        entry.response.hex(),
    )


def parse_answer(raw: bytes, prefix: bytes = b"") -> Answer:
    """Read an answer, or raise MalformedMessage.

    Args:
        prefix: of the range that was asked for.
    """
    if len(raw) > LARGEST_ANSWER:
        raise MalformedMessage(f"The answer is larger than {LARGEST_ANSWER} bytes")
    try:
        said = msgspec.json.decode(raw, type=_Answer)
        if said.counting is not None:
            return Counting(_bounded(said.counting, _MOST_COUNTED))
        if said.range is not None:
            return _range(said.range, prefix)
        if said.held is not None:
            return Held(_leaves(said.held.request), _leaves(said.held.response))
        if said.refused is not None:
            return Refused(_printable(said.refused))
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedMessage(f"The answer is of another form: {error}") from error
    raise MalformedMessage("The answer says nothing")


def _range(said: _Range, prefix: bytes) -> Range:
    if said.parts and said.entries:
        raise ValueError("a range has parts or entries")
    found = Range(
        prefix,
        tuple(
            Part(_byte(byte), _bounded(count), _hash(hash_)) for byte, count, hash_ in said.parts
        ),
        tuple(_entry(one) for one in said.entries),
    )
    bytes_ = [part.byte for part in found.parts]
    keys = [entry.key for entry in found.entries]
    if sorted(set(bytes_)) != bytes_ or sorted(set(keys)) != keys:
        raise ValueError("not in order, or twice the same")
    if not all(key.startswith(prefix) for key in keys):
        raise ValueError("an exchange that is not of this range")
    if (found.count > MOST_ENTRIES) != bool(found.parts):
        raise ValueError(f"a range of {found.count} exchanges that is split otherwise")
    return found


def _entry(said: _Exchange) -> Entry:
    key = entry_key(said.second, said.consumer, said.exchange)
    return Entry(key, said.consumer, said.exchange, _hash(said.request), _hash(said.response))


def _byte(text: str) -> int:
    if len(text) != 2:
        raise ValueError("no byte")
    return bytes.fromhex(text)[0]


def _hash(text: str) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != HASH_SIZE:
        raise ValueError("no hash")
    return value


def _bounded(count: int, most: int = _MOST_COUNTED) -> int:
    if not 0 <= count <= most:
        raise ValueError("no count")
    return count


def _leaves(texts: list[str]) -> tuple[str, ...]:
    if len(texts) > MOST_HELD or not all(_NO_LEAF <= len(one) <= _LONGEST_LEAF for one in texts):
        raise ValueError("no leaves")
    return tuple(texts)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text[:_LONGEST_TEXT])


def check_said(found: Range, said: Part) -> None:
    """Raise MalformedMessage unless a range is what its node said of it before."""
    if (found.count, found.hash) != (said.count, said.hash):
        raise MalformedMessage(
            f"Its answers contradict each other: of range {found.prefix.hex() or 'all'} it named"
            f" {said.count} exchanges and then showed {found.count}, or others"
        )
