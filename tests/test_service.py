import asyncio
import logging
import os
import signal

import pytest

from scripts.service import LineFormatter, run_service, run_until_stopped


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
