"""The central catalog at a node: what came last with the trust list, and could be read.

    here = CatalogHere(lambda: updater.conf)
    task = asyncio.create_task(here.run())     # reads large ones beside the event loop
    catalog = here()

It lies in the configuration that the node keeps, so it is there while the centre is away.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from catalog.central.encoding import PART_IDENTIFIER, decode_catalog
from catalog.central.entries import Catalog
from trust.errors import MalformedMessage
from trust.globalconf import GlobalConf

_LOG = logging.getLogger(__name__)
_SMALL = 16 * 1024  # bytes that are read at once: a few milliseconds
_LOOK = timedelta(seconds=1)


@dataclass
class CatalogHere:
    """Reads each catalog once, and keeps the last good one."""

    conf: Callable[[], GlobalConf | None]
    _catalog: Catalog | None = field(default=None, repr=False)
    _judged: bytes | None = field(default=None, repr=False)  # the part that was read last
    _problem: str = ""  # with that one

    def __call__(self) -> Catalog | None:
        """The catalog to go by; None while there has been none."""
        part = self._part()
        if part is not None and len(part) <= _SMALL and self._is_new(part):
            self._take(part, _read(part, self._instance))
        return self._catalog

    async def refresh(self) -> None:
        """Read the newest one, if it is new."""
        part = self._part()
        if part is not None and self._is_new(part):
            self._take(part, await asyncio.to_thread(_read, part, self._instance))

    async def run(self) -> None:
        """Look every second for a new one, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_LOOK.total_seconds())

    def problem(self) -> str | None:
        """Why the newest one is not used, for the health page; None while all is well."""
        if self._catalog is not None and self._part() is None:
            return "The registry publishes no catalog any more; the last one is used"
        return self._problem or None

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
            self._catalog = read
            _LOG.info("Catalog version %d: %d services", read.version, len(read.services))


def _read(raw: bytes, instance: str) -> Catalog | str:
    """The catalog, or why it is not used."""
    try:
        catalog = decode_catalog(raw)
    except MalformedMessage as error:
        return error.text
    if catalog.instance != instance:
        return f"The catalog is of {catalog.instance:.100}, not of {instance}"
    return catalog
