"""Prior rewards of edits for a selector: rewards measured on a language model.

Measured on SmolLM2-135M-Instruct with 40 to 50 validation texts of snips and tickets (docs/decisions/forms.md). Since
this is a single small model, each figure counts as an edit of another task, and a few of the run's own outcomes
outweigh it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from agents.selectors.msgd_rl import Cell, PastEpisode

MEASURED_ON: Final = 40
EARNED: Final[Mapping[Cell, tuple[float, ...]]] = {
    ("few_shot", "examples", True): (0.32, 0.82, 0.9, 0.15, 0.33, 0.37, 0.21, 0.66, 0.61, 0.0, 0.3, 0.28),
    ("few_shot", "examples", False): (0.08, 0.04, -0.05, -0.02),
    ("self_reflection", "task", False): (0.0, 0.0),
    ("self_reflection", "definitions", True): (0.0, 0.0),
    ("chain_of_thought", "reasoning", True): (0.0, 0.0),
    ("short_instruction", "format", False): (0.0,),
}
"""Measured rewards by operator, kind of section, and whether the section was empty."""


def expected(operators: Collection[str]) -> list[PastEpisode]:
    """The measured rewards of these operators as past episodes."""
    return [
        PastEpisode(operator, kind, reward, age=0.0, same_task=False, blank=blank, evidence=MEASURED_ON)
        for (operator, kind, blank), rewards in EARNED.items()
        if operator in operators
        for reward in rewards
    ]
