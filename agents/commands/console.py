"""What every command does alike: run, print, and end with the exit code that says how it went."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TypeVar

import anyio
import orjson
import typer
from rich.console import Console
from rich.text import Text

from agents.ring.team import only
from agents.views.live.terminal import Onlooker
from protocols.errors import BusError, InputError, Interrupted, PromptFlowError, storage_failure
from protocols.plain import one_line
from protocols.providers.environment import read_environment

T = TypeVar("T")
YOUNG = 50_000
"""Objects."""


def drive(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on uvloop where there is one.

    A search makes few cycles and keeps much that it made. The garbage collector looks for cycles after YOUNG objects
    and not after 700, and never at what was there before the work began: at its defaults it takes a fifth of the CPU
    time of a search with many calls in flight (`benchmarks.throughput`).
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)
    with as_ctrl_c(signal.SIGTERM):
        return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})


@contextmanager
def as_ctrl_c(other: signal.Signals) -> Iterator[None]:
    """Take a signal for a Ctrl-C, which unwinds what is under way: a terminal is restored, a file is closed. Also
    where a Ctrl-C itself is ignored, as a shell has it for what runs in the background."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def unwind(number: int, frame: FrameType | None) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(other, unwind)
    try:
        yield
    finally:
        signal.signal(other, before)


def environment() -> Mapping[str, str]:
    """The process's variables over those of ./.env."""
    return read_environment(Path(".env"), os.environ)


@contextmanager
def exit_codes(as_json: bool) -> Iterator[None]:
    """One line for what is not our bug, and the exit code that says what it was; our bugs are tracebacks."""
    try:
        yield
    except BaseException as error:
        found = storage_failure(error) or (only(error) if isinstance(error, BaseExceptionGroup) else error)
        code = exit_code(found)
        if code is None:
            raise
        fail(found, code, as_json)


def exit_code(error: BaseException) -> int | None:
    """What a command ends with; None for what is no answer to a person: a bug of ours, or an exit."""
    match error:
        case BusError():
            return None
        case KeyboardInterrupt() | Interrupted():
            return 130
        case InputError():
            return 2
        case PromptFlowError():
            return 1
        case _:
            return None


def fail(error: BaseException, code: int, as_json: bool) -> None:
    """:raises typer.Exit: always."""
    message = one_line(str(error) or "stopped at once", 2000)
    tell(message)
    try:
        if as_json:
            emit({"error": {"type": type(error).__name__, "message": message}})
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or what is left is tried again at the exit
    raise typer.Exit(code)


def emit(document: object) -> None:
    """The one document of --json: UTF-8, nothing escaped that need not be."""
    print_as_is(dumps(document))


def dumps(document: object) -> bytes:
    """A document as people read JSON."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def print_as_is(content: bytes) -> None:
    """Bytes for standard output that nothing is to wrap or to style."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """A line for the person, on standard output."""
    stdout().print(Text(text), soft_wrap=True)


def tell(text: str) -> None:
    """A line on standard error."""
    Onlooker(stderr=True).print(Text(one_line(f"promptflow: {text}", 2000)), soft_wrap=True)


def stdout() -> Console:
    """Standard output; as wide as the tables need where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


def program() -> str:
    return "python run.py" if Path(sys.argv[0]).suffix == ".py" else "promptflow"
