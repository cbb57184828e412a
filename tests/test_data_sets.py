"""The same search on public data, where it is at hand: `../shared/data` beside the checkout, which we do not ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.config.configuration import build
from agents.config.loading import load_task
from agents.results.result import Result
from agents.ring.evaluator import value_of
from agents.run.opening import open_run
from protocols.messages import Outcome
from protocols.task import SplitName

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
KINDS = {"ner": ["cluener", "wnut17"], "reading": ["squad", "squad_v2"], "reasoning": ["gsm8k"]}
SETS = sorted(folder.name for folder in DATA.iterdir() if folder.is_dir()) if DATA.is_dir() else []
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not SETS, reason="the data sets are not at hand")]


def table(name: str) -> dict[str, dict[str, object]]:
    """The configuration of a set; those of BIG-Bench Hard are reasoning, those that no list names classification."""
    kinds = {one: kind for kind, names in KINDS.items() for one in names}
    kind = "reasoning" if name.startswith("bbh_") else kinds.get(name, "classification")
    task: dict[str, object] = {"name": name, "kind": kind, **{split: f"{split}.jsonl" for split in SPLITS}}
    return {"task": task, "models": {"default": "embedded"}}


FEW, MOST = (40, 8), (80, 30)
"""Examples that decide, and that are reported, and assignments: the simulator reads each prompt anew that is filled
for each input. Where answers are many, few examples tell little."""


def some(name: str, folder: Path, most: int) -> None:
    """All training examples of a set, and the first of the others."""
    for split in SPLITS:
        rows = (DATA / name / f"{split}.jsonl").read_bytes().splitlines(keepends=True)
        (folder / f"{split}.jsonl").write_bytes(b"".join(rows if split == "train" else rows[:most]))


async def trained(name: str, folder: Path, most: int, assignments: int) -> Result:
    """At width 1, so that the seed fixes the run, and for what it has learned, whatever its length."""
    some(name, folder, most)
    search = {"seed": 1, "assignments": assignments, "width": 1, "prefer": "best", "shrink": 0}
    async with open_run(build({**table(name), "search": search}, folder), {}, folder / "run") as run:
        return await run.search()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("name", "size"), [("snips", FEW), ("subj", FEW), ("banking77", MOST), ("thucnews", FEW)])
async def test_a_search_raises_the_held_out_score(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    result = await trained(name, tmp_path, *size)
    assert result.test is not None
    assert result.test.errors == 0
    assert result.test.difference > 0


@pytest.mark.parametrize("name", SETS)
async def test_every_set_loads_and_a_perfect_reply_to_every_example_of_it_scores_1(name: str) -> None:
    task = load_task(build(table(name), DATA / name))
    for example in (example for split in SPLITS for example in task.split(split)):
        shown = task.kind.show(example.target)
        for reply in (shown, f"It could be (A) or 5.\nAnswer: {shown}"):
            judged = await task.metric.judge(example, reply)
            assert (judged.score, judged.feedback) == (1.0, ""), example.id


@pytest.mark.parametrize("name", SETS)
async def test_the_embedded_model_runs_every_set_and_the_report_is_honest(name: str, tmp_path: Path) -> None:
    """Decided and reported on a few examples: what it is weak at has low values, and nothing hides them."""
    some(name, tmp_path, 12)
    search = {"assignments": 4, "width": 1, "critique": 8}
    async with open_run(build({**table(name), "search": search}, tmp_path), {}, tmp_path / "run") as run:
        result = await run.search()
        replies = await run.forward(run.first, run.task.test)
    assert result.test is not None
    assert result.test.errors == 0
    answered = [outcome for outcome in replies if isinstance(outcome, Outcome)]
    assert result.test.first == value_of(run.task.metric, answered)
