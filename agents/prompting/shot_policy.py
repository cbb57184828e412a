"""The ways of showing worked examples, and how much each is expected to gain according to past edits."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from agents.prompting.retrieval_slots import EXAMPLES, places
from memory.bayesian_regression import BayesianLinearRegression, Rows
from memory.experience import Experience
from memory.judgement import HALF_EVIDENCE
from protocols.files.prompt_file import read_section
from protocols.prompt import Form
from protocols.turns import load_turns

COUNTS = (2, 4, 8, 16)
ANY = 0.02
"""Prior mean of the reward of two worked examples over none. The constants below are prior means of the same kind,
each small enough for a handful of edits to overrule. Their sources: docs/decisions/forms.md."""
DOUBLINGS = (0.015, 0.01, 0.0)
"""Prior gain of going from 2 to 4, from 4 to 8 and from 8 to 16 examples: the first ones gain most."""
TURNS = 0.04
"""Prior gain of chat turns over text: small models hardly use examples in text, large ones do not care."""
NEAREST = 0.04
"""Prior gain of the examples nearest to each input over fixed ones (Liu et al. 2022, arXiv 2101.06804)."""
BARE = -0.1
"""Prior loss by bare answers if the model should reason first: they teach it not to."""
SURVIVED = 0.02
"""Prior gain of a set that has survived a race over a new draw of the same size: regression towards the mean."""
DEVIATION, STEP = 0.05, 0.02
"""Prior standard deviations of the constants above, and of each doubling, in rewards."""
ALIKE = 0.25
"""Correlation of a coefficient between two tasks: the share of its prior variance that all tasks have in common."""
MOST = 0.3
"""Rewards are clipped to this size, so that no single record outweighs a few others."""
NOISE = 0.05
"""Standard deviation of the reward of an edit that was measured on many examples."""
TEMPERATURE = 0.35
"""Factor on the deviations of a Thompson draw: a search edits a section of examples only a few times, which leaves
little time to explore."""

Feature = tuple[Hashable, float, float, float]
"""A feature's name, its value, and the prior mean and standard deviation of its coefficient, in rewards."""


@dataclass(frozen=True, slots=True)
class ShotPolicy:
    """A way of showing `count` >= 0 worked examples in one `form`: those `nearest` to each input, or the same for
    all. `replies`: with full correct replies of the model instead of bare answers. `survived`: this set of examples
    has won a race."""

    form: Form
    nearest: bool
    count: int
    replies: bool = False
    survived: bool = False


NOTHING = ShotPolicy("system", nearest=False, count=0)
POLICIES = (
    NOTHING,
    *(ShotPolicy(form, True, count) for count in COUNTS for form in ("turns", "input")),
    *(ShotPolicy(form, False, count) for count in COUNTS for form in ("turns", "input", "system")),
    *(ShotPolicy("turns", False, count, replies=True) for count in COUNTS),
)


@dataclass(frozen=True, slots=True)
class Situation:
    """The `task`'s name. `reasons`: whether its replies reason before they answer. `bare`: its bare answers, to tell
    full replies from them; None if unknown, for another task. `token_price` >= 0: the reward lost for each token that
    an edit adds; `example`: the mean tokens of a worked example."""

    task: str
    reasons: bool
    bare: frozenset[str] | None
    token_price: float
    example: float


def shown(section: str, bare: frozenset[str] | None = None) -> ShotPolicy:
    """The policy of a section of examples that an experience has kept, see `saved_section`. Worked examples
    in a text are separated by blank lines. `bare`: the task's bare answers; None: `replies` stays False."""
    form, text = read_section(section)
    if per_input := [place for place in places(text) if place.startswith(f"{EXAMPLES}:")]:
        return ShotPolicy("turns" if form == "turns" else "input", True, int(per_input[0].partition(":")[2]))
    if form != "turns":
        count = sum(1 for block in text.split("\n\n") if block.strip())
        return ShotPolicy(form, False, count) if count else NOTHING
    turns = load_turns(text)
    replies = bare is not None and any(turn.text.strip() not in bare for turn in turns[1::2])
    return ShotPolicy(form, False, len(turns) // 2, replies) if turns else NOTHING


def choose_policy(
    past: Sequence[Experience], possible: Sequence[ShotPolicy], situation: Situation, rng: Random
) -> ShotPolicy:
    """The one of the `possible` ways (at least one) with the highest value after its price in a draw from the
    posterior (Thompson sampling, Agrawal & Goyal, arXiv 1209.3352)."""
    table = believed(past, situation)
    rows = [_row(table, situation, NOTHING, policy) for policy in possible]
    drawn = table.mean + TEMPERATURE * table.deviations(rng)
    price = situation.token_price * situation.example / NOISE
    worth = [
        float((drawn[row.places] * row.values).sum()) - price * policy.count
        for policy, row in zip(possible, rows, strict=True)
    ]
    return max(zip(worth, possible, strict=True), key=lambda pair: (pair[0], rng.random()))[1]


def believed(past: Sequence[Experience], situation: Situation) -> BayesianLinearRegression:
    """The values of the ways, in units of NOISE: a regression on past edits, weighted by their evidence.

    A reward is the value after the edit minus the value before (a potential, as in Ng et al. 1999, Policy invariance
    under reward transformations), so the reward of an edit from 2 to 8 examples also tells about 8 over none. The
    price of an edit's tokens is added back to its reward: it is known and need not be learnt.
    """
    table = BayesianLinearRegression(math.inf)
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


def _row(
    table: BayesianLinearRegression, situation: Situation, before: ShotPolicy, after: ShotPolicy, weight: float = 1.0
) -> Rows:
    """One observation: the features after an edit minus those before. Each coefficient has a part that all tasks
    share and a part of this task (hierarchical Bayes)."""
    terms = [(name, -value, mean, deviation) for name, value, mean, deviation in _features(before, situation)]
    terms += _features(after, situation)
    where, values = list[int](), list[float]()
    for name, value, mean, deviation in terms:
        for whose, share in ((None, ALIKE), (situation.task, 1 - ALIKE)):
            where.append(table.place((whose, name), share * (deviation / NOISE) ** 2, share * mean / NOISE))
            values.append(value)
    return Rows(np.array([where], np.int64).reshape(1, -1), weight * np.array([values]).reshape(1, -1))


def _features(policy: ShotPolicy, situation: Situation) -> Iterator[Feature]:
    """The features whose weighted sum is the value of a way; showing nothing has none, so its value is 0."""
    if not policy.count:
        return
    yield "any", 1.0, ANY, DEVIATION
    if policy.form != "system":
        yield policy.form, 1.0, TURNS if policy.form == "turns" else 0.0, DEVIATION
    yield "nearest", float(policy.nearest), NEAREST, DEVIATION
    if situation.bare is not None:
        yield ("bare", situation.reasons), float(not policy.replies), BARE * situation.reasons, DEVIATION
    yield "survived", float(policy.survived), SURVIVED, DEVIATION
    size = math.log2(policy.count / COUNTS[0])
    for step, mean in enumerate(DOUBLINGS[: max(0, math.ceil(size))]):
        yield (policy.nearest, step), min(1.0, size - step), mean, STEP
