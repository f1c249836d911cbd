import asyncio
import logging
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.service import LineFormatter, run_service, run_until_stopped

ROOT = Path(__file__).parents[1]


def test_one_event_is_one_line_whatever_it_says() -> None:
    record = logging.LogRecord("sacbe.x", logging.INFO, "f", 1, "a\nb %s", ("c\r\nd",), None)
    record.created, record.msecs = 0.0, 7
    line = LineFormatter().format(record)
    assert line == "1970-01-01T00:00:00.007Z INFO sacbe.x a\\nb c\\r\\nd"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("again", [False, True])
def test_a_signal_ends_in_order_what_was_begun(number: signal.Signals, again: bool) -> None:
    steps = []

    async def service() -> int:
        try:
            os.kill(os.getpid(), number)
            await run_until_stopped()
        finally:
            if again:
                os.kill(os.getpid(), number)
            await asyncio.sleep(0.01)
            steps.append("ended")
        return 1

    assert run_service(service(), stopped=7) == 7
    assert steps == ["ended"]


def test_what_ends_by_itself_says_how() -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 3

    assert run_service(work(), stopped=7) == 3


def test_a_cancellation_from_within_is_no_stop() -> None:
    async def work() -> int:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_service(work())


def test_memory_of_large_blocks_goes_back() -> None:
    """In a process of its own, for it can't be undone."""
    if platform.libc_ver()[0] != "glibc" or not Path("/proc/self/statm").exists():
        pytest.skip("this is for glibc on Linux")
    ran = subprocess.run(
        [sys.executable, "-c", BODIES_THAT_COME_AND_GO], cwd=ROOT, check=True, capture_output=True
    )
    assert int(ran.stdout) < 32


BODIES_THAT_COME_AND_GO = """
import os
from pathlib import Path
from scripts.service import run_service

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

async def work():
    before, lasting = resident(), []
    for _ in range(3):
        bodies = []
        for _ in range(64):
            bodies.append(b"x" * (1 << 20))
            lasting.append(b"x" * 2000)  # stands between two bodies in the heap
        del bodies
    print(resident() - before)
    return 0

run_service(work())
"""
