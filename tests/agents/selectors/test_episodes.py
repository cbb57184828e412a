"""Episodes that are like a choice's state count for it, the nearer the more, and others do not."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.selectors.episodes import NEIGHBOURS, SHARPNESS, Episodes, Level
from agents.selectors.selector import Action, Choice
from protocols.embedding import Vector
from protocols.prompt import Kind

KINDS: tuple[Kind, ...] = ("task", "format")
OPERATORS = ("a", "b", "c")
Episode = tuple[str, Kind, Vector]


def state(rng: Random) -> Vector:
    drawn = np.array([rng.gauss(0, 1) for _ in range(4)], np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn), np.float32)


def episode(rng: Random) -> Episode:
    return rng.choice(OPERATORS), rng.choice(KINDS), state(rng)


def remembering(episodes: list[Episode]) -> Episodes:
    known = Episodes()
    for each in episodes:
        known.add(*each)
    return known


def weights(choice: Choice, episodes: list[Episode]) -> list[float]:
    """The definition, one episode after the other."""
    squared = [float(np.sum((choice.state.astype(float) - state.astype(float)) ** 2)) for *_, state in episodes]
    nearest = sorted(range(len(episodes)), key=lambda n: squared[n])[:NEIGHBOURS]
    like = [n for n in nearest if episodes[n][1] == choice.kind]
    scale = math.fsum(squared[n] for n in like) / max(len(like), 1)
    return [math.exp(-SHARPNESS * squared[n] / (scale + 1e-6)) if n in like else 0.0 for n in range(len(episodes))]


@given(st.integers(), st.integers(0, NEIGHBOURS + 40), st.integers(1, 5))
def test_episodes_are_summed_by_their_likeness_within_a_kind_and_a_cell(seed: int, past: int, open_: int) -> None:
    rng = Random(seed)
    episodes = [episode(rng) for _ in range(past)]
    states = [state(rng) for _ in range(2)]
    choices = [Choice(Action(rng.choice(OPERATORS[:2]), "s"), KINDS[n % 2], states[n % 2]) for n in range(open_)]
    values = np.array([rng.uniform(-1, 1) for _ in episodes])
    near = remembering(episodes).near(choices)
    recent = np.full(near.number.shape, 0.5)
    levels: tuple[Level, Level] = ("kind", "cell")
    for level in levels:
        for choice, weight, total in zip(choices, *near.sums(level, recent, values[near.number]), strict=True):
            same = [level == "kind" or operator == choice.action.operator for operator, *_ in episodes]
            own = [0.5 * w * s for w, s in zip(weights(choice, episodes), same, strict=True)]
            assert weight == pytest.approx(math.fsum(own), abs=1e-3)
            assert total == pytest.approx(math.fsum(w * v for w, v in zip(own, values, strict=True)), abs=1e-3)


@given(st.integers(), st.integers(2, 12))
def test_the_nearer_of_two_episodes_counts_for_more(seed: int, past: int) -> None:
    rng = Random(seed)
    episodes: list[Episode] = [("a", "task", state(rng)) for _ in range(past)]
    near = remembering(episodes).near([Choice(Action("a", "s"), "task", here := state(rng))])
    distances = [float(np.linalg.norm(here - episodes[n][2])) for n in near.number[0]]
    assert distances == pytest.approx(sorted(distances), abs=1e-5)
    assert list(near.weight[0]) == pytest.approx(sorted(near.weight[0], reverse=True), abs=1e-5)
    assert near.weight[0, 0] > near.weight[0, -1]
