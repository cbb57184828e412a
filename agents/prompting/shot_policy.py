"""The ways in which worked examples may be shown, and what past edits say of what each is worth."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from agents.prompting.retrieval_slots import EXAMPLES, places
from memory.bayesian_regression import Linear, Rows
from memory.experience import Experience
from memory.judgement import HALF_EVIDENCE
from protocols.files.prompt_file import read_section
from protocols.prompt import Form
from protocols.turns import load_turns

COUNTS = (2, 4, 8, 16)
ANY = 0.02
"""What two worked examples are expected to be worth, in rewards, beside none; the figures below are of the same kind,
and none is larger than what a handful of edits can overrule. What they rest on: docs/decisions/forms.md."""
DOUBLINGS = (0.015, 0.01, 0.0)
"""From 2 to 4, from 4 to 8, from 8 to 16: few before many."""
TURNS = 0.04
"""As turns of the chat and not as text: small models hardly read the text, large ones do not mind."""
NEAREST = 0.04
"""Those nearest to each input and not the same for all (Liu et al. 2022, arXiv 2101.06804)."""
BARE = -0.1
"""Bare answers where the model is to reason before it answers: they teach it not to."""
SURVIVED = 0.02
"""A set that has survived a race beside another draw of as many: regression towards the mean."""
DEVIATION, STEP = 0.05, 0.02
"""Prior deviations of the figures above, and of each doubling, in rewards."""
ALIKE = 0.25
"""The correlation of what two tasks say: what is known of another decides a quarter of what is believed."""
MOST = 0.3
"""Rewards beyond it count as it: no record outweighs a few others by what it claims."""
NOISE = 0.05
"""The deviation, in rewards, of an edit that was measured on many examples."""
TEMPERATURE = 0.35
"""What the deviations of a draw are multiplied by: a section of examples is edited but a few times in a search, which
leaves little time to explore."""

Feature = tuple[Hashable, float, float, float]
"""Its name, its value, and the prior mean and deviation of its coefficient, in rewards."""


@dataclass(frozen=True, slots=True)
class Showing:
    """`count` >= 0 worked examples in one `form`: those `nearest` to each input, or the same for all. `replies`: with
    whole replies of the model that came out right, and not with bare answers. `survived`: this very set has won a
    race."""

    form: Form
    nearest: bool
    count: int
    replies: bool = False
    survived: bool = False


NOTHING = Showing("system", nearest=False, count=0)
SHOWINGS = (
    NOTHING,
    *(Showing(form, True, count) for count in COUNTS for form in ("turns", "input")),
    *(Showing(form, False, count) for count in COUNTS for form in ("turns", "input", "system")),
    *(Showing("turns", False, count, replies=True) for count in COUNTS),
)


@dataclass(frozen=True, slots=True)
class Situation:
    """The `task`'s name. `reasons`: whether its replies reason before they answer. `bare`: its bare answers, by which
    whole replies are told; None for another task, of which they are not known. `token_price` >= 0: the reward lost
    for each token that an edit adds; `example`: the tokens of a worked example, on average."""

    task: str
    reasons: bool
    bare: frozenset[str] | None
    token_price: float
    example: float


def shown(section: str, bare: frozenset[str] | None = None) -> Showing:
    """What a section of examples shows whose text and form an experience has kept, see `saved_section`. Worked
    examples in a text stand apart by a blank line. `bare`: the task's bare answers; None: replies are not told."""
    form, text = read_section(section)
    if per_input := [place for place in places(text) if place.startswith(f"{EXAMPLES}:")]:
        return Showing("turns" if form == "turns" else "input", True, int(per_input[0].partition(":")[2]))
    if form != "turns":
        count = sum(1 for block in text.split("\n\n") if block.strip())
        return Showing(form, False, count) if count else NOTHING
    turns = load_turns(text)
    replies = bare is not None and any(turn.text.strip() not in bare for turn in turns[1::2])
    return Showing(form, False, len(turns) // 2, replies) if turns else NOTHING


def choose_showing(
    past: Sequence[Experience], possible: Sequence[Showing], situation: Situation, rng: Random
) -> Showing:
    """Of the `possible` ways (one at least) the one that is worth most beyond its price, by a draw from what is
    believed (Thompson sampling, Agrawal & Goyal, arXiv 1209.3352): what past edits speak for most often, and where
    they say little, any."""
    table = believed(past, situation)
    rows = [_row(table, situation, NOTHING, showing) for showing in possible]
    drawn = table.mean + TEMPERATURE * table.deviations(rng)
    price = situation.token_price * situation.example / NOISE
    worth = [
        float((drawn[row.places] * row.values).sum()) - price * showing.count
        for showing, row in zip(possible, rows, strict=True)
    ]
    return max(zip(worth, possible, strict=True), key=lambda pair: (pair[0], rng.random()))[1]


def believed(past: Sequence[Experience], situation: Situation) -> Linear:
    """What the ways are worth, in NOISE: a regression on past edits, each of which weighs by its evidence.

    A reward is what they were worth after the edit less before (a potential, as in Ng et al. 1999, Policy invariance
    under reward transformations), so what was earned on the way from 2 to 8 tells of 8 where there are none yet. What
    an edit paid for its tokens is given back: a price is known, and need not be learnt.
    """
    table = Linear(math.inf)
    for edit in past:
        weight = math.sqrt(edit.evidence / (edit.evidence + HALF_EVIDENCE))
        reward = max(-MOST, min(MOST, edit.reward + situation.token_price * edit.cost))
        there = situation if edit.task == situation.task else replace(situation, task=edit.task, bare=None)
        before, after = shown(edit.before, there.bare), shown(edit.after, there.bare)
        if before.count and not before.nearest:
            before = replace(before, survived=True)
        row = _row(table, there, before, after, weight)
        table.learn(row, weight * reward / NOISE)
    return table


def _row(table: Linear, situation: Situation, before: Showing, after: Showing, weight: float = 1.0) -> Rows:
    """One observation: what is shown after, less what is shown before. All tasks share a part of each coefficient,
    and each task has a part of its own (hierarchical Bayes)."""
    terms = [(name, -value, mean, deviation) for name, value, mean, deviation in _features(before, situation)]
    terms += _features(after, situation)
    where, values = list[int](), list[float]()
    for name, value, mean, deviation in terms:
        for whose, share in ((None, ALIKE), (situation.task, 1 - ALIKE)):
            where.append(table.place((whose, name), share * (deviation / NOISE) ** 2, share * mean / NOISE))
            values.append(value)
    return Rows(np.array([where], np.int64).reshape(1, -1), weight * np.array([values]).reshape(1, -1))


def _features(showing: Showing, situation: Situation) -> Iterator[Feature]:
    """What the worth of a way is the sum of; showing nothing is worth 0."""
    if not showing.count:
        return
    yield "any", 1.0, ANY, DEVIATION
    if showing.form != "system":
        yield showing.form, 1.0, TURNS if showing.form == "turns" else 0.0, DEVIATION
    yield "nearest", float(showing.nearest), NEAREST, DEVIATION
    if situation.bare is not None:
        yield ("bare", situation.reasons), float(not showing.replies), BARE * situation.reasons, DEVIATION
    yield "survived", float(showing.survived), SURVIVED, DEVIATION
    size = math.log2(showing.count / COUNTS[0])
    for step, mean in enumerate(DOUBLINGS[: max(0, math.ceil(size))]):
        yield (showing.nearest, step), min(1.0, size - step), mean, STEP
