"""Corrections of gold answers lie over the data: the next run reads them, and the data stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest

from agents.api import train
from agents.check.doctor import diagnose
from agents.config.configuration import load
from agents.config.loading import load_task
from agents.directory.resume_fingerprint import resume_fingerprint
from agents.directory.run_directory import LABELS
from agents.moving.deployed import read_deployed
from agents.run.labelling import label
from agents.run.opening import open_run
from agents.views.page.buttons import buttons
from protocols.data.overlay import Correction, read_overlay, write_overlay
from protocols.errors import ConfigError, DataError
from protocols.files import prompt_file
from tests.command_line import invoke
from tests.small_task import PROMPT, SIZES, rows, write_task
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
    assert said.startswith("1 gold answer corrected and 1 example left out by ")
    assert label(load(config), "train-0", None, wrong=False).corrections == 1
    label(load(config), "test-1", None, wrong=False)
    assert targets(config) == before


async def test_the_answer_that_the_data_has_is_no_correction(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    label(load(config), "train-0", "parcel", wrong=False)
    assert label(load(config), "train-0", "invoice", wrong=False).what == "as in the data"
    assert read_overlay(tmp_path / "small.labels.jsonl") == {}


@pytest.mark.parametrize(
    "line", ["no JSON", "[1]", '{"id": "train-0"}', '{"id": 1, "target": "parcel"}', '{"id": "a", "wrong": "yes"}']
)
def test_a_line_that_is_no_correction_is_named_with_what_one_is(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.labels.jsonl"
    path.write_text(f'\ufeff{{"id": "a", "wrong": true}}\r\n\n{line}\n', encoding="utf-8")
    with pytest.raises(
        DataError, match=r"x\.labels\.jsonl:3: .*a correction has the \"id\" of an example"
    ) as refused:
        read_overlay(path)
    assert "format" not in str(refused.value)


@pytest.mark.parametrize("corrected", [True, False], ids=["corrected", "taken back"])
def test_a_run_keeps_the_labels_with_which_it_began_and_tells_of_others(tmp_path: Path, corrected: bool) -> None:
    """It is resumed, shown, replayed, and gone on with by another run, which reads the corrections."""
    config, directory, overlay = write_task(tmp_path), tmp_path / "run", tmp_path / "small.labels.jsonl"
    label(load(config), "train-0", "parcel", wrong=False)
    one, two = ("--set", "search.assignments=1"), ("--set", "search.assignments=2")
    assert invoke("search", config, "--out", directory, *one)[0] == 0
    assert "corrected in" not in invoke("search", config, "--out", directory, *one)[2]
    if corrected:
        label(load(config), "validation-0", None, wrong=True)
    else:
        overlay.unlink()
    for more in (one, two):
        code, _, said = invoke("search", config, "--out", directory, *more)
        assert code == 0, said
        assert "1 label was corrected in" in said
    assert invoke("replay", directory)[0] == 0
    assert [*read_overlay(directory / LABELS)] == ["train-0"]
    assert len(read_deployed(directory).task.validation) == SIZES["validation"] - corrected
    overlay.write_text("{}\n", encoding="utf-8")
    code, _, said = invoke("search", config, "--out", directory, *two)
    assert code == 0, said
    assert "small.labels.jsonl:1" in said


async def test_a_label_of_examples_that_nobody_reads_again_is_not_corrected(tmp_path: Path) -> None:
    task = {"name": "small", **{split: rows(split) for split in SIZES}}
    prompt, none = prompt_file.loads(PROMPT), {"assignments": 0}
    found = await train(task, prompt, models="embedded", directory=tmp_path / "run", environ={}, search=none)
    with pytest.raises(ConfigError, match="given to it in Python"):
        await buttons(found.directory).command(["label", "train-1", "wrong"])


async def test_labels_that_are_corrected_at_once_are_all_kept(tmp_path: Path) -> None:
    config = write_task(tmp_path)
    others = [name for name, target in targets(config).items() if target != "parcel"][:6]
    async with open_run(load(config), {}, tmp_path / "run"):
        steering = buttons(tmp_path / "run")

        async def correct(identity: str) -> None:
            await steering.command(["label", identity, "target", "parcel"])

        async with anyio.create_task_group() as tasks:
            for identity in others:
                tasks.start_soon(correct, identity)
        assert (await steering.label(others[3]))["noted"] == "parcel"
        assert (await steering.label("train-9"))["choices"] == ("invoice", "parcel", "退款")
        for words in (["label"], ["label", "train-1"], ["label", "train-1", "target", "a", "b"]):
            with pytest.raises(ConfigError, match="labels are corrected with"):
                await steering.command(words)
    assert len(read_overlay(tmp_path / "small.labels.jsonl")) == 6


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
