"""The central catalog at a node: what came last with the trust list, and could be read.

    here = CatalogHere(lambda: updater.conf, LastCatalog(data / LAST_CATALOG_FILE))
    task = asyncio.create_task(here.run())     # reads large ones beside the event loop
    catalog = here()

It lies in the configuration that the node keeps, so it is there while the centre is away. The last
one that could be read is kept beside it, so that it is there after a restart even if the newest one
is damaged, or needs newer software.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from catalog.central.encoding import PART_IDENTIFIER, decode_catalog
from catalog.central.entries import Catalog
from node.once.last_catalog import LastCatalog
from trust.errors import MalformedMessage
from trust.globalconf import GlobalConf

_LOG = logging.getLogger(__name__)
_SMALL = 16 * 1024  # bytes that are read at once: a few milliseconds
_LOOK = timedelta(seconds=1)


@dataclass
class CatalogHere:
    """Reads each catalog once, and keeps the last good one.

    Attributes:
        last: where that one is kept on the disk; None to keep it in memory alone.
    """

    conf: Callable[[], GlobalConf | None]
    last: LastCatalog | None = None
    _catalog: Catalog | None = field(default=None, repr=False)
    _judged: bytes | None = field(default=None, repr=False)  # the part that was read last
    _good: bytes | None = field(default=None, repr=False)  # the last part that could be read
    _problem: str = ""  # with the one that was read last
    _begun: bool = False

    def __call__(self) -> Catalog | None:
        """The catalog to go by; None while there has been none."""
        part = self._part()
        if part is not None and len(part) <= _SMALL and self._is_new(part):
            self._take(part, _read(part, self._instance, self._catalog))
        return self._catalog

    async def refresh(self) -> None:
        """Read the newest one, if it is new; at the start the last good one from before, too."""
        part = self._part()
        if not self._begun and self._instance:
            self._begun = True
            before = await asyncio.to_thread(self._last_good, part)
            self._catalog = self._catalog or before  # a small one may have been read meanwhile
        if part is not None and self._is_new(part):
            found = await asyncio.to_thread(_read, part, self._instance, self._catalog)
            self._take(part, found)
        if self.last is not None and self._good is not None:
            await asyncio.to_thread(self.last.keep, self._good)

    async def run(self) -> None:
        """Look every second for a new one, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_LOOK.total_seconds())

    def problem(self) -> str | None:
        """What somebody should look at, for the health page; None while all is well."""
        catalog = self._catalog
        if catalog is not None and self._part() is None:
            return "The registry publishes no catalog any more; the last one is used"
        if self._problem:
            return self._problem
        if catalog is not None and catalog.left_out:
            return (
                f"The registry is newer: {catalog.left_out} things in the catalog are not "
                "understood and are left out; update this software"
            )
        return None

    @property
    def _instance(self) -> str:
        conf = self.conf()
        return "" if conf is None else conf.own_instance

    def _part(self) -> bytes | None:
        conf = self.conf()
        own = None if conf is None else conf.instances.get(conf.own_instance)
        return None if own is None else own.optional_parts.get(PART_IDENTIFIER)

    def _is_new(self, part: bytes) -> bool:
        return part is not self._judged and part != self._judged

    def _take(self, part: bytes, read: Catalog | str) -> None:
        self._judged, self._problem = part, ""
        if isinstance(read, str):
            used = "the one before is used" if self._catalog else "there is none before it"
            self._problem = f"{read}; {used}"
            _LOG.warning("%s", self._problem)
        else:
            self._catalog, self._good = read, part
            _LOG.info("Catalog version %d: %d services", read.version, len(read.services))

    def _last_good(self, newest: bytes | None) -> Catalog | None:
        """The one from before the start; None when there is none, or the newest is the same."""
        raw = None if self.last is None else self.last.load(newest)
        found = None if raw is None else _read(raw, self._instance, None)
        if isinstance(found, str):
            _LOG.warning("The catalog from before the start: %s", found)
            return None
        return found


def _read(raw: bytes, instance: str, before: Catalog | None) -> Catalog | str:
    """The catalog, or why it is not used; it shares with the one before what is the same."""
    try:
        catalog = decode_catalog(raw, before)
    except MalformedMessage as error:
        return error.text
    if catalog.instance != instance:
        return f"The catalog is of {catalog.instance:.100}, not of {instance}"
    return catalog
