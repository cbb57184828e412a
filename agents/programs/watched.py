"""Watches a user's program while it works: what it prints becomes notes of its trace, and code that holds up the
event loop is named, and in the end stopped."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, TextIO

from anyio import get_cancelled_exc_class

from protocols.errors import ProgramFailed
from protocols.files.own_code import is_theirs

HELD_UP = "held up everything else"
"""Part of the note of an example on which a program held up the event loop."""
SLOW = 1.0
"""Seconds without giving way after which that is noted."""
STUCK = 10.0
"""Seconds without giving way after which a line on standard error says so."""
STUBBORN = 100
"""How often a program may catch its cancellation before it is left."""
PRINTED = 2000
"""Most characters of what a program prints between two calls that are kept."""
REMEDY = "let it await, or make it a plain def, which runs in a thread"
Note = Callable[[str], None]


class Printed:
    """What the program prints on one example, until it is noted."""

    def __init__(self, note: Note) -> None:
        self._note, self._parts, self._size = note, list[str](), 0

    def add(self, text: str) -> None:
        """Keep a text."""
        if self._size < PRINTED:
            self._parts.append(text)
            self._size += len(text)

    def flush(self) -> None:
        """Note what was printed."""
        text, self._parts, self._size = "".join(self._parts).strip(), [], 0
        if text:
            self._note(f"printed: {text}")


class _Output(io.TextIOBase):
    """Standard output that passes on what no program prints."""

    def __init__(self, real: TextIO, printed: ContextVar[Printed | None]) -> None:
        self.real, self._printed = real, printed

    def write(self, text: str) -> int:
        """Write the text, or keep it for a note."""
        if (printed := self._printed.get()) is None:
            return self.real.write(text)
        printed.add(text)
        return len(text)

    def flush(self) -> None:
        """Flush the real output."""
        self.real.flush()

    def isatty(self) -> bool:
        """Whether the real output is a terminal."""
        return self.real.isatty()

    def fileno(self) -> int:
        """Of the real output."""
        return self.real.fileno()

    @property
    def buffer(self) -> Any:
        """Of the real output."""
        return self.real.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the real output."""
        return self.real.encoding


class Watch:
    """Watches the coroutines of one program. `limit`: seconds without giving way after which one is stopped, where
    signals can do that."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._printed: ContextVar[Printed | None] = ContextVar("printed", default=None)
        self._at_work, self._warned = 0, False
        self._output: _Output | None = None
        self._alarm = False

    @contextmanager
    def watched(self, note: Note) -> Iterator[Printed]:
        """Keep what is printed in this context for notes while the block runs."""
        printed = Printed(note)
        self._begin()
        before = self._printed.set(printed)
        try:
            yield printed
        finally:
            self._printed.reset(before)
            printed.flush()
            self._end()

    def _begin(self) -> None:
        self._at_work += 1
        if not isinstance(sys.stdout, _Output):
            self._output = _Output(sys.stdout, self._printed)
            sys.stdout = self._output
        if self._at_work == 1 and _alarm_is_free():
            signal.signal(signal.SIGALRM, self._stuck)
            self._alarm = True

    def _end(self) -> None:
        self._at_work -= 1
        if self._at_work:
            return
        if self._output is not None and sys.stdout is self._output:
            sys.stdout = self._output.real
        if self._alarm:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self._alarm = False

    async def drive(self, coroutine: Coroutine[Any, Any, Any], note: Note) -> Any:
        """The result of the coroutine. It is noted if it held up the event loop for `SLOW` seconds or more.

        :raises ProgramFailed: it held it up for `limit` seconds.
        """
        driven = _Driven(coroutine, self._arm)
        try:
            return await driven
        finally:
            if driven.longest >= SLOW:
                note(f"the program {HELD_UP} for {driven.longest:.1f} s without giving way; {REMEDY}")

    def _arm(self, on: bool) -> None:
        if self._alarm:
            signal.setitimer(signal.ITIMER_REAL, min(STUCK, self._limit) if on else 0.0, self._limit if on else 0.0)
            self._since = time.monotonic()

    def _stuck(self, number: int, frame: FrameType | None) -> None:
        """Say where the program is stuck; past the limit, stop it there."""
        held = time.monotonic() - self._since
        where = _place(frame)
        if held >= self._limit - 0.1:
            raise ProgramFailed(f"it {HELD_UP} for {held:.0f} s without giving way{where}; {REMEDY}")
        if not self._warned:
            self._warned = True
            sys.stderr.write(f"promptflow: the program has {HELD_UP} for {held:.0f} s{where}; {REMEDY}\n")
            sys.stderr.flush()


def _alarm_is_free() -> bool:
    """Whether this thread may use the alarm, which nobody else uses."""
    here = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGALRM")
    return here and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def _place(frame: FrameType | None) -> str:
    while frame is not None and not is_theirs(frame.f_code.co_filename):
        frame = frame.f_back
    return f", {frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


class _Driven:
    """Awaits a coroutine step by step. `longest`: seconds of the longest step. `arm`: called with True before each
    step, and with False after it."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], arm: Callable[[bool], None]) -> None:
        self._coroutine, self._arm = coroutine, arm
        self.longest = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        cancelled, stubborn = get_cancelled_exc_class(), 0
        value: Any = None
        thrown: BaseException | None = None
        while True:
            began = time.perf_counter()
            self._arm(True)
            try:
                waits = self._coroutine.send(value) if thrown is None else self._coroutine.throw(thrown)
            except StopIteration as end:
                return end.value
            finally:
                self._arm(False)
                self.longest = max(self.longest, time.perf_counter() - began)
            value, thrown = None, None
            try:
                value = yield waits
            except BaseException as error:
                stubborn += isinstance(error, cancelled)
                if stubborn > STUBBORN:
                    raise
                thrown = error
