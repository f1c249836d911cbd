"""Trees over a day's exchanges: hashes that depend on the entries alone, and what differs."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trust.evidence.evidence_leaf import leaf_hash
from trust.evidence.exchange_tree import (
    DAY_SECONDS,
    MOST_ENTRIES,
    Differing,
    Entry,
    Part,
    Range,
    TreeBuilder,
    differing_entries,
    differing_parts,
    entry_key,
    together,
    whole_of,
)
from trust.evidence.merkle import EMPTY_ROOT, root_of

SERVER = "SERVER:EX/GOV/1/A"


def entry(number: int, second: int = 0, what: str = "") -> Entry:
    digest = hashlib.sha256(f"{number}{what}".encode()).digest()
    return Entry(entry_key(second, SERVER, str(number)), SERVER, str(number), digest, digest[::-1])


def ordered(*entries: Entry) -> list[Entry]:
    return sorted(entries, key=lambda one: one.key)


def busy_day(count: int, seconds: int) -> list[Entry]:
    return ordered(*(entry(number, number % seconds) for number in range(count)))


def slow_hash(prefix: bytes, entries: list[Entry]) -> bytes:
    """The definition, word for word."""
    if len(entries) <= MOST_ENTRIES:
        return root_of(one.hash for one in entries)
    leaves = []
    for byte in sorted({one.key[len(prefix)] for one in entries}):
        inner = prefix + bytes((byte,))
        part = [one for one in entries if one.key.startswith(inner)]
        text = f"sacbe range 1\n{byte:02x} {len(part)} {slow_hash(inner, part).hex()}\n"
        leaves.append(leaf_hash(text.encode()))
    return root_of(leaves)


@pytest.mark.parametrize("count", [0, 1, 64, 65, 66, 1000, 5000])
@pytest.mark.parametrize("seconds", [1, 3, 300, DAY_SECONDS])
def test_the_builder_follows_the_definition(count: int, seconds: int) -> None:
    entries = busy_day(count, seconds)
    kept: dict[bytes, Range] = {}
    whole = whole_of(entries, lambda found: kept.update({found.prefix: found}))
    assert whole.count == count
    assert whole.hash == slow_hash(b"", entries)
    for prefix, found in kept.items():
        within = [one for one in entries if one.key.startswith(prefix)]
        assert len(within) == found.count > MOST_ENTRIES
        assert found.hash == slow_hash(prefix, within)
    assert (b"" in kept) == (count > MOST_ENTRIES)


def test_keys_that_begin_alike_are_split_where_they_part() -> None:
    shared = bytes(20)
    entries = [
        Entry(shared + hashlib.sha256(bytes((n,))).digest()[:15], SERVER, str(n), b"q" * 32, b"r")
        for n in range(200)
    ]
    entries.sort(key=lambda one: one.key)
    kept: list[Range] = []
    whole = whole_of(entries, kept.append)
    assert whole.hash == slow_hash(b"", entries)
    assert max(len(found.prefix) for found in kept) == 20


def test_what_is_out_of_order_or_doubled_is_refused() -> None:
    one, two = ordered(entry(1), entry(2))
    for wrong in ([two, one], [one, one]):
        with pytest.raises(ValueError, match="in order"):
            whole_of(wrong)
    with pytest.raises(ValueError, match="in order"):
        TreeBuilder().add(replace(one, key=one.key[:-1]))


def test_a_key_is_the_second_and_who_asked() -> None:
    key = entry_key(86_399, SERVER, "x")
    assert key[:3] == (86_399).to_bytes(3, "big")
    assert key[3:] == hashlib.sha256(f"{SERVER}\nx".encode()).digest()
    assert entry(1, 77).second == 77
    for second in (-1, DAY_SECONDS):
        with pytest.raises(ValueError, match="no day has"):
            entry_key(second, SERVER, "x")


def test_several_messages_of_a_direction_have_one_hash_in_any_order() -> None:
    assert together([b"a"]) == b"a"
    assert together([b"a", b"b"]) == together([b"b", b"a"]) == hashlib.sha256(b"ab").digest()


def test_a_range_that_is_not_split_can_be_compared_with_one_that_is() -> None:
    entries = busy_day(65, 5)
    large, small = whole_of(entries), Range(b"", entries=tuple(entries[:-1]))
    parts = list(differing_parts(large, small))
    assert [(ours.byte, theirs.byte) for ours, theirs in parts] == [(0, 0)]
    assert [(ours.count, theirs.count) for ours, theirs in parts] == [(65, 64)]


def test_a_missing_part_has_no_entries() -> None:
    assert list(differing_parts(Range(b""), Range(b"", entries=(entry(1),)))) == [
        (Part(0, 0, EMPTY_ROOT), Part(0, 1, root_of([entry(1).hash])))
    ]


def walk(prefix: bytes, mine: list[Entry], theirs: list[Entry]) -> list[Differing]:
    """All differences, found as two nodes find them."""

    def of(prefix: bytes, entries: list[Entry]) -> Range:
        within = [one for one in entries if one.key.startswith(prefix)]
        if len(within) <= MOST_ENTRIES:
            return Range(prefix, entries=tuple(within))
        kept: dict[bytes, Range] = {}
        whole_of(entries, lambda found: kept.update({found.prefix: found}))
        return kept[prefix]

    ours, others = of(prefix, mine), of(prefix, theirs)
    if not ours.parts and not others.parts:
        return list(differing_entries(ours.entries, others.entries))
    return [
        one
        for part, _ in differing_parts(ours, others)
        for one in walk(prefix + bytes((part.byte,)), mine, theirs)
    ]


@given(
    st.lists(st.integers(0, 399), max_size=5, unique=True),
    st.lists(st.integers(0, 399), max_size=5, unique=True),
    st.lists(st.integers(0, 399), max_size=5, unique=True),
)
def test_the_walk_finds_exactly_what_differs(
    gone_here: list[int], gone_there: list[int], changed: list[int]
) -> None:
    mine = ordered(*(entry(n, n % 7) for n in range(400) if n not in gone_here))
    theirs = ordered(
        *(
            entry(n, n % 7, "changed" if n in changed else "")
            for n in range(400)
            if n not in gone_there
        )
    )
    found = walk(b"", mine, theirs)
    assert [one.entry.key for one in found] == sorted(one.entry.key for one in found)
    expected = (set(gone_here) ^ set(gone_there)) | (
        set(changed) - set(gone_here) - set(gone_there)
    )
    assert {int(one.entry.exchange_id) for one in found} == expected
    assert (whole_of(mine).hash == whole_of(theirs).hash) == (not expected)
