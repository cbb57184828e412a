"""Metrics: what a reply is worth, and why, in words that a critic can use."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from protocols.errors import DataError
from protocols.task import Example, Judgement, MeanScore

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, kana, Han and Hangul: scripts in which a word need not end at a space."""
LETTER = rf"[^\W{UNSPACED}]"


def fold(text: str) -> str:
    """NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def normalise(text: str) -> str:
    """Folded, outer punctuation and quotes gone."""
    return re.sub(r"^[\W_]+|[\W_]+$", "", fold(text))


class LabelMetric(MeanScore):
    """Accuracy over a closed set of labels: 1.0 when the reply names the gold label and no other.

    The reply's last line, then what follows each of its colons, is read first, so that a reasoned reply may mention
    other labels on its way; then the whole reply must name exactly one label, as whole words, longest match first.
    Punctuation around a label counts only where labels differ in nothing else (C, C++).
    """

    def __init__(self, labels: tuple[str, ...]) -> None:
        """:raises DataError: no reply could tell two labels apart: they differ in case or white space alone."""
        self.labels = labels
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

    async def judge(self, example: Example, reply: str) -> Judgement:
        """Judge one reply; the target must be one of the labels."""
        found = self._read(reply)
        target = str(example.target)
        if len(found) == 1:
            answer = found[0]
            if answer == target:
                return Judgement(1.0, answer)
            return Judgement(0.0, answer, f"answered {answer}, expected {target}")
        if not found:
            return Judgement(0.0, None, f"the reply names no label; expected {target}")
        named = ", ".join(found)
        return Judgement(0.0, None, f"the reply names several labels ({named}); it must name one; expected {target}")

    def _read(self, reply: str) -> list[str]:
        last = _last_line(reply)
        for start in (0, *(colon.end() for colon in re.finditer(r"[:：]", last))):
            if alone := self._alone.fullmatch(fold(last[start:])):
                return [self._by_form[alone[1]]]
        forms = dict.fromkeys(self._named.findall(fold(reply)))
        return [self._by_form[form] for form in forms]


class ExactMetric(MeanScore):
    """1.0 when the last line of the reply, or what follows its last colon, equals the target (or one of the targets)
    after normalisation."""

    async def judge(self, example: Example, reply: str) -> Judgement:
        """Judge one reply; the target is a text or a list of texts that are all right."""
        targets = example.target if isinstance(example.target, list | tuple) else [example.target]
        wanted = [str(target) for target in targets]
        answer = _last_line(reply)
        readings = {normalise(answer), normalise(re.split(r"[:：]", answer)[-1])}
        if readings & {normalise(target) for target in wanted}:
            return Judgement(1.0, answer)
        expected = " or ".join(wanted)
        return Judgement(0.0, answer or None, f"answered {answer or 'nothing'}, expected {expected}")


def _last_line(reply: str) -> str:
    return next((line.strip() for line in reversed(reply.splitlines()) if line.strip()), "")


def _whole_word(form: str) -> str:
    before = f"(?<!{LETTER})" if re.match(LETTER, form) else ""
    after = f"(?!{LETTER})" if re.search(f"{LETTER}$", form) else ""
    return before + re.escape(form) + after
