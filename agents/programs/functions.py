"""A program that is a Python function of the user's."""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, from_thread, to_thread

from protocols.errors import BudgetExhausted, Interrupted, ModelError, ProgramFailed
from protocols.program import Answered, Call, Prompts, Turn
from protocols.task import Example, Json

FRAMES = 6
"""Most frames of a program's own code in the trace of an exception, the innermost."""
OURS = Path(__file__).resolve().parent


class FunctionProgram:
    """`async def answer(inputs, prompts, call)`; a plain `def` runs in a thread, where `call` waits for the reply."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        called = function if inspect.isroutine(function) or isinstance(function, partial) else type(function).__call__
        self._waits = inspect.iscoroutinefunction(called)
        # Not the limiter that all threads share: a call needs threads of its own, and would wait for ever for them.
        self._threads = CapacityLimiter(math.inf)

    async def answer(self, example: Example, prompts: Prompts, call: Call, note: Callable[[str], None]) -> Json:
        """The function's answer.

        :raises ProgramFailed: it raised; with the frames of the user's code.
        :raises ModelError, BudgetExhausted: a call failed.
        """
        inputs = dict(example.inputs)
        try:
            if self._waits:
                said = await self._function(inputs, prompts, call)
            else:
                said = await to_thread.run_sync(
                    self._function, inputs, prompts, waiting(call), abandon_on_cancel=True
                )
        except (ModelError, BudgetExhausted, Interrupted):
            raise
        except Exception as error:
            raise raised(error, example) from error
        return said  # type: ignore[no-any-return]  # `Running` refuses what is no JSON


def waiting(call: Call) -> Callable[..., Answered]:
    """`call` for a function that runs in a thread."""

    def ask(prompt: str, messages: Sequence[Turn], **settings: Any) -> Answered:
        return from_thread.run(partial(call, prompt, messages, **settings))

    return ask


def raised(error: Exception, example: Example) -> ProgramFailed:
    """The failure for an exception of the user's code, with the place where it was raised."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if OURS not in Path(f.filename).resolve().parents]
    where = f", {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    said = "".join(traceback.format_exception_only(error)).strip()
    trace = "".join([*traceback.format_list(frames[-FRAMES:]), said])
    return ProgramFailed(f"{said.splitlines()[-1]}, on the example {example.id}{where}", trace=trace)
