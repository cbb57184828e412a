"""No coroutine of ours waits for a file or a database on the event loop, anywhere.

blockbuster wraps what blocks (reading and writing of files, sqlite, `time.sleep`) and asks here whether a call
that is made on a running event loop may be. It always may: it is written down, and fails the test at its end, for an
error could be caught by the code under test. What a test does itself is its own business.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from blockbuster import BlockBuster, BlockBusterFunction

ROOT = Path(__file__).resolve().parents[2]
ROOMS = tuple(str(ROOT / name) for name in ("agents/", "memory/", "protocols/", "run.py"))
TESTS = str(ROOT / "tests")
LOADING = ("<frozen importlib", "linecache.py", "/coverage/", "/logging/__init__.py")
"""Parts of the paths of what reads our source whenever it is first needed (imports, tracebacks, coverage), and of
what asyncio says on standard error wherever it finds a task that nobody waited for."""
COROUTINE: Final = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
UNWATCHED = (
    "threading.",
    "socket.",
    "ssl.",
    "builtins.",
    "os.stat",
    "os.getcwd",
    "os.access",
    "os.path.",
    "os.read",
)
"""What our code leaves to anyio and aiohttp (a process that is started is waited for with `os.read`), and what takes
microseconds."""

OPENING = "reads what it was given and makes the run directory, before anything else is in flight"
JOURNAL = "reads a journal that nobody writes to"
INSTRUCTION = "reads the instruction anew for every request"
ALLOWED: Mapping[str, str] = {}
"""`file:function` of the coroutines that may block for now, and what they do. What is mended goes."""

blocked: list[str] = []
"""`file:function: call` of each that did."""


def watch() -> None:
    """From now on, in this process."""
    buster = BlockBuster()
    for name, function in buster.functions.items():
        if not name.startswith(UNWATCHED):
            function.can_block_predicate = _noted(name, function)
            function.activate()


def _noted(call: str, function: BlockBusterFunction) -> Callable[..., bool]:
    may, exempt = function.can_block_predicate, function.can_block_functions

    def note(*args: object, **kwargs: object) -> bool:
        if not may(*args, **kwargs) and (place := where(sys._getframe(1), exempt)):
            blocked.append(f"{place}: {call}")
        return True

    return note


def where(frame: FrameType | None, exempt: Sequence[tuple[str, Iterable[str]]]) -> str:
    """The innermost coroutine of ours that the call was made in, else the callback; "" if it was made by a test, by a
    library, or by an `exempt` function of a file whose path ends so."""
    callback = ""
    while frame is not None:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith(TESTS) or any(part in file for part in LOADING):
            return ""
        if any(file.endswith(path) and name in names for path, names in exempt):
            return ""
        if file.startswith(ROOMS):
            callback = f"{Path(file).relative_to(ROOT)}:{frame.f_code.co_qualname}"
            if frame.f_code.co_flags & COROUTINE:
                return callback
        frame = frame.f_back
    return callback
