"""What every long-running command shares: the event loop, the log, the end by signal."""

import asyncio
import ctypes
import logging
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

import uvloop

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGE_BLOCK = 512 * 1024  # bytes; what every exchange needs is smaller


class LineFormatter(logging.Formatter):
    """One line per event: time in UTC, level, logger, then `key=value` pairs or a sentence."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{moment}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "\\r").replace("\n", "\\n")


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send all logs to standard error, where service managers collect them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def run_service(main: Coroutine[Any, Any, int], *, stopped: int = 0) -> int:
    """Run on uvloop until the end or until SIGTERM or SIGINT; the exit code.

    The first signal cancels `main`, even half-way through its start, so that it ends in order what
    it has begun; more signals change nothing.

    Args:
        stopped: the exit code after a signal: 0 where that is the proper end.
    """
    _give_memory_back()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_signal(main, stopped))


def _give_memory_back() -> None:
    """Let large blocks go back to the system when they are freed, where glibc keeps the memory.

    By itself it learns from the first body that such blocks come again, and from then on keeps them
    among all that lives longer: a node that once carried many bodies at a time would stay large.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, 4 * _LARGE_BLOCK)


async def _until_signal(main: Coroutine[Any, Any, int], stopped: int) -> int:
    work = asyncio.ensure_future(main)
    signalled: list[int] = []

    def stop(number: int) -> None:
        signalled.append(number)
        if len(signalled) == 1:
            work.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    try:
        return await work
    except asyncio.CancelledError:
        if not signalled:
            raise
        return stopped


async def run_until_stopped() -> None:
    """Wait for the signal, which cancels."""
    await asyncio.Event().wait()
