"""A fork of `tests.processes` is what a process of Python's own is: the same output, exit code and surroundings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import invoke
from tests.pages import ROOT
from tests.processes import run_python
from tests.small_task import write_task

RUN = str(ROOT / "run.py")
SURROUNDINGS = """
import gc, os, signal, sys, threading, structlog
print(__name__, os.path.abspath(__file__), sys.argv, os.getcwd(), sys.path[0], os.umask(0o77))
print(sys.modules["__main__"] is sys.modules[__name__], "mine" in sys.modules)
print(sorted((name, value) for name, value in os.environ.items() if name != "LC_CTYPE"))
for number in sorted(signal.valid_signals()):
    print(number, str(signal.getsignal(number)).split(" at ")[0])
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), gc.get_threshold(), gc.isenabled(), gc.get_freeze_count())
print([(s.encoding, s.errors, s.isatty()) for s in (sys.stdout, sys.stderr)])
print(sys.stdin.isatty(), repr(sys.stdin.read()))
print(threading.active_count(), structlog.is_configured(), "付款", "é" * 9)
os.environ["LEFT"] = "behind"
gc.disable()
gc.set_threshold(1)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.chdir("/")
structlog.configure()
sys.modules["mine"] = sys
sys.exit(sys.argv[1])
"""


def process(words: list[str], folder: Path, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def forked(words: list[str], folder: Path, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    done = run_python(words, folder, environ)
    return done.returncode, done.stdout, done.stderr


def test_a_script_sees_nothing_of_us_or_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(SURROUNDINGS, encoding="utf-8")
    (tmp_path / "here").mkdir()
    environ = {"PATH": os.defpath, "GIVEN": "付款"}
    expected = process(["../seen.py", "why"], tmp_path / "here", environ)
    assert expected[0] == 1
    for _ in range(2):
        assert forked(["../seen.py", "why"], tmp_path / "here", environ) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["show", "run"],
        ["trace", "run", "--json"],
        ["export", "run", "--to", "python"],
        ["show", "nowhere", "--json"],
        ["search", "--bogus"],
    ],
    ids=" ".join,
)
def test_a_command_prints_what_it_prints_in_a_process_of_its_own(tmp_path: Path, words: list[str]) -> None:
    config = write_task(tmp_path)
    invoke("search", config, "--set", "search.assignments=1", "--out", tmp_path / "run")
    assert forked([RUN, *words], tmp_path) == process([RUN, *words], tmp_path)


def test_a_signal_ends_it_as_it_ends_any_other(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", encoding="utf-8")
    assert forked(["ends.py"], tmp_path) == process(["ends.py"], tmp_path)
