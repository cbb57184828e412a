"""The look before a run: every fault is found and named, whatever else is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agents.check.doctor import diagnose
from agents.check.findings import Diagnosis
from agents.check.reaching import may_have_thought
from memory.store import open_memory
from protocols.embedding import HashedNgrams
from protocols.model import Reply, Usage
from tests.small_task import SIZES, rows, write_task
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio
KEY = "sk-test-0123456789abcdef"


async def look(config: Path, *settings: str, environ: Mapping[str, str] | None = None) -> Diagnosis:
    return await diagnose(config, settings, environ or {}, offline=environ is None)


def everything_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def failed(diagnosis: Diagnosis) -> dict[str, str]:
    return {f.what: f.text for f in diagnosis.findings if f.status == "failed"}


async def test_a_configuration_that_is_well_has_an_estimate_and_nothing_is_written(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    before = everything_below(tmp_path)
    diagnosis = await diagnose(config, (), {}, offline=False)
    assert {finding.status for finding in diagnosis.findings} == {"ok"}
    assert diagnosis.exit_code == 0
    assert diagnosis.estimate is not None
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize(("task", "said"), [("embedded", True), ("openai/x", False)])
async def test_that_the_embedded_model_answers_is_said_plainly(tmp_path: Path, task: str, said: bool) -> None:
    diagnosis = await look(write_task(tmp_path), f"models.task={task}")
    [finding] = [finding for finding in diagnosis.findings if finding.what == "model embedded"]
    assert finding.status == "ok"
    assert ("no language model: models.default names one" in finding.text) == said
    assert "critic" in finding.text


async def test_operators_that_ask_no_model_have_none(tmp_path: Path) -> None:
    """`few_shot` chooses examples, and `define_sort` orders lines; `describe` asks."""
    config = write_task(tmp_path, tables={"search": {"operators": ["few_shot", "define_sort", "describe"]}})
    diagnosis = await look(config, "models.proposers.few_shot=openai/x", environ={"OPENAI_API_KEY": KEY})
    texts = {finding.what: finding.text for finding in diagnosis.findings}
    assert "proposer/describe" in texts["model embedded"]
    assert "define_sort" not in texts["model embedded"]
    assert texts["model openai/x"] == "it is not called: proposer/few_shot needs no model"
    assert "call to openai/x" not in texts
    diagnosis = await look(config, "models.proposers.few_shot=openai/x")
    assert "OPENAI_API_KEY" in failed(diagnosis)["model openai/x"]  # a search would open it, too


@pytest.mark.parametrize("role", ["default", "critic", "proposers.describe"])
@pytest.mark.parametrize("offline", [True, False])
async def test_what_a_search_takes_is_estimated_without_a_key_and_is_the_same_as_with_one(
    tmp_path: Path, role: str, offline: bool
) -> None:
    config = write_task(tmp_path)
    settings = (f"models.{role}=openai/gpt-5-mini", 'search.operators=["few_shot", "describe"]')
    without = await diagnose(config, settings, {}, offline)
    assert without.exit_code == 2
    assert "OPENAI_API_KEY" in failed(without)["model openai/gpt-5-mini"]
    assert without.estimate == (await diagnose(config, settings, {"OPENAI_API_KEY": KEY}, True)).estimate
    assert without.estimate is not None
    assert without.estimate.dollars is not None
    both = await diagnose(config, (*settings, "search.selector=best"), {}, offline)
    [left_out] = [finding for finding in both.findings if finding.what == "estimate"]
    assert both.estimate is None
    assert (left_out.status, "selector" in left_out.text, "model" in left_out.text) == ("not checked", True, False)


def changed(split: str, **change: object) -> dict[str, Any]:
    made = rows(split)
    return {split: [{**made[0], **change}, *made[1:]]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], ["32 tokens at most", "task.reply_tokens sets another"]),
        (["task.reply_tokens=7"], ["7 tokens at most (task.reply_tokens)"]),
        (["task.metric=judge", "task.rubric=x", "models.judge=embedded"], ["1,024 tokens at most"]),
        (["models.task=openai/gpt-5-mini"], ["4,096 tokens at most (what the model needs"]),
        (["search.repeats=3"], ["32 tokens", "each example is asked 3 times"]),
        (["prompt.file=thinks.txt"], ["544 tokens at most (32 for an answer of this kind, 512 to think first"]),
    ],
)
async def test_how_long_replies_may_be_and_how_many_there_are_is_said(
    tmp_path: Path, given: list[str], said: list[str]
) -> None:
    thinks = "=== task (task) ===\nThink first. invoice, parcel or 退款?\n{text}\n"
    (tmp_path / "thinks.txt").write_text(thinks, encoding="utf-8")
    diagnosis = await look(write_task(tmp_path), *given)
    [text] = [finding.text for finding in diagnosis.findings if finding.what == "replies"]
    assert all(part in text for part in said), text


async def test_a_model_that_needs_more_for_two_letters_than_a_reply_may_have_is_warned_of(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    for answer, status in (("OK", "ok"), ("<think>" + "so " * 99 + "</think>OK", "warning")):
        async with WireServer(lambda turns, answer=answer: answer) as server:  # type: ignore[misc]
            environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.openai_url}
            diagnosis = await look(config, "models.default=openai/a", environ=environ)
        [finding] = [finding for finding in diagnosis.findings if finding.call]
        assert finding.status == status
        assert ('reply_tokens under [providers."openai/a"]' in finding.text) == (status == "warning")
        assert diagnosis.exit_code == 0


@pytest.mark.parametrize(
    ("text", "model", "thought"),
    [
        ("OK. " * 40, "local/smollm2-135m", False),
        ("<think>so</think>OK", "local/qwen3-0.6b", True),
        ("<think>so it goes on", "local/qwen3-0.6b", True),
        ("OK. " * 40, "embedded", False),
        ("OK", "openai/x", True),
    ],
)
def test_a_model_on_this_machine_that_rambles_is_not_taken_for_one_that_thinks(
    text: str, model: str, thought: bool
) -> None:
    assert may_have_thought(Reply(text, Usage(37, 43), model=model), model) == thought


FAULTS: list[tuple[dict[str, Any], list[str], list[str]]] = [
    ({}, ["task.train=none.jsonl"], ["train examples", "none.jsonl"]),
    ({"splits": {"test": b"{\n"}}, [], ["test examples", "test.jsonl:1"]),
    ({"splits": changed("test", id="train-1")}, [], ["splits", "train-1"]),
    ({"splits": changed("test", target="letter")}, [], ["labels", "letter"]),
    ({"splits": changed("train", target="Invoice")}, [], ["task", "Invoice"]),
    ({}, ["prompt.file=none.txt"], ["prompt", "none.txt"]),
    ({"prompt": "=== task (task) ===\n{a} {b} {text}\n"}, [], ["prompt", "{a}", "{b}", 'literal = ["a", "b"]']),
    ({"prompt": "=== task (task, frozen) ===\n{text}\n"}, [], ["sections", "unfreeze"]),
    ({}, ['search.operators=["few"]'], ["operators", "unknown operator 'few'"]),
    ({}, ["search.selector=best"], ["selector", "unknown selector"]),
    ({}, ["models.proposers.merge=embedded"], ["names", "merge"]),
    ({}, ["models.critic=openai/x"], ["model openai/x", "OPENAI_API_KEY"]),
    ({}, ["models.default=openia/x"], ["model openia/x", "unknown provider"]),
    ({}, ["budget.calls=5"], ["budget", "too small"]),
    ({}, ["budget.dollars=5", "models.default=openai/x"], ["budget", "price"]),
    ({}, ["task.corpus=none.md"], ["corpus", "none.md"]),
    ({}, ["memory.path=prompt.txt"], ["memory", "prompt.txt"]),
    ({}, ["memory.path=nowhere/memory.sqlite"], ["memory", "make it"]),
    ({}, ["run.directory=prompt.txt"], ["run directory", "not a directory"]),
    ({}, ["budget.calls=59", "search.repeats=2"], ["budget", "alone take 60"]),
    ({}, ["search.repeats=0"], ["configuration", "search.repeats"]),
    ({}, ["task.reply_tokens=0"], ["configuration", "task.reply_tokens"]),
    ({}, ["search.width=0"], ["configuration", "search.width"]),
]


@pytest.mark.parametrize(("files", "settings", "expected"), FAULTS)
async def test_each_fault_is_found(
    tmp_path: Path, files: dict[str, Any], settings: list[str], expected: list[str]
) -> None:
    diagnosis = await look(write_task(tmp_path, **files), *settings)
    what, *parts = expected
    assert diagnosis.exit_code == 2
    skipped = {f.what: f.text for f in diagnosis.findings if f.status == "not checked"}
    assert (diagnosis.estimate is None) == ("estimate" in skipped) == ("has no key" not in failed(diagnosis)[what])
    assert what == "configuration" or what in skipped.get("estimate", what)
    for part in parts:
        assert part in failed(diagnosis)[what]


async def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    settings = [setting for files, given, _ in FAULTS if not files for setting in given]
    wrong = ("task.train", "search.selector", "models.critic", "task.corpus", "budget.calls", "models.proposers")
    chosen = [setting for setting in settings if setting.startswith(wrong)]
    config = write_task(tmp_path, changed("validation", id="test-1"), prompt="=== task (task) ===\n{a}\n")
    found = failed(await look(config, *chosen, "memory.path=prompt.txt", "run.directory=prompt.txt"))
    assert found.keys() == {
        *("selector", "names", "train examples", "splits", "prompt", "corpus", "memory", "run directory"),
        "model openai/x",
    }


async def test_a_memory_is_looked_at_and_not_made(tmp_path: Path) -> None:
    config, path = write_task(tmp_path), tmp_path / "memory.sqlite"
    diagnosis = await look(config, "memory.path=memory.sqlite")
    assert {f.text for f in diagnosis.findings if f.what == "memory"} == {f"{path} will be made"}
    assert not path.exists()
    async with open_memory(path, HashedNgrams(64)):
        pass
    assert "embedder" in failed(await look(config, "memory.path=memory.sqlite"))["memory"]


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (Fault(status=401, body=b'{"error": {"message": "no such key"}}'), "check the key"),
        (Fault(status=404, body=b'{"error": {"message": "no such model"}}'), "check the model's name"),
        (Fault(status=500), "HTTP 500"),
    ],
)
async def test_each_model_is_called_once_and_a_failure_says_what_to_do(
    tmp_path: Path, fault: Fault, advice: str
) -> None:
    config = write_task(tmp_path)
    models = ("models.default=openai/a", "models.critic=openai/a", "models.proposer=embedded")
    async with WireServer(lambda turns: "OK") as server:
        environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.openai_url}
        well = await look(config, *models, environ=environ)
        server.faults.append(fault)
        ill = await look(config, *models, environ=environ)
        assert server.stats.calls == 2
    assert well.exit_code == 0
    assert {f.what for f in well.findings if f.call} == {"call to openai/a", "call to embedded"}
    assert ill.exit_code == 1
    assert advice in failed(ill)["call to openai/a"]
    assert ill.estimate is not None
    assert KEY not in str(ill) + str(well)


async def test_a_judge_is_looked_at_where_the_metric_asks_one(tmp_path: Path) -> None:
    task = {"name": "t", **{split: f"{split}.jsonl" for split in SIZES}}
    judged = write_task(tmp_path, tables={"task": {**task, "metric": "judge", "rubric": "10: right. 0: wrong."}})
    assert "OPENAI_API_KEY" in failed(await look(judged, "models.judge=openai/x"))["model openai/x"]
    unjudged = write_task(tmp_path)
    assert not failed(await look(unjudged, "models.judge=openai/x"))


async def test_a_fault_in_the_input_outweighs_a_failed_call(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:1"}
    diagnosis = await look(config, "models.default=openai/a", "search.selector=best", environ=environ)
    assert failed(diagnosis).keys() == {"selector", "call to openai/a"}
    assert diagnosis.exit_code == 2


async def test_examples_that_are_cut_are_looked_at_as_splits(tmp_path: Path) -> None:
    config = write_task(tmp_path, {"train": [row for split in SIZES for row in rows(split)]})
    text = config.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("train", "validation", "test"))]
    config.write_text("\n".join(lines).replace("[task]", '[task]\ndata = "train.jsonl"'), encoding="utf-8")
    diagnosis = await look(config)
    assert diagnosis.exit_code == 0
    assert [f.what for f in diagnosis.findings if "examples" in f.what] == ["data examples"]
    assert (await look(config, "task.cut.train=0.01")).exit_code == 0
    few = config.with_name("few.jsonl")
    few.write_bytes(b"".join(config.with_name("train.jsonl").read_bytes().splitlines(keepends=True)[:8]))
    assert "8 examples of 3 classes are too few" in failed(await look(config, "task.data=few.jsonl"))["splits"]


@pytest.mark.parametrize(("metric", "warned"), [("token_f1", True), ("json_f1", False)])
async def test_json_that_is_compared_by_its_words_is_warned_of(tmp_path: Path, metric: str, warned: bool) -> None:
    splits = {
        split: b"".join(
            b'{"id": "%s-%d", "input": {"text": "%s %d"}, "target": {"n": %d}}\n'
            % (split.encode(), n, split.encode(), n, n)
            for n in range(size)
        )
        for split, size in SIZES.items()
    }
    table = {"name": "small", "kind": "generation", "metric": metric, **{split: f"{split}.jsonl" for split in SIZES}}
    diagnosis = await look(write_task(tmp_path, splits, tables={"task": table}))
    found = [finding.status for finding in diagnosis.findings if finding.what == "metric"]
    assert found == (["warning"] if warned else [])
