"""The answered exchanges of two nodes in one day, as a tree whose hashes the two can compare.

Both nodes hold the same bytes of a request and its answer, so both come to the same entry. An
entry's key is the second of the day in which the request was signed, and a hash of who asked and
of the exchange id. A range is all entries whose keys begin alike; it has a hash:

    64 entries or fewer    the RFC 6962 root over the entries, in order of their keys
    more                   the same over its parts, one for each next byte of a key that occurs

The hash depends on the entries alone, so equal hashes mean equal entries, and where two ranges
differ the first part that differs holds the first exchange on which the nodes differ.

Source: RFC 6962 2.1 for the hashing; its leaves are the texts below.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from trust.evidence.evidence_leaf import leaf_hash
from trust.evidence.merkle import EMPTY_ROOT, root_of

DAY_SECONDS = 86_400
MOST_ENTRIES = 64  # of a range that is not split
KEY_SIZE = 3 + 32  # bytes
HASH_SIZE = 32
_FEWEST_SPLIT = MOST_ENTRIES + 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One answered exchange.

    Attributes:
        consumer: the server whose client asked, in text form.
        request, response: leaf hashes (evidence_leaf.py) of the two messages.
    """

    key: bytes
    consumer: str
    exchange_id: str
    request: bytes
    response: bytes

    @property
    def second(self) -> int:
        """Of the day."""
        return int.from_bytes(self.key[:3], "big")

    @property
    def hash(self) -> bytes:
        lines = ("sacbe exchange 1", self.key.hex(), self.request.hex(), self.response.hex(), "")
        return leaf_hash("\n".join(lines).encode("ascii"))


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a range whose keys go on with this byte."""

    byte: int
    count: int
    hash: bytes

    @property
    def leaf(self) -> bytes:
        text = f"sacbe range 1\n{self.byte:02x} {self.count} {self.hash.hex()}\n"
        return leaf_hash(text.encode("ascii"))


@dataclass(frozen=True, slots=True)
class Range:
    """What a node says of a range: its parts when it is large, else its entries; both in order."""

    prefix: bytes
    parts: tuple[Part, ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts) + len(self.entries)

    @property
    def hash(self) -> bytes:
        if self.parts:
            return root_of(part.leaf for part in self.parts)
        return root_of(entry.hash for entry in self.entries)

    def split(self) -> "tuple[Range, ...]":
        """The parts of a range that was not split, as ranges with their entries."""
        depth = len(self.prefix)
        found: dict[int, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.key[depth], []).append(entry)
        return tuple(
            Range(self.prefix + bytes((byte,)), entries=tuple(entries))
            for byte, entries in sorted(found.items())
        )

    def as_parts(self) -> tuple[Part, ...]:
        if self.parts:
            return self.parts
        return tuple(Part(one.prefix[-1], one.count, one.hash) for one in self.split())


def entry_key(second: int, consumer: str, exchange_id: str) -> bytes:
    """The key of an exchange whose request was signed in that second of the day."""
    if not 0 <= second < DAY_SECONDS:
        raise ValueError(f"no day has a second {second}")
    named = hashlib.sha256(f"{consumer}\n{exchange_id}".encode()).digest()
    return second.to_bytes(3, "big") + named


def together(leaf_hashes: Iterable[bytes]) -> bytes:
    """One hash for all messages of one direction of an exchange; mostly there is one."""
    ordered = sorted(leaf_hashes)
    return ordered[0] if len(ordered) == 1 else hashlib.sha256(b"".join(ordered)).digest()


# --- building -------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """A range that entries still come for; it is split as soon as it has too many."""

    prefix: bytes
    entries: list[Entry] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)

    def close(self) -> Range:
        return Range(self.prefix, tuple(self.parts), tuple(self.entries))


class TreeBuilder:
    """Hashes entries that come in order of their keys; holds a few hundred of them.

    Args:
        keep: is given each range that is split, once it is complete.
    """

    def __init__(self, keep: Callable[[Range], None] = lambda _: None) -> None:
        self._keep = keep
        self._stack = [_Open(b"")]  # each within the one before; all but the last are split
        self._last = b""

    def add(self, entry: Entry) -> None:
        """Take the next entry; raises ValueError for one that is out of order."""
        if len(entry.key) != KEY_SIZE or entry.key <= self._last:
            raise ValueError("entries come in order of their keys, each once")
        self._last = entry.key
        while not entry.key.startswith(self._stack[-1].prefix):
            self._close_last()
        bottom = self._stack[-1]
        if bottom.parts:
            bottom = _Open(entry.key[: len(bottom.prefix) + 1])
            self._stack.append(bottom)
        bottom.entries.append(entry)
        self._split_if_large()

    def end(self) -> Range:
        """The whole, once there are no more entries."""
        while len(self._stack) > 1:
            self._close_last()
        whole = self._stack[0].close()
        if whole.parts:
            self._keep(whole)
        return whole

    def _close_last(self) -> None:
        closed = self._stack.pop().close()
        if closed.parts:
            self._keep(closed)
        self._stack[-1].parts.append(Part(closed.prefix[-1], closed.count, closed.hash))

    def _split_if_large(self) -> None:
        while len(self._stack[-1].entries) == _FEWEST_SPLIT:
            bottom = self._stack[-1]
            *complete, last = bottom.close().split()
            bottom.entries = []
            bottom.parts = [Part(one.prefix[-1], one.count, one.hash) for one in complete]
            self._stack.append(_Open(last.prefix, list(last.entries)))


def whole_of(entries: Iterable[Entry], keep: Callable[[Range], None] = lambda _: None) -> Range:
    """The range of all entries, which come in order."""
    builder = TreeBuilder(keep)
    for entry in entries:
        builder.add(entry)
    return builder.end()


# --- comparing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Differing:
    """An exchange that two nodes hold differently; None where one has no such entry."""

    mine: Entry | None
    theirs: Entry | None

    @property
    def entry(self) -> Entry:
        found = self.mine or self.theirs
        if found is None:
            raise AssertionError("an entry that nobody has")
        return found


def differing_parts(mine: Range, theirs: Range) -> Iterator[tuple[Part, Part]]:
    """The parts in which two ranges of the same prefix differ, first ones first: mine and theirs.

    A part that one of the two lacks has no entries.
    """
    ours = {part.byte: part for part in mine.as_parts()}
    others = {part.byte: part for part in theirs.as_parts()}
    for byte in sorted(ours.keys() | others.keys()):
        nothing = Part(byte, 0, EMPTY_ROOT)
        pair = ours.get(byte, nothing), others.get(byte, nothing)
        if pair[0] != pair[1]:
            yield pair


def differing_entries(mine: Sequence[Entry], theirs: Sequence[Entry]) -> Iterator[Differing]:
    """The exchanges in which two lists differ, in order of their keys."""
    ours = {entry.key: entry for entry in mine}
    others = {entry.key: entry for entry in theirs}
    for key in sorted(ours.keys() | others.keys()):
        pair = Differing(ours.get(key), others.get(key))
        if pair.mine is None or pair.theirs is None or pair.mine.hash != pair.theirs.hash:
            yield pair
