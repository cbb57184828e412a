"""The agreement of a judge with people: what it is worth, whatever the scale, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.results.agreement import agreement
from protocols.data.grades import Graded
from protocols.task import Example, Judgement

bootstrapped = settings(max_examples=30)
tenths = st.integers(0, 10).map(lambda tenth: tenth / 10)


def rows(grades: Sequence[float]) -> list[Graded]:
    return [Graded(Example(str(n), {"text": "x"}, None), f"answer {n}", grade) for n, grade in enumerate(grades)]


def verdicts(scores: Sequence[float | None]) -> list[Judgement | None]:
    return [None if score is None else Judgement(score, "x", "why") for score in scores]


@bootstrapped
@given(st.lists(st.tuples(st.integers(-5, 95), tenths), min_size=20, max_size=30).filter(lambda r: len({*r}) > 2))
def test_a_correlation_does_not_depend_on_the_scale(pairs: list[tuple[int, float]]) -> None:
    people, judge = zip(*pairs, strict=True)
    found = agreement(rows([*map(float, people), 97.0]), verdicts([*judge, 0.5]))
    scaled = agreement(rows([2.5 * grade + 7 for grade in [*people, 97]]), verdicts([*judge, 0.5]))
    assert found.measure == "correlation"
    assert (found.value, *found.interval) == pytest.approx((scaled.value, *scaled.interval))
    assert -1 - 1e-9 <= found.interval[0] <= found.interval[1] <= 1 + 1e-9
    assert -1 - 1e-9 <= found.value <= 1 + 1e-9


@bootstrapped
@given(st.lists(st.integers(0, 10), min_size=20, max_size=30, unique=False).filter(lambda grades: len({*grades}) > 2))
def test_who_orders_as_people_do_agrees_wholly_and_who_reverses_not_at_all(grades: list[int]) -> None:
    people = [float(grade + 1) for grade in grades]
    alike = agreement(rows(people), verdicts([grade / 10 for grade in grades]))
    against = agreement(rows(people), verdicts([1 - grade / 10 for grade in grades]))
    assert (alike.value, against.value) == pytest.approx((1, -1))
    assert not alike.disagreements
    assert against.disagreements


@given(
    st.lists(st.tuples(st.booleans(), tenths), min_size=20, max_size=40).filter(lambda r: len({p for p, _ in r}) == 2)
)
def test_for_yes_and_no_it_is_the_share_on_the_same_side(pairs: list[tuple[bool, float]]) -> None:
    found = agreement(rows([float(yes) for yes, _ in pairs]), verdicts([score for _, score in pairs]))
    same = [yes == (score >= 0.5) for yes, score in pairs]
    assert found.measure == "accuracy"
    assert found.value == pytest.approx(sum(same) / len(same))
    assert found.interval[0] <= found.value <= found.interval[1]
    assert found.kappa is not None
    assert found.kappa <= 1
    assert (found.value == 1) == (found.kappa == 1)
    shown = {one.example for one in found.disagreements}
    assert shown <= {str(n) for n, agree in enumerate(same) if not agree}
    assert len(shown) == min(10, same.count(False))


def test_a_judge_that_always_says_the_same_agrees_with_nobody() -> None:
    found = agreement(rows([float(n) for n in range(20)]), verdicts([0.7] * 20))
    assert (found.value, found.interval) == (0, (-1, 1))


def test_answers_without_a_verdict_are_left_out_and_counted() -> None:
    found = agreement(rows([0.0, 1.0] * 12), verdicts([0.0, 1.0] * 10 + [None] * 4))
    assert (found.n, found.ungraded, found.value) == (20, 4, 1)
