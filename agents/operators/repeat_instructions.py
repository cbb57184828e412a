"""repeat_instructions: restate near the end what failures show to be forgotten."""

from __future__ import annotations

from agents.operators.self_reflection import Rewriter


class RepeatInstructions(Rewriter):
    """Applies to reminders."""

    name = "repeat_instructions"
    kinds = ("reminders",)
