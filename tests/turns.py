"""How long each callback holds asyncio's event loop, and what of our code held it.

CPU seconds of the loop's thread are counted, not seconds of the clock: a busy machine makes no turn longer.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from asyncio.events import Handle
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

Run = Callable[[Handle], None]
HOUSE = f"{Path(__file__).resolve().parent.parent}/"
ROOMS = ("agents/", "memory/", "protocols/")
EVERY = 0.002
"""Seconds between two looks at what holds the loop."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One callback: its CPU `seconds`, the `task` that it is a step of, and the functions of ours that were seen to
    hold it most often, the outermost first; none where it was too short to be seen."""

    seconds: float
    task: str
    held_by: tuple[str, ...] = ()


@dataclass
class Turns:
    """The callbacks of a loop that took longer than `least` CPU seconds, and the `longest` of all."""

    least: float
    long: list[Turn] = field(default_factory=list)
    longest: Turn = Turn(0.0, "")
    _number: int = 0
    _seen: Counter[tuple[str, ...]] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self, handle: Handle, original: Run) -> None:
        """Run a callback of the loop, timed."""
        self._number += 1
        begun = time.thread_time()
        original(handle)
        took = time.thread_time() - begun
        if took <= min(self.least, self.longest.seconds):
            return
        step = getattr(handle, "_callback", None)
        task = getattr(getattr(step, "__self__", None), "get_name", lambda: repr(step))()
        seen, self._seen = self._seen, Counter()
        turn = Turn(took, task, seen.most_common(1)[0][0] if seen else ())
        if took > self.least:
            self.long.append(turn)
        if took > self.longest.seconds:
            self.longest = turn

    def watch(self, thread: int) -> None:
        """Look at the loop's thread again and again, in a thread of its own."""
        number = 0
        while not self._over.wait(EVERY):
            if self._number != number:
                number, self._seen = self._number, Counter()
            if (frame := sys._current_frames().get(thread)) is not None:
                self._seen[tuple(ours(frame))] += 1

    def end(self) -> None:
        """No more looks."""
        self._over.set()


def ours(frame: FrameType | None) -> list[str]:
    """The functions of this house on a stack, the outermost first."""
    found = []
    while frame is not None:
        path = frame.f_code.co_filename.removeprefix(HOUSE)
        if path.startswith(ROOMS):
            found.append(f"{path}:{frame.f_code.co_qualname}")
        frame = frame.f_back
    return found[::-1]


@contextmanager
def counted(least: float = 0.02) -> Iterator[Turns]:
    """Time every callback of asyncio's own loops (not of uvloop) in this thread while the block runs. As in a command
    (`drive`), no collection of garbage walks what was there before."""
    turns, run = Turns(least), "_run"
    original: Run = getattr(Handle, run)
    watcher = threading.Thread(target=turns.watch, args=(threading.get_ident(),), daemon=True)
    watcher.start()
    gc.freeze()
    setattr(Handle, run, lambda handle: turns.run(handle, original))
    try:
        yield turns
    finally:
        setattr(Handle, run, original)
        gc.unfreeze()
        turns.end()
        watcher.join()
