"""What to do on another model, by the paired differences between three prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agents.results.comparison import Change
from protocols.metrics.bootstrap import Interval

Advice = Literal["first", "best", "retrained", "open"]
"""The prompt to use: the one that the earlier run began with, its best, or the one trained again; `open`: the
examples do not tell them apart."""


@dataclass(frozen=True, slots=True)
class Differences:
    """`best`: the earlier run's best prompt beside the prompt that the run began with; `retrained`: the prompt
    trained again beside that best one; `both`: the prompt trained again beside the one that the run began with. None
    if no test example was answered by both."""

    best: Change | None
    retrained: Change | None
    both: Change | None


def advise(found: Differences, run: str, model: str, tokens: Sequence[int]) -> tuple[Advice, str]:
    """The advice, and a sentence for a person. `tokens`: the lengths of the three prompts. A prompt counts as better
    where the 95 % interval of the paired difference lies above 0."""
    best, retrained, both = found.best, found.retrained, found.both
    if best is None or retrained is None or both is None:
        return "open", "Too few test examples were answered to compare the prompts."
    if retrained.interval[0] > 0 and both.difference > 0:
        return "retrained", (
            f"Use the prompt trained again: on {model} it is better than that of {run}, {_said(retrained)}."
        )
    if best.interval[0] > 0:
        return "best", (
            f"Keep the prompt of {run}: on {model} it is better than the first prompt, {_said(best)}. Training it "
            f"again is not worth it: {_said(retrained)}."
        )
    if both.interval[0] > 0:
        return "retrained", (
            f"Use the prompt trained again: on {model} it is better than the first prompt, {_said(both)}; that of "
            f"{run} is not shown to be: {_said(best)}."
        )
    if best.interval[1] < 0:
        return "first", (
            f"Do not use the prompt of {run} on {model}: it is worse there than the first prompt, {_said(best)}. "
            "Train from the first prompt instead."
        )
    names = ("the first prompt", f"the prompt of {run}", "the prompt trained again")
    shortest = names[min(range(len(names)), key=lambda place: (tokens[place], place))]
    return "open", (
        f"On {model} the test examples do not tell the prompts apart, so training again is not worth it yet: "
        f"compared with the first prompt, that of {run} has {_said(best)}, the one trained again {_said(both)}. "
        f"The shortest is {shortest}; more assignments or more test examples may show a difference."
    )


def _said(change: Change) -> str:
    return f"{change.difference:+.3f} ({in_words(change.interval)})"


def in_words(interval: Interval) -> str:
    """A 95 % interval of a difference."""
    low, high = interval
    return f"95 %: {low:+.3f} to {high:+.3f}"
