"""The forms that an edit of worked examples may take, and what past edits say of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np

from agents.prompting.shelves import EXAMPLES, places
from memory.experience import Experience
from memory.judgement import HALF_EVIDENCE
from memory.linear import Linear, Rows

COUNTS = (4, 8, 16, 32, 64)
NEAREST = (4, 8, 16)
SHARED, OWN = 0.05, 0.025
"""Prior deviations, in rewards: of what a shape, and of what four times as many examples, add; of what a form does
beside that."""
MOST = 0.3
"""Rewards beyond it count as it: no record outweighs a few others by what it claims."""
NOISE = 0.05
"""The deviation, in rewards, of an edit that was measured on many examples."""
TEMPERATURE = 0.35
"""What the deviations of a draw are multiplied by: a section that shows nothing is filled but a few times in a
search, which leaves little time to explore."""

HOW_MANY = "how many"
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
    table = believed(past)
    drawn = table.mean + TEMPERATURE * table.deviations(rng)
    rows = [_row(table, form) for form in possible]
    values = [float((drawn[row.places] * row.values).sum()) for row in rows]
    return possible[values.index(max(values))]


def believed(past: Sequence[Experience]) -> Linear:
    """What shapes, counts and forms add to a reward, in NOISE: a regression on past edits, each of which weighs by
    its evidence. How alike the texts were says nothing of how many examples to show, so it has no part."""
    table = Linear(math.inf)
    for name in (*SHAPES, HOW_MANY):
        table.place(name, (SHARED / NOISE) ** 2)
    for known in FORMS:
        table.place(known, (OWN / NOISE) ** 2)
    for edit in past:
        if form := form_of(edit):
            weight = math.sqrt(edit.evidence / (edit.evidence + HALF_EVIDENCE))
            reward = max(-MOST, min(MOST, edit.reward))
            table.learn(_row(table, form, weight), weight * reward / NOISE)
    return table


def _row(table: Linear, form: Form, weight: float = 1.0) -> Rows:
    """One observation: the shape, the count (its logarithm, from -1 to 1) and the form itself."""
    names = (form.shape, HOW_MANY, form)
    places = [table.place(name, 0.0) for name in names]  # they are there already
    values = [1.0, (math.log2(form.count) - 4) / 2, 1.0]
    return Rows(np.array([places], np.int64), weight * np.array([values]))


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
