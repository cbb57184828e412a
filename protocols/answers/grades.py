"""Reads the grade from 0 to 10 in a judge's reply, in whatever form it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from protocols.answers.framing import field_of, without_fences
from protocols.answers.json_objects import placed
from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Json
from protocols.thought import INCOMPLETE, without_thought

MOST = 10
_NUMBER = r"(?<![\w.,/–−-])(?P<grade>\d{1,3}(?:[.,]\d{1,4})?)"
_OF = r"(?:\s*(?:/|out\s+of|of|von|sur|de)\s*10(?!\d|[.,]\d)|\s*分)"
_WHOLE = r"(?!\w|[.,/:]\d|\s*/|\s*%|\s*(?:[-–−~]|to|or)\s*\d|\s+(?:out\s+of|of)\s+\d)"
_WORD = r"(?:score|grade|rating|rate|mark|评分|得分|分数|总分|打分)"
_SCALE = r"\(\s*(?:0\s*(?:[-–]|to)\s*10|(?:out\s+of|of|/)\s*10)\s*\)"
_ASIDE = (
    rf"(?:[\s*_`\"'|#:：=>~–—\[<({{-]|\\boxed|{_SCALE}"
    r"|\b(?:is|of|as|a|an|be|would|i|give|it|this|the|answer)\b|是|为)*"
)
_ALONE = re.compile(
    rf"^[^\w\n]*(?:(?:my|the|final|overall|total|given|最终|总)[\s*]*)*{_WORD}{_ASIDE}{_NUMBER}{_OF}?{_WHOLE}[^\w\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_NAMED = re.compile(rf"{_WORD}{_ASIDE}{_NUMBER}{_OF}?{_WHOLE}", re.IGNORECASE)
_SHARE = re.compile(rf"{_NUMBER}{_OF}(?!\w)", re.IGNORECASE)
_BARE = re.compile(rf"\A[^\w\n]*{_NUMBER}{_WHOLE}[^\w\n]*\Z")
_KEYS = ("final_score", "overall_score", "score", "overall", "grade", "rating", "评分", "分数", "得分")
_REASONS = ("reason", "reasons", "reasoning", "explanation", "feedback", "rationale", "justification", "comment")


@dataclass(frozen=True, slots=True)
class Grade:
    """`value`: in [0, 10]. `reasons`: the reasons given for it, "" if none."""

    value: float
    reasons: str


def read_grade(reply: str, finish: Finish = "stop") -> Grade:
    """The grade: in JSON; else on the last line like `Score: 7`; else the one number called a score or written as
    `7/10`; else a number that is the whole reply.

    :raises UnreadableReply: there is no grade or there are several, or it is not a number from 0 to 10.
    """
    text = without_fences(without_thought(reply, finish))
    for start, _, value in reversed(list(placed(text))):
        if (said := field_of(value, _KEYS)) is not None:
            return Grade(_in_range(said), str(field_of(value, _REASONS) or text[:start]).strip())
    if alone := list(_ALONE.finditer(text)):
        _check_whole(alone[-1], text, finish)
        return Grade(_in_range(alone[-1]["grade"]), text[: alone[-1].start()].strip())
    found = [*_NAMED.finditer(text), *_SHARE.finditer(text)] or list(_BARE.finditer(text))
    if not found:
        raise UnreadableReply("the reply gives no grade")
    values = {_in_range(match["grade"]) for match in found}
    if len(values) > 1:
        raise UnreadableReply("the reply gives several grades")
    _check_whole(found[0], text, finish)
    return Grade(values.pop(), _reasons(text, found[0]))


def _in_range(said: Json) -> float:
    """:raises UnreadableReply: the grade is not a number from 0 to 10."""
    try:
        if isinstance(said, str):
            match = _SHARE.fullmatch(said.strip()) or _BARE.fullmatch(said)
            said = float(match["grade"].replace(",", ".")) if match else None
    except ValueError:
        said = None
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= MOST:
        raise UnreadableReply(f"a grade is a number from 0 to {MOST}")
    return float(said)


def _check_whole(match: re.Match[str], text: str, finish: Finish) -> None:
    """:raises UnreadableReply: the reply was cut off in or right after the number, which may have had more digits."""
    if finish in INCOMPLETE and match.end("grade") == len(text.rstrip()):
        raise UnreadableReply("the reply was cut off at its grade")


def _reasons(text: str, match: re.Match[str]) -> str:
    """The text before and after the grade."""
    return "\n".join(_parts(text, match))


def _parts(text: str, match: re.Match[str]) -> Iterator[str]:
    for part in (text[: match.start()], text[match.end() :]):
        if re.search(r"\w", part):
            yield part.strip(" \n-–—.,:;()*")
