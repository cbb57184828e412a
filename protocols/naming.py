"""Finds the names in a prompt that the parser looks for in replies: labels, entity types, JSON keys, answer marks.

A model can only write names that the prompt tells it, and a parser reads only names that it knows. So a prompt that
has lost one of these names is worse than its score may show.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from protocols.errors import EditRejected
from protocols.prompt import Prompt, Section
from protocols.text import LETTER, UNSPACED, fold

WORD = re.compile(rf"[{UNSPACED}]|{LETTER}+|[^\w\s]")
"""A word, one character of a script without spaces, or one punctuation mark."""
JOINED = re.compile(r"(?<=\w)[_-]+(?=\w)")
SHOWN = 5
"""Most names that a message lists."""

Words = tuple[str, ...]


class Names:
    """The names that a task's parser looks for in replies.

    `forms`: the spellings of each name. Case and white space do not count, and the longest name at a position is
    read. `optional` names must stay in a prompt that has them, but may be absent. `loose`: `_`, `-` and a space
    between two words are equal.
    """

    def __init__(self, forms: Mapping[str, Sequence[str]], optional: Iterable[str] = (), loose: bool = False) -> None:
        self.all = tuple(forms)
        self._optional, self._loose = frozenset(optional), loose
        self._by_words: dict[Words, set[str]] = defaultdict(set)
        for name, written in forms.items():
            for form in written:
                self._by_words[self._words(form)].add(name)
        self._by_words.pop((), None)
        lengths: dict[str, set[int]] = defaultdict(set)
        for words in self._by_words:
            lengths[words[0]].add(len(words))
        self._lengths = {first: sorted(several, reverse=True) for first, several in lengths.items()}

    def named(self, text: str) -> frozenset[str]:
        """The names in the text, in time linear in its length. Two whole numbers stand for all between them, as in
        "from 1 to 5"."""
        words, found, place = self._words(text), set[str](), 0
        while place < len(words):
            for length in self._lengths.get(words[place], ()):
                if (said := words[place : place + length]) in self._by_words:
                    found |= self._by_words[said]
                    place += length
                    break
            else:
                place += 1
        return frozenset(found | self._between(found))

    def missing(self, prompt: Prompt) -> list[str]:
        """The required names that no section, worked examples included, says; in the order of `all`."""
        said = self._said(prompt)
        return [name for name in self.all if name not in said and name not in self._optional]

    def warning(self, prompt: Prompt) -> str:
        """A warning to the user about missing names; "" if none is missing."""
        if not (missing := self.missing(prompt)):
            return ""
        it, stands = ("it", "stands") if len(missing) == 1 else ("them", "stand")
        return (
            f"{listed(missing)} {stands} nowhere in the prompt, but replies are searched for {it}: a model that is "
            f"not told cannot know; write {it} into the prompt, for example into a section of the kind format"
        )

    def held(self, prompt: Prompt, section: str) -> list[str]:
        """The names that only this section says, so an edit of it must keep them."""
        others = self._said(_instructions(s for s in prompt if s.name != section))
        named = self.named(prompt[section].said)
        return [name for name in self.all if name in named and name not in others]

    def check(self, parent: Prompt, child: Prompt, text: str) -> None:
        """Refuse an edit that loses a name of the parent. `text`: the edited text.

        Worked examples are ignored in both prompts, because the shown ones change from edit to edit.

        :raises EditRejected: names are lost; the message lists them.
        """
        if lost := self._said(_instructions(parent)) - self._said(_instructions(child)):
            told = listed([name for name in self.all if name in lost])
            raise EditRejected(
                f"the edit loses {told}: what replies are read for must stay in the prompt, in the same words",
                text=text,
            )

    def _said(self, sections: Iterable[Section]) -> frozenset[str]:
        return frozenset[str]().union(*(self.named(section.said) for section in sections))

    def _words(self, text: str) -> Words:
        folded = fold(text)
        return tuple(WORD.findall(JOINED.sub(" ", folded) if self._loose else folded))

    def _between(self, found: Collection[str]) -> set[str]:
        numbers = [int(name) for name in found if _whole(name)]
        if len(numbers) < 2:
            return set()
        return {name for name in self.all if _whole(name) and min(numbers) <= int(name) <= max(numbers)}


NO_NAMES = Names({})
"""For a task whose replies may say anything."""


def closed(names: Collection[str], optional: Collection[str] = (), loose: bool = False) -> Names:
    """The names of a closed set of answers and of optional additions, each with itself as its only spelling."""
    every = {name: (name,) for name in (*names, *optional)}
    return Names(every, set(optional).difference(names), loose)


def schema_names(schema: Mapping[str, object]) -> list[str]:
    """The texts that a JSON Schema expects verbatim, in its order: required keys, enumerated and constant texts."""
    found: dict[str, None] = {}
    left: list[object] = [schema]
    while left:
        inner = left.pop()
        if isinstance(inner, Mapping):
            said = [inner.get("required"), inner.get("enum"), [inner.get("const")]]
            found |= {name: None for some in said if isinstance(some, list) for name in some if isinstance(name, str)}
            left += reversed([value for key, value in inner.items() if key not in ("enum", "const", "examples")])
        elif isinstance(inner, list):
            left += reversed(inner)
    return list(found)


def listed(names: Sequence[str]) -> str:
    """The first `SHOWN` names for a message, and the number of the others."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _instructions(sections: Iterable[Section]) -> Iterable[Section]:
    return (section for section in sections if section.kind != "examples")


def _whole(name: str) -> bool:
    return re.fullmatch(r"-?\d{1,9}", name) is not None
