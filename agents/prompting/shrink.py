"""What may be left out of a prompt to make it shorter: no word is written, so no model is asked.

A text falls into pieces: paragraphs, the items of lists, the sentences of long prose, worked examples one by one;
places such as `{examples:8}` may be filled with fewer. Large cuts are tried first, and of one that does not hold the
halves (Zeller & Hildebrandt 2002, Simplifying and isolating failure-inducing input).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import accumulate

from agents.prompting.retrieval_slots import PLACEHOLDER, places
from protocols.errors import EditRejected
from protocols.messages import Credit
from protocols.naming import Names
from protocols.prompt import Form, Prompt, Section, estimate_tokens
from protocols.turns import dump_turns

LONG = 24
"""Tokens of a line of prose from which on its sentences are pieces of their own."""
WORTH = 0.02
"""A cut that saves a smaller share of the prompt is not worth a race."""
SURE = 2.0
"""A section that is worth so many of its standard errors is not left out as a whole."""
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\sa-z])|(?<=[。！？])(?=\S)")
FENCE = ("```", "~~~")
OPEN, CLOSED = "{[(", "}])"
FEWER = re.compile(rf"\{{({PLACEHOLDER.pattern})\}}")


@dataclass(frozen=True, slots=True)
class Cut:
    """What may go from `section`: its pieces of these numbers; or `fewer` of the items that fill the place of a
    shelf, `examples` or `passages`."""

    section: str
    pieces: tuple[int, ...] = ()
    shelf: str = ""
    fewer: int = 0
    tight: bool = False
    """More than that was too much."""


@dataclass(frozen=True, slots=True)
class Body:
    """A section in pieces: `kept` are the numbers of those that are left. `per_item`: tokens of an item that fills
    its places."""

    section: Section
    pieces: tuple[str, ...]
    kept: frozenset[int]
    counts: Mapping[str, int]
    per_item: float

    @property
    def text(self) -> tuple[str, Form]:
        """The section's text as it is left, and its form."""
        left = [piece for number, piece in enumerate(self.pieces) if number in self.kept]
        if not left:
            return "", "system" if self.section.form == "turns" else self.section.form
        text = "".join(left) if self.section.form != "turns" else "\n".join(left)
        text = FEWER.sub(lambda match: self._place(match[2], int(match[3])), text)
        if self.section.form != "turns":
            text = re.sub(r"\n{3,}", "\n\n", text).strip("\n")
        return text, self.section.form if text.strip() else "system"

    def _place(self, shelf: str, count: int) -> str:
        left = min(count, self.counts[shelf])
        return f"{{{shelf}:{left}}}" if left else ""

    def without(self, cut: Cut) -> Body:
        """The body after a cut."""
        if cut.shelf:
            return replace(self, counts={**self.counts, cut.shelf: self.counts[cut.shelf] - cut.fewer})
        return replace(self, kept=self.kept.difference(cut.pieces))

    def saved(self, cut: Cut) -> float:
        """About the tokens that a cut saves."""
        if cut.shelf:
            return cut.fewer * self.per_item
        left = (self.pieces[number] for number in self.kept.intersection(cut.pieces))
        shown = (sum(places(piece).values()) and self.per_item * _items(piece, self.counts) for piece in left)
        return sum(map(self._length, cut.pieces)) + sum(shown)

    def _length(self, piece: int) -> int:
        return estimate_tokens(self.pieces[piece]) if piece in self.kept else 0

    def halves(self, cut: Cut) -> Iterator[Cut]:
        """What to try where a cut does not hold: its halves, divided between two paragraphs if there are several."""
        if cut.shelf:
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
    """The cuts of one prompt that are left to be tried, those that save most first. `names`: what replies are read
    for; `filled`: about the tokens that are filled into the prompt for each input; `credit`: by section, what is
    believed of its text."""

    prompt: Prompt
    fields: Sequence[str]
    names: Names
    filled: int
    credit: Mapping[str, Credit]
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
        for shelf, count in body.counts.items():
            yield Cut(body.section.name, shelf=shelf, fewer=max(1, count // 2))
        if not FEWER.fullmatch(body.section.text.strip()):
            whole = Cut(body.section.name, tuple(range(len(body.pieces))))
            earned = self.credit.get(body.section.name)
            worth = earned is not None and earned.value > SURE * earned.error
            yield from body.halves(whole) if worth else [whole]

    def next(self) -> tuple[Cut, Prompt] | None:
        """The next cut, and the prompt after it; None if none is left that is worth it. One that would lose a
        placeholder or a name is divided at once."""
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
        self.names.check(self.prompt, after, text)
        return after

    def held(self, cut: Cut, prompt: Prompt) -> None:
        """The prompt after the cut is the one to go on from."""
        self.prompt = prompt
        body = self._bodies[cut.section] = self._bodies[cut.section].without(cut)
        if cut.shelf and (count := body.counts[cut.shelf]):
            more = cut.fewer // 2 if cut.tight else max(1, count // 2)
            self._push(replace(cut, fewer=min(more, count)))

    def failed(self, cut: Cut) -> None:
        """The prompt after the cut is no better, or cannot be."""
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
        shelf, _, count = place.partition(":")
        counts[shelf] = max(int(count), counts.get(shelf, 0))
    return Body(section, tuple(parts), frozenset(range(len(parts))), counts, each)


def _items(text: str, counts: Mapping[str, int] | None) -> int:
    """How many items fill the places of a text, at most as many as `counts` says of a shelf."""
    asked = [(place.partition(":"), times) for place, times in places(text).items()]
    return sum(
        times * min(int(count), int(count) if counts is None else counts[shelf]) for (shelf, _, count), times in asked
    )


def pieces(text: str) -> list[str]:
    """A text in what may be left out of it by itself, in order; together they are the text, to the letter. What
    belongs together stays so: what is fenced or in brackets over several lines, and lines that are indented under
    another."""
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
    """Where the block ends that begins with this line: the next one, or behind its fence or its last bracket."""
    mark = lines[start].lstrip()[:3]
    if mark in FENCE:
        ends = (n + 1 for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith(mark))
        return next(ends, start + 1)
    depth = 0
    for number in range(start, len(lines)):
        depth += sum((c in OPEN) - (c in CLOSED) for c in lines[number])
        if depth <= 0:
            return number + 1
    return start + 1  # a bracket that nothing closes is no block


def _sentences(line: str) -> list[str]:
    """The sentences of a line, each with the white space that follows it."""
    ends = [match.end() for match in SENTENCE.finditer(line)]
    return [line[a:b] for a, b in zip([0, *ends], [*ends, len(line)], strict=True)]
