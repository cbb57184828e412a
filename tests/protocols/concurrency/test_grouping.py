"""Groups: order, one at a time, each answer to its own job, and what a cancelled caller leaves behind."""

from __future__ import annotations

import anyio
import pytest

from protocols.concurrency.grouping import Grouping


@pytest.mark.anyio
async def test_jobs_that_arrive_while_a_group_is_worked_on_make_up_the_next() -> None:
    groups, gate = list[list[int]](), anyio.Event()

    async def work(jobs: list[int]) -> list[int]:
        groups.append(list(jobs))
        await gate.wait()
        return [10 * job for job in jobs]

    grouping, outcomes = Grouping[int, int](work), dict[int, int | Exception]()

    async def do(job: int) -> None:
        outcomes[job] = await grouping.do(job)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(do, 0)
        await anyio.wait_all_tasks_blocked()
        for job in range(1, 5):
            tasks.start_soon(do, job)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert groups == [[0], [1, 2, 3, 4]]
    assert outcomes == {job: 10 * job for job in range(5)}


@pytest.mark.anyio
async def test_an_exception_is_the_answer_of_one_job_and_what_is_raised_that_of_all() -> None:
    async def work(jobs: list[int]) -> list[int | Exception]:
        if 7 in jobs:
            raise OSError("gone")
        return [ValueError(job) if job % 2 else job for job in jobs]

    grouping = Grouping[int, int](work)
    assert await grouping.do(2) == 2
    assert isinstance(await grouping.do(3), ValueError)
    assert isinstance(await grouping.do(7), OSError)
    assert await grouping.do(4) == 4


@pytest.mark.anyio
async def test_a_cancelled_caller_leaves_its_job_behind() -> None:
    done, gate = list[int](), anyio.Event()

    async def work(jobs: list[int]) -> list[int]:
        await gate.wait()
        done.extend(jobs)
        return jobs

    grouping = Grouping[int, int](work)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(grouping.do, 1)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(grouping.do, 2)
        await anyio.wait_all_tasks_blocked()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await grouping.do(3)
        gate.set()
    await grouping.do(4)
    assert done == [1, 2, 3, 4]
