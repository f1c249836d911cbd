"""Where bodies are kept while they pass through."""

from dataclasses import dataclass
from pathlib import Path

from node.exchange.body import SpooledBody


@dataclass(frozen=True, slots=True)
class Spool:
    """A folder for large bodies, and the sizes that a body may have.

    Attributes:
        folder: must exist; the files in it have no names and go with the process.
        largest: bytes of one body at the most.
        in_memory: bytes up to which a body needs no file.
        reserve: bytes of the disk that stay free.
    """

    folder: Path
    largest: int
    in_memory: int
    reserve: int

    def body(self) -> SpooledBody:
        return SpooledBody(self.folder, self.largest, self.in_memory, self.reserve)
