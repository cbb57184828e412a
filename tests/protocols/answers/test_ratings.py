"""Ratings: the levels of a scale, and how they are read from replies as models write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.ratings import RatingParser, level_of, levels_of
from protocols.errors import UnreadableReply
from tests.strategies import texts

STARS = ("1", "2", "3", "4", "5")
WORDS = ("bad", "fair", "good")
PERCENT = tuple(map(str, range(101)))
SIGNED = ("-2", "-1", "0", "1", "2")
HALVES = ("1", "1.5", "2")
ROWS = [
    (STARS, "4", "4"),
    (STARS, "Rating: 4", "4"),
    (STARS, "4/5", "4"),
    (STARS, "Rating: 4 out of 5", "4"),
    (STARS, "I'd give it 4 out of 5.", "4"),
    (STARS, "4 stars", "4"),
    (STARS, "**4**", "4"),
    (STARS, "4.0", "4"),
    (STARS, "4.5", None),
    (STARS, "3-4", None),
    (STARS, "3 or 4", None),
    (STARS, "4/10", None),
    (STARS, "4 out of 10", None),
    (STARS, "★★★★☆", "4"),
    (STARS, "On a scale of 1 to 5, I would rate this 4.", "4"),
    (STARS, "On a scale from 1 to 5, this is a 2.", "2"),
    (STARS, "Rating: 4 (on a 1-5 scale)", "4"),
    (STARS, '{"rating": 3}', "3"),
    (STARS, "Score: 3/5\nReason: it is fine", "3"),
    (STARS, "The text is positive.\nRating: 5", "5"),
    (STARS, "6", None),
    (STARS, "", None),
    (WORDS, "good", "good"),
    (WORDS, "It is not good", None),
    (WORDS, "Rating: fair", "fair"),
    (PERCENT, "85", "85"),
    (PERCENT, "85/100", "85"),
    (PERCENT, "85%", None),
    (SIGNED, "-1", "-1"),
    (SIGNED, "Rating: +1", "1"),
    (SIGNED, "−2", "-2"),
    (HALVES, "1.5", "1.5"),
    (HALVES, "1.50", None),
    (STARS, "Rating: 4 of 5", "4"),
    (STARS, "4 / 5", "4"),
    (STARS, "I rate it a 4 on a 5-point scale", "4"),
    (STARS, "Between 3 and 4", None),
    (STARS, "My rating is 2 because 1 would be harsh.", "2"),
]


def reading(levels: tuple[str, ...], reply: str) -> str | None:
    """None where it is unreadable."""
    try:
        return RatingParser(levels)(reply)
    except UnreadableReply:
        return None


@pytest.mark.parametrize(("levels", "reply", "level"), ROWS)
def test_ratings(levels: tuple[str, ...], reply: str, level: str | None) -> None:
    assert reading(levels, reply) == level


@given(st.sampled_from([STARS, WORDS, SIGNED, HALVES]), texts)
def test_any_reply_reads_as_a_level_or_not_at_all(levels: tuple[str, ...], reply: str) -> None:
    assert reading(levels, reply) in (None, *levels)


@given(st.lists(st.integers(-50, 50), min_size=1))
def test_whole_numbers_are_levels_from_the_lowest_to_the_highest_however_they_are_written(given: list[int]) -> None:
    wanted = tuple(str(level) for level in range(min(given), max(given) + 1))
    for written in (int, float, str, lambda number: f" {number}.0 "):
        assert levels_of(map(level_of, map(written, given))) == wanted


@pytest.mark.parametrize(
    ("given", "levels"),
    [(["2", "0.5", "1"], ("0.5", "1", "2")), (["good", "1"], ()), ([], ()), (["0", "2000"], ("0", "2000"))],
)
def test_other_numbers_are_the_levels_themselves_and_words_have_no_order(
    given: list[str], levels: tuple[str, ...]
) -> None:
    assert levels_of(given) == levels
