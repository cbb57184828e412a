"""Calls of the user's code, which may raise a cancellation of its own.

A closed session, a shut-down executor or a cancelled task raises `asyncio.CancelledError` where it is awaited. A task
group would take that for the end of a task that it has cancelled, and whoever waits for its work would wait for ever.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from protocols.errors import ConfigError
from protocols.files.own_code import line_of_theirs


@contextmanager
def users_code(what: str) -> Iterator[None]:
    """Turns a cancellation that the block raised by itself into an error; one of ours, or of our caller's, goes on.
    `what`: the user's code that is called, for the error.

    :raises ConfigError: the block was cancelled, and nobody has cancelled this task; with file and line of the
        user's code, if the cancellation came through it.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        if cancelled():
            raise
        raise ConfigError(
            f"{what} raised CancelledError, and nothing here was cancelled: what it waited for was cancelled or "
            "closed (a session, an executor, a task); keep that open while it is in use, or catch this error there",
            **line_of_theirs(error),
        ) from error


def cancelled() -> bool:
    """Whether the current task has been cancelled, so that a cancellation raised in it is not the user's code's own.

    A task of a task group is cancelled by cancel scopes alone, and its `cancelling()` only counts what the user's
    code has done to it. Any other task may also be cancelled by asyncio, as by Ctrl-C.
    """
    if anyio.current_effective_deadline() == -math.inf:
        return True
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return False
    task = asyncio.current_task()
    return task is not None and anyio.get_current_task().parent_id is None and task.cancelling() > 0
