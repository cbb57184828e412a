"""The effects of a study's arms: paired differences from the baseline (docs/decisions/study.md)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from agents.study.grid import Cell
from agents.study.paired import LEVEL, difference, holm
from agents.study.study import BASELINE
from agents.study.sweep import Row

Measure = Literal["test", "validation", "calls", "dollars", "seconds"]
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
Verdict = Literal["higher", "lower", "includes 0", "includes 0, corrected", "the same in every pair", "too few pairs"]
Values = Mapping[tuple[str, str, int], Mapping[Measure, float]]
"""The measures by (setting, task, seed)."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One measure of one arm against the baseline, on one task, or on all if `task` is None.

    `baseline` and `value`: the means of both over the pairs of (task, seed), with equal weights of tasks;
    `difference`: the arm's minus the baseline's. All three are None if a task has no pair. `excluded`: pairs in which
    a value is missing, because the search failed or has not ended, or the value is not known. `corrected`: `p` after
    Holm's correction over the arms, only for the measure `test` over all tasks.
    """

    arm: str
    task: str | None
    measure: Measure
    pairs: int
    excluded: int
    baseline: float | None = None
    value: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    corrected: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The conclusion from the interval, and from `corrected` if there is one."""
        if self.interval is None or self.difference is None:
            return "too few pairs"
        if self.p is None:
            return "the same in every pair"
        low, high = self.interval
        if low <= 0 <= high:
            return "includes 0"
        if self.corrected is not None and self.corrected > 1 - LEVEL:
            return "includes 0, corrected"
        return "higher" if self.difference > 0 else "lower"


def measured(row: Row) -> dict[Measure, float]:
    """The measures of a search, without unknown ones: the winner's value in [0, 1] on the test and on the validation
    examples; calls and dollars, including calls that the cache answered, so that the order of searches does not
    matter; and the seconds that the search took."""
    found: dict[Measure, float] = {}
    if row.result is None:
        return found
    result, saved = row.result, row.result["saved"]
    if result["test"] and result["test"]["best_score"]["n"]:
        found["test"] = result["test"]["best_score"]["value"]
    found["validation"] = result["best"]["value"]
    found["calls"] = sum(result["calls"].values()) + saved["calls"]
    if result["dollars"] is not None and saved["dollars"] is not None:
        found["dollars"] = result["dollars"] + saved["dollars"]
    found["seconds"] = result["seconds"]
    return found


def effects(cells: Sequence[Cell], rows: Sequence[Row]) -> list[Effect]:
    """The effects of every arm on every measure: over all tasks, and on each task if there are several."""
    values = {(row.setting, row.task, row.seed): measured(row) for row in rows}
    tasks = dict.fromkeys(cell.task for cell in cells)
    seeds = dict.fromkeys(cell.seed for cell in cells)
    scopes: list[tuple[str | None, list[str]]] = [(None, [*tasks])]
    if len(tasks) > 1:
        scopes += [(task, [task]) for task in tasks]
    found = [
        replace(_effect(values, arm, measure, [[(task, seed) for seed in seeds] for task in named]), task=scope)
        for arm in dict.fromkeys(cell.setting for cell in cells if cell.setting != BASELINE)
        for measure in MEASURES
        for scope, named in scopes
    ]
    return _corrected(found)


def _effect(values: Values, arm: str, measure: Measure, strata: Sequence[Sequence[tuple[str, int]]]) -> Effect:
    pairs: list[list[tuple[float, float]]] = []
    for stratum in strata:
        both = [(values.get((BASELINE, *at), {}), values.get((arm, *at), {})) for at in stratum]
        pairs.append([(b[measure], a[measure]) for b, a in both if measure in b and measure in a])
    count = sum(map(len, pairs))
    effect = Effect(arm, None, measure, count, sum(map(len, strata)) - count)
    if not all(pairs):
        return effect
    found = difference([[a - b for b, a in stratum] for stratum in pairs])
    return replace(
        effect,
        baseline=statistics.fmean(statistics.fmean(b for b, _ in stratum) for stratum in pairs),
        value=statistics.fmean(statistics.fmean(a for _, a in stratum) for stratum in pairs),
        difference=found.value,
        interval=found.interval,
        p=found.p,
    )


def _corrected(found: Sequence[Effect]) -> list[Effect]:
    """The effects with Holm's correction over the arms, each of which tests whether the test value differs."""
    primary = {e.arm: e.p for e in found if e.measure == "test" and e.task is None and e.p is not None}
    corrected = holm(primary)
    return [
        replace(e, corrected=corrected.get(e.arm)) if e.measure == "test" and e.task is None else e for e in found
    ]
