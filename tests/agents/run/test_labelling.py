"""Corrections of gold answers lie over the data: the next run reads them, and the data stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.check.doctor import diagnose
from agents.config.configuration import load
from agents.config.loading import load_task
from agents.directory.resume_fingerprint import resume_fingerprint
from agents.run.labelling import label
from protocols.data.overlay import Correction, read_overlay, write_overlay
from protocols.errors import ConfigError, DataError
from tests.small_task import PROMPT, write_task
from tests.world import FIRST_PROMPT

pytestmark = pytest.mark.anyio


def targets(config: Path) -> dict[str, object]:
    task = load_task(load(config))
    return {one.id: one.target for split in ("train", "validation", "test") for one in task.split(split)}


async def test_a_corrected_label_is_read_by_the_next_run_and_a_wrong_one_is_left_out(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    data, before = (tmp_path / "train.jsonl").read_bytes(), targets(config)
    prints = [resume_fingerprint(load(config), load_task(load(config)), (), FIRST_PROMPT)]
    done = label(load(config), "train-0", "parcel", wrong=False)
    assert (done.before, done.target, done.split, done.file) == (
        "invoice",
        "parcel",
        "train",
        tmp_path / "small.labels.jsonl",
    )
    label(load(config), "test-1", None, wrong=True)
    assert targets(config) == {
        name: target for name, target in (before | {"train-0": "parcel"}).items() if name != "test-1"
    }
    assert (tmp_path / "train.jsonl").read_bytes() == data
    prints.append(resume_fingerprint(load(config), load_task(load(config)), (), FIRST_PROMPT))
    differ = {name for name in prints[0] if prints[0][name] != prints[1][name]}
    assert differ == {"the train examples", "the test examples"}
    found = (await diagnose(config, [], {}, offline=True)).findings
    [said] = [finding.text for finding in found if finding.what == "corrections"]
    assert said.startswith("1 gold answers corrected and 1 examples left out by ")
    assert label(load(config), "train-0", None, wrong=False).corrections == 1
    label(load(config), "test-1", None, wrong=False)
    assert targets(config) == before


@pytest.mark.parametrize(
    ("identity", "target", "why"),
    [("nobody", "parcel", "no example has the id 'nobody'"), ("validation-0", "unheard-of", "unheard-of")],
)
def test_what_the_task_cannot_be_used_with_is_not_written(
    tmp_path: Path, identity: str, target: str, why: str
) -> None:
    config = write_task(tmp_path)
    with pytest.raises((ConfigError, DataError), match=why):
        label(load(config), identity, target, wrong=False)
    assert not (tmp_path / "small.labels.jsonl").exists()


def test_targets_that_are_no_texts_are_given_in_json(tmp_path: Path) -> None:
    rows = {
        split: [
            {"input": {"text": f"{split} {n}"}, "target": ["a", "b"][: n % 3], "id": f"{split}-{n}"} for n in range(9)
        ]
        for split in ("train", "validation", "test")
    }
    task = {"name": "small", "kind": "multilabel", **{split: f"{split}.jsonl" for split in rows}}
    config = write_task(tmp_path, rows, PROMPT, {"task": task})
    with pytest.raises(ConfigError, match="write one in JSON"):
        label(load(config), "train-1", "a, b", wrong=False)
    label(load(config), "train-1", '["b"]', wrong=False)
    assert targets(config)["train-1"] == ["b"]


@pytest.mark.parametrize(
    "line",
    [
        {"id": "train-0"},
        {"id": "train-0", "target": "parcel", "wrong": True},
        {"id": 7, "target": "parcel"},
        {"id": "train-0", "wrong": "yes"},
        {"target": "parcel"},
        {"id": "gone", "wrong": True},
    ],
)
def test_a_line_that_corrects_nothing_is_refused_with_its_place(tmp_path: Path, line: dict[str, object]) -> None:
    config = write_task(tmp_path)
    (tmp_path / "small.labels.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_task(load(config))
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "small.labels.jsonl"), 1)


def test_the_last_line_of_an_id_counts_and_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    told = {"a": Correction("退款"), "b": Correction(wrong=True), "c": Correction(None)}
    path.write_bytes(b'{"id": "a", "wrong": true}\n' + write_overlay(told))
    found = read_overlay(path)
    assert {name: (one.target, one.wrong) for name, one in found.items()} == {
        name: (one.target, one.wrong) for name, one in told.items()
    }
