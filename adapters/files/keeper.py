"""One table: the version that is served, the next one, and those whose pages are still read.

look ── as before ──> nothing
     ── another, still changing ──> wait for the next look
     ── another ──> index it ── good ──> it is served; the last one stays for begun pages
                             ── bad ───> the last one stays, and the reason is told
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

from adapters.files.building import build
from adapters.files.folder import Look, UnfitFolder, look
from adapters.files.index import Index
from adapters.files.indexing import Built, Job
from adapters.files.plan import Plan
from adapters.files.rows import RowProblem
from adapters.files.settings import FolderSettings
from adapters.operations import SourceUnavailable

log = logging.getLogger("sacbe.adapter")

SUFFIX = ".index"
_LOGGED = 10  # problems of a refused version that the log shows
_HELD_BACK = 2  # replaced versions that are kept


class TableKeeper:
    """Keeps one table's rows as its files have them.

    Attributes:
        current: what is served; None while there is nothing that can be.
        reason: why the files as they are now are not what is served; empty when they are.
        problems: what is wrong in them, row by row, as far as it is kept.
        loaded, refused: versions since the start.
        confirmed: when the files last were what is served, in seconds of the clock.
    """

    def __init__(self, folder: FolderSettings, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self.table = plan.table
        self.current: Index | None = None
        self.reason = "its files were not looked at yet"
        self.problems: tuple[RowProblem, ...] = ()
        self.loaded = 0
        self.refused = 0
        self.confirmed = 0.0
        self._attending = asyncio.Lock()
        self._retired: list[tuple[float, Index]] = []
        self._served = b""  # fingerprint of what is served
        self._judged = b""  # … of what was refused last, and how
        self._judgement: tuple[str, tuple[RowProblem, ...]] = ("", ())
        self._left_out: tuple[RowProblem, ...] = ()  # of what is served
        self._settling = b""  # … of what may still be changing

    def version(self, mark: bytes) -> Index | None:
        """The version that a page was read from, if it is still there."""
        known = [self.current, *(index for _, index in self._retired)]
        return next((one for one in known if one is not None and one.version == mark), None)

    async def start(self) -> None:
        """Serve the files as they are, or else the last good version of before."""
        await self.attend(settled=True)
        if self.current is None:
            self._open_last()

    async def attend(self, *, settled: bool = False) -> None:
        """Look at the files once and do what must be done.

        Args:
            settled: not to wait for a second look that finds them unchanged.
        """
        async with self._attending:
            await self._attend(settled)

    async def _attend(self, settled: bool) -> None:
        self._forget_retired()
        try:
            seen = await asyncio.to_thread(look, self._folder, self.table.files)
        except UnfitFolder as error:
            self._refuse(str(error), ())
            return
        fingerprint = seen.fingerprint(self._plan.schema)
        if fingerprint == self._served:
            self.confirmed, self.reason, self.problems = time.time(), "", self._left_out
            return
        if fingerprint == self._judged:
            self._refuse(*self._judgement)
            return
        if not settled and fingerprint != self._settling:
            self._settling = fingerprint
            return
        await self._take(seen, fingerprint)

    async def _take(self, seen: Look, fingerprint: bytes) -> None:
        """Serve files that were seen, from their index or a new one."""
        target = self._path(fingerprint)
        left_out: tuple[RowProblem, ...] = ()
        if not target.exists():
            built = await self._build(seen, target)
            if built.refused:
                if built.problems:  # else it is no fault of the files, and tried again
                    self._judged, self._judgement = fingerprint, (built.refused, built.problems)
                self._refuse(built.refused, built.problems)
                return
            left_out = built.problems
            self._log_left_out(built)
        try:
            index = Index(target, self._plan, fingerprint[:8])
        except SourceUnavailable as error:
            target.unlink(missing_ok=True)
            self._refuse(str(error), ())
            return
        self._left_out = self.problems = left_out
        self._serve(index, fingerprint)

    async def _build(self, seen: Look, target: Path) -> Built:
        job = Job(self._plan, self._folder, seen, target, os.getpid())
        return await build(job, self._folder.build_timeout)

    def _serve(self, index: Index, fingerprint: bytes) -> None:
        if self.current is not None:
            self._retired.append((time.monotonic(), self.current))
        self.current, self._served, self._judged = index, fingerprint, b""
        self.reason, self.confirmed = "", time.time()
        self.loaded += 1
        self._forget_retired()
        self._remove_others()
        log.info(
            "table '%s': %d rows are served, %d left out",
            self.table.name, index.rows, index.left_out,
        )  # fmt: skip

    def _open_last(self) -> None:
        """Go on with the newest version that was good once; it is told why."""
        paths = sorted(self._versions(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in paths:
            fingerprint = bytes.fromhex(path.name.rsplit(".", 2)[1])
            try:
                self.current = Index(path, self._plan, fingerprint[:8])
            except SourceUnavailable:
                path.unlink(missing_ok=True)
                continue
            self._served, self.confirmed = fingerprint, self.current.built
            log.warning("table '%s': its last good version is served", self.table.name)
            return

    def _refuse(self, reason: str, problems: Sequence[RowProblem]) -> None:
        """Keep what is served, and say once why the files are not."""
        if reason == self.reason and tuple(problems) == self.problems:
            return
        self.reason, self.problems = reason, tuple(problems)
        self.refused += 1
        kept = "the last version stays" if self.current else "there is nothing to serve"
        log.warning("table '%s': %s; %s", self.table.name, reason, kept)
        for problem in problems[:_LOGGED]:
            log.warning("table '%s': %s", self.table.name, problem)

    def _log_left_out(self, built: Built) -> None:
        for problem in built.problems[:_LOGGED]:
            log.warning("table '%s': left out: %s", self.table.name, problem)

    def _forget_retired(self) -> None:
        oldest = time.monotonic() - self._folder.kept.total_seconds()
        while self._retired and (self._retired[0][0] <= oldest or len(self._retired) > _HELD_BACK):
            self._retired.pop(0)[1].leave()

    def _path(self, fingerprint: bytes) -> Path:
        schema = self._plan.schema[:8].hex()
        return self._folder.index / f"{self.table.name}.{schema}.{fingerprint[:16].hex()}{SUFFIX}"

    def _versions(self) -> list[Path]:
        schema = self._plan.schema[:8].hex()
        return list(self._folder.index.glob(f"{self.table.name}.{schema}.*{SUFFIX}"))

    def _remove_others(self) -> None:
        """Remove indexes of this table that are neither served nor read."""
        kept = {index.path for _, index in self._retired}
        kept |= {self.current.path} if self.current is not None else set()
        for path in self._folder.index.glob(f"{self.table.name}.*{SUFFIX}"):
            if table_of(path) == self.table.name and path not in kept:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close everything; what is served stays on disk for the next start."""
        for _, index in self._retired:
            index.leave()
        self._retired.clear()
        if self.current is not None:
            self.current.close()
            self.current = None


def table_of(path: Path) -> str:
    """The table whose index a file is, by its name."""
    return path.name.rsplit(".", 3)[0]
