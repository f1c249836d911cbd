"""Have an index built by a child process, and wait for it without holding anything up."""

import asyncio
import contextlib
import multiprocessing
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from adapters.files.indexing import Built, Job, run_job

_PROCESSES = multiprocessing.get_context("spawn")


async def build(job: Job, within: timedelta) -> Built:
    """How the child ended; a `refused` one when it takes too long or is killed."""
    answers, answer = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=run_job, args=(job, answer), daemon=True)
    process.start()
    answer.close()  # the child has its own end
    waiting = asyncio.get_running_loop().run_in_executor(
        None, _receive, answers, within.total_seconds()
    )
    try:
        return await asyncio.shield(waiting)
    finally:
        await _end(process, waiting)
        answers.close()


async def _end(process: BaseProcess, waiting: "asyncio.Future[Built]") -> None:
    """Leave no process and no thread behind."""
    if not waiting.done():
        process.kill()  # which is what the thread sees, too
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([waiting])
    else:
        process.kill()
    await asyncio.get_running_loop().run_in_executor(None, process.join)
    process.close()


def _receive(answers: Connection, seconds: float) -> Built:
    if not answers.poll(seconds):
        return Built(0, (), 0, "it took too long")
    try:
        built: Built = answers.recv()
    except EOFError:
        return Built(0, (), 0, "the process that reads the files ended before its time")
    return built
