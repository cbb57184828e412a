"""What a comparison is between: the best prompts of runs, as they were scored, and prompts that are measured now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.config.configuration import Configuration
from agents.config.loading import opponent_of
from agents.config.metrics import compares
from agents.directory.run_directory import BEST_PROMPT, RESULT, read_configuration
from agents.prompting.retrieval_slots import places
from agents.results.comparison import used, used_by
from agents.results.finished import read_result
from agents.results.kept_scores import Key, digest, measured, read_scores
from agents.results.pareto import paid, taken
from agents.ring.evaluator import value_of
from agents.run.scoring import Answered
from protocols.errors import ConfigError
from protocols.files import prompt_file
from protocols.messages import Outcome
from protocols.metrics.bootstrap import Mark
from protocols.prompt import Prompt


@dataclass(frozen=True, slots=True)
class Contestant:
    """The best prompt of the run in the directory `name`, or the prompt of the file `name`. `first`: the score of the
    run's first prompt, None for a prompt; `best`: of the prompt itself, and `scores`: its judgements by test
    examples. `measured`: all that defines a score, see `kept_scores.measured`. `tokens`: of the prompt as it is sent;
    `thousand`: dollars for 1,000 answers; None if not known."""

    name: str
    configuration: Configuration
    model: str
    prompt: Prompt
    measured: Mapping[str, Any]
    first: float | None
    best: float
    scores: Mapping[Key, Mark]
    tokens: int | None
    thousand: float | None


def of_run(directory: Path) -> Contestant:
    """The best prompt of a run, with the scores that the run has kept.

    :raises ConfigError: it is no run, or has no test scores.
    :raises MemoryMismatch, StorageFailed: a file of the run cannot be read.
    """
    configuration, result = read_configuration(directory), read_result(directory / RESULT)
    if result is None:
        raise ConfigError(f"{directory} has no result yet: it is still running, or was stopped before its end")
    if result["test"] is None:
        raise ConfigError(
            f"{directory} has no test scores: {result['test_missing'] or 'its test split was not read'}"
        )
    kept = read_scores(directory)
    if kept is None:
        raise ConfigError(
            f"{directory} was made by a release that kept no scores of single test examples, so nothing can be "
            "paired; search again into another --out, or compare the values that `runs` shows"
        )
    answers, length = result.get("answers"), result.get("length")
    return Contestant(
        name=str(directory),
        configuration=configuration,
        model=result["models"].get("task", ""),
        prompt=prompt_file.load(directory / BEST_PROMPT),
        measured=kept.measured,
        first=result["test"]["first"],
        best=result["test"]["best"],
        scores=kept.best,
        tokens=length["best"] if length else None,
        thousand=answers["best"]["dollars"] if answers else None,
    )


def of_prompt(path: Path, configuration: Configuration, given: Answered) -> Contestant:
    """A prompt that has answered the test examples.

    :raises ConfigError, PromptError: a file of the metric cannot be read.
    """
    pairs = zip(given.task.test, given.results, strict=True)
    outcomes = {(one.id, digest(one)): result for one, result in pairs if isinstance(result, Outcome)}
    model = configuration.models.answering
    opponent = opponent_of(configuration, given.task) if compares(configuration) else given.prompt
    each = [*outcomes.values()]
    cost = taken(used(each), used_by(each), len(each), paid(given.ledger.prices, model), "test")
    return Contestant(
        name=str(path),
        configuration=configuration,
        model=model,
        prompt=given.prompt,
        measured=measured(configuration, given.task, opponent),
        first=None,
        best=value_of(given.metric, each),
        scores={key: Mark(one.score, one.counts) for key, one in outcomes.items()},
        tokens=None if any(places(section.filled) for section in given.prompt) else given.prompt.tokens,
        thousand=cost.dollars if cost else None,
    )
