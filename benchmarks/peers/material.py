"""The examples that all programs are given: drawn from a data set, with the first prompt as it is sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import orjson

from agents.config.configuration import build
from agents.config.loading import in_splits, make_task, sources
from agents.config.programs import layout
from benchmarks.peers.programs.job import Message
from benchmarks.peers.programs.pipeline import FIELDS
from protocols.data import load_examples
from protocols.errors import InputError
from protocols.prompt import Prompt, names_in
from protocols.task import GENEROUS, Example, SplitName, Task, show_text

FEW: Final = 40
"""Distinct targets, at most, that examples are drawn from in turn: more are no labels."""
Found = list[Message] | dict[str, list[Message]]
"""What is asked for one test input: a chat, or the prompts of a program by their names."""
SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Sizes:
    """Examples of each split; fewer where there are fewer. `labels`: how many of the most frequent are kept; None:
    all."""

    train: int
    validation: int
    test: int
    labels: int | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """A task of drawn examples, and the first prompt. `spare`: an example that is none of them. `configuration`: the
    file of a task whose program has several prompts; "" for any other task."""

    name: str
    task: Task
    first: Prompt
    spare: Example
    configuration: str = ""

    def sent(self, example: Example) -> list[Message]:
        """The first prompt for one input, a system and a user message."""
        return as_chat(self.first, example.inputs)

    @property
    def parts(self) -> dict[str, list[Message]]:
        """The first prompts of a program by their names, with the names of fields in braces; none without one."""
        if self.task.program is None:
            return {}
        return {name: as_template(self.first.of(name)) for name in self.task.program.prompts}

    @property
    def longest(self) -> int:
        """The most tokens of a reply of the task's model."""
        program = self.task.program
        return max(limit or GENEROUS for limit in program.prompts.values()) if program else self.task.kind.limit

    def begun(self) -> list[Found]:
        """What the first prompt asks for each test input."""
        parts = self.parts
        return [parts or self.sent(example) for example in self.task.test]

    def job(self, **told: Any) -> dict[str, Any]:
        """What a program is told, see `Job`; the rest of its fields are `told`."""
        kind, task = self.task.kind, self.task
        targets = {show_text(example.target) for example in task.train}
        parts = self.parts
        return {
            "instruction": "" if parts else self.sent(task.train[0])[0]["content"],
            "field": FIELDS["write"][1] if parts else kind.cue.strip(":").lower() or "answer",
            "kind": kind.name,
            "labels": sorted(targets) if kind.name == "classification" else [],
            "train": [self._item(example) for example in task.train],
            "validation": [self._item(example) for example in task.validation],
            "test": [{**self._item(example), "answer": "", "target": None} for example in task.test],
            "spare": [self._item(self.spare)],
            "prompts": parts,
            "limits": dict(task.program.prompts) if task.program else {},
            "configuration": self.configuration,
        } | told

    def _item(self, example: Example) -> dict[str, Any]:
        asked = "" if self.configuration else self.sent(example)[-1]["content"]
        answer = self.task.kind.replied(example.target)
        return {
            "id": example.id,
            "inputs": dict(example.inputs),
            "asked": asked,
            "answer": answer,
            "target": example.target,
        }


def as_chat(prompt: Prompt, inputs: Mapping[str, str]) -> list[Message]:
    """The messages of a prompt for one input."""
    return [{"role": message.speaker, "content": message.text} for message in prompt.render(inputs)]


def as_template(prompt: Prompt) -> list[Message]:
    """The messages of a prompt, with the names of its fields in braces."""
    return as_chat(prompt, {name: f"{{{name}}}" for name in names_in(prompt)})


def material(folder: Path, kind: str, sizes: Sizes, seed: int) -> Material:
    """Drawn from the data set in `folder`: train and validation by the seed, and always the same test examples.

    :raises InputError: a file cannot be read, or its examples do not fit together.
    """
    folder = folder.resolve()
    files = {split: str(folder / f"{split}.jsonl") for split in SPLITS}
    name = folder.name
    configuration = build({"task": {"name": name, "kind": kind, **files}, "models": {"default": "embedded"}}, folder)
    loaded = {split: load_examples(source, split) for split, source in sources(configuration).items()}
    splits = kept(in_splits(configuration, loaded), sizes.labels)
    counts = {"train": sizes.train, "validation": sizes.validation, "test": sizes.test + 1}
    seeds = {"train": seed, "validation": seed, "test": 0}
    drawn: dict[str, tuple[Example, ...]] = {s: draw(splits[s], counts[s], Random(f"{seeds[s]}/{s}")) for s in SPLITS}
    *test, spare = drawn["test"]
    task = make_task(configuration, drawn | {"test": tuple(test)})
    return Material(name, task, layout(None, task), spare)


def kept(splits: Mapping[str, Sequence[Example]], labels: int | None) -> dict[str, tuple[Example, ...]]:
    """The examples of the most frequent labels; of those that are as frequent, the first by name."""
    counts = Counter(show_text(example.target) for split in splits.values() for example in split)
    most = set(sorted(counts, key=lambda label: (-counts[label], label))[:labels])
    found = {name: tuple(e for e in split if show_text(e.target) in most) for name, split in splits.items()}
    if not all(found.values()):
        raise InputError(f"no examples of a split are left with {labels} labels")
    return found


def draw(examples: Sequence[Example], count: int, rng: Random) -> tuple[Example, ...]:
    """`count` examples in random order, from the labels in turn, where targets are labels."""
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in rng.sample(list(examples), len(examples)):
        groups[show_text(example.target)].append(example)
    if len(groups) > FEW:
        return tuple(rng.sample(list(examples), min(count, len(examples))))
    turns = sorted(
        (place, rng.random(), example.id) for group in groups.values() for place, example in enumerate(group)
    )
    chosen = [identity for _, _, identity in turns[:count]]
    by_id = {example.id: example for example in examples}
    return tuple(by_id[identity] for identity in rng.sample(chosen, len(chosen)))


def write_job(path: Path, job: Mapping[str, Any]) -> None:
    """As the file that a program is started with."""
    path.write_bytes(orjson.dumps(job))
