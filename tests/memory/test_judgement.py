from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memory.experience import Experience, Recalled
from memory.judgement import DAY, HALF_AGE, HALF_EVIDENCE, LIMIT, PRIOR, judge

NOW = 1e9
PAST = Experience("a", "intro", "task", "merge", "old", "new", "be brief", 0.05, 60, 9, "survived", NOW)


def recalled(
    after: str, reward: float, evidence: int = 60, similarity: float = 0.9, age: float = 0.0, same: bool = True
) -> Recalled:
    past = replace(PAST, after=after, reward=reward, evidence=evidence, time=NOW - age * DAY)
    return Recalled(past, similarity, same)


pasts = st.lists(
    st.builds(
        recalled,
        st.sampled_from("abc"),
        st.floats(-1, 1) | st.sampled_from([0.0, 0.01, -0.01, 1.0]),  # alike but for one, which is limited
        st.integers(0, 2**53),
        st.floats(-1, 1),
        st.floats(-10, 2000),
        st.booleans(),
    ),
    max_size=12,
)


def plain_votes(items: list[Recalled]) -> list[float]:
    return [
        max(0.0, item.similarity)
        * (item.experience.evidence / (item.experience.evidence + HALF_EVIDENCE))
        * 2 ** (-max(0.0, (NOW - item.experience.time) / DAY) / HALF_AGE)
        for item in items
    ]


def plain_median(values: list[float], weights: list[float]) -> float:
    order = sorted(zip(values, weights, strict=True), key=lambda pair: pair[0])
    half, seen = math.fsum(weights) / 2, 0.0
    for value, weight in order:
        seen += weight
        if seen >= half * (1 - 1e-12):
            return value
    raise AssertionError


@given(items=pasts)
def test_values_are_the_formula(items: list[Recalled]) -> None:
    votes = plain_votes(items)
    judged = judge(items, NOW)
    if not sum(votes) > 0:
        assert judged == []
        return
    rewards = [item.experience.reward for item in items]
    middle = plain_median(rewards, votes)
    spread = LIMIT * 1.4826 * plain_median([abs(reward - middle) for reward in rewards], votes)
    assume(spread == 0 or spread > 1e-9)
    if spread > 0:
        rewards = [min(max(reward, middle - spread), middle + spread) for reward in rewards]
    mean = sum(v * r for v, r in zip(votes, rewards, strict=True)) / sum(votes)
    wanted = {}
    for after in {item.experience.after for item in items}:
        own = [(v, r) for v, r, item in zip(votes, rewards, items, strict=True) if item.experience.after == after]
        weight = sum(v for v, _ in own)
        if weight > 0:
            wanted[after] = (sum(v * r for v, r in own) + PRIOR * mean) / (weight + PRIOR)
    assert {edit.recalled.experience.after: edit.value for edit in judged} == pytest.approx(wanted, abs=1e-6)
    assert [edit.value for edit in judged] == sorted((edit.value for edit in judged), reverse=True)
    assert all(min(rewards) - 1e-9 <= edit.value <= max(rewards) + 1e-9 for edit in judged)


@given(items=pasts)
def test_an_edit_is_told_by_its_most_similar_recall_and_by_what_there_is_of_it(items: list[Recalled]) -> None:
    votes = plain_votes(items)
    for edit in judge(items, NOW):
        places = [n for n, item in enumerate(items) if item.experience.after == edit.recalled.experience.after]
        assert edit.recalled in items
        assert edit.recalled.similarity == max(items[n].similarity for n in places)
        assert edit.times == len(places)
        assert edit.votes == pytest.approx(math.fsum(votes[n] for n in places))
        assert edit.same_model == any(items[n].same_model for n in places)


def test_a_vote_is_halved_by_age_and_by_little_evidence_and_one_lie_is_limited() -> None:
    """In figures: days, paired examples, and deviations of the median distance."""
    new, old = judge([recalled("x", 0.1, 32)], NOW)[0], judge([recalled("x", 0.1, 32, age=180)], NOW)[0]
    assert (new.votes, old.votes) == pytest.approx((0.45, 0.225))
    assert judge([recalled("x", 0.1, 32, age=-5)], NOW)[0].votes == new.votes, "a time to come counts as now"
    assert judge([Recalled(replace(PAST, evidence=32, time=NOW - 180 * 86_400), 1.0)], NOW)[0].votes == 0.25
    honest = [recalled(f"{n}", 0.01 * n, 10**9, 1.0) for n in (-1, 0, 1)]
    values = {e.recalled.experience.after: e.value for e in judge([*honest, recalled("lie", 1.0, 10**9, 1.0)], NOW)}
    limited = 2 * 1.4826 * 0.01
    assert values["lie"] == pytest.approx((limited + limited / 4) / 2, rel=1e-3)


@given(items=pasts)
def test_the_order_of_recall_does_not_matter(items: list[Recalled]) -> None:
    forwards, backwards = judge(items, NOW), judge(items[::-1], NOW)
    assert [e.value for e in forwards] == pytest.approx([e.value for e in backwards])


@given(st.integers(1, 2**53), st.floats(0.5, 1), st.integers(4, 7))
def test_poison_is_outvoted_by_what_contradicts_it(evidence: int, claimed: float, honest: int) -> None:
    """An edit that costs, and one record of it that claims the best of rewards on any evidence."""
    others = [recalled(f"other {n}", reward) for n, reward in enumerate((0.02, -0.01, 0.0, 0.01, -0.03))]
    truth = [recalled("bad", -0.04 - 0.002 * n) for n in range(honest)]
    poison = recalled("bad", claimed, evidence, similarity=1.0)
    values = {edit.recalled.experience.after: edit.value for edit in judge([*others, *truth, poison], NOW)}
    assert values["bad"] < min(0, values["other 0"])


def test_a_few_lies_move_the_others_little() -> None:
    """A fifth of what is recalled claims +1: what is shown of the honest ones stays what it was, within 0.02."""
    honest = [recalled(f"edit {n}", 0.01 * (n % 7 - 3)) for n in range(16)]
    lies = [recalled(f"lie {n}", 1.0, 10**6, similarity=1.0) for n in range(4)]
    clean = {edit.recalled.experience.after: edit.value for edit in judge(honest, NOW)}
    mixed = {edit.recalled.experience.after: edit.value for edit in judge([*honest, *lies], NOW)}
    assert all(abs(mixed[after] - value) < 0.02 for after, value in clean.items())
    assert max(mixed[f"lie {n}"] for n in range(4)) < 0.1
    naive = fmean(item.experience.reward for item in [*honest, *lies])
    assert naive > 0.19


def test_evidence_similarity_and_youth_count() -> None:
    base = [recalled("x", 0.0), recalled("y", 0.02)]
    much, little = recalled("z", 0.08, 500), recalled("z", 0.08, 2)
    near, far = recalled("z", 0.08, similarity=0.9), recalled("z", 0.08, similarity=0.1)
    young, old = recalled("z", 0.08), recalled("z", 0.08, age=2000)
    for more, less in ((much, little), (near, far), (young, old)):
        assert judge([*base, more], NOW)[0].value > judge([*base, less], NOW)[0].value


def test_what_has_no_evidence_has_no_say() -> None:
    with_failure = judge([recalled("x", 0.05), recalled("broken", -1.0, evidence=0)], NOW)
    assert with_failure == judge([recalled("x", 0.05)], NOW)
