"""Comparing a child with its parent on the same examples."""

from __future__ import annotations

import math
from dataclasses import dataclass

from protocols.messages import Scores


@dataclass(frozen=True, slots=True)
class Paired:
    """`gain`: mean of child minus parent over the `n` examples that both answered; `error`: its standard error."""

    gain: float
    error: float
    n: int


def compare(child: Scores, parent: Scores) -> Paired:
    """The paired difference; all zero where no example was answered by both."""
    differences = [c - p for c, p in zip(child, parent, strict=True) if c is not None and p is not None]
    n = len(differences)
    if n == 0:
        return Paired(0.0, 0.0, 0)
    mean = math.fsum(differences) / n
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1) if n > 1 else 0.0
    return Paired(mean, math.sqrt(variance / n), n)


def mean(scores: Scores) -> float:
    """Mean of the scores that are there; 0 for none."""
    answered = [score for score in scores if score is not None]
    return math.fsum(answered) / len(answered) if answered else 0.0
