"""Inputs for the readers of messages: damaged good ones, and ones grown from their grammar.

Every input comes from a seed and its number alone, so that one that breaks something can be made
again: `input_of(target, seed, number)`.
"""

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import psutil

from tests.own_vectors import load
from tests.vector_files import vectors_folder
from trust.errors import ExchangeError

LONG = bool(os.environ.get("SACBE_FUZZ"))
COUNT = 100_000 if LONG else 3000
SEED = int(os.environ.get("SACBE_FUZZ_SEED") or (Random().randrange(1 << 32) if LONG else 0))
MOST_MEMORY = 64 << 20  # of the process, between a tenth of the inputs and all of them
MOST_BLOCKS = 40_000  # caches of certificates fill up meanwhile
MOST_SECONDS = 5.0  # for one input; the machine may be busy with others

_LOG = logging.getLogger(__name__)
_FIXTURES = "asic/src/service/proxy/proxy-core/src/test"

Generate = Callable[[Random], bytes]
Take = Callable[[bytes, Random], None]


@dataclass(frozen=True, slots=True)
class Target:
    """A reader that is given inputs.

    Attributes:
        corpus: good and faulty messages, to be damaged.
        words: pieces of the format, to be put in.
        grow: makes an input from the grammar.
        take: gives the input to the reader; only ExchangeErrors may rise from it.
    """

    name: str
    corpus: tuple[bytes, ...] = field(repr=False)
    words: tuple[bytes, ...] = field(repr=False)
    grow: Generate
    take: Take


@dataclass(slots=True)
class Account:
    """What a run came to; sizes in bytes, times in seconds."""

    taken: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # by code
    slowest: float = 0.0
    slowest_number: int = 0
    slowest_size: int = 0
    grown_memory: int = 0
    grown_blocks: int = 0


def fixtures(folder: str) -> tuple[bytes, ...]:
    """Files of the reference's tests below `folder`, none without the vectors."""
    path = vectors_folder() / _FIXTURES / folder
    if not path.is_dir():
        return ()
    return tuple(
        file.read_bytes() for file in sorted(path.iterdir()) if file.stat().st_size < 65_536
    )


def own(name: str) -> tuple[bytes, ...]:
    return tuple(vector.payload for kind in ("accepted", "rejected") for vector in load(name, kind))


def input_of(target: Target, seed: int, number: int) -> tuple[bytes, Random]:
    """The input of this number, and the source of chance to go on with."""
    random = Random(f"{target.name}/{seed}/{number}")
    if random.random() < 0.5:
        data = target.grow(random)
        if random.random() < 0.5:
            return data, random
    else:
        data = random.choice(target.corpus)
    for _ in range(random.choice((1, 1, 1, 1, 2, 5))):
        data = damage(data, target.words, target.corpus, random)
    return data, random


def run(target: Target, count: int, seed: int) -> Account:
    """Give `count` inputs to the reader.

    What it holds after a tenth of them is compared with what it holds at the end.

    Raises:
        AssertionError: for an error that is not an ExchangeError, naming seed and number.
    """
    account = Account()
    held = (0, 0)
    for number in range(count):
        data, random = input_of(target, seed, number)
        began = time.perf_counter()
        try:
            target.take(data, random)
            account.taken += 1
        except ExchangeError as error:
            account.refused[error.code] = account.refused.get(error.code, 0) + 1
        except Exception as error:
            shown = data if len(data) < 4096 else data[:4096] + b"..."
            raise AssertionError(
                f"{target.name}, seed {seed}, number {number}: {shown!r}"
            ) from error
        if time.perf_counter() - began > account.slowest:
            took = _seconds(target, seed, number)  # again, for the machine may have been busy
            if took > account.slowest:
                account.slowest, account.slowest_number = took, number
                account.slowest_size = len(data)
        if number == count // 10:
            held = _held()
    memory, blocks = _held()
    account.grown_memory, account.grown_blocks = memory - held[0], blocks - held[1]
    _LOG.info("%s, seed %d, %d inputs: %s", target.name, seed, count, account)
    return account


def _seconds(target: Target, seed: int, number: int) -> float:
    """How long the reader takes for an input that it has taken or refused before."""
    data, random = input_of(target, seed, number)
    began = time.perf_counter()
    with suppress(ExchangeError):
        target.take(data, random)
    return time.perf_counter() - began


def _held() -> tuple[int, int]:
    """Bytes of the process, and blocks of the interpreter."""
    gc.collect()
    return psutil.Process().memory_info().rss, sys.getallocatedblocks()


def check(account: Account, told: str) -> None:
    """Raise AssertionError for inputs that are too good or too bad, and for a reader's greed."""
    count = account.taken + sum(account.refused.values())
    assert account.taken > count // 50, told  # the inputs are near enough to good ones
    assert sum(account.refused.values()) > count // 50, told
    assert account.slowest < MOST_SECONDS, told
    assert account.grown_memory < MOST_MEMORY, told
    assert account.grown_blocks < MOST_BLOCKS, told


def damage(data: bytes, words: Sequence[bytes], corpus: Sequence[bytes], random: Random) -> bytes:
    """One change of one kind."""
    at = random.randint(0, len(data))
    to = min(len(data), at + random.choice((1, 1, 4, 16, 200)))
    word = random.choice(words)
    match random.randrange(9):
        case 0:  # a bit
            return (
                data[:at]
                + bytes(byte ^ 1 << random.randrange(8) for byte in data[at : at + 1])
                + data[at + 1 :]
            )
        case 1:  # lost
            return data[:at] + data[to:]
        case 2:  # twice, or very often
            return data[:to] + data[at:to] * random.choice((1, 1, 2, 50, 1000)) + data[to:]
        case 3:  # cut off
            return data[:at]
        case 4:  # a piece of another one
            other = random.choice(corpus)
            start = random.randint(0, len(other))
            return data[:at] + other[start : start + random.choice((20, 200, 2000))] + data[to:]
        case 5:  # a word in another one's place
            return data.replace(random.choice(words), word, random.choice((1, -1)))[:200_000]
        case 6:  # in another case
            return data[:at] + data[at:to].swapcase() + data[to:]
        case 7:  # any bytes
            return data[:at] + random.randbytes(random.choice((1, 2, 8, 64))) + data[at:]
        case _:  # a word, once or often
            return data[:at] + word * random.choice((1, 1, 1, 2, 300)) + data[at:]
