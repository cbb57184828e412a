"""The forms that an edit of worked examples may take, and what past edits say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
import numpy.typing as npt

from agents.prompting.shelves import EXAMPLES, places
from memory.experience import Experience
from memory.judgement import Judged

COUNTS = (4, 8, 16, 32, 64)
NEAREST = (4, 8, 16)
SHARED, OWN = 0.1, 0.05
"""Prior deviations, in rewards: of what a shape, and of what sixteen times as many examples, add; of what a form does
beside that."""
NOISE = 0.05
"""The deviation, in rewards, of an edit that has one vote."""

Array = npt.NDArray[np.float64]
Shape = Literal["fixed", "added", "nearest"]
SHAPES: tuple[Shape, ...] = ("fixed", "added", "nearest")


@dataclass(frozen=True, slots=True)
class Form:
    """What is shown: `count` examples, chosen afresh ("fixed") or beside those shown already ("added"), or those
    nearest to each input ("nearest")."""

    shape: Shape
    count: int


FORMS = (
    *(Form(shape, count) for shape in SHAPES[:2] for count in COUNTS),
    *(Form("nearest", count) for count in NEAREST),
)


def choose_form(recalled: Sequence[Judged], possible: Sequence[Form], rng: Random) -> Form:
    """Of the `possible` forms (one at least) the best by a draw from what is believed of them (Thompson sampling,
    Agrawal & Goyal, arXiv 1209.3352): what past edits speak for most often, and where they say little, any."""
    mean, covariance = believed(recalled)
    values, axes = np.linalg.eigh(covariance)
    drawn = mean + axes @ (np.sqrt(np.maximum(values, 0)) * np.array([rng.gauss(0, 1) for _ in mean]))
    return max(possible, key=lambda form: float(features(form) @ drawn))


def believed(recalled: Sequence[Judged]) -> tuple[Array, Array]:
    """Mean, shape (f,), and covariance, shape (f, f), of what each of the `features` adds to a reward: a Bayesian
    linear regression on the recalled edits, each of which weighs as much as it has votes."""
    seen = [(features(form), edit) for edit in recalled if (form := form_of(edit.recalled.experience))]
    precision = np.eye(len(features(FORMS[0])))  # of the standardised coefficients
    total = np.zeros(len(precision))
    for row, edit in seen:
        precision += edit.votes / NOISE**2 * np.outer(row, row)
        total += edit.votes / NOISE**2 * edit.value * row
    covariance = np.asarray(np.linalg.inv(precision), np.float64)
    return covariance @ total, covariance


def features(form: Form) -> Array:
    """The shape, the count (its logarithm, from -1 to 1) and the form itself, shape (f,), in prior deviations."""
    shape = [SHARED * (form.shape == known) for known in SHAPES]
    count = SHARED * (np.log2(form.count) - 4) / 2
    return np.array([*shape, count, *(OWN * (form == known) for known in FORMS)])


def form_of(past: Experience) -> Form | None:
    """The form that an edit of an examples section had, its count the nearest that can be chosen; None if it shows
    no example more."""
    if per_input := [place for place in places(past.after) if place.startswith(f"{EXAMPLES}:")]:
        return Form("nearest", _closest(int(per_input[0].partition(":")[2]), NEAREST))
    kept = bool(past.before) and past.before in past.after
    count = _shown(past.after) - (_shown(past.before) if kept else 0)
    return Form("added" if kept else "fixed", _closest(count, COUNTS)) if count > 0 else None


def _closest(count: int, known: Sequence[int]) -> int:
    return min(known, key=lambda one: abs(one - count))


def _shown(text: str) -> int:
    """Worked examples stand apart by a blank line."""
    return sum(1 for block in text.split("\n\n") if block.strip())
