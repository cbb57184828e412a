"""The map in docs/architecture.md: what it names exists, and imports run downwards in its picture."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CODE = sorted(chain(*((ROOT / top).rglob("*.py") for top in ("agents", "memory", "protocols"))), key=str)
MOST = 13
"""Modules of a folder, `__init__` not counted: about a dozen."""


def room(path: Path) -> str:
    """The folder of a module, or of what stands in `agents` itself the module."""
    folder = path.parent.relative_to(ROOT).as_posix()
    return path.relative_to(ROOT).as_posix() if folder == "agents" else folder


def module(name: str) -> Path | None:
    """The file of a module of ours."""
    path = ROOT / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def imported(path: Path) -> Iterator[Path]:
    """The modules of ours that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                found = module(f"{node.module}.{name.name}") or module(node.module)
                if found and found in CODE:
                    yield found


def picture() -> dict[str, int]:
    """The line of each room in the picture, from the top."""
    [drawn] = re.findall(r"```\nrun\.py.*?```", PAGE, re.DOTALL)
    lines = [line.split("  ")[0] for line in drawn.splitlines()[1:-1]]
    return {name: number for number, line in enumerate(lines) for name in re.findall(r"[a-z_/.]+", line)}


def test_imports_run_downwards_in_the_picture_which_shows_every_room() -> None:
    lines, upwards = picture(), set[str]()
    assert {room(path) for path in CODE} - {"agents/__init__.py"} <= lines.keys()
    for path in CODE:
        for other in imported(path):
            here, there = room(path), room(other)
            if here != there and there in lines and lines[there] <= lines.get(here, -1):
                upwards.add(f"{path.relative_to(ROOT)} imports {other.relative_to(ROOT)}")
    assert not upwards


def test_no_folder_is_an_attic() -> None:
    folders = {path.parent for path in CODE}
    counts = {str(f.relative_to(ROOT)): sum(p.parent == f and p.stem != "__init__" for p in CODE) for f in folders}
    assert {folder: count for folder, count in counts.items() if count > MOST} == {}


@pytest.fixture(scope="module")
def importing() -> dict[str, set[str]]:
    """The folders in which each library is imported."""
    found = defaultdict[str, set[str]](set)
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                found[name.partition(".")[0]].add(str(path.parent.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(
    ("library", "room"),
    [
        ("ray", "agents/cluster"),
        ("cryptography", "agents/cluster"),
        ("openai", "protocols/providers"),
        ("anthropic", "protocols/providers"),
        ("xllamacpp", "protocols/providers/local"),
        ("dspy", "agents/programs/adapters"),
        ("langchain_core", "agents/programs/adapters"),
        ("mlflow", "agents/views/telemetry"),
        ("wandb", "agents/views/telemetry"),
        ("opentelemetry", "agents/views/telemetry"),
        ("typer", "agents/commands"),
    ],
)
def test_a_library_that_can_be_exchanged_is_imported_in_one_room(
    importing: dict[str, set[str]], library: str, room: str
) -> None:
    assert importing[library] == {room}


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`([\w/]+\.py:[\w.]+)`", PAGE))))
def test_what_the_page_names_exists(named: str) -> None:
    file, _, name = named.partition(":")
    tree: ast.AST = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for part in name.split("."):
        found = [n for n in ast.iter_child_nodes(tree) if getattr(n, "name", None) == part]
        assert found, f"{file} has no {part}"
        tree = found[0]
