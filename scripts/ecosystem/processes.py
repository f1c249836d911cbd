"""The processes of a sandbox: bound to us, waited for, stopped, and asked for last words."""

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from scripts.postgres_process import BoundProcess, RunAs, Way
from trust.errors import SacbeError

_POLL = 0.05  # seconds
_START = 60.0  # seconds until a process must be ready
_STOP = 15.0  # seconds until a process that was asked to end is killed
_LAST_LINES = 12
_LAST_BYTES = 8192


class ProcessFailed(SacbeError):
    """A process of the sandbox ended by itself, or never became ready."""


async def _refusal(session: aiohttp.ClientSession, url: str) -> str:
    """Why a process is not ready; empty when it is."""
    try:
        async with session.get(url) as response:
            if response.status == 200:
                return ""
            return f"it says: {(await response.text())[:1000].strip()}"
    except (aiohttp.ClientError, TimeoutError) as error:
        return f"{url} does not answer: {type(error).__name__}"


@dataclass(slots=True)
class Child:
    """One `sacbe` command, or another module, in a process of its own that never outlives this one.

    Attributes:
        name: for people, as `node CIVIL`.
        words: the command's arguments.
        announces: begins the line that it logs when it has taken its ports. Before that line
            somebody else might answer there.
        ready_url: answers with status 200 once the process is ready.
        log: its output, appended over restarts.
    """

    name: str
    words: tuple[str, ...]
    announces: str
    ready_url: str
    log: Path
    module: str = "scripts.cli"
    _process: BoundProcess | None = field(default=None, repr=False)
    _logged: int = 0  # bytes in the log before this start

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    @property
    def failed(self) -> bool:
        """Whether it ended without having been stopped."""
        return self._process is not None and self._process.returncode is not None

    def start(self) -> None:
        """Start the process; call it in the thread that stays, see BoundProcess."""
        command = [sys.executable, "-P", "-m", self.module, *self.words]
        run_as = RunAs(Way.USER, os.geteuid(), os.getegid())
        with self.log.open("ab") as log:
            self._logged = log.tell()
            self._process = BoundProcess(run_as, command, signal.SIGTERM, log.fileno())

    async def ready(self, session: aiohttp.ClientSession) -> None:
        """Wait until it is ready; raises ProcessFailed with what it said last."""
        reason = f"it never said '{self.announces}'"
        try:
            async with asyncio.timeout(_START):
                while not self.failed:
                    if self._announced():
                        reason = await _refusal(session, self.ready_url)
                        if not reason:
                            return
                    await asyncio.sleep(_POLL)
        except TimeoutError as error:
            text = f"{self.name} was not ready within {_START:.0f} s: {reason}"
            raise ProcessFailed(f"{text}\n{self.last_words()}") from error
        raise self.failure()

    def _announced(self) -> bool:
        with self.log.open("rb") as log:
            log.seek(self._logged)
            return any(line.startswith(self.announces.encode()) for line in log)

    async def stop(self) -> None:
        """Ask it to end and wait for it; by force when it hangs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send(signal.SIGTERM)
        if await process.ended(_STOP) is None:
            process.send(signal.SIGKILL)
            await process.ended()

    def failure(self) -> ProcessFailed:
        """What to tell of a process that ended by itself."""
        code = None if self._process is None else self._process.returncode
        return ProcessFailed(f"{self.name} ended (status {code}). {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _LAST_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            text = ""
        lines = text.splitlines()[-_LAST_LINES:]
        return "\n".join([f"The last lines of {self.log}:", *(f"    {line}" for line in lines)])

    def resident_mb(self) -> float:
        """Its resident memory in MB (10^6 bytes); 0 when it does not run or nobody can tell."""
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
            found = next(line for line in lines if line.startswith("VmRSS:"))
            return round(int(found.split()[1]) * 1024 / 1e6, 1)
        return 0.0
