"""Common parts of all commands: running, printing, and exit codes."""

from __future__ import annotations

import errno
import gc
import os
import shlex
import signal
import sys
import threading
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import anyio
import orjson
import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from agents.directory.run_directory import REPORT
from agents.ring.team import only
from agents.views.live.terminal import Onlooker
from protocols.errors import BusError, InputError, Interrupted, PromptFlowError, storage_failure
from protocols.providers.environment import read_environment
from protocols.text import one_line, printable

T = TypeVar("T")
LEAVING = 1.0
"""Seconds that each thread has to come to its end."""
DISTRIBUTION = "promptflow-agents"
COMPLETION = frozenset({"--show-completion", "--install-completion"})
MISUSED: Any = typer.BadParameter.__base__
"""All errors in how a command is called; typer gives only some of them a name of its own."""
ENTER = "name a path that you may read and write, or change its permissions"
REFUSED: Mapping[int, str] = {
    errno.EACCES: ENTER,
    errno.EPERM: ENTER,
    errno.EROFS: "name a path that can be written",
    errno.ENAMETOOLONG: "name a shorter one",
    errno.ELOOP: "one of its links leads back to itself",
    errno.ENOTDIR: "a part of it is a file",
}
"""What to do about a path that the system refuses, by its reason."""
YOUNG = 15_000
"""New objects between two runs of the garbage collector: more would hold the event loop for over 20 ms."""


class Commands(TyperGroup):
    """The commands; an error in how one is called is JSON as well, if the call asks for that."""

    def invoke(self, ctx: Any) -> Any:
        as_json = "--json" in ctx.args
        try:
            return super().invoke(ctx)
        except MISUSED as error:
            if as_json:
                emit({"error": {"type": "UsageError", "message": one_line(error.format_message(), 2000)}})
            raise


def collect_rarely() -> None:
    """Have the garbage collector run after YOUNG new objects instead of 700, and never examine objects from before.

    A search makes few reference cycles and keeps many objects: at its defaults the collector takes a fifth of the CPU
    time of a search with many calls in flight (`benchmarks.throughput`).
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 70, 50)


def drive(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work`, on uvloop if it is installed."""
    collect_rarely()
    with as_ctrl_c(signal.SIGTERM):
        return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})


@contextmanager
def as_ctrl_c(other: signal.Signals) -> Iterator[None]:
    """Treat a signal as a Ctrl-C, so that the program unwinds, restores the terminal and closes files; also if Ctrl-C
    itself is ignored, as shells set it for background processes."""
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


def leave(code: object) -> None:
    """End the process at once if a thread of a user's program would never let it end; else return."""
    mine = threading.current_thread()
    for thread in threading.enumerate():
        if thread is not mine and not thread.daemon:
            thread.join(LEAVING)
            if thread.is_alive():
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code if isinstance(code, int) else int(code is not None))


def environment() -> Mapping[str, str]:
    """The process's environment variables, and those of ./.env that it does not set."""
    return read_environment(Path(".env"), os.environ)


@contextmanager
def exit_codes(as_json: bool) -> Iterator[None]:
    """Turn errors into one line and an exit code; our bugs remain tracebacks."""
    try:
        yield
    except BaseException as error:
        found = storage_failure(error) or (only(error) if isinstance(error, BaseExceptionGroup) else error)
        found = of_a_path(found) or found
        code = exit_code(found)
        if code is None:
            raise
        fail(found, code, as_json)


def of_a_path(error: BaseException) -> InputError | None:
    """The error for a path that the user has given and that the system refuses; None for any other error."""
    advice = REFUSED.get(error.errno or 0) if isinstance(error, OSError) else None
    if not isinstance(error, OSError) or advice is None or not isinstance(error.filename, str | bytes):
        return None
    reason = (error.strerror or "cannot be used").lower()
    return InputError(f"{reason}; {advice}", file=printable(os.fsdecode(error.filename)))


def exit_code(error: BaseException) -> int | None:
    """The exit code for an error; None for a bug of ours, and for exceptions that exit already."""
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
    """Print an error.

    :raises typer.Exit: always.
    """
    message = one_line(str(error) or "stopped at once", 2000)
    tell(message)
    try:
        if as_json:
            emit({"error": {"type": type(error).__name__, "message": message}})
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the exit flushes, and fails, again
    raise typer.Exit(code)


def emit(document: object) -> None:
    """Print the document of --json, in UTF-8 and with as little escaped as possible."""
    print_as_is(dumps(document))


def dumps(document: object) -> bytes:
    """A document as indented JSON."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def print_as_is(content: bytes) -> None:
    """Write bytes to standard output without wrapping or styling."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """Print a line for the person on standard output."""
    stdout().print(Text(text), soft_wrap=True)


def say_where(directory: Path) -> None:
    """Name the run directory of a search, and what a person may do with it next."""
    run = shlex.quote(str(directory))
    say(f"Run directory: {directory}")
    say(
        f"Next: {program()} show {run} prints the prompt, export {run} --to python --out prompt.py takes it with "
        f"you; {directory / REPORT} opens in a browser"
    )


def tell(text: str) -> None:
    """Print a line on standard error."""
    Onlooker(stderr=True).print(Text(one_line(f"promptflow: {text}", 2000)), soft_wrap=True)


def stdout() -> Console:
    """Standard output; 120 columns wide if it is no terminal, so that tables fit."""
    return Console(width=None if sys.stdout.isatty() else 120)


def version() -> str:
    """The installed version, or that of the checkout."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]) + " (a checkout)"


def command_name() -> str:
    """The name by which the command line was called: one word where a shell completes it, else as people type it."""
    completes = any(word in COMPLETION for word in sys.argv[1:]) or any(n.endswith("_COMPLETE") for n in os.environ)
    return Path(sys.argv[0]).name if completes else program()


def program() -> str:
    """The command line as a person has typed it, from another folder with the path of run.py."""
    script = Path(sys.argv[0])
    if script.suffix != ".py":
        return "promptflow"
    return f"python {shlex.quote(str(script)) if script.name == 'run.py' else 'run.py'}"
