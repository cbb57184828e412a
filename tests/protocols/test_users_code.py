"""A cancellation of the user's own is an error; ours, and that of whoever runs us, stays a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import anyio
import pytest

from protocols.errors import ConfigError
from protocols.files.users_code import users_code

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


async def raises() -> None:
    raise asyncio.CancelledError("of a pool")


async def awaits_a_cancelled_future() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def awaits_a_cancelled_task() -> None:
    task = asyncio.ensure_future(asyncio.sleep(1000))
    task.cancel()
    await task


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1000)


STRAY: Mapping[str, Callable[[], Awaitable[None]]] = {
    "raised": raises,
    "future": awaits_a_cancelled_future,
    "task": awaits_a_cancelled_task,
    "itself": cancels_itself,
}


async def reached(work: Callable[[], Awaitable[None]]) -> list[BaseException]:
    """What leaves a call of `work` in a task of a group, beside scopes that are not cancelled."""
    left: list[BaseException] = []

    async def call() -> None:
        try:
            with anyio.fail_after(1000), users_code("model own/M"):
                await work()
        except Exception as error:
            left.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
    return left


@pytest.mark.parametrize("kind", STRAY)
async def test_a_stray_cancellation_is_an_error_that_names_the_code_and_its_place(kind: str) -> None:
    (error,) = await reached(STRAY[kind])
    assert isinstance(error, ConfigError)
    assert "model own/M raised CancelledError" in str(error)
    assert error.file == __file__


@BOTH
async def test_one_that_is_raised_is_an_error_on_either_backend(anyio_backend: str) -> None:
    (error,) = await reached(raises)
    assert isinstance(error, ConfigError)


@BOTH
async def test_one_after_a_scope_of_the_codes_own_has_ended_is_still_stray(anyio_backend: str) -> None:
    async def work() -> None:
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        await raises()

    (error,) = await reached(work)
    assert isinstance(error, ConfigError)


@BOTH
async def test_a_time_limit_stays_one(anyio_backend: str) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(0), users_code("it"):
        await anyio.sleep_forever()


@BOTH
async def test_a_scope_around_it_ends_it(anyio_backend: str) -> None:
    async def work() -> None:
        with users_code("it"):
            tasks.cancel_scope.cancel()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work)
    assert tasks.cancel_scope.cancelled_caught or tasks.cancel_scope.cancel_called


@BOTH
async def test_a_shielded_call_of_a_cancelled_task_hears_of_no_cancellation(anyio_backend: str) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        with anyio.CancelScope(shield=True), pytest.raises(ConfigError), users_code("it"):
            await raises()


@pytest.mark.parametrize("grouped", [False, True])
async def test_asyncios_own_cancellation_goes_on(grouped: bool) -> None:
    """As by Ctrl-C, or by a server that gives a request up."""
    begun = asyncio.Event()

    async def call() -> None:
        with users_code("it"):
            begun.set()
            await asyncio.sleep(1000)

    async def work() -> None:
        async with anyio.create_task_group() as tasks:
            if grouped:
                tasks.start_soon(call)
            else:
                await call()

    task = asyncio.ensure_future(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
