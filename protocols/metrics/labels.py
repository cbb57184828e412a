"""Which of a closed set of labels a reply names."""

from __future__ import annotations

import re
from collections import Counter

from protocols.errors import DataError, UnreadableReply
from protocols.metrics.parsers import final_answer, last_line
from protocols.metrics.text import LETTER, fold, normalise


class LabelParser:
    """Reads the one label that a reply names, as whole words, longest match first.

    The reply's last line alone, then what follows each of its colons, is read first; then what the last line
    mentions, so that a reasoned reply may mention other labels on its way; then the whole reply. Punctuation around a
    label counts only where labels differ in nothing else (C, C++).
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        """:raises DataError: no reply could tell two labels apart: they differ in case or white space alone."""
        alike = Counter(normalise(label) for label in labels)
        self._by_form: dict[str, str] = {}
        for label in labels:
            bare = normalise(label)
            form = bare if bare and alike[bare] == 1 else fold(label)
            if form in self._by_form:
                raise DataError(f"a reply cannot tell the labels {self._by_form[form]!r} and {label!r} apart")
            self._by_form[form] = label
        longest_first = sorted(self._by_form, key=len, reverse=True)
        self._named = re.compile("|".join(_whole_word(form) for form in longest_first))
        either = "|".join(re.escape(form) for form in longest_first)
        self._alone = re.compile(rf"[\W_]*?({either})[\W_]*")

    def __call__(self, reply: str) -> str:
        """The label.

        :raises UnreadableReply: none is named, or several are.
        """
        last = last_line(reply)
        for start in (0, *(colon.end() for colon in re.finditer(r"[:：]", last))):
            if alone := self._alone.fullmatch(fold(last[start:])):
                return self._by_form[alone[1]]
        named = self._mentions(last)
        if len(named) != 1:
            named = self._mentions(reply)
        if not named:
            raise UnreadableReply("the reply names no label")
        if len(named) > 1:
            raise UnreadableReply(f"the reply names several labels ({', '.join(named)}); it must name one")
        return named[0]

    def _mentions(self, text: str) -> list[str]:
        return [self._by_form[form] for form in dict.fromkeys(self._named.findall(fold(text)))]


class FinalLabelParser(LabelParser):
    """Reads the one label that the final answer begins or ends with: in a reply that reasons, words such as no and
    valid say other things too."""

    def __call__(self, reply: str) -> str:
        """The label.

        :raises UnreadableReply: there is none, or there are two.
        """
        answer = final_answer(reply)
        text = fold(answer)
        edges = [m for m in self._named.finditer(text) if not (_word(text[: m.start()]) and _word(text[m.end() :]))]
        named = list(dict.fromkeys(self._by_form[m[0]] for m in edges))
        if len(named) != 1:
            labels = ", ".join(self._by_form.values())
            raise UnreadableReply(f"the reply must end with one of {labels}, and ends with {answer!r}")
        return named[0]


def _word(text: str) -> bool:
    return re.search(r"\w", text) is not None


def _whole_word(form: str) -> str:
    before = f"(?<!{LETTER})" if re.match(LETTER, form) else ""
    after = f"(?!{LETTER})" if re.search(f"{LETTER}$", form) else ""
    return before + re.escape(form) + after
