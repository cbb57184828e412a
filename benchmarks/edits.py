"""Prompt edits to measure a memory with: critiques and sections made from the words of examples/tickets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import orjson

from memory.experience import Experience
from protocols.prompt import KINDS

TICKETS = Path(__file__).resolve().parent.parent / "examples" / "tickets" / "train.jsonl"
OPERATORS = ("few_shot", "self_reflection", "chain_of_thought", "short_instruction", "merge", "define_sort")
GRADIENTS = (
    "Messages such as “{quote}” were answered {label}, and {other} is right: say what tells {other} from {label}.",
    "{n} of the failures hold “{quote}”. Define {label} by {word} and {word}, not by {word}.",
    "Nothing tells {label} from {other} when somebody writes about {word}; add a line on {word}.",
    "Say that a message about {word} goes to {other} even where {word} is named first.",
)
LINES = (
    "{label}: {word}, {word}, {word} and whatever else is about {word}.",
    "Text: {quote}\nLabel: {label}",
    "If the message asks for {word}, answer {label}; if it is about {word}, answer {other}.",
    "First look for {word} or {word}. Then ask whether {word} is meant. Only then choose {label}.",
    "Remember: “{quote}” is {other}, never {label}.",
    "Answer with one word of the list and nothing else.",
)


class Edits:
    """Experiences from a seeded generator: about as many situations as sections in a few hundred runs, each edited
    again and again, as a search does."""

    def __init__(self, seed: int) -> None:
        rows = [orjson.loads(line) for line in TICKETS.read_bytes().splitlines()]
        self._texts = [row["input"]["text"].split() for row in rows]
        self._labels = sorted({row["target"] for row in rows})
        self._words = sorted({word.strip(".,;:!?'\"()").lower() for text in self._texts for word in text} - {""})
        self._rng = Random(seed)

    def many(self, count: int) -> Iterator[Experience]:
        """`count` experiences: lineages of up to 20 edits, in each of which a section grows and shrinks by lines."""
        made = 0
        while made < count:
            task, section = f"task-{self._rng.randrange(40)}", self._rng.choice(KINDS)
            lines = [self._line() for _ in range(self._rng.randint(1, 8))]
            for _ in range(min(self._rng.randint(1, 20), count - made)):
                before = list(lines)
                place = self._rng.randrange(len(lines))
                lines[place : place + self._rng.randint(0, 1)] = [self._line()]
                yield self._experience(task, section, "\n".join(before), "\n".join(lines))
                made += 1

    def _experience(self, task: str, kind: str, before: str, after: str) -> Experience:
        return Experience(
            task=task,
            section=kind,
            kind=kind,  # type: ignore[arg-type]
            operator=self._rng.choice(OPERATORS),
            before=before,
            after=after,
            gradient=self._filled(self._rng.choice(GRADIENTS)),
            reward=self._rng.gauss(0, 0.05),
            evidence=self._rng.randint(1, 200),
            cost=len(after) // 4,
            outcome=self._rng.choice(("survived", "lost")),
            time=1.7e9 + self._rng.random() * 3e7,
        )

    def _line(self) -> str:
        return self._filled(self._rng.choice(LINES))

    def _filled(self, template: str) -> str:
        words = self._rng.choice(self._texts)
        start = self._rng.randrange(len(words))
        label, other = self._rng.sample(self._labels, 2)
        text = template.replace("{quote}", " ".join(words[start : start + 12])).replace("{label}", label)
        text = text.replace("{other}", other).replace("{n}", str(self._rng.randint(2, 9)))
        while "{word}" in text:
            text = text.replace("{word}", self._rng.choice(self._words), 1)
        return text
