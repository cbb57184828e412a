"""Estimates the reward of recalled edits: each edit's rewards, shrunk towards the mean of all recalled ones.

Empirical Bayes (Morris 1983, Parametric empirical Bayes inference; the prior's mean is estimated from the data). With
the recalled experiences j, their similarity s_j to the query, evidence n_j, age a_j in days and reward r_j:

    vote    v_j = max(0, s_j) * n_j / (n_j + HALF_EVIDENCE) * 2 ** (-a_j / HALF_AGE)       in [0, 1)
    reward  r_j is limited to median +- LIMIT deviations (both weighted by the votes; the deviation is 1.4826 times
            the median distance from the median): Huber's winsorising (Robust Statistics, 1981)
    mean    m = sum_j v_j r_j / sum_j v_j
    value   of one edit, over its own experiences j only: (sum_j v_j r_j + PRIOR m) / (sum_j v_j + PRIOR)

No experience has more than one vote, however much evidence it claims, so a few contradicting ones outvote it; and an
outlying reward counts for little more than the others. Votes that fall with similarity are the kernel of Nadaraya and
Watson (1964). Selectors weigh past experiences with the same votes without the similarity (`vote`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memory.experience import Ending, Recalled

HALF_EVIDENCE = 32.0
"""Paired examples at which an experience has half a vote."""
HALF_AGE = 180.0
"""Days after which a vote has halved."""
PRIOR = 1.0
"""Votes of the common mean in each edit's value."""
LIMIT = 2.0
DAY = 86_400.0
MEASURED: frozenset[Ending] = frozenset({"survived", "lost"})
"""The outcomes that come with evidence."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """An edit that was made before. `recalled`: its experience most similar to the query; `value`: its shrunk reward;
    `votes` > 0: the sum behind that value; `times` >= 1: its recalled experiences. `same_model`: true of at least one
    of them, see `Recalled`."""

    recalled: Recalled
    value: float
    votes: float
    times: int
    same_model: bool = True


def judge(recalled: Sequence[Recalled], now: float) -> list[Judged]:
    """The distinct edits among `recalled`, highest value first, without those that have no votes.

    `now`: Unix seconds. Experiences from the future count as of age 0.
    """
    votes = np.array([_vote(item, now) for item in recalled], dtype=np.float64)
    if not votes.sum() > 0:
        return []
    rewards = _limited(np.array([item.experience.reward for item in recalled], dtype=np.float64), votes)
    mean = float(votes @ rewards / votes.sum())
    edits: dict[tuple[str, str], list[int]] = {}
    for place, item in enumerate(recalled):
        edits.setdefault((item.experience.before, item.experience.after), []).append(place)
    judged = []
    for places in edits.values():
        weight = float(votes[places].sum())
        if weight > 0:
            value = (float(votes[places] @ rewards[places]) + PRIOR * mean) / (weight + PRIOR)
            best = max((recalled[place] for place in places), key=lambda item: item.similarity)
            same_model = any(recalled[place].same_model for place in places)
            judged.append(Judged(best, value, weight, len(places), same_model))
    return sorted(judged, key=lambda edit: (-edit.value, edit.recalled.experience.id))


def vote(evidence: float, age: float) -> float:
    """The weight of one experience, in [0, 1), by its number of paired examples and its age in days."""
    return float(evidence / (evidence + HALF_EVIDENCE) * 2.0 ** (-age / HALF_AGE))


def _vote(item: Recalled, now: float) -> float:
    age = max(0.0, now - item.experience.time) / DAY
    return float(max(0.0, item.similarity) * vote(item.experience.evidence, age))


def _limited(rewards: Array, votes: Array) -> Array:
    middle = _median(rewards, votes)
    spread = LIMIT * 1.4826 * _median(np.abs(rewards - middle), votes)
    return np.clip(rewards, middle - spread, middle + spread) if spread > 0 else rewards


def _median(values: Array, weights: Array) -> float:
    """The weighted median: the smallest value such that values up to it hold at least half of the weight."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
