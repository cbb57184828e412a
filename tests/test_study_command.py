"""The command `study`: its output, its files, its exit codes, and the studies that the page and the examples hold."""

from __future__ import annotations

import re
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

import run
from agents.study.study import BASELINE, load_study
from tests.small_task import write_task

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
ARMS = '[arms.no-critic]\nwithout = ["critic"]\n'


def invoke(*args: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(run.app, ["study", *(str(arg) for arg in args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def write(folder: Path, arms: str = ARMS) -> Path:
    write_task(folder)
    path = folder / "study.toml"
    path.write_text(f'[study]\ntasks = ["small.toml"]\nseeds = 2\ndirectory = "{folder}/out"\n{arms}', "utf-8")
    return path


def test_as_json_and_as_a_table(tmp_path: Path) -> None:
    study = write(tmp_path)
    code, out, _ = invoke(study, "--json", "--set", "search.assignments=2")
    assert code == 0
    document = orjson.loads(out)
    assert document["effects"] == orjson.loads((tmp_path / "out" / "effects.json").read_bytes())
    assert {(e["arm"], e["measure"], e["pairs"], e["excluded"]) for e in document["effects"]} == {
        ("no-critic", measure, 2, 0) for measure in ("test", "validation", "calls", "dollars", "seconds")
    }
    assert len(document["rows"]) == 4
    code, out, err = invoke(study, "--set", "search.assignments=2")
    assert code == 0
    assert "95 % interval" in out
    assert "[4/4] small.no-critic.1" in err
    for name in re.findall(r"[\w.]+\.(?:jsonl|csv|json|svg)", out.replace("\n", " ")):
        assert (tmp_path / "out" / name).stat().st_size
        assert f"`{name}`" in PAGE
    code, out, err = invoke(study, "--json")
    assert (code, err.count("\n")) == (2, 1)
    assert "another configuration" in orjson.loads(out)["error"]["message"]


@pytest.mark.parametrize("page", ["README.md", "docs/studies.md"])
def test_the_command_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """The study of the examples with small tasks, two seeds and short searches in the place of its own."""
    [words] = re.findall(r"python run\.py study ([\w/.= -]+)", (ROOT / page).read_text(encoding="utf-8"))
    examples = tmp_path / "examples"
    for name in ("simulated", "bare"):
        write_task(examples).rename(examples / f"{name}.toml")
    study = (ROOT / "examples" / "study.toml").read_text(encoding="utf-8")
    assert "seeds = 10\n" in study
    (examples / "study.toml").write_text(study.replace("seeds = 10\n", "seeds = 2\n"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    code, out, err = invoke(*words.split(), "--set", "search.assignments=1")
    assert code == 0, err
    assert all(arm in out for arm in ("no-critic", "no-memory", "no-few-shot", "no-reflection", "uniform"))


FAILING = '[arms.broken]\nagents.evaluator = "failing:Hopeless"\n'
HOPELESS = """
from protocols.errors import RunFailed

class Hopeless:
    def __init__(self, place):
        pass

    async def handle(self, message):
        raise RunFailed("no hope")
"""


def test_a_search_that_failed_is_exit_code_1_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing.py").write_text(HOPELESS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, _ = invoke(write(tmp_path, ARMS + FAILING), "--set", "search.assignments=1")
    assert code == 1
    assert "small.broken.0: failed: RunFailed: " in out
    assert "2 excluded" in out
    assert "no-critic" in out


def test_the_study_of_the_page_can_be_read(tmp_path: Path) -> None:
    [block] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for name in ("support", "topics"):
        write_task(tmp_path).rename(tmp_path / f"{name}.toml")
    (tmp_path / "study.toml").write_text(block, encoding="utf-8")
    grid = load_study(tmp_path / "study.toml")
    assert grid.directory == Path("runs/worth")
    assert len(grid.cells) == 2 * 10 * len({cell.setting for cell in grid.cells})


def test_the_study_of_the_examples_can_be_read() -> None:
    grid = load_study(ROOT / "examples" / "study.toml")
    arms = list(dict.fromkeys(cell.setting for cell in grid.cells))
    assert arms == [BASELINE, "no-critic", "no-memory", "no-few-shot", "no-reflection", "uniform"]
    assert (len(grid.cells), grid.directory) == (6 * 2 * 10, Path("runs/study"))
    assert f"2 × (5 + 1) × 10 = {len(grid.cells)} searches" in PAGE
    assert f"here {len(grid.cells)} searches" in (ROOT / "README.md").read_text(encoding="utf-8")
