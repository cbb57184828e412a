"""Compares the best prompts of runs, and other prompts, on the test examples that all of them answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.beside.contestants import Contestant, of_run
from agents.config.metrics import open_metric
from agents.results.kept_scores import Key
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
    """One run of a comparison, or one prompt, whose file is the `directory`. `first` and `best`: the scores of its
    first prompt and its winner on all test examples that both answered, as it reported them; of a prompt None and
    its score on all that it answered. `value`: of its winner on the shared examples. `difference`: of that from the
    first run's, with its paired 95 % `interval`; `gained` and `lost`: the ids of examples on which its score is
    higher and lower. All of these are None or empty for the first run. `tokens`: of the winner as it is sent.
    `thousand`: dollars for 1,000 answers, None if not known."""

    directory: str
    task: str
    model: str
    first: float | None
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


def compare(given: Sequence[Path | Contestant]) -> Beside:
    """Compare runs, given as directories, and prompts that were measured, each with the first one.

    :raises ConfigError: there are fewer than two, one is no run or has no test scores, their metrics differ, or they
        have no test example in common.
    :raises MemoryMismatch, StorageFailed: a file of a run cannot be read.
    """
    if len(given) < LEAST:
        raise ConfigError("give two run directories or prompt files, or more; `runs` lists the runs")
    runs = [of_run(one) if isinstance(one, Path) else one for one in given]
    _check_metric(runs)
    keys = [key for key in runs[0].scores if all(key in run.scores for run in runs[1:])]
    if not keys:
        raise ConfigError(_nothing_shared(runs))
    metric = _metric(runs[0])
    marks = [[run.scores[key] for key in keys] for run in runs]
    return Beside(
        metric=runs[0].measured["task.metric"],
        shared=len(keys),
        only=tuple(len(run.scores) - len(keys) for run in runs),
        sides=tuple(
            _side(run, metric, keys, mine, None if run is runs[0] else marks[0])
            for run, mine in zip(runs, marks, strict=True)
        ),
        differing=tuple(_differing(keys, marks)),
        parts=tuple(_parts([run.prompt for run in runs])),
        remarks=tuple(_remarks(runs, len(keys))),
    )


def _check_metric(runs: Sequence[Contestant]) -> None:
    first, *others = runs
    for other in others:
        mine, theirs = first.measured, other.measured
        for name in {**mine, **theirs}:
            if mine.get(name) != theirs.get(name):
                values = " and ".join(_shown(each.get(name)) for each in (mine, theirs))
                raise ConfigError(
                    f"{first.name} and {other.name} are scored differently: {name} is {values}; scores of "
                    "different metrics cannot be compared"
                )


def _nothing_shared(runs: Sequence[Contestant]) -> str:
    first, *others = runs
    ids = [{name for name, _ in run.scores} for run in runs]
    other = next((run for run in others if not run.scores.keys() & first.scores.keys()), others[0])
    named = set.intersection(*ids)
    why = "have no test example in common"
    if named:
        why = f"have test examples of the same ids ({one_line(sorted(named)[0], 40)}, …) with other inputs or answers"
    return f"{first.name} and {other.name} {why}: only runs with the same test split can be compared"


def _metric(run: Contestant) -> Metric:
    """The run's metric, for corpus values only."""
    usual = next(iter(run.measured["task.metric"]))
    return open_metric(run.configuration, TaskKind(run.configuration.task.kind, metric=usual), None)


def _side(
    run: Contestant, metric: Metric, keys: Sequence[Key], mine: Sequence[Mark], against: Sequence[Mark] | None
) -> Side:
    value = corpus_value(metric, ((mark.score, mark.counts) for mark in mine))
    pairs = list(zip(keys, mine, against or (), strict=False))
    other = corpus_value(metric, ((mark.score, mark.counts) for mark in against or ()))
    return Side(
        directory=run.name,
        task=run.configuration.task.name,
        model=run.model,
        first=run.first,
        best=run.best,
        value=value,
        difference=None if against is None else value - other,
        interval=None if against is None else interval(metric, mine, against),
        gained=tuple(key[0] for key, own, theirs in pairs if own.score > theirs.score),
        lost=tuple(key[0] for key, own, theirs in pairs if own.score < theirs.score),
        tokens=run.tokens,
        thousand=run.thousand,
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


def _remarks(runs: Sequence[Contestant], shared: int) -> list[str]:
    said = [
        f"{run.name} has {more} more test examples, which another run lacks or left unanswered."
        for run in runs
        if (more := len(run.scores) - shared)
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
