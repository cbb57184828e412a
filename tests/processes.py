"""Python in processes of their own that need not import us: forks of one process that has.

A command that is started so sees what `python` would show it: its own arguments, folder, environment and streams, its
signals and an exit code; nothing of it is left in this process. It saves the second that the imports take. What
depends on how Python itself begins (its options, terminals, what is typed while it imports) needs `subprocess`.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

IMPORTED = ["run", "tests.processes", "tests.agents.run.searching", "protocols.providers.embedded.model", "uvloop"]
"""What the process has imported of which the others are forks."""


def fork(work: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Start `work`, a function of a module, in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def run_python(
    words: Sequence[str], folder: Path | None = None, environ: Mapping[str, str] | None = None, stdout: str = ""
) -> CompletedProcess[str]:
    """`python WORDS` in `folder`, with `environ` (default: what this process has), to its end. Standard input is
    empty. `stdout`: a file to write to instead of keeping what is printed."""
    with TemporaryDirectory(prefix="python-") as kept:
        printed = [Path(kept) / name for name in ("stdout", "stderr")]
        for path in printed:
            path.touch()
        streams = (stdout or str(printed[0]), str(printed[1]))
        process = fork(be_python, [*words], folder or Path.cwd(), dict(environ or os.environ), streams)
        try:
            process.join()
        except BaseException:
            process.kill()
            raise
        out, err = (path.read_text(encoding="utf-8") for path in printed)
    assert process.exitcode is not None
    return CompletedProcess([*words], process.exitcode, out, err)


def be_python(words: list[str], folder: Path, environ: Mapping[str, str], streams: Sequence[str]) -> None:
    """Do what `python` does with its arguments: a script or `-m` and a module, and theirs."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    for number, stream in enumerate((os.devnull, *streams)):
        opened = os.open(stream, os.O_RDWR | os.O_APPEND)
        os.dup2(opened, number)
        os.close(opened)
    if words[0] == "-m":
        sys.argv, first = words[1:], os.getcwd()
    else:
        sys.argv, first = words, str(Path(words[0]).resolve().parent)
    sys.path[:0] = [first, *filter(None, environ.get("PYTHONPATH", "").split(os.pathsep))]
    if words[0] == "-m":
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(words[0], run_name="__main__")
