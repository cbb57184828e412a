"""Paired differences: their mean over strata, its interval, and what is left of a p-value among several."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
STEPS = 20_000
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean over strata, each weighing the same, of their mean paired differences.

    `interval`, of `LEVEL`, and the two-sided `p` of there being none: both None where a stratum has fewer than two
    pairs, and `p` where all differences of each stratum are the same.
    """

    value: float
    interval: tuple[float, float] | None
    p: float | None


def difference(strata: Sequence[Sequence[float]]) -> Difference:
    """Of at least one stratum of at least one difference each: Student's t, with the degrees of freedom of Welch
    (Biometrika 1947) and Satterthwaite (Biometrics Bulletin 1946) where there are several."""
    value = statistics.fmean(statistics.fmean(stratum) for stratum in strata)
    if any(len(stratum) < 2 for stratum in strata):
        return Difference(value, None, None)
    if all(_same(stratum) for stratum in strata):
        return Difference(value, (value, value), None)
    parts = [statistics.variance(stratum) / len(stratum) / len(strata) ** 2 for stratum in strata]
    error = math.sqrt(sum(parts))
    shares = ((part / error**2) ** 2 / (len(stratum) - 1) for part, stratum in zip(parts, strata, strict=True))
    freedom = 1 / sum(shares)
    values, within = student(freedom)
    half = float(np.interp(LEVEL, within, values)) * error
    p = 1 - float(np.interp(abs(value) / error, values, within))
    return Difference(value, (value - half, value + half), p)


def _same(stratum: Sequence[float]) -> bool:
    """Equal, but for how they were rounded."""
    return all(math.isclose(each, stratum[0], rel_tol=1e-9, abs_tol=1e-12) for each in stratum)


def student(freedom: float) -> tuple[Array, Array]:
    """Values t >= 0, ascending and densely, and the probabilities that Student's t with `freedom` >= 1 is within ±t.

    t = sqrt(freedom) tan(angle) has a density that is proportional to cos(angle)^(freedom - 1), which is summed by
    the midpoint rule: quantiles at LEVEL are right to six digits.
    """
    edges = np.linspace(0, math.pi / 2, STEPS + 1)
    sums = np.cumsum(np.cos((edges[:-1] + edges[1:]) / 2) ** (freedom - 1))
    return math.sqrt(freedom) * np.tan(edges), np.concatenate([[0.0], sums / sums[-1]])


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """The p-values, corrected so that the chance that any true null hypothesis falls below a level is at most that
    level (Holm, Scandinavian Journal of Statistics 1979), whatever their dependence."""
    corrected: dict[str, float] = {}
    worst = 0.0
    for place, name in enumerate(sorted(p, key=p.__getitem__)):
        worst = max(worst, min(1.0, (len(p) - place) * p[name]))
        corrected[name] = worst
    return corrected
