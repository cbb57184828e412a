"""Compares the best prompts of runs on the test examples that all of them answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.config.configuration import Configuration
from agents.config.metrics import open_metric
from agents.directory.run_directory import BEST_PROMPT, RESULT, read_configuration
from agents.results.finished import read_result
from agents.results.kept_scores import KeptScores, Key, read_scores
from agents.results.prompt_diff import SectionChange, changes_of
from protocols.errors import ConfigError
from protocols.files import prompt_file
from protocols.metrics.bootstrap import Mark, interval
from protocols.prompt import Prompt
from protocols.task import Metric, TaskKind, corpus_value
from protocols.text import one_line

LEAST = 2
"""Fewest runs of a comparison."""


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a comparison. `first` and `best`: the scores of its first prompt and its winner on all test examples
    that both answered, as it reported them. `value`: of its winner on the shared examples. `difference`: of that from
    the first run's, with its paired 95 % `interval`; `gained` and `lost`: the ids of examples on which its score is
    higher and lower. All of these are None or empty for the first run. `tokens`: of the winner as it is sent.
    `thousand`: dollars for 1,000 answers, None if not known."""

    directory: str
    task: str
    model: str
    first: float
    best: float
    value: float
    difference: float | None
    interval: tuple[float, float] | None
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    tokens: int | None
    thousand: float | None


@dataclass(frozen=True, slots=True)
class Part:
    """One section of the prompts. `texts`: its lines in each of them, with the header, "" where a prompt lacks it.
    `changes`: from the first prompt to each of the others."""

    section: str
    texts: tuple[str, ...]
    changes: tuple[SectionChange, ...]


@dataclass(frozen=True, slots=True)
class Differing:
    """A test example on which the winners' `scores` differ, in the order of the runs."""

    example: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Beside:
    """Runs beside each other. `metric`: its names and weights. `shared`: test examples that all winners answered;
    `only`: how many more each run has. `remarks`: what a reader should know."""

    metric: Mapping[str, float]
    shared: int
    only: tuple[int, ...]
    sides: tuple[Side, ...]
    differing: tuple[Differing, ...]
    parts: tuple[Part, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    directory: Path
    configuration: Configuration
    result: Mapping[str, Any]
    scores: KeptScores
    prompt: Prompt


def compare(directories: Sequence[Path]) -> Beside:
    """Compare runs, each with the first one.

    :raises ConfigError: there are fewer than two, one is no run or has no test scores, their metrics differ, or they
        have no test example in common.
    :raises MemoryMismatch, StorageFailed: a file of a run cannot be read.
    """
    if len(directories) < LEAST:
        raise ConfigError("give two run directories or more; `runs` lists them")
    runs = [_read(directory) for directory in directories]
    _check_metric(runs)
    keys = [key for key in runs[0].scores.best if all(key in run.scores.best for run in runs[1:])]
    if not keys:
        raise ConfigError(_nothing_shared(runs))
    metric = _metric(runs[0])
    marks = [[run.scores.best[key] for key in keys] for run in runs]
    return Beside(
        metric=runs[0].scores.measured["task.metric"],
        shared=len(keys),
        only=tuple(len(run.scores.best) - len(keys) for run in runs),
        sides=tuple(
            _side(run, metric, keys, mine, None if run is runs[0] else marks[0])
            for run, mine in zip(runs, marks, strict=True)
        ),
        differing=tuple(_differing(keys, marks)),
        parts=tuple(_parts([run.prompt for run in runs])),
        remarks=tuple(_remarks(runs, len(keys))),
    )


def _read(directory: Path) -> _Run:
    if directory.is_file():
        raise ConfigError(
            f"{directory} is a file; compare takes run directories (`diff` compares prompts, `evaluate` scores one)"
        )
    configuration, result = read_configuration(directory), read_result(directory / RESULT)
    if result is None:
        raise ConfigError(f"{directory} has no result yet: it is still running, or was stopped before its end")
    if result["test"] is None:
        raise ConfigError(
            f"{directory} has no test scores: {result['test_missing'] or 'its test split was not read'}"
        )
    scores = read_scores(directory)
    if scores is None:
        raise ConfigError(
            f"{directory} was made by a release that kept no scores of single test examples, so nothing can be "
            "paired; search again into another --out, or compare the values that `runs` shows"
        )
    return _Run(directory, configuration, result, scores, prompt_file.load(directory / BEST_PROMPT))


def _check_metric(runs: Sequence[_Run]) -> None:
    first, *others = runs
    for other in others:
        mine, theirs = first.scores.measured, other.scores.measured
        for name in {**mine, **theirs}:
            if mine.get(name) != theirs.get(name):
                values = " and ".join(_shown(each.get(name)) for each in (mine, theirs))
                raise ConfigError(
                    f"{first.directory} and {other.directory} are scored differently: {name} is {values}; scores of "
                    "different metrics cannot be compared"
                )


def _nothing_shared(runs: Sequence[_Run]) -> str:
    first, *others = runs
    ids = [{name for name, _ in run.scores.best} for run in runs]
    other = next((run for run in others if not run.scores.best.keys() & first.scores.best.keys()), others[0])
    named = set.intersection(*ids)
    why = "have no test example in common"
    if named:
        why = f"have test examples of the same ids ({one_line(sorted(named)[0], 40)}, …) with other inputs or answers"
    return f"{first.directory} and {other.directory} {why}: only runs with the same test split can be compared"


def _metric(run: _Run) -> Metric:
    """The run's metric, for corpus values only."""
    usual = next(iter(run.scores.measured["task.metric"]))
    return open_metric(run.configuration, TaskKind(run.configuration.task.kind, metric=usual), None)


def _side(
    run: _Run, metric: Metric, keys: Sequence[Key], mine: Sequence[Mark], against: Sequence[Mark] | None
) -> Side:
    value = corpus_value(metric, ((mark.score, mark.counts) for mark in mine))
    pairs = list(zip(keys, mine, against or (), strict=False))
    other = corpus_value(metric, ((mark.score, mark.counts) for mark in against or ()))
    answers, length = run.result.get("answers"), run.result.get("length")
    return Side(
        directory=str(run.directory),
        task=run.configuration.task.name,
        model=run.result["models"].get("task", ""),
        first=run.result["test"]["first"],
        best=run.result["test"]["best"],
        value=value,
        difference=None if against is None else value - other,
        interval=None if against is None else interval(metric, mine, against),
        gained=tuple(key[0] for key, own, theirs in pairs if own.score > theirs.score),
        lost=tuple(key[0] for key, own, theirs in pairs if own.score < theirs.score),
        tokens=length["best"] if length else None,
        thousand=answers["best"]["dollars"] if answers else None,
    )


def _differing(keys: Sequence[Key], marks: Sequence[Sequence[Mark]]) -> list[Differing]:
    scores = [(key[0], tuple(each[n].score for each in marks)) for n, key in enumerate(keys)]
    return [Differing(name, each) for name, each in scores if len(set(each)) > 1]


def _parts(prompts: Sequence[Prompt]) -> list[Part]:
    names = dict.fromkeys(section.name for prompt in prompts for section in prompt)
    texts = [{s.name: prompt_file.dumps(Prompt((s,))).removesuffix("\n") for s in prompt} for prompt in prompts]
    changes = [{c.section: c for c in changes_of(prompts[0], prompt)} for prompt in prompts[1:]]
    return [
        Part(
            name,
            tuple(each.get(name, "") for each in texts),
            tuple(each.get(name, SectionChange(name, "same", ())) for each in changes),
        )
        for name in names
    ]


def _remarks(runs: Sequence[_Run], shared: int) -> list[str]:
    said = [
        f"{run.directory} has {more} more test examples, which another run lacks or left unanswered."
        for run in runs
        if (more := len(run.scores.best) - shared)
    ]
    if len(runs) > LEAST:
        said.append(
            f"Each interval stands by itself: the chance that one of {len(runs) - 1} leaves out 0 by accident is "
            "above 5 %."
        )
    if len({run.configuration.task.kind for run in runs}) > 1:
        kinds = ", ".join(run.configuration.task.kind for run in runs)
        said.append(f"The runs read answers differently: task.kind is {kinds}.")
    return said


def _shown(value: object) -> str:
    match value:
        case None:
            return "not set"
        case dict():
            return " + ".join(name if weight == 1 else f"{weight:g} × {name}" for name, weight in value.items())
        case _:
            return one_line(str(value), 60)
