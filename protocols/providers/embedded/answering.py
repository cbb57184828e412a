"""Answering: reads a prompt for the questions that follow it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocols.model import ChatMessage
from protocols.providers.embedded.answers import enumerations, find_answers
from protocols.providers.embedded.attention import Line, Memory, Shares
from protocols.providers.embedded.features import UNSPACED, fold
from protocols.providers.embedded.reading import Record, Step, keyed, read_records, record_keys, template

DEFINED = 3.0  # weight of a line that defines an answer, in examples
BLANK = re.compile(r"\n\s*\n")
WINDOW = 200_000  # characters of the context that are read at most: the last ones


@dataclass(frozen=True, slots=True)
class Question:
    """The end of a prompt: the question's text, the keys of its fields, and the cue that the reply continues."""

    text: str
    cue: str
    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt without its question, parsed and embedded."""

    answers: tuple[str, ...]
    memory: Memory
    steps: tuple[Step, ...]
    keys: frozenset[str]

    def asked(self, question: Question) -> str:
        """The question without the names of those fields that the prompt's records have too."""
        records, _ = read_records(question.text.splitlines(), question.keys & self.keys)
        return "\n".join(record.text() for record in records) or question.text


def split(messages: Sequence[ChatMessage]) -> tuple[list[str], str]:
    """The texts of the context, and the text of the question.

    The question is the last user message; if there is no other text, its last paragraph or, without one, its last
    line.
    """
    last = next((i for i in reversed(range(len(messages))) if messages[i].speaker == "user"), len(messages) - 1)
    context = _context([message for i, message in enumerate(messages) if i != last])
    question = messages[last].text.rstrip()
    if not any(text.strip() for text in context):
        head, _, tail = question.rpartition("\n\n")
        if not head:
            head, _, tail = question.rpartition("\n")
        context, question = [head], tail
    return context, question


def _context(messages: Sequence[ChatMessage]) -> list[str]:
    """The messages as texts. Earlier turns are worked examples. If a user's turn has fields, it is written with its
    answer as one example: the answer follows the turn's final cue, or else `Answer:`, without blank lines. Other
    turns are written as `speaker: text`."""
    context: list[str] = []
    asked = ""
    for message in messages:
        if asked and message.speaker == "assistant":
            cue = " " if asked.endswith((":", "：")) else "\nAnswer: "
            context[-1] = BLANK.sub("\n", f"{asked}{cue}{message.text.strip()}")
        else:
            context.append(message.text if message.speaker == "system" else f"{message.speaker}: {message.text}")
        asked = message.text.rstrip() if message.speaker == "user" and ask(message.text).keys else ""
    return context


def ask(text: str) -> Question:
    """Read a question. Its cue is the key of a last line without a value."""
    lines = text.splitlines()
    found = keyed(lines[-1]) if lines else None
    cue = found.key if found and found.colon and not found.value else ""
    body = lines[:-1] if cue else lines
    keys = frozenset(fold(k.key) for k in map(keyed, lines) if k and k.colon and not k.bulleted)
    return Question("\n".join(body).strip(), cue, keys)


def read(context: Sequence[str], question: Question) -> Reading:
    """Parse and embed a context for all questions with the same cue and keys."""
    lines = "\n\n".join(context)[-WINDOW:].splitlines()
    steps, numbers = template(lines)
    members = {name for line in lines for names in enumerations(line) for name in names.folded}
    lines = ["" if number in numbers else line for number, line in enumerate(lines)]
    goal = f"{question.cue} {steps[-1].before} {steps[-1].slot}" if steps else question.cue
    keys = record_keys(lines, question.keys, members)
    records, free = read_records(lines, keys)
    key = _answer_key(records, question.cue, steps)
    outside = set(free)
    around = [line if number in outside else "" for number, line in enumerate(lines)]
    answers = find_answers(around, records, goal, key)
    evidence = _evidence(lines, records, free, key, answers)
    return Reading(answers, Memory(answers, evidence, sum(map(len, lines))), tuple(steps), frozenset(keys))


def _answer_key(records: Sequence[Record], cue: str, steps: Sequence[Step]) -> str:
    held = {fold(name) for record in records for name, _ in record.fields}
    for wanted in (cue, steps[-1].before.strip(" :：") if steps else ""):
        if fold(wanted) in held:
            return wanted
    lasts = [record.fields[-1][0] for record in records]
    return max(sorted(set(lasts)), key=lasts.count) if lasts else ""


def _evidence(
    lines: Sequence[str], records: Sequence[Record], free: Sequence[int], key: str, answers: Sequence[str]
) -> list[Line]:
    """The records and the free lines as lines of evidence, in the order of the prompt."""
    ends = np.cumsum([len(line) + 1 for line in lines][::-1])[::-1] if lines else np.zeros(0)
    number_of = {fold(name): number for number, name in enumerate(answers)}
    found: list[tuple[int, Line]] = []
    for record in records:
        value = record.get(key)
        number = number_of.get(fold(value or ""))
        shares: Shares = () if number is None else ((number, 1.0),)
        found.append((record.line, Line(record.text(without=key), shares, int(ends[record.line]))))
    pattern = _mentions(answers)
    for place in free:
        if lines[place].strip():
            text, shares = _free_line(lines[place], pattern, number_of)
            found.append((place, Line(text, shares, int(ends[place]))))
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]


def _mentions(answers: Sequence[str]) -> re.Pattern[str] | None:
    if not answers:
        return None
    longest_first = sorted(answers, key=len, reverse=True)
    return re.compile("|".join(_bounded(name) for name in longest_first))


def _bounded(name: str) -> str:
    before = "" if UNSPACED.match(name) or not name[0].isalnum() else r"(?<!\w)"
    after = "" if UNSPACED.match(name[-1]) or not name[-1].isalnum() else r"(?!\w)"
    return before + re.escape(name) + after


def _free_line(line: str, pattern: re.Pattern[str] | None, number_of: dict[str, int]) -> tuple[str, Shares]:
    """A line outside the records without its names, and the answers that it supports: the one that it defines, else
    all that it names, with equal shares."""
    if pattern is None:
        return line, ()
    found = keyed(line)
    if found and fold(found.key) in number_of and found.value:
        return pattern.sub(" ", found.value), ((number_of[fold(found.key)], DEFINED),)
    named = sorted({number_of[fold(name)] for name in pattern.findall(line)})
    if not named or len(named) > max(2, len(number_of) // 2):
        return pattern.sub(" ", line), ()
    return pattern.sub(" ", line), tuple((number, 1 / len(named)) for number in named)
