"""Answer parsers: read the final answer of a reply, ignoring what precedes it.

Each takes any text and how the reply ended, and returns the answer or raises `UnreadableReply` with a reason that a
critic can use. Thoughts are removed first. A reply that was cut off or refused holds an answer only if it announces
one and continues after it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

from protocols.answers.framing import content_lines, field_of, without_fences
from protocols.answers.json_objects import placed
from protocols.answers.negation import MOST, denied
from protocols.answers.numbers import NUMBER, plain_digits
from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Json, show_text
from protocols.text import normalise
from protocols.thought import INCOMPLETE, without_thought

NO_ANSWER = "no answer"
NO_ANSWERS = frozenset(
    {NO_ANSWER, "there is no answer", "not answerable", "unanswerable", "无答案", "没有答案", "无法回答"}
)
CUE = re.compile(
    r"^[^\w\n]*(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is)?\s*\**\s*[:：]"  # a line that begins with Answer:
    r"|\b(?:the|final|correct)\s+answer\s+is\b\s*[:：]?"
    r"|(?:^[^\w\n]*|最终|正确)答案\s*[是为]?\s*\**\s*[:：]|答案[是为]"
    r"|^####\s*(?=[-−–+$€£\d\\])"  # gsm8k's own solutions
    r"|<(?:final_)?answer>",
    re.IGNORECASE | re.MULTILINE,
)
BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
MARKS = " \t*_`"
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』"}
LETTERED = re.compile(r"[(\[]([A-Za-z])[)\]]")
LETTER = re.compile(
    r"\W*(?:(?:option|choice|answer|i choose|i pick|i select)\s+)?\(?([A-Z])"
    r"(?:\W*$|[).:：]|[,，、](?!\W*[A-Z]\b)|\s+(?:because|since|as)\b)",
    re.IGNORECASE,
)
KEYS = ("answer", "final_answer", "finalanswer", "result", "solution")
TEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|boxed|fbox)\s*\{([^{}]*)\}")
_UNIT = r"(?:hours?|hrs?|h|minutes?|mins?|days?|weeks?|years?|feet|foot|ft|pounds?|lbs?|dollars?)"
_JOINED = re.compile(
    rf"\s*(?:{_UNIT}(?:,?\s*and)?|\bor\b|\band\b|\bto\b|\b(?:minus|plus|times)\b|,|;|/|~"
    rf"|[-+*×÷·^]|至|到|或|和|\s)\s*[$€£¥]?\s*",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"(?i:\b(?:between|from)\b)[^\d.;]{0,40}\Z")
_AGAIN = re.compile(
    r"(?<![\w\\])(?P<name>[a-z](?:_?\d)?)\s*=[^=\n]*?(?:\bor\b|\band\b|[,;]|或|和)\W*(?P=name)\s*=", re.IGNORECASE
)
_ASSIGNED = re.compile(r"(?<![\w\\])([a-z](?:_?\d)?)\s*=", re.IGNORECASE)


def whole(reply: str, finish: Finish = "stop") -> str:
    """The whole reply without its thought and the white space around it."""
    return _given(without_thought(reply, finish).strip())


def final_answer(reply: str, finish: Finish = "stop") -> str:
    """The text after the last `Answer:`, `the answer is` or `####`, or in the last box; else the last line."""
    return _final(reply, finish)[0]


def span(reply: str, finish: Finish = "stop") -> Json:
    """The final answer, or [] if it says that there is no answer."""
    answer = final_answer(reply, finish)
    return [] if normalise(answer) in NO_ANSWERS else answer


def number(reply: str, finish: Finish = "stop") -> str:
    """The number of the final answer, after its last `=` if it has one: the first number after a cue such as
    `Answer:`, the last one of a line without a cue."""
    answer, cued = _final(reply, finish)
    text = plain_digits(answer)
    if _AGAIN.search(text) or (len(dict.fromkeys(_ASSIGNED.findall(text))) > 1 and cued):
        raise UnreadableReply(f"the reply ends with several numbers: {answer!r}")
    for side in _sides(text):
        found = list(NUMBER.finditer(side))
        if found and not _is_part(side, found, cued):
            return found[0 if cued else -1][0].strip()
    raise UnreadableReply(f"the reply ends with no number, but with {answer!r}")


def option(reply: str, finish: Finish = "stop") -> str:
    """The option of the final answer, as `(A)`: the first one after a cue, the only one of a line without a cue."""
    answer, cued = _final(reply, finish)
    text = unicodedata.normalize("NFKC", answer)
    lettered = list(islice(LETTERED.finditer(text), MOST))
    if len(lettered) == MOST:
        raise UnreadableReply("the reply mentions options again and again, and decides on none")
    folded = fold_in_place(text)
    found = [match for match in lettered if not denied(folded, *match.span())]
    letters = list(dict.fromkeys(match[1].upper() for match in found))
    if not letters and not lettered and (alone := LETTER.match(text)):
        letters = [alone[1].upper()]
    if not letters:
        raise UnreadableReply(f"the reply ends with no option such as (A), but with {answer!r}")
    joined = len(letters) > 1 and _JOINED.fullmatch(text, found[0].end(), found[1].start())
    if len(letters) > 1 and (joined or not cued):
        raise UnreadableReply(f"the reply ends with several options ({', '.join(letters)}); it must choose one")
    return f"({letters[0]})"


def fold_in_place(text: str) -> str:
    """The text in lower case, with every character at its old position."""
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


def last_line(reply: str) -> str:
    """The last line that is neither blank nor a fence; "" if there is none."""
    return next((line for line in reversed(list(content_lines(reply))) if line), "")


def _final(reply: str, finish: Finish) -> tuple[str, bool]:
    """The final answer, and whether a cue announced it."""
    text = without_thought(reply, finish)
    if (said := _in_json(text)) is not None:
        return said, True
    text = without_fences(text)
    cues = [(match.end(), len(text), False) for match in CUE.finditer(text)]
    cues += [(start, end, True) for start, end in _boxes(text)]
    for start, end, boxed in sorted(cues, reverse=True):
        lines = [bare for line in text[start:end].splitlines() if (bare := _bare(line))]
        if lines:
            if finish in INCOMPLETE and not boxed and len(lines) == 1 and not text[start:].rstrip(" ").endswith("\n"):
                break
            return lines[0], True
    if finish in INCOMPLETE:
        raise UnreadableReply("the reply was cut off before it gave its answer")
    return _given(_bare(last_line(text)) or last_line(text)), False


def _in_json(text: str) -> str | None:
    """The answer in the last JSON object that has one; None if there is none."""
    for _, _, value in reversed(list(placed(text))):
        if isinstance(said := field_of(value, KEYS), str | int | float) and not isinstance(said, bool):
            return show_text(said).strip() or None
    return None


def _boxes(text: str) -> Iterator[tuple[int, int]]:
    """The start and end of the contents of each TeX box, with any braces inside; nested boxes too."""
    boxes = {box.end() for box in BOX.finditer(text)}
    opened: list[int] = []
    for brace in re.finditer(r"[{}]", text) if boxes else ():
        if brace[0] == "{":
            opened.append(brace.end())
        elif opened and (start := opened.pop()) in boxes:
            yield start, brace.start()


def _bare(line: str) -> str:
    """A line without tags, without TeX around words, and without emphasis and quotes around it."""
    line = re.sub(r"</?[a-z_]{1,20}>", "", line)
    while (bare := TEX.sub(r"\1", line)) != line:
        line = bare
    line = _unquoted(line)
    if len(line) > 2 and line[0] == line[-1] == "$":
        line = _unquoted(line.strip("$"))
    return line


def _unquoted(line: str) -> str:
    """A line without emphasis and quotes around all of it."""
    line = line.strip(MARKS)
    while len(line) > 1 and QUOTES.get(line[0]) == line[-1] and QUOTES[line[0]] not in line[1:-1]:
        line = line[1:-1].strip(MARKS)
    return line


def _sides(text: str) -> Iterator[str]:
    """The text after the last `=`; if that is an expression such as a sum, also a single number before the first."""
    before, equals, after = text.rpartition("=")
    yield after
    if equals and (found := list(NUMBER.finditer(after))) and _is_part(after, found, cued=True):
        first = before.partition("=")[0]
        if len(list(NUMBER.finditer(first))) == 1:
            yield first


def _is_part(text: str, found: list[re.Match[str]], cued: bool) -> bool:
    """Whether the number to be read is joined to another one, as in a sum, a range or a choice."""
    if len(found) < 2:
        return False
    left, right = (found[0], found[1]) if cued else (found[-2], found[-1])
    ranges = _BETWEEN.search(text, 0, left.start()) is not None
    return ranges or _JOINED.fullmatch(text, left.end(), right.start()) is not None


def _given(answer: str) -> str:
    if not answer:
        raise UnreadableReply("the reply is empty")
    return answer
