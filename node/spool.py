"""Where bodies are kept while they pass through."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from node.body import SpooledBody
from trust.errors import LoggingFailed

_TRIAL = bytes(1 << 20)


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

    def body(self, largest: int | None = None) -> SpooledBody:
        """Room for one body.

        Args:
            largest: bytes that it may have, where that is less than any body may have.
        """
        most = self.largest if largest is None else min(self.largest, largest)
        return SpooledBody(self.folder, most, self.in_memory, self.reserve)

    async def problem(self) -> str | None:
        """Why a large body could not be kept now, for readiness; found out with a mebibyte."""
        try:
            await asyncio.to_thread(self._try)
        except LoggingFailed as error:
            return error.text
        return None

    def _try(self) -> None:
        with SpooledBody(self.folder, memory_limit=0, reserve=self.reserve) as trial:
            trial.write(_TRIAL)
