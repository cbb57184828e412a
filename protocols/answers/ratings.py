"""Reads from a reply the rating on a scale."""

from __future__ import annotations

import re
from collections.abc import Iterable

from protocols.answers.labels import LabelParser
from protocols.model import Finish

LEVELS = 101
"""Most levels of a scale: from 0 to 100."""
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_OF = re.compile(
    r"(?<![\w.,/:-])(-?\d+(?:[.,]\d+)?)\s*(?:/|\bout\s+of\b|\bof\b(?:\s+the)?|von|sur|de)"
    r"\s*(-?\d+(?:\.\d+)?)(?![\w/]|[.,]\d)"
)
_A_TO_B = r"-?\d+(?:\.\d+)? ?(?:[-–—~]|to|through|and|bis|到|至) ?-?\d+(?:\.\d+)?"
_SCALE = re.compile(
    r"\(?(?:\b(?:on|in|using|with|from|within) )?(?:\b(?:an?|the|this|our) )?"
    rf"(?:\b(?:scale|range) ?(?:of|from|between|is|:)? ?{_A_TO_B}"
    rf"|(?<![\w.])(?:{_A_TO_B}|\d+[- ](?:point|star))[- ](?:\w+[- ])?(?:scale|range)\b)\)?",
    re.IGNORECASE,
)
_STARS = re.compile(r"(?:[★⭐]\ufe0f?\s?)+(?:☆\s?)*")


def level_of(target: object) -> str:
    """A rating as it is written in replies: whole numbers without a fraction, texts without white space around."""
    text = str(target).strip()
    return f"{float(text):.0f}" if _NUMBER.fullmatch(text) and float(text).is_integer() else text


def is_number(level: str) -> bool:
    """Whether a rating is a number, as written by `level_of`."""
    return _NUMBER.fullmatch(level) is not None


def levels_of(given: Iterable[str]) -> tuple[str, ...]:
    """The levels of the scale on which these ratings lie, the lowest first: every whole number from the lowest to the
    highest if all are whole and these are at most `LEVELS`, else the ratings themselves. () if one is no number."""
    levels = sorted(set(given), key=lambda level: float(level) if is_number(level) else 0.0)
    if not levels or not all(map(is_number, levels)):
        return ()
    low, high = float(levels[0]), float(levels[-1])
    if all(float(level).is_integer() for level in levels) and high - low < LEVELS:
        return tuple(str(level) for level in range(int(low), int(high) + 1))
    return tuple(levels)


class RatingParser(LabelParser):
    """Reads one of the levels of a scale, as `LabelParser` reads labels. If they are numbers, `4/5`, `4 out of 5` and
    four stars are 4 where 5 is the highest, and a mention of the scale itself is no rating."""

    def __init__(self, levels: tuple[str, ...]) -> None:
        """:raises DataError: see `LabelParser`."""
        super().__init__(levels)
        self._top = max(map(float, levels)) if all(map(is_number, levels)) else None

    def __call__(self, reply: str, finish: Finish = "stop") -> str:
        """The rating.

        :raises UnreadableReply: the reply names none, or several, or one of another scale.
        """
        return super().__call__(reply if self._top is None else self._plain(reply, self._top), finish)

    def _plain(self, reply: str, top: float) -> str:
        text = _SCALE.sub(" ", reply)
        text = _OF.sub(lambda of: of[1] if float(of[2]) == top else f"{of[1]}/{of[2]}", text)
        return _STARS.sub(lambda stars: f" {sum(character in '★⭐' for character in stars[0])} ", text)
