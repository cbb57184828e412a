"""What a result must not lose on the old examples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.archive.archive import Archive
from agents.archive.guard import Guard
from agents.archive.race import compare
from protocols.messages import FIRST, Scores
from tests.agents.archive.test_archive import member

score = st.sampled_from([0.0, 0.5, 1.0, None])
sizes = st.integers(1, 40)


def both(old: int) -> st.SearchStrategy[tuple[Scores, Scores]]:
    side = st.tuples(*[score] * (old + 5))
    return st.tuples(side, side)


@given(sizes.flatmap(lambda old: st.tuples(st.just(old), both(old))))
def test_a_lower_mean_is_refused_and_what_loses_nowhere_passes(drawn: tuple[int, tuple[Scores, Scores]]) -> None:
    old, (scores, first) = drawn
    holds = Guard(old, 0.3).holds(scores, first)
    pairs = [(c, f) for c, f in zip(scores[:old], first[:old], strict=True) if f is not None]
    if all(c is not None and c >= f for c, f in pairs):
        assert holds
    if compare(scores[:old], first[:old]).gain < -1e-6:
        assert not holds
    assert holds == Guard(old, 0.3).holds((*scores[:old], *[0.0] * 5), (*first[:old], *[1.0] * 5))


def test_few_examples_that_go_both_ways_are_no_evidence() -> None:
    """Three gained and three lost of six tell nothing; of sixty, the mean is known well enough."""
    some: tuple[Scores, Scores] = (1.0, 0.0) * 3, (0.0, 1.0) * 3
    assert not Guard(6, 0.3).holds(*some)
    many: tuple[Scores, Scores] = (*some[0], *[1.0] * 54), (*some[1], *[1.0] * 54)
    assert Guard(60, 0.3).holds(*many)


@given(st.lists(st.tuples(*[score] * 6), min_size=1, max_size=12))
def test_the_result_of_an_archive_passes_and_so_there_always_is_one(rows: list[Scores]) -> None:
    guard = Guard(4, 0.3)
    archive, free = Archive("short", guard), Archive("short")
    for number, scores in enumerate(rows):
        archive.add(member(number, scores))
        free.add(member(number, scores))
        best = archive.best()
        assert best.candidate == FIRST or guard.holds(best.scores, rows[FIRST])
        assert archive.unguarded() == free.best()
