"""What a selector expects of an edit before this user's first run: what such edits earned on a language model.

Measured on SmolLM2-135M-Instruct with 40 validation texts of snips, tickets and subj (docs/decisions/forms.md). It is
one small model, so each figure counts as an edit of another task, which a few outcomes of one's own overrule.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from agents.selectors.msgd_rl import PastEpisode
from protocols.prompt import Kind

MEASURED_ON: Final = 40
EARNED: Final[tuple[tuple[str, Kind, bool, float], ...]] = (
    ("few_shot", "examples", True, 0.78),
    ("few_shot", "examples", True, 0.38),
    ("few_shot", "examples", True, 0.12),
    ("few_shot", "examples", False, 0.05),
    ("few_shot", "examples", False, 0.0),
    ("self_reflection", "task", False, 0.0),
    ("self_reflection", "definitions", True, 0.0),
    ("chain_of_thought", "reasoning", True, 0.0),
    ("short_instruction", "format", False, 0.0),
)
"""Operator, kind of section, whether that was empty, and the reward."""


def expected(operators: Collection[str]) -> list[PastEpisode]:
    """The episodes of these operators."""
    return [
        PastEpisode(operator, kind, reward, age=0.0, same_task=False, blank=blank, evidence=MEASURED_ON)
        for operator, kind, blank, reward in EARNED
        if operator in operators
    ]
