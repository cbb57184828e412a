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
from memory.judgement import HALF_EVIDENCE

COUNTS = (4, 8, 16, 32, 64)
NEAREST = (4, 8, 16)
SHARED, OWN = 0.1, 0.05
"""Prior deviations, in rewards: of what a shape, and of what four times as many examples, add; of what a form does
beside that."""
MOST = 0.3
"""Rewards beyond it count as it: no record outweighs a few others by what it claims."""
NOISE = 0.05
"""The deviation, in rewards, of an edit that was measured on many examples."""

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


def choose_form(past: Sequence[Experience], possible: Sequence[Form], rng: Random) -> Form:
    """Of the `possible` forms (one at least) the best by a draw from what is believed of them (Thompson sampling,
    Agrawal & Goyal, arXiv 1209.3352): what past edits speak for most often, and where they say little, any."""
    mean, covariance = believed(past)
    values, axes = np.linalg.eigh(covariance)
    drawn = mean + axes @ (np.sqrt(np.maximum(values, 0)) * np.array([rng.gauss(0, 1) for _ in mean]))
    return max(possible, key=lambda form: float(features(form) @ drawn))


def believed(past: Sequence[Experience]) -> tuple[Array, Array]:
    """Mean, shape (f,), and covariance, shape (f, f), of what each of the `features` adds to a reward: a Bayesian
    linear regression on past edits, each of which weighs by its evidence. How alike the texts were says nothing of
    how many examples to show, so it has no part."""
    seen = [(features(form), edit) for edit in past if (form := form_of(edit))]
    precision = np.eye(len(features(FORMS[0])))  # of the standardised coefficients
    total = np.zeros(len(precision))
    for row, edit in seen:
        weight = edit.evidence / (edit.evidence + HALF_EVIDENCE) / NOISE**2
        precision += weight * np.outer(row, row)
        total += weight * max(-MOST, min(MOST, edit.reward)) * row
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
