"""The forms that an edit of worked examples may take, and which of them past edits speak for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from agents.prompting.shelves import EXAMPLES, places
from memory.experience import Experience
from memory.judgement import Judged

COUNTS = (4, 8, 16, 32, 64)
NEAREST = (4, 8, 16)
PER_INPUT = 0.25
"""The share of forms drawn at random that are filled for each input."""
LEARNT = 0.5
"""The share of edits that take the form that past edits speak for most."""
PRIOR = 1.0
"""Votes that no gain at all has in what a form is believed to earn."""


@dataclass(frozen=True, slots=True)
class Form:
    """What is shown: `count` examples, chosen afresh ("fixed") or beside those shown already ("added"), or those
    nearest to each input ("nearest")."""

    shape: Literal["fixed", "added", "nearest"]
    count: int


FORMS = (
    *(Form(shape, count) for shape in ("fixed", "added") for count in COUNTS),
    *(Form("nearest", count) for count in NEAREST),
)


def choose_form(recalled: Sequence[Judged], possible: Sequence[Form], rng: Random) -> Form:
    """Of the `possible` forms (one at least) the one that past edits speak for, in a share LEARNT of the cases where
    they do; else any."""
    best = best_form(recalled, possible)
    if best and rng.random() < LEARNT:
        return best
    per_input = [form for form in possible if form.shape == "nearest"]
    others = sorted({form.shape for form in possible} - {"nearest"})
    if not others or (per_input and rng.random() < PER_INPUT):
        return rng.choice(per_input)
    shape = rng.choice(others)
    return rng.choice([form for form in possible if form.shape == shape])


def best_form(recalled: Sequence[Judged], possible: Collection[Form] = FORMS) -> Form | None:
    """The form that is believed to earn most, by the votes of the edits that had it and of PRIOR for nothing; None
    where none is believed to earn anything."""
    votes: dict[Form, float] = defaultdict(float)
    earned: dict[Form, float] = defaultdict(float)
    for edit in recalled:
        form = form_of(edit.recalled.experience)
        if form is not None and form in possible:
            votes[form] += edit.votes
            earned[form] += edit.votes * edit.value
    believed = {form: earned[form] / (votes[form] + PRIOR) for form in votes}
    best = max(believed, key=lambda form: believed[form], default=None)
    return best if best is not None and believed[best] > 0 else None


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
