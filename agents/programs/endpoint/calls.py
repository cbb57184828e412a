"""The model calls that a program makes for one example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup

from agents.programs.endpoint.asked import Asked, Unusable
from agents.programs.endpoint.belonging import Owners
from protocols.errors import ModelError
from protocols.program import Answered, Call, Prompts

ENDED: Final = "the example of this call has ended; answer an example once all of its calls are done"
GRACE: Final = 5.0
"""Seconds that a program has to come to an end after an error that ends its example."""


class Patience:
    """How long a program may go on with an example without asking a model, in seconds; what a call waits for its turn
    does not count. `scope` is cancelled when it is over."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._asked = seconds, 0
        self.scope = anyio.CancelScope(deadline=anyio.current_time() + seconds)

    def stop(self) -> None:
        """A call begins."""
        self._asked += 1
        self.scope.deadline = math.inf

    def begin(self) -> None:
        """A call has ended."""
        self._asked -= 1
        if not self._asked:
            self.scope.deadline = anyio.current_time() + self._seconds

    def shorten(self, seconds: float) -> None:
        """From now on it is at most so long."""
        self._seconds = min(self._seconds, seconds)


class Pending:
    """A call that was made, and then its reply or the error that is to be told to the program."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.answered: Answered | None = None
        self.error: Exception = Unusable(ENDED)


class Calls:
    """Makes the calls of one example in the task group `tasks`, so that they end with it.

    `ending`: the error that ends the example, whatever the program does with it: a cap, an error that all calls will
    have, or a bug. `failed`: the error of the last call, None if it did not fail. `made`: the number of calls.
    """

    def __init__(self, tasks: TaskGroup, prompts: Prompts, call: Call, patience: Patience) -> None:
        self._tasks, self._call, self._patience = tasks, call, patience
        self._owners = Owners(prompts)
        self._open = True
        self.prompts: Mapping[str, object] = prompts
        self.ending: Exception | None = None
        self.failed: ModelError | None = None
        self.made = 0

    def close(self) -> None:
        """No call is made any more, and those under way are cancelled."""
        self._open = False
        self._tasks.cancel_scope.cancel()

    async def ask(self, asked: Asked) -> Answered:
        """The reply, for a task outside the group.

        :raises Unusable: the example has ended.
        :raises Exception: the call's; see `Call`.
        """
        if self.ending is not None:
            raise self.ending
        if not self._open:
            raise Unusable(ENDED)
        pending = Pending()
        self.made += 1
        self._patience.stop()
        self._tasks.start_soon(self._make, asked, pending)
        await pending.done.wait()
        if pending.answered is None:
            raise pending.error
        return pending.answered

    async def _make(self, asked: Asked, pending: Pending) -> None:
        try:
            name, more = self._owners.of(asked), dict[str, Any](asked.parameters)
            pending.answered = await self._call(
                name, asked.messages, temperature=asked.temperature, max_tokens=asked.max_tokens, **more
            )
            self.failed = None
        except Exception as error:
            pending.error = error
            self._fail(error)
        finally:
            self._patience.begin()
            pending.done.set()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, ModelError) and not error.fatal:
            self.failed = error
        elif self.ending is None:
            self.ending = error
            self._patience.shorten(GRACE)
