"""The length and the cost of each prompt of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agents.archive.archive import Member
from agents.prompting.retrieval_slots import RetrievalSlots
from protocols.budget.prices import Price
from protocols.model import Usage

THOUSAND = 1000
Priced = Callable[[str], Price | None]
"""The price of the model of a prompt, given its name; None if it is not known."""


@dataclass(frozen=True, slots=True)
class PromptCost:
    """One prompt of a program. `tokens`: its estimated length as it is sent, without the values of placeholders. For
    1,000 answers, extrapolated from the calls that are kept of `n` training examples: `calls`, metered tokens of
    `input` and `output`, and `dollars` (None: the price is not known)."""

    tokens: int
    calls: float
    input: int
    output: int
    dollars: float | None
    n: int


@dataclass(frozen=True, slots=True)
class PromptCosts:
    """A prompt at `first`, and in the winner (`best`)."""

    first: PromptCost
    best: PromptCost


def by_prompt(first: Member, best: Member, slots: RetrievalSlots, price: Priced) -> dict[str, PromptCosts]:
    """The costs of the prompts of a program, by name; none for a single prompt."""
    if len(first.prompt.names) < 2:
        return {}
    before, after = costs(first, slots, price), costs(best, slots, price)
    return {name: PromptCosts(before[name], after[name]) for name in before if name in after}


def costs(member: Member, slots: RetrievalSlots, price: Priced) -> Mapping[str, PromptCost]:
    """The costs of the prompts of a member."""
    made, n = {}, len(member.outcomes)
    for name in member.prompt.names:
        steps = [step for outcome in member.outcomes for step in outcome.steps if step.prompt == name]
        usage, share = sum((step.usage for step in steps), Usage()), THOUSAND / max(1, n)
        known = price(name)
        made[name] = PromptCost(
            slots.tokens(member.prompt.of(name)),
            len(steps) * share,
            round(usage.input * share),
            round(usage.output * share),
            None if known is None else known.of(usage) * share,
            n,
        )
    return made
