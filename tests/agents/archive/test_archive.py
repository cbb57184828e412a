"""Races and the archive against their definitions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.archive.archive import PARTNERS, Archive, Member, draw
from agents.archive.front import Prefer, preferred, rank, row_of
from agents.archive.race import compare
from protocols.messages import Outcome, Scores, mean
from protocols.prompt import Prompt, Section
from protocols.task import Array

score = st.none() | st.floats(0, 1) | st.sampled_from([0.0, 1.0])
pairs = st.lists(st.tuples(score, score), max_size=30)


@given(pairs)
def test_compare_is_the_paired_t_of_numpy(pairs: list[tuple[float | None, float | None]]) -> None:
    paired = compare(tuple(c for c, _ in pairs), tuple(p for _, p in pairs))
    differences = np.array([c - p for c, p in pairs if c is not None and p is not None])
    assert paired.n == len(differences)
    assert paired.gain == pytest.approx(differences.mean() if paired.n else 0.0, abs=1e-12)
    error = differences.std(ddof=1) / math.sqrt(paired.n) if paired.n > 1 else 0.0
    assert paired.error == pytest.approx(error, abs=1e-9)


@given(st.lists(score, max_size=20).map(tuple))
def test_mean_leaves_out_what_was_not_answered(scores: Scores) -> None:
    answered = [s for s in scores if s is not None]
    assert mean(scores) == pytest.approx(np.mean(answered) if answered else 0.0)


def member(candidate: int, scores: Scores, words: int = 1, filled: int = 0) -> Member:
    prompt = Prompt((Section("a", "task", "word " * words),))
    return Member(candidate, None, prompt, prompt.tokens + filled, scores, mean(scores), {}, ())


CHOICES: tuple[Prefer, ...] = ("short", "balanced", "best")
rough = st.sampled_from([None, 0.0, 0.5, 1.0])
populations = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.tuples(st.tuples(*[rough] * n), st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=12
    )
).map(lambda rows: [member(number, *row) for number, row in enumerate(rows)])  # fmt: skip


def filled(scores: Scores) -> list[float]:
    return [-1.0 if s is None else s for s in scores]


def beats(a: Member, b: Member) -> bool:
    """At least as good everywhere at no more tokens, and better somewhere; at a value of 0 all lengths are one."""
    left, right = [*filled(a.scores), -length(a)], [*filled(b.scores), -length(b)]
    return left != right and all(x >= y for x, y in zip(left, right, strict=True))


def length(a: Member) -> float:
    return a.tokens if a.value else math.inf


def table(population: list[Member]) -> Array:
    return np.array([row_of(each.scores) for each in population])


def twins(a: Member, b: Member) -> bool:
    return a.scores == b.scores and length(a) == length(b)


@given(populations)
def test_the_archive_is_the_pareto_front(population: list[Member]) -> None:
    archive = Archive()
    for each in population:
        archive.add(each)
    front = [
        each
        for n, each in enumerate(population)
        if not any(beats(other, each) for other in population) and not any(twins(o, each) for o in population[:n])
    ]
    assert archive.members == front
    assert archive.best().value == max(m.value for m in front)
    assert length(archive.best()) == min(length(m) for m in front if m.value == archive.best().value)


@given(populations, st.lists(st.sampled_from([0.0, -0.25, 0.25]), min_size=12), st.sampled_from(CHOICES))
def test_the_result_is_the_shortest_within_its_share_of_a_standard_error_of_the_best(
    population: list[Member], apart: list[float], prefer: Prefer
) -> None:
    """The value of a corpus metric need not be the mean score."""
    population = [
        replace(each, value=min(1.0, max(0.0, each.value + by))) for each, by in zip(population, apart, strict=False)
    ]
    scores = table(population)
    best, result = preferred(population, scores, "best"), preferred(population, scores, prefer)
    share = {"short": 1.0, "balanced": 0.5, "best": 0.0}[prefer]

    def behind(each: Member) -> float:
        """In standard errors, both ways of saying it."""
        paired = compare(best.scores, each.scores)
        lag = max(paired.gain, best.value - each.value)
        return 0.0 if lag < 1e-9 else lag / paired.error if paired.error else math.inf

    near = [each for each in population if each is best or behind(each) <= share + 1e-6]
    assert result is best or behind(result) <= share + 1e-6
    if prefer != "best":
        shortest = [each for each in near if length(each) == min(map(length, near))]
        assert result is min(shortest, key=lambda each: (-each.value, each.candidate))
    short, balanced = (preferred(population, scores, share) for share in ("short", "balanced"))
    assert length(short) <= length(balanced) <= length(best)


def test_one_example_behind_is_within_one_standard_error_and_not_within_half() -> None:
    for n in range(2, 200):
        long, short = member(0, (1.0,) * n, words=9), member(1, (1.0,) * (n - 1) + (0.0,), words=1)
        assert [
            preferred([long, short], table([long, short]), p).candidate for p in ("short", "balanced", "best")
        ] == [1, 0, 0]


NOTHING_RIGHT: list[tuple[str, Scores, Scores, float]] = [
    ("all wrong", (0.0, 0.0), (0.0, 0.0), 0.0),
    ("some unanswered", (0.0, None), (0.0, None), 0.0),
    ("right where there is nothing to find, by a metric of counts", (1.0, 0.0), (1.0, 0.0), 0.0),
]


@pytest.mark.parametrize(("case", "older", "newer", "value"), NOTHING_RIGHT)
def test_at_a_value_of_0_no_shorter_prompt_takes_the_place_of_the_older(
    case: str, older: Scores, newer: Scores, value: float
) -> None:
    archive = Archive()
    archive.add(replace(member(0, older, words=50), value=value))
    assert not archive.add(replace(member(1, newer, words=1), value=value)), case
    assert archive.best().candidate == 0
    assert not rank(0.0, 1) < rank(0.0, 50)


@given(populations)
def test_whoever_is_drawn_is_best_somewhere_and_every_example_has_one_of_its_best(population: list[Member]) -> None:
    rng = Random(0)
    drawn = {draw(population, table(population), rng).candidate: None for _ in range(200)}
    columns = list(zip(*(filled(m.scores) for m in population), strict=True))
    leaders = [{m.candidate for m, s in zip(population, c, strict=True) if s == max(c)} for c in columns]
    assert all(any(candidate in best for best in leaders) for candidate in drawn)
    assert all(best & set(drawn) for best in leaders)


class Weights(Random):
    """Keeps the weights that are drawn by."""

    def choices(self, population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1) -> list[Any]:
        self.kept = list(weights)
        return super().choices(population, weights, k=k)


@given(populations)
def test_each_example_has_one_vote_which_those_who_are_best_on_it_share(population: list[Member]) -> None:
    rng = Weights(0)
    draw(population, table(population), rng)
    assert sum(rng.kept) == pytest.approx(len(population[0].scores))
    columns = list(zip(*(filled(m.scores) for m in population), strict=True))
    remain = [n for n, weight in enumerate(rng.kept) if weight]
    wanted = dict.fromkeys(remain, 0.0)
    for column in columns:
        best = [n for n in remain if column[n] == max(column)]
        for n in best:
            wanted[n] += 1 / len(best)
    assert [rng.kept[n] for n in remain] == pytest.approx([wanted[n] for n in remain])


@given(st.permutations([0.2, 0.4, 0.6]) | st.just([0.4, 0.4, 0.4]))
def test_of_those_who_are_best_nowhere_alone_the_worst_steps_back_or_the_newest(
    values: list[float],
) -> None:
    """Any two of the three are enough."""
    scores: list[Scores] = [(1.0, 1.0, 0.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0)]
    members = [replace(member(n, own), value=values[n]) for n, own in enumerate(scores)]
    draw(members, table(members), rng := Weights(0))
    worst = min(range(3), key=lambda n: (values[n], -n))
    assert [n for n in range(3) if not rng.kept[n]] == [worst]


def test_a_crowd_that_is_right_on_the_easy_example_steps_back_for_those_best_on_a_hard_one() -> None:
    crowd = [member(n, (1.0, 0.0, 0.0), n + 3) for n in range(8)]
    left, right = member(8, (1.0, 1.0, 0.0), 20), member(9, (0.0, 0.0, 1.0), 20)
    rng, times = Random(0), 400
    everybody = [*crowd, left, right]
    drawn = Counter(draw(everybody, table(everybody), rng).candidate for _ in range(times))
    assert set(drawn) == {8, 9}
    assert abs(drawn[8] / times - 2 / 3) < 0.1


@given(st.lists(st.integers(0, 30), max_size=12), st.data())
def test_the_ancestor_of_two_is_the_last_that_both_come_from(parents: list[int], data: st.DataObject) -> None:
    archive, lines = Archive(), [[0]]
    members = [replace(member(0, (0.0, *[0.0] * len(parents))), prompt=Prompt((Section("a", "task", "0"),)))]
    archive.add(members[0])
    for number, drawn in enumerate(parents, 1):
        parent = drawn % number
        own = tuple(float(n == number) for n in range(len(parents) + 1))
        prompt = Prompt((Section("a", "task", str(number)),))
        members.append(Member(number, parent, prompt, prompt.tokens, own, mean(own), {}, ()))
        assert archive.add(members[-1])
        lines.append([number, *lines[parent]])
    one, other = (data.draw(st.integers(0, len(parents))) for _ in range(2))
    common = max(set(lines[one]) & set(lines[other]))
    assert archive.ancestor(members[one], members[other]) == members[common].prompt


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.5]), min_size=1, max_size=8), st.data())
def test_partners_are_the_best_of_the_others_first(values: list[float], data: st.DataObject) -> None:
    archive = Archive()
    for number, value in enumerate(values):
        own = tuple(float(n == number) for n in range(len(values)))
        trained = (Outcome(f"t{number}", {}, "yes", "yes", "yes", 1.0, ""),)
        archive.add(replace(member(number, own), parent=0 if number else None, value=value, outcomes=trained))
    of = data.draw(st.sampled_from(archive.members))
    partners = archive.partners(of)
    others = [each for each in archive.members if each is not of]
    wanted = sorted(others, key=lambda each: each.candidate)
    wanted = sorted(wanted, key=lambda each: each.value, reverse=True)[:PARTNERS]
    assert [partner.candidate for partner in partners] == [each.candidate for each in wanted]
    for partner, each in zip(partners, wanted, strict=True):
        assert (partner.prompt, partner.scores, partner.credit) == (each.prompt, each.scores, each.credit)
        assert partner.trained == {f"t{each.candidate}": 1.0}
        assert partner.ancestor == archive.ancestor(of, each)
