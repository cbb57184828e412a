"""`__all__` is exact where one stands: the classes, functions and types of a module, and what it passes on."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import ROOT, blocks

FOLDERS = ("agents", "memory", "protocols")
LISTING = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "\n__all__ = " in path.read_text(encoding="utf-8")
]


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def public(file: Path) -> Iterator[str]:
    """The public names that a module defines, constants apart, and those that a package has from its own modules."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) if not name.isupper():
                yield name
            case ast.ImportFrom(module=str(module), names=names) if module.startswith(f"{module_of(file)}."):
                yield from (each.asname or each.name for each in names if file.name == "__init__.py")


def imported(code: str, module: str) -> Iterator[str]:
    """The names that a piece of code imports from a module."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module == module:
            yield from (each.name for each in node.names)


@pytest.mark.parametrize("file", LISTING, ids=module_of)
def test_what_is_public_is_in_all_and_all_of_it_is_there(file: Path) -> None:
    module = importlib.import_module(module_of(file))
    assert {name for name in public(file) if not name.startswith("_")} <= set(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("file", LISTING, ids=module_of)
def test_what_users_are_told_to_import_is_in_all(file: Path) -> None:
    pages = [(ROOT / "README.md"), *(ROOT / "docs").rglob("*.md")]
    code = [block for page in pages for block in blocks("python", page.read_text(encoding="utf-8"))]
    code += [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")]
    told = {name for each in code for name in imported(each, module_of(file))}
    assert told <= set(importlib.import_module(module_of(file)).__all__)
