"""The score of each test example, which a run keeps so that it can be compared with others on the same examples."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from agents.config.configuration import Configuration
from agents.config.metrics import asks_judge, compares
from agents.directory.run_directory import TEST_SCORES, read_document, write
from agents.results.comparison import Answer
from protocols.errors import StorageFailed
from protocols.files import prompt_file
from protocols.messages import Outcome
from protocols.metrics.bootstrap import Mark
from protocols.prompt import Prompt
from protocols.task import Example, Task

Key = tuple[str, str]
"""An example: its id, and a digest of its inputs and target."""


@dataclass(frozen=True, slots=True)
class KeptScores:
    """`measured`: the metric and all settings that define it, by name. `first` and `best`: the judgements of the
    first prompt and of the winner, of the test examples that each answered."""

    measured: Mapping[str, Any]
    first: Mapping[Key, Mark]
    best: Mapping[Key, Mark]


def keep_scores(
    directory: Path,
    configuration: Configuration,
    task: Task,
    opponent: Prompt,
    first: Sequence[Answer],
    best: Sequence[Answer],
) -> None:
    """Write the scores of both prompts, each in the order of the test split. `opponent`: the prompt that the metric
    preference compares others with.

    :raises StorageFailed: they cannot be written.
    """
    rows = {
        example.id: [digest(example), _row(before), _row(after)]
        for example, before, after in zip(task.test, first, best, strict=True)
    }
    document = {"measured": measured(configuration, task, opponent), "examples": rows}
    write(directory / TEST_SCORES, orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS) + b"\n")


def read_scores(directory: Path) -> KeptScores | None:
    """The scores that the run in a directory has kept; None if it has none, as a run of an earlier release.

    :raises StorageFailed: they cannot be read.
    """
    path = directory / TEST_SCORES
    document = read_document(path)
    if document is None:
        return None
    try:
        rows = [((name, of), first, best) for name, (of, first, best) in document["examples"].items()]
        return KeptScores(
            dict(document["measured"]),
            {key: Mark(*row) for key, row, _ in rows if row is not None},
            {key: Mark(*row) for key, _, row in rows if row is not None},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageFailed(f"no scores of a run ({error}); it was changed", file=str(path)) from error


def measured(configuration: Configuration, task: Task, opponent: Prompt) -> dict[str, Any]:
    """All that defines a score, apart from the example: two runs with the same can be compared."""
    table = configuration.task
    weights = {str(named): weight for named, weight in (table.metric or {}).items()} or {task.kind.metric: 1.0}
    found: dict[str, Any] = {"task.metric": weights, "task.rubric": table.rubric, "task.pattern": table.pattern}
    if several := configuration.models.several:
        found["models.task"] = f"{len(several)} models, {configuration.search.across_models} of their scores"
    if asks_judge(configuration):
        found["models.judge"] = configuration.models.of("judge")
    if compares(configuration):
        text = hashlib.blake2b(prompt_file.dumps(opponent).encode("utf-8"), digest_size=4).hexdigest()
        found["the opponent"] = f"the prompt {text}, answered by {configuration.models.of('task')}"
    if table.json_schema is not None:
        schema = configuration.path(table.json_schema).read_bytes()
        found["task.json_schema"] = hashlib.blake2b(schema, digest_size=16).hexdigest()
    return {name: value for name, value in found.items() if value is not None}


def digest(example: Example) -> str:
    """A digest of an example's inputs and target."""
    content = orjson.dumps([example.inputs, example.target], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _row(answer: Answer) -> tuple[float, Mapping[str, float]] | None:
    return (answer.score, dict(answer.counts)) if isinstance(answer, Outcome) else None
