"""The forms that an edit of worked examples may take, and what past edits say of what each would show."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
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
SHARED, DOUBLING = 0.05, 0.02
"""Prior deviations, in rewards: of what showing examples at all is worth, and four times as many; of how far one
doubling of their number is from the others."""
MORE = 0.03
"""What four times as many examples are expected to be worth, in rewards: in most tasks more of them help, up to
hundreds (Agarwal et al. 2024, Many-shot in-context learning, arXiv 2404.11018)."""
SURVIVED = 0.02
"""What an edit is expected to lose that gives up what had survived, in rewards."""
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
class Form:
    """How a section is edited: `count` examples are chosen afresh ("fixed") or beside those shown already ("added"),
    or those nearest to each input are shown ("nearest")."""

    shape: Literal["fixed", "added", "nearest"]
    count: int


FORMS = (
    *(Form("fixed", count) for count in COUNTS),
    *(Form("added", count) for count in COUNTS),
    *(Form("nearest", count) for count in NEAREST),
)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a section shows: `count` examples, those `nearest` to each input or the same for all. `survived`: what had
    survived a race is still shown."""

    count: int
    nearest: bool = False
    survived: bool = False


@dataclass(frozen=True, slots=True)
class Prices:
    """`token` >= 0: reward lost for each token that an edit adds. `example`: the tokens of one, on average."""

    token: float
    example: float


def shown(text: str, survivor: str = "") -> Shown | None:
    """What the text of an examples section shows; None where it shows nothing. Worked examples stand apart by a blank
    line. `survivor`: a text that had survived, to which more may have been added."""
    survived = bool(survivor) and f"{text}\n\n".startswith(f"{survivor}\n\n")
    if per_input := [place for place in places(text) if place.startswith(f"{EXAMPLES}:")]:
        return Shown(int(per_input[0].partition(":")[2]), nearest=True, survived=survived)
    count = sum(1 for block in text.split("\n\n") if block.strip())
    return Shown(count, survived=survived) if count else None


def choose_form(
    past: Sequence[Experience], possible: Mapping[Form, Shown], task: str, prices: Prices, rng: Random
) -> Form:
    """Of the `possible` forms, with what a section shows after each (one at least), the one after which it shows what
    is worth most in the `task` beyond its price, by a draw from what is believed (Thompson sampling, Agrawal &
    Goyal, arXiv 1209.3352): what past edits speak for most often, and where they say little, any."""
    table = believed(past, prices.token)
    rows = {form: _row(table, task, None, after) for form, after in possible.items()}
    drawn = table.mean + TEMPERATURE * table.deviations(rng)
    price = prices.token * prices.example / NOISE
    worth = {
        form: float((drawn[row.places] * row.values).sum()) - price * possible[form].count
        for form, row in rows.items()
    }
    return max(worth, key=lambda form: (worth[form], rng.random()))


def believed(past: Sequence[Experience], token_price: float) -> Linear:
    """What the examples shown are worth, in NOISE: a regression on past edits, each of which weighs by its evidence.

    A reward is what they were worth after the edit less before (a potential, as in Ng et al. 1999, Policy invariance
    under reward transformations), so what was earned on the way from 4 to 64 tells of 64 where there are none yet.
    What an edit paid for its tokens is given back: a price is known, and need not be learnt. How alike the texts were
    says nothing of how many to show, so it has no part.
    """
    table = Linear(math.inf)
    for edit in past:
        weight = math.sqrt(edit.evidence / (edit.evidence + HALF_EVIDENCE))
        reward = max(-MOST, min(MOST, edit.reward + token_price * edit.cost))
        before, after = (shown(text, survivor=edit.before) for text in (edit.before, edit.after))
        row = _row(table, edit.task, before, after, weight)
        if row.places.size:
            table.learn(row, weight * reward / NOISE)
    return table


def _row(table: Linear, task: str, before: Shown | None, after: Shown | None, weight: float = 1.0) -> Rows:
    """One observation: what is shown after, less what is shown before.

    Worth is a random walk over the doublings of the count, whose drift is learnt: what lies beyond the counts that
    were tried is as good as the nearest of these, and better or worse as more has helped or harmed so far. All tasks
    share a part of it, and each has a part of its own (hierarchical Bayes). What had survived is better than another
    draw of as many (regression towards the mean), and how much is learnt apart: an edit that only adds keeps it.
    """
    terms = [(name, -value, mean, deviation) for name, value, mean, deviation in _features(before)]
    terms += _features(after)
    where, values = list[int](), list[float]()
    for name, value, mean, deviation in terms:
        for whose, share in ((None, ALIKE), (task, 1 - ALIKE)):
            where.append(table.place((whose, name), share * (deviation / NOISE) ** 2, share * mean / NOISE))
            values.append(value)
    return Rows(np.array([where], np.int64), weight * np.array([values]))


def _features(state: Shown | None) -> Iterator[Feature]:
    """What the worth of a state is the sum of; nothing shown is worth 0."""
    if state is not None:
        size = math.log2(state.count)
        yield state.nearest, 1.0, 0.0, SHARED
        yield "doublings", size / 2, MORE, SHARED
        yield "survived", float(state.survived), SURVIVED, SHARED
        for step in range(math.ceil(size)):
            yield (state.nearest, step), min(1.0, size - step), 0.0, DOUBLING
