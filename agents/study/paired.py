"""Paired differences: their mean over strata, its interval, and what is left of a p-value among several."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)
"""Of Gauss-Legendre quadrature on [-1, 1]."""


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
    half = student_quantile((1 + LEVEL) / 2, freedom) * error
    p = 2 * (1 - student(abs(value) / error, freedom))
    return Difference(value, (value - half, value + half), max(0.0, p))


def _same(stratum: Sequence[float]) -> bool:
    """Equal, but for how they were rounded."""
    return all(math.isclose(each, stratum[0], rel_tol=1e-9, abs_tol=1e-12) for each in stratum)


def student(t: float, freedom: float) -> float:
    """The probability that Student's t with `freedom` >= 1 is at most `t` >= 0.

    t = sqrt(freedom) tan(angle) has a density that is proportional to cos(angle)^(freedom - 1).
    """
    angle = math.atan(t / math.sqrt(freedom))
    at = np.cos((NODES + 1) / 2 * angle)
    return 0.5 + _scale(freedom) * angle / 2 * float(WEIGHTS @ at ** (freedom - 1))


def student_quantile(level: float, freedom: float) -> float:
    """The t that Student's is below with probability `level` in [0.5, 1): by Newton's method from 0, which stays
    below it, since the distribution is concave there."""
    t, step = 0.0, 1.0
    while step > 1e-12 * (1 + t):
        density = _scale(freedom) / math.sqrt(freedom) * (1 + t * t / freedom) ** (-(freedom + 1) / 2)
        step = (level - student(t, freedom)) / density
        t += step
    return t


def _scale(freedom: float) -> float:
    return math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """The p-values, corrected so that the chance that any true null hypothesis falls below a level is at most that
    level (Holm, Scandinavian Journal of Statistics 1979), whatever their dependence."""
    corrected: dict[str, float] = {}
    worst = 0.0
    for place, name in enumerate(sorted(p, key=p.__getitem__)):
        worst = max(worst, min(1.0, (len(p) - place) * p[name]))
        corrected[name] = worst
    return corrected
