"""`continue`: new examples join the old ones, and the result is no worse on those."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.agents.moving.worlds import SECRET, Answer, model, row, save, serving, write
from tests.command_line import answer as found
from tests.command_line import invoke
from tests.small_task import write_task


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")


def searched(answer: Answer, *args: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results of a run on old examples, and of one that goes on with 150 new ones."""
    with serving(answer) as server:
        first = found("search", write(Path("task"), server.openai_url), "--out", "one")
        new = save(Path("new.jsonl"), [row(n, "new") for n in range(150)])
        return first, found("continue", "one", new, "--out", "two", *args)


def test_what_is_better_on_new_examples_and_worse_on_old_ones_is_refused() -> None:
    before, result = searched(model(lambda text, secret: ("new" in text) == secret))
    assert before["best"]["value"] == 1.0
    assert (result["candidate"], result["best"]["value"]) == (0, pytest.approx(0.3, abs=0.05))
    seen = result["old_and_new"]
    assert seen["refused"] > 0
    assert (seen["refused_old"]["first"], seen["refused_old"]["best"]) == (1.0, 0.0)
    assert (seen["test"]["old"]["best"], seen["test"]["new"]["best"]) == (1.0, 0.0)
    assert SECRET not in Path("two/best_prompt.txt").read_text(encoding="utf-8")
    _, out, _ = invoke("show", "two")
    assert "The first prompt stays: on the 24 old validation examples" in out
    assert found("replay", "two")["candidate"] == 0


def test_without_the_guard_it_would_have_been_taken() -> None:
    _, result = searched(model(lambda text, secret: ("new" in text) == secret), "--set", "search.guard=0")
    assert result["candidate"] > 0
    assert result["old_and_new"]["refused"] is None
    assert result["old_and_new"]["test"]["old"]["difference"] == -1.0


def test_what_is_better_on_new_examples_and_as_good_on_old_ones_is_the_result() -> None:
    _, result = searched(model(lambda text, secret: "old" in text or secret))
    seen = result["old_and_new"]
    assert (result["best"]["value"], seen["refused"]) == (1.0, None)
    assert SECRET in Path("two/best_prompt.txt").read_text(encoding="utf-8")
    for split in ("validation", "test"):
        assert (seen[split]["old"]["difference"], seen[split]["new"]["difference"]) == (0.0, 1.0)
        assert seen[split]["old"]["n"] == 24


def test_each_continuation_has_all_examples_of_before_though_the_file_is_another_now(tmp_path: Path) -> None:
    known = {"input": {"text": "card bank sum pay train 0"}, "target": "invoice"}
    other = {**known, "target": "parcel"}
    new = save(tmp_path / "new.jsonl", [{**row(n, "new"), "id": "train-0"} | {"id": f"{n}"} for n in range(30)])
    assert invoke("search", write_task(tmp_path / "task"), "--out", "one")[0] == 0
    code, out, err = invoke("continue", "one", new, "--out", "two")
    assert code == 0, err
    assert "30 new examples: 11 for training" in err
    assert "new test examples the first prompt has" in " ".join(out.split())
    new = save(new, [known, other, {"input": {"text": "another"}, "target": "parcel", "id": "0"}])
    code, _, err = invoke("continue", "two", new, "--out", "three", "--set", "search.assignments=1")
    assert code == 0, err
    assert "1 new examples: 1 for training, 0 for validation, too few for a test of their own" in err
    assert "1 are known already, and left out: more-2-1" in err
    assert "more-2-2 wants 'parcel', train-0 'invoice'" in err
    kept = {path.name for path in Path("three/given").iterdir()}
    assert kept == {"prompt.txt", "more-1.jsonl", "more-2.jsonl"}
    assert Path("three/given/more-1.jsonl").read_bytes() == Path("two/given/more-1.jsonl").read_bytes()
    assert "is finished" in invoke("continue", "two", new, "--out", "three", "--set", "search.assignments=1")[2]


def test_what_cannot_be_gone_on_with_is_refused_in_one_line_before_anything_is_written(tmp_path: Path) -> None:
    config = write_task(tmp_path / "task")
    assert invoke("search", config, "--out", "one")[0] == 0
    known = {"input": {"text": "card bank sum pay train 0"}, "target": "invoice"}
    for rows, said in (
        ([known], "holds no example that is new; 1 are known already"),
        ([{"input": {"question": "?"}, "target": "invoice"}], "have the fields question, and those of the task text"),
        ([{"input": {"text": "?"}}], "no target"),
    ):
        code, _, err = invoke("continue", "one", save(tmp_path / "new.jsonl", [*rows]), "--out", "two")
        assert (code, err.count("\n"), Path("two").exists()) == (2, 1, False), err
        assert said in err
    (tmp_path / "task" / "test.jsonl").write_text(json.dumps(known), encoding="utf-8")
    code, _, err = invoke("continue", "one", save(tmp_path / "new.jsonl", [row(1, "new")]))
    assert code == 2
    assert "share an input" in err
    save(tmp_path / "task" / "test.jsonl", [row(n, "other") for n in range(9)])
    code, _, err = invoke("continue", "one", save(tmp_path / "new.jsonl", [row(1, "new")]))
    assert (code, "the test examples are not those of one any more" in err) == (2, True)
    assert invoke("continue", "nowhere", tmp_path / "new.jsonl")[2].endswith(
        "nowhere is not a run directory: there is no such folder\n"
    )


def test_the_prompts_of_a_program_are_gone_on_with_and_transferred(tmp_path: Path) -> None:
    examples = Path(__file__).resolve().parents[3] / "examples"
    text = (examples / "pipeline.toml").read_text(encoding="utf-8")
    text = text.replace("local/smollm2-135m", "embedded").replace('"pipeline/', f'"{examples}/pipeline/')
    Path("pipeline.toml").write_text(text, encoding="utf-8")
    none = ("--set", "search.assignments=0")
    before = found("search", "pipeline.toml", "--out", "one", *none)
    new = [{"input": {"text": f"{n} rolls, {{please}}"}, "target": f"{n} x roll"} for n in range(16)]
    result = found("continue", "one", save(tmp_path / "new.jsonl", new), "--out", "two", *none)
    assert {path.name for path in Path("two/given").iterdir()} == {
        "more-1.jsonl",
        "prompt.extract.txt",
        "prompt.write.txt",
    }
    assert Path("two/first_prompt.txt").read_bytes() == Path("one/best_prompt.txt").read_bytes()
    assert result["old_and_new"]["test"]["old"]["n"] == before["test"]["n"]
    moved = found("transfer", "one", "--to", "embedded", "--assignments", 0, "--out", "three")
    assert moved["best"]["n"] == before["test"]["n"]
