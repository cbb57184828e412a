"""No coroutine of ours waits for a file or a database on the event loop, but for those named here.

blockbuster wraps what blocks (reading and writing of files, sqlite, `time.sleep`) and asks here whether a call
that is made on a running event loop may be. It always may: it is written down, and fails the test at its end, for an
error could be caught by the code under test. What a test does itself is its own business.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Final

from blockbuster import BlockBuster

ROOT = Path(__file__).resolve().parents[2]
ROOMS = tuple(str(ROOT / name) for name in ("agents/", "memory/", "protocols/", "run.py"))
TESTS = str(ROOT / "tests")
LOADING = ("<frozen importlib", "linecache.py", "/coverage/")
"""Parts of the paths of what reads our source whenever it is first needed: imports, tracebacks, coverage."""
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
    "os.readlink",
)
"""What our code leaves to anyio and aiohttp, and what takes microseconds."""

ALLOWED: Mapping[str, str] = {}
"""`file:function` of the coroutines that may block, and why."""

blocked: list[str] = []
"""`file:function: call` of each that did, and was not allowed to."""


def watch() -> None:
    """From now on, in this process."""
    buster = BlockBuster()
    for name, function in buster.functions.items():
        if not name.startswith(UNWATCHED):
            function.can_block_predicate = _noted(name, function.can_block_predicate)
            function.activate()


def _noted(call: str, may: Callable[..., bool]) -> Callable[..., bool]:
    def note(*args: object, **kwargs: object) -> bool:
        if not may(*args, **kwargs) and (place := where(sys._getframe(1))) and place not in ALLOWED:
            blocked.append(f"{place}: {call}")
        return True

    return note


def where(frame: FrameType | None) -> str:
    """The innermost coroutine of ours that the call was made in, else the callback; "" if it was made by a test or by
    a library."""
    callback = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith(TESTS) or any(name in file for name in LOADING):
            return ""
        if file.startswith(ROOMS):
            callback = f"{Path(file).relative_to(ROOT)}:{frame.f_code.co_qualname}"
            if frame.f_code.co_flags & COROUTINE:
                return callback
        frame = frame.f_back
    return callback
