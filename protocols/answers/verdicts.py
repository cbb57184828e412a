"""Reads which of two answers a judge prefers, in whatever form it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from protocols.answers.framing import field_of, without_fences
from protocols.answers.json_objects import placed
from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Json
from protocols.thought import INCOMPLETE, without_thought

Better = Literal[0, 1, 2]
"""The better of two answers, counted from 1; 0 if neither is."""
_BETTER: Final[Mapping[Better, str]] = {
    0: r"0|neither|none|both|tied?|equal|same|c",
    1: r"1|first|one|a",
    2: r"2|second|two|b",
}
_ANSWER = r"(?:answer|response|reply|option|assistant)"
_NAME = rf"(?:the\s+)?(?:{_ANSWER}[\s_#*]*|\b)(?P<name>{'|'.join(_BETTER.values())})\b(?:\s+{_ANSWER}s?\b)?"
_MARK = r"(?:[\s*_`\"'|#:：=>~–—\[<({{-]|\\boxed|\bis\b)*"
_WORD = rf"(?:better|best|winner|preferred|preference|verdict|choice)(?:\s+{_ANSWER})?"
_ASIDE = r"[^\w\n]*(?:\([^()\n]*\)[^\w\n]*)?"
_SAID = re.compile(
    rf"^[^\w\n]*(?:(?:my|the|final|overall)[\s*]*)*{_WORD}{_MARK}{_NAME}{_ASIDE}$", re.IGNORECASE | re.MULTILINE
)
_SENTENCE = re.compile(
    rf"^[^\w\n]*(?:(?:overall|so|thus)[,\s]*)?{_NAME}\s+is\s+better{_ASIDE}\Z", re.IGNORECASE | re.MULTILINE
)
_BOXED = re.compile(rf"\[\[\s*{_NAME}\s*\]\][^\w\n]*\Z", re.IGNORECASE)
_ALONE = re.compile(rf"\A[^\w\n]*{_NAME}[^\w\n]*\Z", re.IGNORECASE)
_KEYS = ("better", "better_answer", "winner", "preferred", "preference", "best", "verdict", "choice")
_REASONS = ("reason", "reasons", "reasoning", "explanation", "feedback", "rationale", "justification", "comment")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reasons`: the reasons given for it, "" if none."""

    better: Better
    reasons: str


def read_verdict(reply: str, finish: Finish = "stop") -> Verdict:
    """The verdict: in JSON; else on the last line like `Better: 1`; else at the end, as in `Answer 1 is better.` or
    `[[1]]`; else a name that is the whole reply.

    :raises UnreadableReply: there is no verdict, or the reply was cut off at it.
    """
    text = without_fences(without_thought(reply, finish)).strip()
    for start, _, value in reversed(list(placed(text))):
        if (said := field_of(value, _KEYS)) is not None:
            return Verdict(_named(said), str(field_of(value, _REASONS) or text[:start]).strip())
    said_lines = [*_SAID.finditer(text)]
    found = said_lines[-1] if said_lines else _SENTENCE.search(text) or _BOXED.search(text) or _ALONE.search(text)
    if found is None:
        raise UnreadableReply("the reply does not say which answer is better")
    if finish in INCOMPLETE and found.end("name") == len(text):
        raise UnreadableReply("the reply was cut off at its verdict")
    return Verdict(_meant(found["name"]), text[: found.start()].strip() or text[found.end() :].strip())


def _named(said: Json) -> Better:
    """:raises UnreadableReply: it names neither of two answers, nor that neither is better."""
    found = _ALONE.search(str(said)) if isinstance(said, str | int) and not isinstance(said, bool) else None
    if found is None:
        raise UnreadableReply("the better answer is 1, 2, or 0 for neither")
    return _meant(found["name"])


def _meant(name: str) -> Better:
    return next(better for better, names in _BETTER.items() if re.fullmatch(names, name, re.IGNORECASE))
