"""The race: what a capital is worth under the null, and what a verdict may depend on."""

from __future__ import annotations

from itertools import product
from math import prod

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agents.archive.race import Capital, Race, compare
from agents.ring.evaluator import RaceSettings

FUTILE = RaceSettings().futile
STEPS = (-1.0, 0.0, 1.0)
differences = st.floats(-1, 1, allow_subnormal=False)
missing = st.none() | differences
alphas = st.floats(0.001, 0.999)
floors = st.floats(-0.9, 0.9)


@st.composite
def laws(draw: st.DrawFn, floor: float) -> tuple[float, ...]:
    """Probabilities of STEPS with a mean of at most `floor`."""
    up = draw(st.floats(0, 1))
    down = draw(st.floats(0, 1))
    assume(up + down <= 1 and up - down <= floor)
    return down, 1 - up - down, up


def run(alpha: float, floor: float, sequence: tuple[float | None, ...], coin: float = 0.0) -> Race:
    race = Race(Capital(alpha, floor, len(sequence)), FUTILE, coin)
    for difference in sequence:
        race.look(difference)
    return race


@given(data=st.data(), alpha=alphas, floor=st.floats(-0.3, 0.3), n=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_under_the_null_a_win_is_no_likelier_than_alpha(
    data: st.DataObject, alpha: float, floor: float, n: int
) -> None:
    """Exactly: over every sequence, with a look after every difference, and over the coin."""
    law = dict(zip(STEPS, data.draw(laws(floor)), strict=True))
    capital_mean = wins = 0.0
    for sequence in product(STEPS, repeat=n):
        weight = prod(law[step] for step in sequence)
        capital = Capital(alpha, floor, n)
        for step in sequence:
            capital.take(step)
        capital_mean += weight * capital.value
        race = run(alpha, floor, sequence)
        if race.won:
            wins += weight
        elif race.end():
            wins += weight * capital.level
    assert capital_mean <= 1 + 1e-9
    assert wins <= alpha + 1e-9


@given(past=st.lists(missing, max_size=40), left=st.integers(1, 40), alpha=alphas, floor=floors)
def test_after_any_past_the_next_bet_is_fair(past: list[float | None], left: int, alpha: float, floor: float) -> None:
    """Whatever the differences do together: at the floor nothing is won, and never more lost than there is. For the
    capital is linear in the difference, it is a supermartingale where means are at most the floor."""

    def after(difference: float) -> float:
        capital = Capital(alpha, floor, len(past) + left)
        for taken in [*past, difference]:
            capital.take(taken)
        return capital.value

    before = Capital(alpha, floor, len(past) + left)
    for taken in past:
        before.take(taken)
    assert 0 <= before.bet <= 1 / (1 + floor)
    assert after(floor) == pytest.approx(before.value)
    assert 0 <= after(-1.0) <= after(floor) + 1e-9 <= after(1.0) + 2e-9
    assert after(1.0) - after(-1.0) == pytest.approx(2 * before.value * before.bet)


@given(st.lists(missing, max_size=60), alphas, floors, st.floats(0, 1, exclude_max=True))
def test_a_verdict_stands_and_there_is_one(
    sequence: list[float | None], alpha: float, floor: float, coin: float
) -> None:
    race, verdict = Race(Capital(alpha, floor, len(sequence)), FUTILE, coin), (False, False)
    for difference in sequence:
        race.look(difference)
        assert verdict in ((False, False), (race.won, race.lost))
        assert not (race.won and race.lost)
        verdict = race.won, race.lost
    assert race.end() == race.won == run(alpha, floor, tuple(sequence), coin).end()


@given(st.lists(missing, max_size=60), alphas, floors, st.floats(0, 1, exclude_max=True), st.floats(0, 1))
def test_a_lower_coin_never_costs_a_win(
    sequence: list[float | None], alpha: float, floor: float, coin: float, share: float
) -> None:
    assert run(alpha, floor, tuple(sequence), coin * share).end() >= run(alpha, floor, tuple(sequence), coin).end()


@given(st.lists(missing, max_size=30), alphas, floors)
def test_a_missing_difference_is_no_evidence(past: list[float | None], alpha: float, floor: float) -> None:
    capital = Capital(alpha, floor, len(past) + 1)
    for taken in past:
        capital.take(taken)
    before = capital.value
    capital.take(None)
    assert capital.value == before


@given(st.lists(st.none(), max_size=50), alphas, floors)
def test_without_a_difference_nobody_wins(sequence: list[None], alpha: float, floor: float) -> None:
    assert not run(alpha, floor, tuple(sequence)).end()


@pytest.mark.parametrize("alpha", [0.05, 0.3, 0.5])
def test_the_clearly_better_wins_and_the_clearly_worse_loses_early(alpha: float) -> None:
    assert run(alpha, 0.0, (1.0,) * 20, coin=0.999).won
    assert run(alpha, 0.0, (-1.0,) * 8 + (1.0,) * 92).lost


def test_a_shorter_child_that_changes_nothing_wins_if_there_are_enough_examples() -> None:
    assert run(0.3, -0.02, (0.0,) * 200, coin=0.999).end()
    assert not run(0.3, -0.02, (0.0,) * 10, coin=0.999).end()
    assert not run(0.3, 0.0, (0.0,) * 200).end()


scores = st.lists(st.tuples(st.none() | st.floats(0, 1), st.none() | st.floats(0, 1)), max_size=30)


@given(scores, st.floats(0, 1))
def test_missing_answers_never_count(pairs: list[tuple[float | None, float | None]], anything: float) -> None:
    child, parent = tuple(c for c, _ in pairs), tuple(p for _, p in pairs)
    both = [(c, p) for c, p in pairs if c is not None and p is not None]
    paired = compare(child, parent)
    assert paired.n == len(both)
    assert paired == compare(tuple(c for c, _ in both), tuple(p for _, p in both))
    assert paired == compare((*child, None, anything), (*parent, anything, None))
