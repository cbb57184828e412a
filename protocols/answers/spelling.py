"""Finds the labels of a closed set in a text, in any spelling that a reply may use."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, pairwise

from protocols.answers.negation import MOST, WORDS, denied, denied_directly
from protocols.errors import DataError
from protocols.text import INVISIBLE, LETTER, fold

_SEPARATOR = re.compile(r"(?<=\w)(?:[\s-]|_(?=\w))+(?=\w)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
_NOT = re.compile(r"(?:not|non|no|isnt|非|不是|不|无)\s*")
_LISTED = re.compile(
    r"[\s\"'`*,、/&|]*(?:\b(?:or|nor|and|oder|und|ou|et|y|o)\b|和|或|及)?[\s\"'`*]*(?:\b(?:the|an?)\b\s*)?"
)

LONGEST = 40
"""Most characters of a word that are examined."""
HELD = 64
"""Number of texts whose mentions are cached, because the lines of a reply are examined more than once."""
PARTICLES = frozenset({"no", "a", "i"})
"""Labels that are also common words: they count as labels only if they stand alone."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A label in a text, from `start` to `end`. `asserted`: it is not denied, doubted or asked about."""

    label: str
    start: int
    end: int
    asserted: bool


class Spellings:
    """Finds labels in any spelling. `_`, `-` and space are equal, as are minus and dash, and a word may be split
    where its case changes, unless two labels differ only in this. Outer punctuation counts only if two labels differ
    only in it (C, C++)."""

    def __init__(self, labels: Sequence[str]) -> None:
        """:raises DataError: two labels differ only in case or white space, so no reply could tell them apart."""
        self.labels = tuple(labels)
        self._kept = {mark for mark in "*`<" if any(mark in label for label in labels)}
        forms = _forms(labels)
        loose = Counter(_squeezed(_parted(label, form)) for form, label in forms.items())
        longest_first = sorted(forms, key=len, reverse=True)
        self._by_group = [forms[form] for form in longest_first]
        patterns = []
        for form in longest_first:
            parted = _parted(forms[form], form)
            alone = loose[_squeezed(parted)] == 1
            patterns.append(_pattern(parted if alone else form, alone, forms[form]))
        either = "|".join(f"({pattern})" for pattern in patterns)
        self._room = 200 + 2 * max(map(len, forms), default=0)  # for a label and the punctuation around it
        self._alone = re.compile(rf"[\W_]*?(?:{either})[\W_]*")
        self._begins = re.compile(rf"[\W_]*?(?:{either})")
        begins = "".join(sorted({re.escape(form[0]) for form in forms} | {r"\+"}))
        self._named = re.compile(rf"(?=[{begins}])(?:{either})")
        self._found = lru_cache(HELD)(self._find)
        self._prefixes = {a for a in labels for b in labels if a != b and fold(b).startswith(fold(a))}
        squeezed = {_squeezed(_parted(label, form)): label for form, label in forms.items()}
        negated = ((_NOT.match(key), label) for key, label in squeezed.items())
        self._opposite = {
            squeezed[rest]: label
            for match, label in negated
            if match and (rest := _squeezed(match.string[match.end() :])) in squeezed
        }
        self._denials = {*self._opposite.values(), *(label for label in labels if fold(label) in WORDS)}

    def prepared(self, text: str) -> str:
        """A line prepared for comparison: folded, with uniform dashes and quotes, and without emphasis and tags.
        White space, including line ends, is collapsed."""
        text = fold(text).translate(_SIGNS)
        text = re.sub(r"(?<![^\s\W])–(?=\d)|(?<=\w)–(?=\w)", "-", text)
        if "<" not in self._kept:
            text = re.sub(r"</?[a-z][\w-]{0,20}>", " ", text)
        if "`" not in self._kept:
            text = text.replace("`", "")
        if "*" not in self._kept:
            text = re.sub(r"\*+(?=\S)|(?<=\S)\*+", "", text)
        text = re.sub(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*(?=\{)", "", text)
        return re.sub(r"(?<![\w\\])_+(?=\w)|(?<=\w)_+(?!\w)", "", text).strip()

    def alone(self, text: str) -> str | None:
        """The label that is the whole prepared text, apart from punctuation around it; None if there is none."""
        return self._label(self._alone.fullmatch(text)) if len(text) <= self._room else None

    def leading(self, text: str) -> Mention | None:
        """The label at the beginning of a prepared text; None if there is none."""
        match = self._begins.match(text, 0, self._room)
        label = self._label(match)
        if match is None or label is None or text[match.end() : match.end() + 1].isalnum():
            return None
        return Mention(
            label, match.start(match.lastindex or 0), match.end(), not denied(text, match.end(), match.end())
        )

    def mentions(self, text: str) -> Sequence[Mention]:
        """The labels in a prepared text, in order, the longest if several match at one place. A directly denied label
        is read as its opposite if that is a label (spam, not_spam)."""
        return self._found(text)[0]

    def crowded(self, text: str) -> bool:
        """Whether a prepared text has `MOST` or more mentions."""
        return self._found(text)[1]

    def _find(self, text: str) -> tuple[tuple[Mention, ...], bool]:
        matches = list(islice(self._named.finditer(text), MOST))
        return tuple(self._each(text, matches)), len(matches) == MOST

    def _each(self, text: str, matches: Sequence[re.Match[str]]) -> Iterator[Mention]:
        before: tuple[int, bool] | None = None
        since, said = 0, ""
        for match in matches:
            label, start, end = str(self._label(match)), *match.span()
            joined = re.search(r"(\w+)-\Z", text[max(0, start - LONGEST) : start])
            if re.match(r"-[^\W\d]", text[end : end + 2]) or (joined and joined[1] not in WORDS | {"un"}):
                continue
            if fold(label) in PARTICLES and not _stands_alone(text, start, end):
                continue
            direct = denied_directly(text, start) and label in self._opposite
            asserted = direct or not (joined or denied(text, start, end, since))
            inner = self._named.search(text, start + 1, end + LONGEST)
            if inner and inner.start() < end < inner.end():  # `not_spam` and `spam_card` overlap
                direct, asserted = False, False
            taken_back = bool(said) and self._opposite.get(label) == said  # not spam / spam
            if before and not before[1] and not taken_back and _LISTED.fullmatch(text, before[0], start):
                direct, asserted = False, False  # a denial of the first of a list applies to all
            before, said = (end, asserted and not direct), self._opposite[label] if direct else label
            since = end if direct or label in self._denials else since  # the denial is part of the label
            yield Mention(said, start, end, asserted)

    def asserted(self, text: str) -> list[str]:
        """The distinct labels that a prepared text asserts, in order; all labels if it is `crowded`."""
        if self.crowded(text):
            return list(self.labels)
        return list(dict.fromkeys(mention.label for mention in self.mentions(text) if mention.asserted))

    def may_go_on(self, label: str) -> bool:
        """Whether another label begins with this one, so that a cut-off reply may have meant the other."""
        return label in self._prefixes

    def _label(self, match: re.Match[str] | None) -> str | None:
        if match is None:
            return None
        return next(label for label, found in zip(self._by_group, match.groups(), strict=True) if found is not None)


_ANSWERED = re.compile(
    r"(?:^|[.,;:!?\n(/|]|\b(?:and|or|is|be|say|answer|answered|option|choice|surely|clearly|so|then|thus|therefore|hence"
    r"|an?|definitely|certainly|probably)\b)\s*[\"']?\Z"
)
_ENDED = re.compile(r"[\"']*(?:\s*(?:$|[.,;:!?\n—/|-])|\)|\s+(?:because|since|as|or|and)\b)")
_SIGNS = str.maketrans({"−": "-", "‒": "-", "‐": "-", "‑": "-", "’": "'", "‘": "'", "“": '"', "”": '"'})


def _forms(labels: Sequence[str]) -> dict[str, str]:
    """The labels by their distinguishing form: without outer punctuation if that is unique.

    :raises DataError: two labels have the same form.
    """
    alike = Counter(_bare(label) for label in labels)
    forms: dict[str, str] = {}
    for label in labels:
        bare = _bare(label)
        form = bare if bare and alike[bare] == 1 else fold(label).translate(_SIGNS)
        if form in forms:
            raise DataError(f"a reply cannot tell the labels {_told(forms[form], label)} apart")
        forms[form] = label
    return forms


def _told(one: str, other: str) -> str:
    """Two labels in words; those that look the same by their characters."""
    seen = {unicodedata.normalize("NFKC", INVISIBLE.sub("", label)) for label in (one, other)}
    if len(seen) == 1:
        return f"{one!a} and {other!a}, which look the same,"
    return f"{one!r} and {other!r}"


def _bare(label: str) -> str:
    """The folded label without outer punctuation, except the sign of a negative number."""
    text = re.sub(r"[\W_]+$", "", re.sub(r"–(?=\d)", "-", fold(label).translate(_SIGNS)))
    bare = re.sub(r"^[\W_]+", "", text)
    return f"-{bare}" if bare[:1].isdigit() and text.removesuffix(bare).endswith("-") else bare


def _parted(label: str, form: str) -> str:
    """The form with one space between its words."""
    camel = fold(_CAMEL.sub(" ", unicodedata.normalize("NFKC", INVISIBLE.sub("", label))))
    text = camel if _squeezed(camel) == _squeezed(form) else form
    return _SEPARATOR.sub(" ", text)


def _squeezed(text: str) -> str:
    return _SEPARATOR.sub("", text).replace(" ", "")


def _pattern(form: str, parted: bool, label: str) -> str:
    """A regular expression that matches a form as whole words, or as a whole number."""
    words = form.split(" ") if parted else [form]
    pattern = re.escape(words[0])
    for before, word in pairwise(words):
        some = "*" if before[-1:].isalpha() and word[:1].isalpha() else "+"
        pattern += rf"[\s_-]{some}{re.escape(word)}"
    if re.fullmatch(r"-?\d+(?:\.\d+)?", form):
        sign = r"(?<![\w.)])" if form[0] == "-" else r"(?<!\d[.,/:])(?<![-–—+\\])\+?"
        zeros = "" if "." in form else r"(?:\.0+)?"
        return rf"(?<!{LETTER}){sign}{pattern}{zeros}(?!{LETTER}|[.,/:-]\d|\s?%)"
    before = f"(?<!{LETTER})" if re.match(LETTER, form) else ""
    after = f"(?!{LETTER})" if re.search(f"{LETTER}$", form) else ""
    if after and fold(label)[-1:].isalnum():
        after += r"(?![+#](?!\w))"  # C is not C++
    return before + pattern + after


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether a label such as `No` is an answer at this position, and not part of a phrase."""
    before = text[max(0, start - LONGEST) : start]
    return _ANSWERED.search(before) is not None and _ENDED.match(text, end) is not None
