"""Callers share a piece of work, and none gets one that began before he asked."""

import asyncio

import pytest

from node.once.enforcement.together import Together


async def test_all_who_wait_share_the_next_run_and_none_a_run_that_began_before() -> None:
    begun, gates = 0, [asyncio.Event() for _ in range(3)]

    async def work() -> None:
        nonlocal begun
        begun += 1
        await gates[begun - 1].wait()

    shared = Together(work)
    first = [asyncio.create_task(shared.done()) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert begun == 1
    later = [asyncio.create_task(shared.done()) for _ in range(5)]
    await asyncio.sleep(0.01)
    assert begun == 1
    gates[0].set()
    await asyncio.gather(*first)
    await asyncio.sleep(0.01)
    assert begun == 2
    assert not any(task.done() for task in later)
    later[0].cancel()  # which takes it from nobody else
    gates[1].set()
    await asyncio.gather(*later[1:])
    gates[2].set()
    await shared.done()
    assert begun == 3


async def test_what_it_raises_reaches_all_who_shared_it_and_nobody_after_them() -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise OSError("away")

    shared = Together(work)
    answers = await asyncio.gather(*(shared.done() for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError] * 3
    await shared.done()
    assert runs == 2


async def test_work_is_done_again_for_each_who_comes_alone() -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)

    shared = Together(work)
    for _ in range(3):
        await shared.done()
    assert len(runs) == 3
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Together(lambda: asyncio.sleep(9)).done(), 0.01)
