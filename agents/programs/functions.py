"""A program that is a Python function of the user's."""

from __future__ import annotations

import inspect
import math
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from anyio import CapacityLimiter, from_thread, get_cancelled_exc_class, to_thread
from anyio.lowlevel import current_token

from agents.programs.watched import Printed, Watch
from protocols.errors import BudgetExhausted, Interrupted, ModelError, ProgramFailed
from protocols.files.own_code import is_theirs
from protocols.files.users_code import cancelled
from protocols.program import Answered, Call, Prompts, Turn
from protocols.task import Example, Json
from protocols.text import LONGEST_REASON, one_line

FRAMES = 6
"""Most frames in the trace of an exception, the innermost."""
PATIENCE = 300.0
"""Seconds for which `async def` may hold up the event loop."""


class FunctionProgram:
    """`async def answer(inputs, prompts, call)`; a plain `def` runs in a thread, where `call` waits for the reply.
    What it prints becomes notes. `patience`: see `Watch`."""

    def __init__(self, function: Callable[..., Any], patience: float = PATIENCE) -> None:
        self._function = function
        called = function if inspect.isroutine(function) or isinstance(function, partial) else type(function).__call__
        self._waits = inspect.iscoroutinefunction(called)
        # Not the limiter that all threads share: a call needs threads of its own, and would wait for ever for them.
        self._threads = CapacityLimiter(math.inf)
        self._watch = Watch(patience)

    async def answer(self, example: Example, prompts: Prompts, call: Call, note: Callable[[str], None]) -> Json:
        """The function's answer.

        :raises ProgramFailed: it raised; with the frames of the user's code.
        :raises ModelError, BudgetExhausted: a call failed.
        """
        inputs = dict(example.inputs)
        with self._watch.watched(note) as printed:
            asks = noting(call, printed)
            try:
                if self._waits:
                    said = self._function(inputs, prompts, asks)
                else:
                    said = await to_thread.run_sync(
                        self._function,
                        inputs,
                        prompts,
                        waiting(asks),
                        abandon_on_cancel=True,
                        limiter=self._threads,
                    )
                if inspect.iscoroutine(said):
                    said = await self._watch.drive(said, note)
            except ProgramFailed as error:
                raise error if error.trace else placed(error, example) from None
            except (ModelError, BudgetExhausted, Interrupted):
                raise
            except (Exception, SystemExit) as error:
                raise raised(error, example) from error
            except get_cancelled_exc_class() as error:
                if cancelled():
                    raise
                raise raised(error, example) from error  # it awaited a task that it had cancelled itself
        return said  # type: ignore[no-any-return]  # `Running` refuses what is no JSON


def noting(call: Call, printed: Printed) -> Call:
    """`call`, before which what was printed is noted."""

    async def ask(prompt: str, messages: Sequence[Turn], **settings: Any) -> Answered:
        printed.flush()
        return await call(prompt, messages, **settings)

    return ask


def waiting(call: Call) -> Callable[..., Any]:
    """`call` for a function that runs in a thread, where it waits, and in threads of the function's own. A coroutine
    that the function returns runs where this was made, and awaits it."""
    here, token = threading.get_ident(), current_token()

    def ask(prompt: str, messages: Sequence[Turn], **settings: Any) -> Any:
        asked = partial(call, prompt, messages, **settings)
        return asked() if threading.get_ident() == here else from_thread.run(asked, token=token)

    return ask


def raised(error: BaseException, example: Example) -> ProgramFailed:
    """The failure for an exception of the user's code, with the place where it was raised."""
    first = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    said = first.reason if isinstance(first, ProgramFailed) else _said(first)
    trace = "".join([*traceback.format_list(frames(first)[-FRAMES:]), said])
    return ProgramFailed(f"{_line(first, said)}{place(first, example, error)}", trace=trace)


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it ends the process (sys.exit)"
    return "".join(traceback.format_exception_only(error)).strip()


def _line(error: BaseException, said: str) -> str:
    """What an exception says, as one line."""
    if isinstance(error, SyntaxError):
        return said.splitlines()[-1]  # after the line of code
    return one_line(said, LONGEST_REASON)


def placed(error: ProgramFailed, example: Example) -> ProgramFailed:
    """A failure of a call or a prompt, with the place in the user's code."""
    trace = "".join([*traceback.format_list(frames(error)[-FRAMES:]), error.reason])
    return ProgramFailed(f"{error.reason}{place(error, example)}", trace=trace)


def frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of an exception from the user's code on."""
    every = traceback.extract_tb(error.__traceback__)
    first = next((n for n, frame in enumerate(every) if is_theirs(frame.filename)), 0)
    return every[first:]


def place(error: BaseException, example: Example, group: BaseException | None = None) -> str:
    """Where an exception comes from, in words: the example, and the innermost line of the user's code; that of the
    exception's `group`, if it has none itself."""
    theirs = _theirs(error) or (_theirs(group) if group else [])
    where = f", {theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
    return f", on the example {example.id}{where}"


def _theirs(error: BaseException) -> list[traceback.FrameSummary]:
    return [frame for frame in traceback.extract_tb(error.__traceback__) if is_theirs(frame.filename)]
