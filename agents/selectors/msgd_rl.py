"""msgd_rl: values from episodic memory, corrected by temporal differences along a lineage.

Our reading of the paper's MSGD-RL (arXiv 2510.12246; its exact equations were not at hand), from Model-Free Episodic
Control (arXiv 1606.04460), Neural Episodic Control (arXiv 1703.01988) and Sutton & Barto (2nd ed.; below S&B):

    state        s: the parent's section with its textual gradient, embedded; one per section of the parent
    action       a = (operator, section)
    value        Q(s, a) = T(a) + E(s, a), in rewards
    T            tabular: b + h[operator] + h[section] + h[operator, section] + trust p(a), a Bayesian regression
                 (memory/bayesian_regression.py) that forgets slowly. Each coefficient is shrunk to its prior: one
                 outcome moves little. In a program of several prompts there is h[prompt], too (ours)
    E            episodic: sum_i w_i (G_i - f_i T(a_i)) / (sum_i w_i + SHRINKAGE) over the nearest episodes
                 (episodes.py), w_i falling with distance and age: once over those with the same kind of section (how
                 good s is), and of what that leaves over those with a's operator, too. A single neighbour never
                 decides, and contradictory ones cancel (ours; the two papers take a plain mean)
    worth        w = max(r, 0): an edit that is lost, or fails, leaves the archive unchanged. So a bold edit that is
                 often lost does not count as worse than one that changes nothing (ours)
    return       G = w + lambda max(V(s') - V(s), 0) for an edit that survived, else G = w; V(s) = max_a Q(s, a)
    update       T and E learn G when the outcome comes (Q-learning, S&B 6.5). When an edit's child is itself edited,
                 V(s') is better known: the returns of the last STEPS edits that led there, and of REPLAYS others
                 drawn from all that survived, are computed anew and T is corrected by the difference (multi-step
                 backup along the lineage, S&B 7; replay of what was met, S&B 8.2)
    prompt       in a program, the prompt that is edited next is drawn by the probability that it is at fault
                 (fault.py): the choice is among its edits and those of the program as a whole (ours)
    exploration  Thompson: the coefficients of T are drawn from their posterior, whose deviations are multiplied by a
                 temperature that decays as 1 / sqrt(1 + t / TAU) to a floor; one draw for all choices, so that what
                 they share does not set them apart (Agrawal & Goyal, arXiv 1209.3352)
    parent       the choice, of all that are open at any member of the archive, by which the best value is
                 expected to rise most: f Q e^(-g / m), g how far the parent's value is below the best, m the mean
                 size of a gain. For gains that come with probability p, exponentially distributed, Q = p m, and that
                 is the expected improvement (Jones et al. 1998)
    freshness    f of the parent, in (0, 1] (parents.py): a parent whose edits fail more often than others' is
                 exhausted, and is chosen less. T learns G = f T, so that this does not count against actions (ours)
    change       where the rewards fall and stay below their running mean (CUSUM, Page 1954), the coefficients of T
                 shrink to a share KEEP with their prior variances, earlier episodes weigh that share, and t
                 begins anew
    in flight    virtual loss: each visit in flight counts as an outcome one deviation below its mean

Why G has this form: a lost edit leaves its parent in the archive, so the next state is s itself, and Q-learning with
discount gamma has the target r + gamma V(s). For a survivor the target is r + gamma V(s'), or r + gamma V(s) if that
is more, since its parent stays in the archive, too. gamma V(s) is common to all actions at s and changes no choice;
without it, max_a over the rest is (1 - gamma) V, which gives G with lambda = gamma / (1 - gamma). Where states do not
matter, V(s') = V(s), and G is the worth, so looking ahead costs nothing. (The differential return of S&B 10.3 is the
limit.)

Past episodes (`recycle`) enter as one more feature, p(a): their mean worth for the operator, the kind of section and
whether it was empty, shrunk towards 0, in standard deviations of their worth. Each counts by its vote
(memory/judgement.py): an edit that lost its race early was measured on few examples and counts little. The feature's
coefficient, the trust, is learnt with the others, so past episodes that the run's own outcomes contradict lose their
weight. States are not used: sections of other tasks are rarely similar.
"""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from agents.selectors.episodes import Episodes
from agents.selectors.fault import Fault
from agents.selectors.msgd import features
from agents.selectors.parents import Parents
from agents.selectors.records import Falls, InFlight, Running
from agents.selectors.selector import WHOLE_PROGRAM, Choice
from memory.bayesian_regression import Array, BayesianLinearRegression, Rows
from memory.judgement import HALF_EVIDENCE, vote
from protocols.prompt import Kind

Mask = npt.NDArray[np.bool_]
BASE, PAST = "base", "past"
Cell = tuple[str, Kind, bool]
"""Key by which past episodes are grouped: the operator, the section's kind, and whether it had no text."""
CLIP = 3.0
"""Limit on a past worth, and on a reward in the test for a change, in standard deviations."""
DISCOUNT = 0.8
"""gamma: lambda is gamma / (1 - gamma)."""
STEPS, REPLAYS = 2, 2
"""Edits of a lineage that an outcome corrects, and others whose returns are computed anew."""
SHRINKAGE = 10.0
"""Of the episodic values, in episodes at the same state."""
VARIANCE = 0.15
"""The prior variance of an operator's, a section's and a pair's coefficient, in that of the noise."""
MEMORY = 1000.0
"""Outcomes until an episode or a coefficient is forgotten by 63 %."""
TEMPERATURE, FLOOR, TAU = 0.6, 0.2, 40.0
"""Of the exploration: the first and the least, and outcomes until it has fallen by 30 %."""
KEEP = 0.1
"""The share of what was learned that outlives a change."""
HORIZON = 100.0
"""Outcomes that the mean and the deviation of the rewards look back on."""
GAIN, GAINS = 0.05, 4.0
"""The size of a gain before any is known, and how many gains that weighs."""
TRUST, TRUST_VARIANCE = 1.0, 2.0
"""The prior of the past's coefficient: 1 is to believe it as it is."""
PAST_SHRINKAGE = 1.0
"""Of the past's means, in votes."""
OTHER_TASK = 0.5
"""Factor for the vote of an episode of another task."""


@dataclass(frozen=True, slots=True)
class PastEpisode:
    """An outcome of another run: `operator`, applied to a section of this `kind`, earned `reward`.

    `age` >= 0, in days. `same_task`: the run had the same task and the same model. `blank`: the section had no text.
    `evidence` >= 0: the paired examples that it was measured on; the default gives half a vote.
    """

    operator: str
    kind: Kind
    reward: float
    age: float
    same_task: bool
    blank: bool = False
    evidence: int = round(HALF_EVIDENCE)


@dataclass(slots=True)
class _Edit:
    """An outcome of this run: its episode's number, its regression row and worth, and the choices at its parent."""

    number: int
    row: Rows
    worth: float
    before: Sequence[Choice]


class MSGDRL:
    """Q(s, a) from a shrunken table and episodes, Thompson sampling, virtual loss."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._table = BayesianLinearRegression(MEMORY)
        self._table.place(BASE, 1.0)
        self._rewards, self._worths = Running(HORIZON), Running(HORIZON)
        self._episodes, self._returns = Episodes(), array("d")
        self._parents = Parents()
        self._places, self._values = array("q"), array("d")
        self._in_flight: InFlight[tuple[Sequence[Choice], Rows, float]] = InFlight()
        self._arrivals: dict[Choice, _Edit] = {}
        self._survivors: list[tuple[_Edit, Sequence[Choice]]] = []
        self._falls, self._changed = Falls(), 0
        self._past: dict[Cell, float] = {}
        self._deviation = 0.0
        self._known: dict[Choice, list[int]] = {}
        self._fault = Fault()
        self._gained, self._gains = GAIN * GAINS, GAINS

    def recycle(self, episodes: Sequence[PastEpisode]) -> None:
        """Use the outcomes of other runs as a prior; call it at most once, before the first choice.

        :raises ValueError: it was called too late or twice, or there are no episodes.
        """
        if self._returns or self._past or not episodes:
            raise ValueError("past episodes are taken once, before the first choice, and there is at least one")
        worths = Running()
        earned = defaultdict[Cell, list[tuple[float, float]]](list)
        for episode in episodes:
            worth = max(episode.reward, 0.0)
            weight = vote(episode.evidence, episode.age) * (1 if episode.same_task else OTHER_TASK)
            worths.add(worth)
            earned[episode.operator, episode.kind, episode.blank].append((weight, worth))
        self._deviation = math.sqrt(worths.variance)
        for cell, votes in earned.items():
            total = math.fsum(weight * min(worth, CLIP * self._deviation) for weight, worth in votes)
            mean = total / (math.fsum(weight for weight, _ in votes) + PAST_SHRINKAGE)
            self._past[cell] = mean / (self._deviation or 1.0)
        self._table.place(PAST, TRUST_VARIANCE, TRUST * self._deviation)

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The choice with the largest draw."""
        return self.choose_parent([(0.0, choices)])

    def choose_parent(self, parents: Sequence[tuple[float, Sequence[Choice]]]) -> Choice:
        """The largest draw of how much the best value rises."""
        for _, offered in parents:
            self._parents.meet(offered)
        owners = [(value, offered) for value, offered in parents for _ in offered]
        choices = [choice for _, offered in parents for choice in offered]
        rows = self._rows(choices)
        drawn, fresh = self._drawn(choices, rows), self._parents.freshness()[self._parents.of(choices)]
        values = np.array([value for value, _ in owners])
        steps = (values.max() - values) / (self._gained / self._gains)
        rises = np.where(drawn > 0, drawn * fresh * np.exp(-steps), drawn - steps)
        place = int(np.argmax(np.where(self._at_fault(choices), rises, -np.inf)))
        row = Rows(rows.places[place : place + 1], rows.values[place : place + 1])
        self._in_flight.add(choices[place], (owners[place][1], row, float(np.exp(-steps[place]))))
        return choices[place]

    def _drawn(self, choices: Sequence[Choice], rows: Rows) -> Array:
        """Q drawn from its posterior, in standard deviations, less the virtual loss; shape (len(choices),)."""
        scale, drawn = self._scale, self._table.deviations(self._rng)
        standard = self._value(choices, rows) / scale if scale else np.zeros(len(choices))
        standard += self._temperature() * (drawn[rows.places] * rows.values).sum(axis=1)
        variance = self._table.variance(Rows(rows.places[:, 1:], rows.values[:, 1:]))
        flying = np.array([self._in_flight.count(choice.action) for choice in choices])
        standard -= flying * variance / (1 + flying * variance)
        return np.asarray(standard)

    def _at_fault(self, choices: Sequence[Choice]) -> Mask:
        """The choices that edit the prompt drawn as the one at fault, or all of a program; shape (len(choices),)."""
        if not choices[0].prompt:
            return np.ones(len(choices), np.bool_)
        odds = self._fault.odds(choices)
        del odds[WHOLE_PROGRAM]
        [prompt] = self._rng.choices([*odds], [*odds.values()]) if odds else [WHOLE_PROGRAM]
        return np.array([choice.prompt in (prompt, WHOLE_PROGRAM) for choice in choices], np.bool_)

    def _temperature(self) -> float:
        decayed = TEMPERATURE / math.sqrt(1 + (len(self._returns) - self._changed) / TAU)
        return max(decayed, FLOOR)

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Store the episode, learn its return, and update the returns of the edits that led to its parent."""
        before, row, near = self._in_flight.take(choice)
        [home] = self._parents.of([choice])
        self._rewards.add(reward)
        self._fault.learn(choice, near * (reward > 0))
        self._fault.hear(successors)
        target = worth = max(reward, 0.0)
        self._worths.add(worth)
        self._gained, self._gains = self._gained + worth, self._gains + (worth > 0)
        row = Rows(row.places, row.values * self._parents.freshness()[home])
        edit = _Edit(len(self._episodes), row, worth, before)
        if successors:
            self._parents.meet(successors, home)
            after, here = self._best([successors, before])
            target += self._ahead(after, here)
        if self._falls.add(max(-CLIP, min(CLIP, self._rewards.standard(reward)))):
            self._table.doubt(KEEP)
            self._parents.doubt(KEEP)
            self._changed, self._rewards = len(self._returns), Running(HORIZON)
        self._table.learn(row, target)
        self._parents.learn(home, worth > 0)
        self._episodes.add(choice.action.operator, choice.kind, choice.state)
        self._returns.append(target)
        self._places.extend(row.places[0])
        self._values.extend(row.values[0])
        if successors:
            self._arrivals.update(dict.fromkeys(successors, edit))
            self._survivors.append((edit, successors))
        self._back_up(before)

    def values(self, choices: Sequence[Choice]) -> Array:
        """Q of each choice of one parent, shape (len(choices),), in units of reward."""
        self._parents.meet(choices)
        return self._value(choices, self._rows(choices))

    def _back_up(self, here: Sequence[Choice]) -> None:
        """Recompute the returns of the last edits that led `here`, and of some other survivors."""
        edits: list[tuple[_Edit, Sequence[Choice]]] = []
        while len(edits) < STEPS and (edit := self._arrivals.get(here[0])) is not None:
            edits.append((edit, here))
            here = edit.before
        edits += self._rng.sample(self._survivors, min(REPLAYS, len(self._survivors)))
        if not edits:
            return
        best = self._best([choices for edit, after in edits for choices in (after, edit.before)])
        for (edit, _), after, before in zip(edits, best[::2], best[1::2], strict=True):
            target = edit.worth + self._ahead(after, before)
            self._table.correct(edit.row, target - self._returns[edit.number])
            self._returns[edit.number] = target

    def _ahead(self, after: float, before: float) -> float:
        return DISCOUNT / (1 - DISCOUNT) * max(after - before, 0.0)

    def _best(self, parents: Sequence[Sequence[Choice]]) -> list[float]:
        """V of each parent; a parent is given by its choices."""
        together = [choice for choices in parents for choice in choices]
        values = self._value(together, self._rows(together))
        ends = np.cumsum([len(choices) for choices in parents])
        return [float(part.max()) for part in np.split(values, ends[:-1])]

    def _value(self, choices: Sequence[Choice], rows: Rows) -> Array:
        table = self._table.predict(rows)
        if not self._returns:
            return table
        near = self._episodes.near(choices)
        recent = np.exp((near.number - len(self._returns)) / MEMORY)
        recent *= np.where(near.number < self._changed, KEEP, 1.0)
        beyond = (np.frombuffer(self._returns) - self._table.predict(self._learnt()))[near.number]
        weight, total = near.sums("kind", recent, beyond)
        shared = total / (weight + SHRINKAGE)
        weight, total = near.sums("cell", recent, beyond)
        return table + shared + (total - weight * shared) / (weight + SHRINKAGE)

    def _learnt(self) -> Rows:
        width = len(self._places) // len(self._returns)
        places, values = np.frombuffer(self._places, np.int64), np.frombuffer(self._values)
        return Rows(places.reshape(-1, width), values.reshape(-1, width))

    def _rows(self, choices: Sequence[Choice]) -> Rows:
        places = np.array([self._features(choice) for choice in choices], np.int64)
        values = np.ones(places.shape)
        if self._past:
            values[:, -1] = [self._past.get((c.action.operator, c.kind, c.blank), 0.0) for c in choices]
        return Rows(places, values)

    def _features(self, choice: Choice) -> list[int]:
        """The indices of an action's coefficients; the coefficient of the past, if there is one, is last."""
        if choice not in self._known:
            names = (BASE, *features(choice), *((PAST,) if self._past else ()))
            self._known[choice] = [self._table.place(name, VARIANCE) for name in names]
        return self._known[choice]

    @property
    def _scale(self) -> float:
        """The standard deviation of the worths: that of past episodes until this run has one."""
        return math.sqrt(self._worths.variance) or self._deviation
