"""chain_of_thought: write a way of reasoning for this task (after Wei et al., arXiv 2201.11903)."""

from __future__ import annotations

from agents.operators.self_reflection import Rewriter


class ChainOfThought(Rewriter):
    """Applies to reasoning sections."""

    name = "chain_of_thought"
    kinds = ("reasoning",)
