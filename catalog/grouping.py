"""What belongs to a key, where there are many keys and most have the one thing."""

from collections.abc import Iterable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def grouped(pairs: Iterable[tuple[K, tuple[V]]]) -> dict[K, tuple[V, ...]]:
    """All values of each key, in order.

    Args:
        pairs: keys, each with a tuple of one value; the same tuple given with many keys is there
            only once.
    """
    found: dict[K, tuple[V, ...]] = {}
    several: dict[K, list[V]] = {}
    for key, alone in pairs:
        if key not in found:
            found[key] = alone
        else:
            several.setdefault(key, [*found[key]]).extend(alone)
    found.update((key, tuple(values)) for key, values in several.items())
    return found
