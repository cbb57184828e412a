"""From files to a task and a first prompt: what is refused, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings

from agents.config.configuration import build, load
from agents.config.loading import check_prompt, load_first_prompt, load_task, sources, unknown_placeholders
from agents.config.programs import layout
from protocols.errors import ConfigError, PromptError
from protocols.kinds.labelled import classification
from protocols.metrics.match import Accuracy
from protocols.prompt import Prompt, Section, placeholders
from protocols.task import Example, Task
from tests.small_task import LABELS, SIMULATED, SIZES, rows, write_task
from tests.strategies import texts

unhurried = settings(deadline=None, max_examples=100)


def task(*fields: str, labels: tuple[str, ...] = ("a", "b")) -> Task:
    split = tuple(Example(label, dict.fromkeys(fields, "x"), label) for label in labels)
    kind = classification(dict.fromkeys(("train", "validation", "test"), split))
    return Task("t", split, split, split, Accuracy(kind), fields, kind)


def test_a_task_is_loaded_whole(tmp_path: Path) -> None:
    loaded = load_task(load(write_task(tmp_path)))
    assert {name: len(loaded.split(name)) for name in ("train", "validation", "test")} == SIZES
    assert {loaded.kind.parse(label) for label in LABELS} == set(LABELS)
    assert loaded.fields == ("text",)


def test_one_file_is_cut_into_the_three_splits(tmp_path: Path) -> None:
    everything = [row for split in SIZES for row in rows(split)]
    write_task(tmp_path, {"train": everything})
    table = {"name": "one", "data": "train.jsonl"}
    loaded = load_task(build({"models": SIMULATED, "task": table}, tmp_path))
    assert [len(loaded.train), len(loaded.validation), len(loaded.test)] == [13, 10, 10]
    halves = {"train": 2, "validation": 1, "test": 1, "seed": 5}
    other = load_task(build({"models": SIMULATED, "task": table | {"cut": halves}}, tmp_path))
    assert [len(other.train), len(other.validation), len(other.test)] == [16, 9, 8]
    assert {e.id for e in (*other.train, *other.validation, *other.test)} == {row["id"] for row in everything}


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"data": "a", "train": "b"}, "give either it or the three"),
        ({"train": "a"}, "task: validation and test missing"),
        ({"train": "a", "validation": "b", "test": "c", "cut": {"train": 1}}, "there is no data"),
    ],
)
def test_a_task_has_three_splits_or_one_source_to_cut(table: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        build({"models": SIMULATED, "task": {"name": "t"} | table}, Path())


def test_files_are_beside_the_configuration_and_the_hub_is_not() -> None:
    table: dict[str, object] = {"name": "t", "train": "a.csv", "validation": "hf:o/n?split=dev", "test": "hf:o/n"}
    fields = {"input": {"text": "sentence"}, "target": "label"}
    found = sources(build({"models": SIMULATED, "task": table | {"fields": fields}}, Path("folder")))
    assert [source.location for source in found.values()] == ["folder/a.csv", "hf:o/n?split=dev", "hf:o/n"]
    assert {source.fields.target for source in found.values()} == {"label"}


@unhurried
@given(texts)
def test_a_prompt_that_passes_has_only_the_placeholders_of_the_task(text: str) -> None:
    prompt = Prompt((Section("task", "task", text),))
    this = task("text")
    if "{text}" in text and not unknown_placeholders(prompt, this):
        check_prompt(prompt, this, set())
    else:
        with pytest.raises(PromptError):
            check_prompt(prompt, this, set())


def test_a_name_declared_literal_is_plain_text(tmp_path: Path) -> None:
    prompt = "=== task (task) ===\nWrite {json} for {text}\n"
    literal = {"prompt": {"file": "prompt.txt", "literal": ["json"]}}
    configuration = load(write_task(tmp_path, prompt=prompt, tables=literal))
    loaded = load_task(configuration)
    assert load_first_prompt(configuration, loaded)["task"].text == "Write {json} for {text}"
    with pytest.raises(PromptError, match=r"\{json\}"):
        check_prompt(load_first_prompt(configuration, loaded), loaded, set())


@pytest.mark.parametrize("text", [None, "Which one?", "Which one is {question}?"])
def test_the_default_layout_always_shows_the_input_once(text: str | None) -> None:
    this = task("question")
    prompt = layout(text, this)
    check_prompt(prompt, this, set())
    assert sum(placeholders(section.text, this.fields).total() for section in prompt) == 1
    assert any(not section.frozen for section in prompt)
