"""The leak guard: text of validation or test examples in a trained prompt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from protocols.prompt import Prompt
from protocols.task import Example, SplitName, Task
from protocols.text import TOKEN, fold

LONGEST, SHORTEST = 8, 5
"""A run of this many words is a copy and no coincidence: see docs/decisions/acceptance.md. A text with fewer words is
a leak if it is there completely; a text with fewer words than the second number is not searched for."""
Gram = tuple[str, ...]
"""A run of words, or of characters in a script without spaces."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A `text` that a section of the prompt shares with an example of a split, as written in the prompt."""

    section: str
    split: SplitName
    example: str
    text: str


def leaks(prompt: Prompt, first: Prompt, task: Task) -> tuple[Leak, ...]:
    """The validation and test examples that `prompt` copies from, each once, with the first copied run of words.

    Text of the first prompt or of a training example is allowed. Memory holds the runs of words of `prompt` only.
    """
    new: dict[Gram, tuple[str, str]] = {}
    for section in prompt:
        for gram, text in _copies(section.said):
            new.setdefault(gram, (section.name, text))
    train = (text for example in task.train for text in _texts(example, task))
    for allowed in chain((section.said for section in first), train):
        for gram, _ in _copies(allowed):
            new.pop(gram, None)
    splits: tuple[SplitName, ...] = ("validation", "test")
    return tuple(
        Leak(found[0], split, example.id, found[1])
        for split in splits
        for example in task.split(split)
        if (found := _shared(_texts(example, task), new))
    )


def _shared(texts: Iterable[str], new: dict[Gram, tuple[str, str]]) -> tuple[str, str] | None:
    for text in texts:
        size = min(LONGEST, sum(1 for _ in TOKEN.finditer(text)))
        for gram, _ in _grams(text, size) if size >= SHORTEST else ():
            if gram in new:
                return new[gram]
    return None


def _texts(example: Example, task: Task) -> Iterable[str]:
    return (*example.inputs.values(), task.kind.show(example.target))


def _copies(text: str) -> Iterator[tuple[Gram, str]]:
    """All runs of SHORTEST to LONGEST words, the short ones first."""
    for size in range(SHORTEST, LONGEST + 1):
        yield from _grams(text, size)


def _grams(text: str, size: int) -> Iterator[tuple[Gram, str]]:
    """All runs of `size` words, folded and as written."""
    words = list(TOKEN.finditer(text))
    folded = [fold(word[0]) for word in words]
    for start in range(len(words) - size + 1):
        last = start + size - 1
        yield tuple(folded[start : last + 1]), text[words[start].start() : words[last].end()]
