"""The command `sweep`: its output, its exit codes, and the grid that the examples hold."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

import run
from agents.study.grid import load_grid
from tests.small_task import write_task

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")


def invoke(*args: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(run.app, ["sweep", *(str(arg) for arg in args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_as_json_and_as_a_table(tmp_path: Path) -> None:
    write_task(tmp_path)
    grid = tmp_path / "grid.toml"
    grid.write_text(
        f'[sweep]\ntasks = ["small.toml"]\nseeds = [0, 1]\ndirectory = "{tmp_path}/out"\n', encoding="utf-8"
    )
    code, out, _ = invoke(grid, "--json", "--set", "search.assignments=2")
    assert code == 0
    document = orjson.loads(out)
    assert document["rows"] == [
        orjson.loads(line) for line in sorted((tmp_path / "out" / "results.jsonl").read_bytes().splitlines())
    ]
    assert [(line["task"], line["setting"], line["ended"]) for line in document["summary"]] == [
        ("small", "default", 2)
    ]
    code, out, err = invoke(grid, "--set", "search.assignments=2")
    assert code == 0
    assert "results.jsonl" in out
    assert "[2/2] small.default.1" in err
    code, out, err = invoke(grid, "--json")
    assert (code, err.count("\n")) == (2, 1)
    assert "another configuration" in orjson.loads(out)["error"]["message"]


def test_a_budget_that_is_used_is_exit_code_1_told_and_shown(tmp_path: Path) -> None:
    write_task(tmp_path)
    grid = tmp_path / "grid.toml"
    table = f'[sweep]\ntasks = ["small.toml"]\nseeds = [0, 1, 2]\nsearches = 1\ndirectory = "{tmp_path}/out"\n'
    grid.write_text(f"{table}budget = {{ calls = 70 }}\n", encoding="utf-8")
    code, out, err = invoke(grid, "--json")
    assert code == 1
    assert 0 < orjson.loads(out)["spent"]["calls"] <= 70
    assert "of 70 calls" in err
    assert "50% of the budget of the sweep is used: " in err
    assert "the budget of the sweep is used: " in err
    assert "did not begin" in err
    assert "raise sweep.budget.calls and give the command again" in " ".join(err.split())


OPERATOR = """
from protocols.errors import RunFailed

class Hopeless:
    name = "hopeless"

    def targets(self, prompt, task):
        return ["task"]

    async def edit(self, assignment, context):
        raise RunFailed("no hope")
"""


def test_a_search_that_failed_is_exit_code_1_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hopeless.py").write_text(OPERATOR, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    write_task(tmp_path)
    grid = tmp_path / "grid.toml"
    settings = '[settings.good]\n[settings.bad.search]\noperators = ["hopeless:Hopeless"]\n'
    grid.write_text(f'[sweep]\ntasks = ["small.toml"]\ndirectory = "{tmp_path}/out"\n{settings}', encoding="utf-8")
    code, out, _ = invoke(grid, "--set", "search.assignments=1")
    assert code == 1
    assert "small.bad.0: failed: RunFailed: no hope" in out
    assert (tmp_path / "out" / "small.good.0" / "result.json").exists()


def test_the_grid_of_the_page_can_be_read(tmp_path: Path) -> None:
    [block] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for name in ("support", "topics"):
        write_task(tmp_path).rename(tmp_path / f"{name}.toml")
    (tmp_path / "grid.toml").write_text(block, encoding="utf-8")
    grid = load_grid(tmp_path / "grid.toml")
    assert len(grid.cells) == 2 * 2 * 3
    assert grid.cells[1].configuration.search.selector.use == "uniform"


def test_the_grid_of_the_examples_can_be_read() -> None:
    grid = load_grid(ROOT / "examples" / "sweep.toml")
    assert [cell.name for cell in grid.cells][:2] == ["simulated.msgd.0", "simulated.uniform.0"]
    assert (len(grid.cells), grid.searches, grid.directory) == (4, 4, Path("runs/sweep"))
