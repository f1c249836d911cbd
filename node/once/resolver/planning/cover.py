"""The cheapest set of endpoints whose answers together have all facts.

Exact while there are few endpoints; beyond, each time the one with the most facts for its weight,
which needs at most the logarithm of the number of facts as many.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

EXACT_UP_TO = 10  # endpoints; a thousand sets


def smallest_cover(
    concepts: Sequence[str], offers: Mapping[int, Collection[str]], weights: Mapping[int, int]
) -> dict[str, int]:
    """For each concept the endpoint that it is asked at.

    Args:
        offers: what each endpoint has; together they have all the concepts.
        weights: what asking an endpoint costs; 0 for one that is asked anyway.
    """
    wanted = frozenset(concepts)
    useful = {place: wanted & frozenset(had) for place, had in offers.items()}
    useful = {place: had for place, had in useful.items() if had}
    few = len(useful) <= EXACT_UP_TO
    chosen = _exact(wanted, useful, weights) if few else _greedy(wanted, useful, weights)
    return {
        concept: next(place for place in chosen if concept in useful[place]) for concept in concepts
    }


def _exact(
    wanted: frozenset[str], useful: Mapping[int, frozenset[str]], weights: Mapping[int, int]
) -> list[int]:
    free = sorted(place for place in useful if weights[place] == 0)
    others = sorted(place for place in useful if weights[place])
    covered = frozenset[str]().union(*(useful[place] for place in free))
    best: tuple[int, tuple[int, ...]] | None = None
    for size in range(len(others) + 1):
        for places in combinations(others, size):
            rank = (sum(weights[place] for place in places), places)
            if best is not None and rank >= best:
                continue
            if wanted <= covered.union(*(useful[place] for place in places)):
                best = rank
    if best is None:
        raise ValueError("the endpoints together do not have all the facts")
    return [*free, *best[1]]


def _greedy(
    wanted: frozenset[str], useful: Mapping[int, frozenset[str]], weights: Mapping[int, int]
) -> list[int]:
    chosen = sorted(place for place in useful if weights[place] == 0)
    left = wanted.difference(*(useful[place] for place in chosen))
    while left:
        best = max(useful, key=lambda one: (len(useful[one] & left) / (weights[one] or 1), -one))
        if not useful[best] & left:
            raise ValueError("the endpoints together do not have all the facts")
        chosen.append(best)
        left -= useful[best]
    return chosen
