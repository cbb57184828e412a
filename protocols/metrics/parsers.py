"""Answer parsers: what a reply says in the end, whatever it says on its way.

Each takes any text, and returns the answer or raises `UnreadableReply` with a reason that a critic can use.
"""

from __future__ import annotations

import re

from protocols.errors import UnreadableReply
from protocols.metrics.numbers import NUMBER, plain_digits
from protocols.metrics.text import normalise
from protocols.task import Json

NO_ANSWER = "no answer"
NO_ANSWERS = frozenset(
    {NO_ANSWER, "there is no answer", "not answerable", "unanswerable", "无答案", "没有答案", "无法回答"}
)
CUE = re.compile(
    r"^[^\w\n]*(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is)?\s*\**\s*[:：]"  # a line that begins with Answer:
    r"|\b(?:the|final|correct)\s+answer\s+is\b\s*[:：]?"
    r"|(?:^[^\w\n]*|最终|正确)答案\s*[是为]?\s*\**\s*[:：]|答案[是为]"
    r"|^####\s*(?=[-−+$\d])",  # gsm8k's own solutions
    re.IGNORECASE | re.MULTILINE,
)
BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")
MARKS = " \t*_`\"'“”"
LETTERED = re.compile(r"\(([A-Za-z])\)")
LETTER = re.compile(r"\W*(?:(?:option|choice)\s+)?([A-Z])(?:\W*$|[).:：,，、])", re.IGNORECASE)


def whole(reply: str) -> str:
    """The reply as it is, without the white space around it."""
    return _given(reply.strip())


def final_answer(reply: str) -> str:
    """What follows the last `Answer:`, `the answer is`, `####` or stands in the last box; else the last line."""
    return _final(reply)[0]


def span(reply: str) -> Json:
    """The final answer, or [] where it says that there is none."""
    answer = final_answer(reply)
    return [] if normalise(answer) in NO_ANSWERS else answer


def number(reply: str) -> str:
    """The number of the final answer: what follows the last `=` in it; the first number after a cue such as
    `Answer:`, the last one of a line without."""
    answer, cued = _final(reply)
    found = [match[0] for match in NUMBER.finditer(plain_digits(answer.rpartition("=")[2]))]
    if not found:
        raise UnreadableReply(f"the reply ends with no number, but with {answer!r}")
    return found[0 if cued else -1].strip()


def option(reply: str) -> str:
    """The lettered option of the final answer, as `(A)`; the first after a cue, the only one of a line without."""
    answer, cued = _final(reply)
    letters = list(dict.fromkeys(letter.upper() for letter in LETTERED.findall(answer)))
    if not letters and (alone := LETTER.match(answer)):
        letters = [alone[1].upper()]
    if not letters:
        raise UnreadableReply(f"the reply ends with no option such as (A), but with {answer!r}")
    if len(letters) > 1 and not cued:
        raise UnreadableReply(f"the reply ends with several options ({', '.join(letters)}); it must choose one")
    return f"({letters[0]})"


def last_line(reply: str) -> str:
    """The last line that is not blank; "" for none."""
    return next((line.strip() for line in reversed(reply.splitlines()) if line.strip()), "")


def _final(reply: str) -> tuple[str, bool]:
    """The final answer, and whether a cue announced it."""
    cues = [(match.end(), len(reply)) for match in CUE.finditer(reply)]
    cues += [match.span(1) for match in BOXED.finditer(reply)]
    for start, end in sorted(cues, reverse=True):
        lines = (line.strip(MARKS) for line in reply[start:end].splitlines())
        if answer := next((line for line in lines if line), ""):
            return answer, True
    return _given(last_line(reply).strip(MARKS) or last_line(reply)), False


def _given(answer: str) -> str:
    if not answer:
        raise UnreadableReply("the reply is empty")
    return answer
