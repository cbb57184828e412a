"""msgd_rl: values from episodic memory, corrected by temporal differences along a lineage.

Our reading of the paper's MSGD-RL (arXiv 2510.12246; its exact equations were not at hand), from Model-Free Episodic
Control (arXiv 1606.04460), Neural Episodic Control (arXiv 1703.01988) and Sutton & Barto (2nd ed.; below S&B):

    state        s: the parent's section with its textual gradient, embedded; one per section of the parent
    action       a = (operator, section)
    value        Q(s, a) = T(a) + E(s, a), in rewards
    T            tabular: b + h[operator] + h[section] + h[operator, section] + trust p(s, a), a Bayesian regression
                 (linear.py) that forgets slowly. Each coefficient is shrunk to its prior, so one outcome moves little
    E            episodic: sum_i w_i (G_i - T(a_i)) / (sum_i w_i + shrinkage) over the nearest episodes (episodes.py),
                 w_i falling with distance and age: once over those with the same kind of section (how good s is),
                 and of what that leaves over those with a's operator, too. A single neighbour never decides, and
                 contradictory ones cancel (ours; the two papers take a plain mean)
    return       G = r + lambda (V(s') - V(s)) for an edit that survived, else G = r; V(s) = max_a Q(s, a)
    update       T and E learn G when the outcome comes (Q-learning, S&B 6.5). When an edit's child is itself edited,
                 V(s') is better known: the returns of the last `steps` edits that led there, and of `replays` others
                 drawn from all that survived, are computed anew and T is corrected by the difference (multi-step
                 backup along the lineage, S&B 7; replay of what was met, S&B 8.2)
    exploration  Thompson: the largest draw of Q + temperature * deviation * N(0, 1), with the posterior variance of T
                 and 1 / (shrinkage + sum_i w_i) for E; the temperature decays as 1 / sqrt(1 + t / tau) to a floor
    change       where the rewards fall and stay below their running mean (CUSUM, Page 1954), the coefficients of T
                 shrink to a share `keep` with their prior variances, earlier episodes weigh that share, and t
                 begins anew
    in flight    virtual loss: each visit in flight counts as an outcome one deviation below its mean

Why G has this form: an edit that is lost leaves its parent in the archive, so the next state is s itself, and
Q-learning with discount gamma has the target r + gamma V(s) for it, and r + gamma V(s') for a survivor. gamma V(s) is
common to all actions at s and changes no choice; without it, max_a over the rest is (1 - gamma) V, which gives G with
lambda = gamma / (1 - gamma). Where states do not matter, V(s') = V(s) and G is the reward: nothing is lost by looking
ahead. (The differential return of S&B 10.3 is the limit.)

Past episodes (`recycle`) enter as one more feature, p(s, a): the kernel-weighted mean of their standardised rewards.
Its coefficient, the trust, is learnt with the rest: what own outcomes contradict loses its weight.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from agents.selectors.episodes import Array, Episodes
from agents.selectors.linear import Linear, Rows
from agents.selectors.msgd import features
from agents.selectors.records import Falls, InFlight, Running
from agents.selectors.selector import Choice
from protocols.embedding import Vector
from protocols.prompt import Kind

BASE, PAST = "base", "past"
CLIP = 3.0
"""Standard deviations of a past reward, or of a fall, that count."""


@dataclass(frozen=True, slots=True)
class PastEpisode:
    """What another run learned: `operator`, applied to a section of this `kind` in this `state`, earned `reward`.

    `evidence`: paired examples behind it, >= 0. `age` >= 0, in days. `same_task`: it was a run of this very task.
    """

    operator: str
    kind: Kind
    state: Vector
    reward: float
    evidence: int
    age: float
    same_task: bool


@dataclass(frozen=True, slots=True)
class RLSettings:
    """`discount`: gamma, in [0, 1). `steps`: edits of a lineage that an outcome corrects; `replays`: others whose
    returns are computed anew. `shrinkage`: of the episodic values, in episodes at the same state.
    `feature_variance`: the prior variance of an operator's, a section's and a pair's coefficient, in that of the
    noise. `memory`: outcomes until an episode or a coefficient is forgotten by 63 %. `temperature`, `floor`, `tau`:
    of the exploration, tau in outcomes. `keep` in [0, 1]: the share of what was learned that outlives a change.
    `horizon`: outcomes that the mean and the deviation of the rewards look back on."""

    discount: float = 0.8
    steps: int = 2
    replays: int = 2
    shrinkage: float = 10.0
    feature_variance: float = 0.15
    memory: float = 1000.0
    temperature: float = 0.6
    floor: float = 0.2
    tau: float = 40.0
    keep: float = 0.1
    horizon: float = 100.0


@dataclass(frozen=True, slots=True)
class PastSettings:
    """`trust`: the prior mean of the past's coefficient, in deviations, and `variance` its prior variance.
    `shrinkage`: of the past's mean, in episodes at the same state. `half_evidence`: paired examples that make half
    the weight; `half_age`: days that halve it. `other_task`: the weight of a run of another task."""

    trust: float = 0.5
    variance: float = 0.25
    shrinkage: float = 1.0
    half_evidence: float = 32.0
    half_age: float = 180.0
    other_task: float = 0.5


@dataclass(slots=True)
class _Edit:
    """One own outcome: its place among the episodes, its regression row, and the choices that were open."""

    number: int
    row: Rows
    reward: float
    before: Sequence[Choice]


class MSGDRL:
    """Q(s, a) from a shrunken table and episodes, Thompson sampling, virtual loss."""

    def __init__(self, rng: Random, settings: RLSettings | None = None, past: PastSettings | None = None) -> None:
        self._rng, self._settings, self._trust = rng, settings or RLSettings(), past or PastSettings()
        self._table = Linear(self._settings.memory)
        self._table.place(BASE, 1.0)
        self._rewards = Running(self._settings.horizon)
        self._episodes, self._returns = Episodes(), array("d")
        self._places, self._values = array("q"), array("d")
        self._in_flight: InFlight[tuple[Sequence[Choice], Rows]] = InFlight()
        self._arrivals: dict[Choice, _Edit] = {}
        self._survivors: list[tuple[_Edit, Sequence[Choice]]] = []
        self._falls, self._changed = Falls(), 0
        self._past, self._past_weight, self._past_value = Episodes(), array("d"), array("d")
        self._deviation = 0.0
        self._known: dict[Choice, list[int]] = {}

    def recycle(self, episodes: Sequence[PastEpisode]) -> None:
        """Take what other runs learned as a prior; before the first choice."""
        if self._returns or self._past or not episodes:
            raise ValueError("past episodes are taken once, before the first choice, and there is at least one")
        moments = Running()
        for episode in episodes:
            moments.add(episode.reward)
        settings = self._trust
        for episode in episodes:
            weight = episode.evidence / (episode.evidence + settings.half_evidence)
            weight *= 0.5 ** (episode.age / settings.half_age) * (1 if episode.same_task else settings.other_task)
            self._past.add(episode.operator, episode.kind, episode.state)
            self._past_weight.append(weight)
            self._past_value.append(max(-CLIP, min(CLIP, moments.standard(episode.reward))))
        self._deviation = math.sqrt(moments.variance)
        self._table.place(PAST, settings.variance, settings.trust * self._deviation)

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The largest draw."""
        settings = self._settings
        rows = self._rows(choices)
        value, weight = self._value(choices, rows)
        effects = Rows(rows.places[:, 1:], rows.values[:, 1:])
        variance = self._table.variance(effects) + 1 / (settings.shrinkage + weight)
        flying = np.array([self._in_flight.count(choice.action) for choice in choices])
        decayed = settings.temperature / math.sqrt(1 + (len(self._returns) - self._changed) / settings.tau)
        spread = max(decayed, settings.floor) * np.sqrt(variance / (1 + flying * variance))
        noise = np.array([self._rng.gauss(0, 1) for _ in choices])
        loss = flying * variance / (1 + flying * variance)
        scale = self._scale
        standard = (value - value.mean()) / scale if scale else np.zeros(len(choices))
        place = int(np.argmax(standard - loss + spread * noise))
        row = Rows(rows.places[place : place + 1], rows.values[place : place + 1])
        self._in_flight.add(choices[place], (choices, row))
        return choices[place]

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """Store the episode, learn its return, and pass what it says of its parent up the lineage."""
        before, row = self._in_flight.take(choice)
        self._rewards.add(reward)
        edit = _Edit(len(self._episodes), row, reward, before)
        target = reward
        if successors:
            after, here = self._best([successors, before])
            target += self._ahead(after, here)
        if self._falls.add(max(-CLIP, min(CLIP, self._rewards.standard(reward)))):
            self._table.doubt(self._settings.keep)
            self._changed, self._rewards = len(self._returns), Running(self._settings.horizon)
        self._table.learn(row, target)
        self._episodes.add(choice.action.operator, choice.kind, choice.state)
        self._returns.append(target)
        self._places.extend(row.places[0])
        self._values.extend(row.values[0])
        if successors:
            self._arrivals.update(dict.fromkeys(successors, edit))
            self._survivors.append((edit, successors))
        self._back_up(before)

    def values(self, choices: Sequence[Choice]) -> Array:
        """Q of each, shape (len(choices),), in rewards."""
        return self._value(choices, self._rows(choices))[0]

    def _back_up(self, here: Sequence[Choice]) -> None:
        """Compute anew the returns of the last edits that led `here`, and of some others that survived."""
        edits: list[tuple[_Edit, Sequence[Choice]]] = []
        while len(edits) < self._settings.steps and (edit := self._arrivals.get(here[0])) is not None:
            edits.append((edit, here))
            here = edit.before
        edits += self._rng.sample(self._survivors, min(self._settings.replays, len(self._survivors)))
        if not edits:
            return
        best = self._best([choices for edit, after in edits for choices in (after, edit.before)])
        for (edit, _), after, before in zip(edits, best[::2], best[1::2], strict=True):
            target = edit.reward + self._ahead(after, before)
            self._table.correct(edit.row, target - self._returns[edit.number])
            self._returns[edit.number] = target

    def _ahead(self, after: float, before: float) -> float:
        discount = self._settings.discount
        return discount / (1 - discount) * (after - before)

    def _best(self, parents: Sequence[Sequence[Choice]]) -> list[float]:
        """V of each parent, given by its choices."""
        values = self.values([choice for choices in parents for choice in choices])
        ends = np.cumsum([len(choices) for choices in parents])
        return [float(part.max()) for part in np.split(values, ends[:-1])]

    def _value(self, choices: Sequence[Choice], rows: Rows) -> tuple[Array, Array]:
        """Q and the weight of the episodes behind it."""
        table, shrinkage = self._table.predict(rows), self._settings.shrinkage
        if not self._returns:
            return table, np.zeros(len(choices))
        near = self._episodes.near(choices)
        recent = np.exp((near.number - len(self._returns)) / self._settings.memory)
        recent *= np.where(near.number < self._changed, self._settings.keep, 1.0)
        beyond = (np.frombuffer(self._returns) - self._table.predict(self._learnt()))[near.number]
        weight, total = near.sums("kind", recent, beyond)
        shared = total / (weight + shrinkage)
        weight, total = near.sums("cell", recent, beyond)
        return table + shared + (total - weight * shared) / (weight + shrinkage), weight

    def _learnt(self) -> Rows:
        width = len(self._places) // len(self._returns)
        places, values = np.frombuffer(self._places, np.int64), np.frombuffer(self._values)
        return Rows(places.reshape(-1, width), values.reshape(-1, width))

    def _rows(self, choices: Sequence[Choice]) -> Rows:
        places = np.array([self._features(choice) for choice in choices], np.int64)
        values = np.ones(places.shape)
        if self._past:
            near = self._past.near(choices)
            past_weight, past_value = np.frombuffer(self._past_weight), np.frombuffer(self._past_value)
            weight, total = near.sums("cell", past_weight[near.number], past_value[near.number])
            values[:, -1] = total / (weight + self._trust.shrinkage)
        return Rows(places, values)

    def _features(self, choice: Choice) -> list[int]:
        """The places of an action's coefficients; that of the past, if there is one, is last."""
        if choice not in self._known:
            variance = self._settings.feature_variance
            names = (BASE, *features(choice.action), *((PAST,) if self._past else ()))
            self._known[choice] = [self._table.place(name, variance) for name in names]
        return self._known[choice]

    @property
    def _scale(self) -> float:
        """The deviation of the rewards: the past's until there is one of this run's."""
        return math.sqrt(self._rewards.variance) or self._deviation
