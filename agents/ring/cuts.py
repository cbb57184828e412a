"""Cuts that make a prompt shorter. They only delete text, so no model is asked.

A text is split into pieces: paragraphs, items of lists, sentences of long prose, single worked examples; placeholders
such as `{examples:8}` may be filled with fewer items. Large cuts are tried first; if one fails, its halves are tried
(Zeller & Hildebrandt 2002, Simplifying and isolating failure-inducing input).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import accumulate

from agents.programs.calls import scored
from agents.prompting.retrieval_slots import PLACEHOLDER, places
from protocols.errors import EditRejected
from protocols.messages import Credit
from protocols.naming import Names
from protocols.prompt import Form, Prompt, Section, estimate_tokens
from protocols.turns import dump_turns

LONG = 24
"""A line of prose with more tokens than this is split into sentences."""
WORTH = 0.02
"""A cut that saves a smaller share of the prompt is not worth a race."""
SURE = 2.0
"""A section is never cut as a whole if its value exceeds this many of its standard errors."""
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\sa-z])|(?<=[。！？])(?=\S)")
FENCE = ("```", "~~~")
OPEN, CLOSED = "{[(", "}])"
FEWER = re.compile(rf"\{{({PLACEHOLDER.pattern})\}}")


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut of `section`: the numbers of the `pieces` to delete; or by how many `fewer` items a placeholder of
    `slot`, `examples` or `passages`, is filled."""

    section: str
    pieces: tuple[int, ...] = ()
    slot: str = ""
    fewer: int = 0
    tight: bool = False
    """A larger cut has failed."""


@dataclass(frozen=True, slots=True)
class Body:
    """A section in pieces. `kept`: the numbers of the pieces that are left; `counts`: items for each slot's
    placeholders; `per_item`: tokens of such an item."""

    section: Section
    pieces: tuple[str, ...]
    kept: frozenset[int]
    counts: Mapping[str, int]
    per_item: float

    @property
    def text(self) -> tuple[str, Form]:
        """The section's text after the cuts so far, and its form."""
        left = [piece for number, piece in enumerate(self.pieces) if number in self.kept]
        empty: Form = "system" if self.section.form == "turns" else self.section.form
        text = "".join(left) if self.section.form != "turns" else "\n".join(left)
        text = FEWER.sub(lambda match: self._place(match[2], int(match[3])), text)
        if self.section.form != "turns":
            text = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
        return text, self.section.form if text.strip() else empty

    def _place(self, slot: str, count: int) -> str:
        left = min(count, self.counts[slot])
        return f"{{{slot}:{left}}}" if left else ""

    def without(self, cut: Cut) -> Body:
        """The body after a cut."""
        if cut.slot:
            return replace(self, counts={**self.counts, cut.slot: self.counts[cut.slot] - cut.fewer})
        return replace(self, kept=self.kept.difference(cut.pieces))

    def saved(self, cut: Cut) -> float:
        """The estimated tokens that a cut saves."""
        if cut.slot:
            return cut.fewer * self.per_item
        left = (self.pieces[number] for number in self.kept.intersection(cut.pieces))
        shown = (sum(places(piece).values()) and self.per_item * _items(piece, self.counts) for piece in left)
        return sum(map(self._length, cut.pieces)) + sum(shown)

    def _length(self, piece: int) -> int:
        return estimate_tokens(self.pieces[piece]) if piece in self.kept else 0

    def halves(self, cut: Cut) -> Iterator[Cut]:
        """The halves to try if a cut fails, divided between two paragraphs if possible."""
        if cut.slot:
            if cut.fewer > 1:
                yield replace(cut, fewer=cut.fewer // 2, tight=True)
            return
        pieces = [number for number in cut.pieces if number in self.kept]
        if len(pieces) < 2:
            return
        ends = list(accumulate(map(self._length, pieces)))
        places = range(1, len(pieces))
        between = [n for n in places if self.pieces[pieces[n - 1]].endswith("\n\n")] or places
        middle = min(between, key=lambda n: abs(2 * ends[n - 1] - ends[-1]))
        yield replace(cut, pieces=tuple(pieces[:middle]))
        yield replace(cut, pieces=tuple(pieces[middle:]))


@dataclass
class Cuts:
    """The cuts of one prompt that are left to try, those that save most first. `names`: the names that replies are
    parsed for; `filled`: estimated tokens that are filled into the prompt for each input; `credit`: the estimated
    value of each section's text; `answers`: the prompt of a program that must keep the names, if it is known."""

    prompt: Prompt
    fields: Sequence[str]
    names: Names
    filled: int
    credit: Mapping[str, Credit]
    answers: str = ""
    _bodies: dict[str, Body] = field(default_factory=dict)
    _left: list[tuple[float, int, Cut]] = field(default_factory=list)
    _pushed: int = 0

    def __post_init__(self) -> None:
        self._least = max(1.0, WORTH * (self.prompt.tokens + self.filled))
        shown = sum(_items(section.filled, None) for section in self.prompt)
        each = self.filled / shown if shown else 0.0
        for section in self.prompt:
            if not section.frozen and section.text:
                self._bodies[section.name] = body = _body(section, each)
                for cut in self._first(body):
                    self._push(cut)

    def _first(self, body: Body) -> Iterator[Cut]:
        for slot, count in body.counts.items():
            yield Cut(body.section.name, slot=slot, fewer=max(1, count // 2))
        if not FEWER.fullmatch(body.section.text.strip()):
            whole = Cut(body.section.name, tuple(range(len(body.pieces))))
            earned = self.credit.get(body.section.name)
            worth = earned is not None and earned.value > SURE * earned.error
            yield from body.halves(whole) if worth else [whole]

    def next(self) -> tuple[Cut, Prompt] | None:
        """The next cut, and the prompt after it; None if no cut is left that saves enough. A cut that would lose a
        placeholder or a name is halved at once."""
        while self._left:
            _, _, cut = heappop(self._left)
            body = self._bodies[cut.section]
            if body.saved(cut) < self._least:
                continue
            try:
                return cut, self._after(cut, body.without(cut))
            except EditRejected:
                self.failed(cut)
        return None

    def _after(self, cut: Cut, body: Body) -> Prompt:
        """:raises EditRejected: a placeholder or a name would be lost, or nothing would change."""
        text, form = body.text
        after = self.prompt.edit(cut.section, text, self.fields, form)
        if after == self.prompt:
            raise EditRejected("the edit changes nothing")
        self.names.check(scored(self.prompt, self.answers), scored(after, self.answers), text)
        return after

    def held(self, cut: Cut, prompt: Prompt) -> None:
        """Accept a cut: continue from the prompt after it."""
        self.prompt = prompt
        body = self._bodies[cut.section] = self._bodies[cut.section].without(cut)
        if cut.slot and (count := body.counts[cut.slot]):
            more = cut.fewer // 2 if cut.tight else max(1, count // 2)
            self._push(replace(cut, fewer=min(more, count)))

    def failed(self, cut: Cut) -> None:
        """Reject a cut, because the prompt after it is worse or not allowed, and try its halves."""
        for half in self._bodies[cut.section].halves(cut):
            self._push(half)

    def _push(self, cut: Cut) -> None:
        if cut.pieces or cut.fewer:
            self._pushed += 1
            heappush(self._left, (-self._bodies[cut.section].saved(cut), self._pushed, cut))


def _body(section: Section, each: float) -> Body:
    if section.form == "turns" and section.turns:
        pairs = zip(section.turns[::2], section.turns[1::2], strict=True)
        parts = [dump_turns(pair) for pair in pairs]
    elif section.kind == "examples":
        parts = re.findall(r"(?:(?!\n\n).)+\n*|\n+", section.text, re.DOTALL)
    else:
        parts = pieces(section.text)
    counts: dict[str, int] = {}
    for place in places(section.filled):
        slot, _, count = place.partition(":")
        counts[slot] = max(int(count), counts.get(slot, 0))
    return Body(section, tuple(parts), frozenset(range(len(parts))), counts, each)


def _items(text: str, counts: Mapping[str, int] | None) -> int:
    """The number of items that fill the placeholders of a text, at most `counts` of a slot."""
    asked = [(place.partition(":"), times) for place, times in places(text).items()]
    return sum(
        times * min(int(count), int(count) if counts is None else counts[slot]) for (slot, _, count), times in asked
    )


def pieces(text: str) -> list[str]:
    """Splits a text into pieces that can be deleted independently; joined, they are exactly the text. A fenced block,
    brackets over several lines, and a line with the lines indented under it each stay in one piece."""
    found: list[str] = []
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    number = 0
    while number < len(lines):
        end = _block(lines, number)
        block = "".join(lines[number:end])
        if (found and not block.strip()) or (found and block[0] in " \t" and not found[-1].endswith("\n\n")):
            found[-1] += block
        elif end == number + 1 and estimate_tokens(block) > LONG:
            found += _sentences(block)
        else:
            found.append(block)
        number = end
    return found


def _block(lines: Sequence[str], start: int) -> int:
    """The end of the block that begins with this line: after its closing fence or bracket, or else the next line."""
    mark = lines[start].lstrip()[:3]
    if mark in FENCE:
        ends = (n + 1 for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith(mark))
        return next(ends, start + 1)
    depth = 0
    for number in range(start, len(lines)):
        depth += sum((c in OPEN) - (c in CLOSED) for c in lines[number])
        if depth <= 0:
            return number + 1
    return start + 1  # an unclosed bracket begins no block


def _sentences(line: str) -> list[str]:
    """The sentences of a line, each with its trailing white space."""
    ends = [match.end() for match in SENTENCE.finditer(line)]
    return [line[a:b] for a, b in zip([0, *ends], [*ends, len(line)], strict=True)]
