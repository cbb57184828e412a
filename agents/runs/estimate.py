"""What a search will take, told from its configuration before anything is spent."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agents.prompting.requests import show_example, show_target
from agents.prompting.shelves import EXAMPLES, places
from agents.runs.configuration import Configuration
from agents.runs.models import prices
from memory.retrieval import CHUNK
from protocols.model import Usage
from protocols.prompt import Prompt, estimate_tokens
from protocols.task import Task
from protocols.wrappers.ledger import Price

CALLS: Final[Mapping[str, tuple[int, int]]] = {
    "chain_of_thought": (1, 2),
    "self_reflection": (1, 2),
    "self_consistency": (4, 9),
    "differential_evolution": (1, 2),
    "repeat_instructions": (1, 2),
    "short_instruction": (1, 2),
    "few_shot": (0, 0),
    "rag": (0, 0),
    "define_sort": (0, 0),
    "merge": (0, 0),
}
"""Model calls of one edit, at least and at most (docs/operators.md)."""
OWN = (0, 2)
"""Of an operator of the user's."""
SHOWN, WRITTEN, REASONED = 32, 512, 256
"""What grows over a search, at most on average: examples in a prompt, tokens of its text, tokens of a reply."""
FAILURES, INSTRUCTION = 24, 400
"""What a critic or a proposer is shown beside the prompt: failed examples at most, tokens of instruction."""
ASSUMPTIONS: Final = (
    "low: every edit loses at its first look and prompts stay as short as the first one; high: every edit goes "
    f"through all of validation and to the critic, prompts grow by {SHOWN} examples and {WRITTEN} tokens, and "
    f"replies reason for {REASONED} tokens. Four bytes are a token; retries and discounts for cached input left out."
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Each range from low to high, within the caps of `[budget]`; `roles`: calls, before caps. `dollars` None: the
    price of the models in `unpriced` is not known."""

    calls: tuple[int, int]
    tokens: tuple[int, int]
    dollars: tuple[float, float] | None
    unpriced: tuple[str, ...]
    roles: Mapping[str, tuple[int, int]]
    assumptions: str = ASSUMPTIONS


@dataclass(frozen=True, slots=True)
class Use:
    """Calls of one model, and tokens of one of them."""

    model: str
    calls: int
    input: int
    output: int

    @property
    def tokens(self) -> int:
        """Of all its calls."""
        return self.calls * (self.input + self.output)

    def dollars(self, known: Mapping[str, Price]) -> float:
        """What it costs; 0 without calls or price."""
        usage = Usage(self.calls * self.input, self.calls * self.output)
        return known[self.model].of(usage) if self.model in known else 0.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Tokens, on average: a rendered prompt, a gold answer, an example as a prompt shows it."""

    prompt: int
    target: int
    shown: int


def estimate(configuration: Configuration, task: Task, first: Prompt, operators: Collection[str]) -> Estimate:
    """What a search of `task` from the prompt `first` takes, the held-out report included."""
    sizes = measure(task, first)
    known = prices(configuration)
    low, high = (_uses(configuration, task, operators, sizes, at_most) for at_most in (False, True))
    roles = {role: (low[role].calls, high[role].calls) for role in low}
    named = {use.model for use in high.values() if use.calls}
    unpriced = tuple(sorted(named - known.keys()))
    totals = [_capped(configuration, list(uses.values()), known) for uses in (low, high)]
    (calls, tokens, dollars), (more_calls, more_tokens, more_dollars) = totals
    return Estimate(
        calls=(calls, more_calls),
        tokens=(tokens, more_tokens),
        dollars=None if unpriced else (dollars, more_dollars),
        unpriced=unpriced,
        roles=roles,
    )


def measure(task: Task, first: Prompt) -> Sizes:
    """The lengths that an estimate is made from."""
    shown = _mean([show_example(first, example) for example in task.train])
    filled = sum(
        int(place.partition(":")[2]) * count * (shown if place.startswith(EXAMPLES) else CHUNK // 4)
        for section in first
        for place, count in places(section.text).items()
    )
    rendered = ["".join(message.text for message in first.render(example.inputs)) for example in task.validation]
    return Sizes(_mean(rendered) + filled, _mean([show_target(example.target) for example in task.train]), shown)


def _uses(
    configuration: Configuration, task: Task, operators: Collection[str], sizes: Sizes, at_most: bool
) -> dict[str, Use]:
    """What each role takes, at least or at most. One edit's operator is the cheapest, or the dearest."""
    models, edits = configuration.models, configuration.search.assignments
    critique = min(configuration.search.critique, len(task.train))
    whole = len(task.validation) + critique
    prompt = sizes.prompt + at_most * (SHOWN * sizes.shown + WRITTEN)
    reply = sizes.target + at_most * REASONED
    shown = prompt + INSTRUCTION + at_most * FAILURES * (sizes.shown + reply)
    first_look = min(configuration.search.minibatch, len(task.validation))
    answers = whole + edits * (whole if at_most else first_look)
    answers += (2 if at_most and edits else 1) * len(task.test)
    uses = {
        "task": Use(models.of("task"), answers, prompt, reply),
        "credit": Use(models.of("credit"), at_most * int(configuration.search.credit_share * answers), prompt, reply),
        "critic": Use(models.of("critic"), at_most * (edits + 1), shown, WRITTEN),
    }
    each = [
        Use(models.of(f"proposer/{name}"), edits * CALLS.get(name, OWN)[at_most], shown, WRITTEN if at_most else 1)
        for name in operators
    ]
    known = prices(configuration)
    choose = max if at_most else min
    uses["proposers"] = choose(each, key=lambda use: (use.dollars(known), use.calls))
    return uses


def _capped(configuration: Configuration, uses: Sequence[Use], known: Mapping[str, Price]) -> tuple[int, int, float]:
    """Calls, tokens and dollars in all; where calls are capped, the others in proportion."""
    budget = configuration.budget
    calls = sum(use.calls for use in uses)
    share = min(1.0, budget.calls / calls) if budget.calls else 1.0
    tokens = round(share * sum(use.tokens for use in uses))
    dollars = share * sum(use.dollars(known) for use in uses)
    return (
        round(share * calls),
        min(tokens, budget.tokens or tokens),
        min(dollars, budget.dollars or dollars),
    )


def _mean(texts: Sequence[str]) -> int:
    return round(sum(map(estimate_tokens, texts)) / len(texts)) if texts else 0
