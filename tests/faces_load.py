"""How long the catalog's pages, answers and exports take: `python -m tests.faces_load`."""

import sys
import time
from collections.abc import Callable
from functools import partial

from catalog.central.faces.dcat import Form, Profile, build_graph, export_catalog
from catalog.central.faces.export_settings import ExportSettings
from catalog.central.faces.site import CatalogSite
from tests import faces_stage as stage

_BASE = "https://registry.example.org/catalog"
_ADDRESSES = (
    "/catalog",
    "/catalog/services?page=50",
    "/catalog/search?q=service+number+49",
    "/catalog/services/SANDBOX/GOV/10007/x/service7",
    "/catalog/concepts/https%3A%2F%2Ffacts.example.org%2Fmany%2F77",
    "/catalog/v1/services?size=200&page=20",
    "/catalog/v1/authorities?size=200",
)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    catalog = stage.large_catalog(5_000, 10)
    site = CatalogSite(lambda: catalog, clock=lambda: stage.NOW)
    say("5000 services, 50000 fields; milliseconds, first and next time")
    for address in _ADDRESSES:
        first = _seconds(partial(site.answer, address, {}))
        size = len(site.answer(address, {}).body)
        again = min(_seconds(partial(site.answer, address, {})) for _ in range(5))
        say(f"{first * 1000:8.1f} {again * 1000:8.1f}  {size:7} bytes  {address}")
    settings = ExportSettings()
    triples = len(build_graph(catalog, Profile.BREG, _BASE, settings))
    say(f"export of {triples} triples, seconds")
    for form in Form:
        took = _seconds(partial(export_catalog, catalog, Profile.BREG, form, _BASE, settings))
        say(f"{took:8.1f}  {form.value}")


if __name__ == "__main__":
    main()
