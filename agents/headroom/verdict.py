"""The verdict on a search's headroom from figures of the first prompt: a sentence, and one word for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from protocols.text import one_line

Kind = Literal["wrong form", "room", "little room", "none", "not known"]
LITTLE: Final = 0.1
"""A gain in score that counts as little: 3 of 30 examples, which few searches can tell from chance."""
CHANCE: Final = 0.05
"""Significance level: the probability that guesses do as well must be below it."""
QUOTED: Final = 100
"""Most characters of a reply that are quoted."""
INSTRUCT: Final = (
    "say in the prompt what an answer looks like, or look at the model, its reply_tokens and task.reply_tokens"
)


@dataclass(frozen=True, slots=True)
class Replies:
    """The replies to a prompt, one for each of `n` >= 0 examples. `value`: the corpus metric, in [0, 1]; `score`: the
    mean score; `right`: how many have the full score. The other fields count replies: `unreadable` without an answer
    that could be read (one of them is `quoted`), `truncated` cut off, `refused` refusals, `textless` without a text,
    by what came instead."""

    n: int
    value: float
    score: float
    right: int
    unreadable: int = 0
    truncated: int = 0
    refused: int = 0
    textless: Mapping[str, int] = field(default_factory=dict)
    quoted: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """The prompt with worked examples in a `form`, given in words. `gain`: in value over the prompt without them,
    paired on `n` examples; `interval`: of the gain, 95 % for all forms together. `tokens`: estimated length."""

    form: str
    n: int
    value: float
    gain: float
    interval: tuple[float, float]
    unreadable: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Again:
    """Repeated runs of the prompt. `repeated`: examples run again as in a search; `changed`: those of them with
    another score. `drawn`: examples with `draws` more replies at the model's default temperature; `missed`: those of
    them without a full score at first; `mended`: those of the missed with a full score in a draw. `chance`: the
    probability that a guess is right."""

    repeated: int
    changed: int
    draws: int
    drawn: int
    missed: int
    mended: int
    chance: float

    @property
    def by_chance(self) -> float:
        """The probability of at least `mended` mended examples if each draw were a guess."""
        each = 1 - (1 - self.chance) ** self.draws
        ways = range(self.mended, self.missed + 1)
        return sum(math.comb(self.missed, k) * each**k * (1 - each) ** (self.missed - k) for k in ways)


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures known before a search. Empty `shown`, or `again` None: not measured."""

    first: Replies
    shown: tuple[Shown, ...] = ()
    again: Again | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`sentence`: for a person, on one line; "" if the kind is `not known`.

    wrong form: half of the loss or more is from replies that cannot be read. room: worked examples or more draws do
    better. little room: the prompt is right nearly everywhere. none: nothing that was tried does better.
    """

    kind: Kind
    sentence: str


def verdict(figures: Figures) -> Verdict:
    """The verdict by the first rule that applies."""
    first, best = figures.first, _best(figures.shown)
    if not first.n:
        return Verdict("not known", "")
    helps = best if best is not None and best.interval[0] > 0 else None
    if wrong_form(first):
        return Verdict("wrong form", f"{unread(first)}{_mended(helps, bool(figures.shown), first)}")
    if helps is not None:
        low, high = helps.interval
        return Verdict(
            "room",
            f"Worked examples help: with {helps.form} the value rises from {first.value:.2f} to "
            f"{first.value + helps.gain:.2f} on {helps.n} examples ({helps.gain:+.2f}, 95 %: {low:+.2f} to "
            f"{high:+.2f}).",
        )
    if 1 - first.score <= LITTLE:
        return Verdict("little room", f"{_right(first)}; there is little to gain.")
    if figures.again is not None and figures.again.draws and _knows(figures.again):
        again = figures.again
        return Verdict(
            "room",
            f"Asked {again.draws} times more, the model is right on {again.mended} of the {again.missed} examples "
            "that it missed at first: it can do more than the first prompt gets out of it.",
        )
    if not figures.shown and figures.again is None:
        return Verdict("not known", "")
    return Verdict("none", f"{_nothing(figures)}: better instructions or another model are what is left.")


def wrong_form(first: Replies) -> bool:
    """Whether replies that cannot be read are at least half of the lost score, and at least LITTLE of all replies."""
    lost = first.n * (1 - first.score)
    return first.unreadable > 0 and first.unreadable >= LITTLE * first.n and 2 * first.unreadable >= lost


def unread(first: Replies) -> str:
    """The problem with the replies and their number, without advice."""
    textless = sum(first.textless.values())
    why = [f"{_counted(first.textless)} instead of a text"] if textless else []
    why += [f"{first.refused} refused"] if first.refused else []
    why += [f"{first.truncated} cut off at the longest"] if first.truncated else []
    more = f" ({', '.join(why)})" if why else ""
    said = f", such as “{one_line(first.quoted, QUOTED)}”" if first.quoted.strip() else ""
    what = "The model answers in the wrong form"
    if 2 * first.refused > first.unreadable:
        what = "The model refuses to answer"
    elif 2 * textless > first.unreadable:
        what = "The model gives no text"
    return f"{what}: {first.unreadable} of {first.n} replies hold no answer that can be read{more}{said}"


def _mended(helps: Shown | None, tried: bool, first: Replies) -> str:
    if helps is not None:
        left = f", of whose replies {helps.unreadable} of {helps.n} cannot be read" if helps.unreadable else ""
        return (
            f". {helps.form[0].upper()}{helps.form[1:]} mend that: the value rises from {first.value:.2f} to "
            f"{first.value + helps.gain:.2f}{left}."
        )
    return f". No form of worked examples mends that: {INSTRUCT}" if tried else f": {INSTRUCT}"


def _right(first: Replies) -> str:
    if math.isclose(first.right, first.score * first.n, abs_tol=0.5):
        return f"The first prompt is right on {first.right} of {first.n}"
    return f"The first prompt has {first.value:.2f} on {first.n} examples"


def _knows(again: Again) -> bool:
    """Whether more examples are mended than by guesses, and enough for a search."""
    return again.mended > LITTLE * again.drawn and again.by_chance < CHANCE


def _nothing(figures: Figures) -> str:
    parts = []
    if best := _best(figures.shown):
        wide = best.interval[1] > 2 * LITTLE
        parts.append("No form of worked examples helps" + f", as far as {best.n} examples tell" * wide)
    if (again := figures.again) is not None and again.draws:
        few = again.mended <= LITTLE * again.drawn
        parts.append(f"asked again the model {'errs on the same examples' if few else 'does no better than guesses'}")
    said = ", and ".join(parts)
    return said[:1].upper() + said[1:] or "Nothing that was tried helps"


def _best(shown: Sequence[Shown]) -> Shown | None:
    """A form with a significant gain if there is one; among these the largest gain, then the fewest tokens."""
    return max(shown, key=lambda one: (one.interval[0] > 0, one.gain, -one.tokens), default=None)


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in reasons.items())
