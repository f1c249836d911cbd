"""The last good catalog on the disk: what a node goes by when the newest one can't be read."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from catalog.central.encoding import MAX_PACKED_BYTES
from trust.errors import StorageError
from trust.pki.keyfiles import write_file

LAST_CATALOG_FILE = "last-catalog.xz"
_LOG = logging.getLogger(__name__)


@dataclass
class LastCatalog:
    """One file with a catalog as it came; what fails is told and does no harm."""

    path: Path
    _written: bytes | None = field(default=None, repr=False)

    def load(self, newest: bytes | None) -> bytes | None:
        """What is in the file, if that is not the newest one anyway."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_PACKED_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            _LOG.warning("The last good catalog can't be had: %s", error.strerror)
            return None
        if raw != newest:
            return raw
        self._written = newest
        return None

    def keep(self, raw: bytes) -> None:
        """Let these bytes be in the file."""
        if self._written == raw:
            return
        self._written = raw  # tried once, for the next version comes soon enough
        try:
            write_file(self.path, raw)
        except StorageError as error:
            _LOG.warning("The catalog is not kept for the next start: %s", error)
