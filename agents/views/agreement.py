"""The agreement of a judge with people, printed."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from agents.run.grading import JudgeChecked
from agents.views.live.terminal import clock, dollars, estimated
from protocols.text import one_line

WEAK = 0.5
"""Below this lower end of the interval, a search by the judge may optimise what people do not want."""


def show_agreement(console: Console, found: JudgeChecked) -> None:
    """Print the agreement, and the answers on which judge and people differ most."""
    for line in _lines(found):
        console.print(Text(one_line(line, 500)), soft_wrap=True)
    for one in found.disagreements:
        line = f"  {one.example}: person {one.person:g}, judge {one.judge:g}: {one_line(one.answer, 120)}"
        console.print(Text(one_line(line, 300)), soft_wrap=True)
        if one.reasons:
            console.print(Text(f"    judge: {one_line(one.reasons, 300)}"), soft_wrap=True)
    spent = f"{found.calls:,} calls, {found.tokens:,} tokens{estimated(found.estimated, found.calls)}"
    console.print(Text(f"{spent}, cost {dollars(found.dollars)}, {clock(found.seconds)}"), soft_wrap=True)


def _lines(found: JudgeChecked) -> Iterator[str]:
    low, high = found.interval
    left = f"; {found.ungraded} without a grade of the judge: {found.first_error}" if found.ungraded else ""
    yield (
        f"{found.model} and people: {found.measure} {found.value:.2f} "
        f"(95 %: {low:.2f} to {high:.2f}; {found.n} answers{left})"
    )
    people, judge = found.means
    if found.kappa is not None and found.always is not None:
        yield f"kappa {found.kappa:.2f}; always giving the commoner answer has accuracy {found.always:.2f}"
    yield f"people give {people:.2f} on average, the judge {judge:.2f} of 10"
    if low < max(WEAK, found.always or 0.0):
        yield "This judge may not want what people want: change the rubric, or the model, and measure again."
    if found.disagreements:
        yield "They differ most on:"
