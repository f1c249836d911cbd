"""What a large catalog costs: `python -m tests.catalog_load [services] [fields]`.

Two nodes' worth of work is measured: at the registry (writing, comparing two versions) and at a
node, in a process of its own (reading, memory, searching).
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TypeVar

from catalog.central.differences import differences
from catalog.central.encoding import decode_catalog, encode_catalog, unpacked
from catalog.central.search import CatalogQuery, SearchIndex
from tests.large_catalog import PURPOSE, large_catalog

T = TypeVar("T")
_TODAY = date(2026, 11, 21)
_PAGE = resource.getpagesize()
_QUERIES = {
    "words of a title": CatalogQuery(text="facts kind 77"),
    "a word that is everywhere": CatalogQuery(text="dato"),
    "a word that is nowhere": CatalogQuery(text="nothing"),
    "a concept by its URI": CatalogQuery(concept="urn:large:concept:4321:1"),
    "a concept by its label": CatalogQuery(concept="dato 4321 1"),
    "a purpose": CatalogQuery(purpose=PURPOSE),
    "a member by name": CatalogQuery(member="institution 77"),
}


def main(arguments: list[str]) -> int:
    """Tell the figures; with a file as the argument, those of a node."""
    if len(arguments) == 1 and not arguments[0].isdigit():
        _at_a_node(Path(arguments[0]))
        return 0
    services, fields = (int(one) for one in (arguments + ["5000", "10"][len(arguments) :])[:2])
    catalog = large_catalog(services, fields)
    concepts = len(catalog.vocabulary.concepts)
    _tell(f"{services} services, {services * fields} fields, {concepts} concepts")
    raw = _timed("written", lambda: encode_catalog(catalog))
    _tell(f"  {len(raw):,} bytes as published, {sum(map(len, unpacked(raw))):,} unpacked")
    changed = replace(catalog, services=catalog.services[1:])
    _timed("compared", lambda: differences(catalog, changed))
    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "tests.catalog_load", file.name], check=True)
    return 0


def _at_a_node(path: Path) -> None:
    raw, before = path.read_bytes(), _memory()
    catalog = _timed("read", lambda: decode_catalog(raw))
    _tell(
        f"  {_memory() - before:.0f} MB more memory with it, {_peak() - before:.0f} MB at the peak"
    )
    after = _memory()
    later = _timed("read beside the same one", lambda: decode_catalog(raw, catalog))
    _tell(f"  {_memory() - after:.0f} MB more memory with {len(later.services)} services twice")
    after = _memory()
    index = _timed("made ready for searching", lambda: SearchIndex(catalog))
    _tell(f"  {_memory() - after:.0f} MB more memory with that")
    for name, query in _QUERIES.items():
        times, total = [], 0
        for _ in range(9):
            begun = time.perf_counter()
            total = index.search(query, _TODAY).total
            times.append(time.perf_counter() - begun)
        _tell(f"  {statistics.median(times) * 1000:6.1f} ms  {total:5}  {name}")


def _timed(what: str, work: Callable[[], T]) -> T:
    begun = time.perf_counter()
    result = work()
    _tell(f"  {time.perf_counter() - begun:.2f} s  {what}")
    return result


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _memory() -> float:
    """Resident, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * _PAGE / 1e6


def _peak() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
