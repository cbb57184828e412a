"""The notebook among the examples runs from its first cell to its last, and is kept without outputs."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import FunctionType
from typing import Any

import orjson
import pytest
from matplotlib import pyplot

from tests.pages import ROOT

pytestmark = pytest.mark.anyio
CELLS: list[dict[str, Any]] = orjson.loads((ROOT / "examples" / "tour.ipynb").read_bytes())["cells"]


async def run(source: str, names: dict[str, Any]) -> object:
    """Run a cell as a notebook does, with `await` outside functions; the value of its last expression."""
    tree = ast.parse(source)
    if isinstance(last := tree.body[-1], ast.Expr):
        shown = ast.Assign([ast.Name("_", ast.Store())], last.value)
        tree.body[-1] = ast.fix_missing_locations(ast.copy_location(shown, last))
    code = compile(tree, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names.pop("_", None)
    ran = FunctionType(code, names)()
    if inspect.isawaitable(ran):
        await ran
    return names.get("_")


async def test_the_tour_runs_cell_by_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("agg")
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [await run("".join(cell["source"]), names) for cell in CELLS if cell["cell_type"] == "code"]
    pyplot.close("all")
    assert [value for value in shown if hasattr(value, "_repr_html_")]
    found = names["found"]
    assert found.result.best.value > found.result.first.value
    assert len(names["history"]) == len(found.history)


def test_it_is_kept_without_outputs() -> None:
    code = [cell for cell in CELLS if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
