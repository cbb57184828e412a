"""The README and the pages of docs, and what they tell a reader to run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

from tests.processes import run_python
from tests.wire_server import WireServer

ROOT = Path(__file__).resolve().parent.parent
KEY = "sk-test-0123456789abcdef"
SMALL = ["--set", "search.assignments=1", "--set", "search.operators=['few_shot']"]


FEW = 40
"""Examples of a split, at most, where commands of the pages run."""
LOCAL, SIMULATOR = "local/smollm2-135m", "embedded"


def checkout(folder: Path) -> None:
    """What a reader has before them, in `folder`: the command line and the examples, with the simulator in the place
    of the language model that they name; see `copy_examples`."""
    (folder / "run.py").symlink_to(ROOT / "run.py")
    copy_examples(folder)
    for file in (*folder.glob("examples/*.toml"), *folder.glob("examples/*.py")):
        file.write_text(file.read_text(encoding="utf-8").replace(LOCAL, SIMULATOR), encoding="utf-8")


def copy_examples(folder: Path) -> None:
    """The examples, in `folder`, but only the first `FEW` of each split: a search of all takes half a minute."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    for file in folder.glob("examples/*/*.jsonl"):
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:FEW]))


def page(path: str) -> str:
    """The text of a page, by its path in the checkout."""
    return (ROOT / path).read_text(encoding="utf-8")


README = page("README.md")


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str = README) -> list[list[str]]:
    """The words of each command in a shell block."""
    return [shlex.split(line, comments=True) for block in blocks("sh", text) for line in block.splitlines()]


def execute(command: list[str], folder: Path, server: WireServer) -> None:
    """Run a command as it is written, but searches with one assignment; `server` stands in for the provider."""
    environ = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.openai_url, "COLUMNS": "120"}
    assert command[0] == "python"
    extra = SMALL if {"search", "sweep"} & set(command) else []
    done = run_python([*command[1:], *extra], folder, environ)
    assert done.returncode == 0, done.stderr
