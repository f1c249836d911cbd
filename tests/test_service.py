import asyncio
import logging
import os
import signal

from scripts.service import LineFormatter, run_until_stopped


def test_one_event_is_one_line_whatever_it_says() -> None:
    record = logging.LogRecord("sacbe.x", logging.INFO, "f", 1, "a\nb %s", ("c\r\nd",), None)
    record.created, record.msecs = 0.0, 7
    line = LineFormatter().format(record)
    assert line == "1970-01-01T00:00:00.007Z INFO sacbe.x a\\nb c\\r\\nd"


async def test_a_signal_ends_the_wait() -> None:
    waiting = asyncio.create_task(run_until_stopped())
    await asyncio.sleep(0)
    assert not waiting.done()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(waiting, 5)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
