"""How long plans take with a large catalog, and what it takes of memory.

python -m tests.resolver_load [--services 5000] [--fields 10]
"""

import argparse
import sys
import time
import tracemalloc
from datetime import date
from statistics import median

import psutil

from catalog.central.entries import Catalog
from node.once.resolver.planning.index import CatalogIndex
from node.once.resolver.planning.plan import Wish, make_plan
from tests.large_catalog import CONCEPT, PERSON, large_catalog, procedure

DAY = date(2026, 6, 1)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=5_000)
    parser.add_argument("--fields", type=int, default=10, help="of each service")
    arguments = parser.parse_args()
    process = psutil.Process()
    before = process.memory_info().rss
    catalog = large_catalog(arguments.services, arguments.fields)
    made = process.memory_info().rss
    _tell(f"catalog: {arguments.services} services, {arguments.services * arguments.fields} fields")
    _tell(f"memory of the catalog: {(made - before) >> 20} MiB")
    began = time.perf_counter()
    first = CatalogIndex(catalog)
    first.prepare()
    _tell(f"putting in order, once for each version: {_ms(began):.1f} ms")
    began = time.perf_counter()
    make_plan(first, _wish(0))
    _tell(f"first plan: {_ms(began):.1f} ms")
    tracemalloc.start()
    index = CatalogIndex(catalog)
    for number in range(100):
        make_plan(index, _wish(number))
    _tell(f"memory of the index after 100 plans: {tracemalloc.get_traced_memory()[0] / 1e6:.1f} MB")
    tracemalloc.stop()
    _plans(index)
    _whole(catalog)


def _plans(index: CatalogIndex) -> None:
    took, exchanges = [], []
    for number in range(100):
        began = time.perf_counter()
        plan = make_plan(index, _wish(number))
        took.append(_ms(began))
        exchanges.append(len(plan.exchanges))
    _tell(
        f"plan of a procedure: median {median(took):.2f} ms, most {max(took):.2f} ms,"
        f" {median(exchanges):.0f} exchanges"
    )


def _whole(catalog: Catalog) -> None:
    wish = Wish(
        tuple(f"{CONCEPT}{number}:{field}" for number in range(1, 101) for field in (2, 3)),
        PERSON,
        DAY,
    )
    index = CatalogIndex(catalog)
    make_plan(index, wish)
    began = time.perf_counter()
    plan = make_plan(index, wish)
    _tell(
        f"plan of {len(wish.concepts)} facts: {_ms(began):.1f} ms, {len(plan.exchanges)} exchanges"
    )


def _wish(number: int) -> Wish:
    return Wish((), PERSON, DAY, procedure=procedure(number))


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _ms(began: float) -> float:
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
