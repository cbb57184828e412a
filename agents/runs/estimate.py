"""What a search will take, told from its configuration before anything is spent."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agents.operators.few_shot import FewShot
from agents.operators.rewriting import OUTCOMES
from agents.prompting.blocks import ROOM
from agents.prompting.requests import show_example, show_turns
from agents.prompting.shelves import EXAMPLES, places, unfilled
from agents.runs.budget import prices
from agents.runs.configuration import Configuration
from agents.runs.least import reply_room
from agents.runs.metrics import asks_judge
from agents.runs.tables import NONE
from memory.retrieval import CHUNK
from protocols.model import TURN, Usage
from protocols.prompt import Prompt, estimate_tokens, estimate_turn
from protocols.task import Task
from protocols.wrappers.prices import Price

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
SHOWN, WRITTEN, REASONED = 16, 512, 256
"""What grows over a search, at most on average: examples in a prompt, if an operator may show them, tokens of its
text, tokens of a reply."""
MOST_SHOWN, INSTRUCTION = 2 * OUTCOMES, 400
"""What a critic or a proposer is shown beside the prompt: examples at most, tokens of instruction."""
ASSUMPTIONS: Final = (
    "low: every edit loses at its first look and prompts stay as short as the first one; high: every edit goes "
    f"through all of validation and to the critic, prompts grow by {SHOWN} examples if few_shot may show them and by "
    f"{WRITTEN} tokens, and replies reason for {REASONED} tokens, as far as they may. Four bytes are a token; "
    "retries and discounts for cached input left out."
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
    """Tokens, on average: a rendered prompt, a gold answer, an example as a prompt shows it; and the prompt's
    sections."""

    prompt: int
    target: int
    shown: int
    sections: int


@dataclass(frozen=True, slots=True)
class Bound:
    """`edits`: for each operator, what all edits would take if it made them. `choose`: the least or the most."""

    roles: Mapping[str, Use]
    edits: Sequence[Use]
    choose: Callable[[Iterable[float]], float]

    def edited(self, of: Callable[[Use], float]) -> float:
        """`of` the edits, whichever operator is least or most in that."""
        return self.choose([of(use) for use in self.edits])

    def total(self, of: Callable[[Use], float]) -> float:
        """`of` everything."""
        return sum(of(use) for use in self.roles.values()) + self.edited(of)


def estimate(
    configuration: Configuration, environ: Mapping[str, str], task: Task, first: Prompt, operators: Collection[str]
) -> Estimate:
    """What a search of `task` from the prompt `first` takes, the held-out report included."""
    sizes, known = measure(task, first), prices(configuration, environ)
    low, high = (_bound(configuration, task, operators, sizes, at_most) for at_most in (False, True))
    unpriced = tuple(sorted({use.model for use in (*high.roles.values(), *high.edits) if use.calls} - known.keys()))
    (calls, tokens, dollars), (most_calls, most_tokens, most_dollars) = (
        _capped(configuration, bound, known) for bound in (low, high)
    )
    roles = {role: (low.roles[role].calls, high.roles[role].calls) for role in low.roles}
    return Estimate(
        calls=(calls, most_calls),
        tokens=(tokens, most_tokens),
        dollars=None if unpriced else (dollars, most_dollars),
        unpriced=unpriced,
        roles=roles | {"proposers": (round(low.edited(_calls)), round(high.edited(_calls)))},
    )


def measure(task: Task, first: Prompt) -> Sizes:
    """The lengths that an estimate is made from."""
    shown = _mean([show_example(first, task, example) for example in task.train])
    turned = task.train if any(section.form == "turns" and section.filled for section in first) else ()
    pairs = [sum(map(estimate_turn, show_turns(first, task, example))) for example in turned]
    turns = round(sum(pairs) / len(pairs)) if pairs else 0
    filled = sum(
        int(place.partition(":")[2]) * count * _item(place, turns if section.form == "turns" else shown)
        for section in first
        for place, count in places(section.filled).items()
    )
    sent = [first.render(unfilled(example.inputs)) for example in task.validation]
    rendered = ["".join(message.text for message in messages) for messages in sent]
    filled += TURN * max((len(messages) - 2 for messages in sent if len(messages) > 2), default=0)
    target = _mean([task.kind.show(example.target) for example in task.train])
    return Sizes(_mean(rendered) + filled, target, shown, len(first.sections))


def _bound(
    configuration: Configuration, task: Task, operators: Collection[str], sizes: Sizes, at_most: bool
) -> Bound:
    """What a search takes at least, or at most."""
    models, edits = configuration.models, configuration.search.assignments
    critique = min(configuration.minibatch(len(task.validation)), len(task.train))
    whole = len(task.validation) + critique
    shows = any(name == FewShot.name or name not in CALLS for name in operators)
    examples = min(SHOWN, len(task.train)) if shows else 0
    prompt = sizes.prompt + at_most * (examples * sizes.shown + WRITTEN)
    longest = reply_room(configuration, task.kind.limit + task.kind.thought)
    reply = min(sizes.target + at_most * REASONED, longest)
    outcomes = min(MOST_SHOWN * (sizes.shown + reply), 2 * ROOM)
    shown = prompt + INSTRUCTION + at_most * outcomes
    answers = whole + edits * (whole if at_most else 1)  # a race may be lost with its first answer
    answers += (2 if at_most and edits else 1) * len(task.test)
    answers += at_most * bool(edits) * configuration.search.shrink * len(task.validation)
    answers *= configuration.search.repeats
    written = WRITTEN if at_most else 1
    measured = configuration.agents.critic != NONE
    credit = at_most * measured * int(configuration.search.credit_share * answers)
    roles = {
        "task": Use(models.of("task"), answers, prompt, reply),
        "credit": Use(models.of("credit"), credit, prompt, reply),
    }
    if measured:
        roles["critic"] = Use(models.of("critic"), at_most * (edits + 1), shown, written)
    if asks_judge(configuration):  # once for each distinct answer to an example
        verdicts = answers + credit if at_most else whole + len(task.test)
        roles["judge"] = Use(models.of("judge"), verdicts, INSTRUCTION + sizes.shown + reply, written)
    if embedder := configuration.memory.embedder:  # once for each distinct section and what is said of it
        roles["embedder"] = Use(embedder, at_most * (edits + sizes.sections), shown, 0)
    return Bound(
        roles=roles,
        edits=[
            Use(models.of(f"proposer/{name}"), edits * CALLS.get(name, OWN)[at_most], shown, written)
            for name in operators
        ],
        choose=max if at_most else min,
    )


def _item(place: str, example: int) -> int:
    """The tokens of one item that is filled in."""
    return example if place.startswith(EXAMPLES) else CHUNK // 4


def _calls(use: Use) -> float:
    return use.calls


def _capped(configuration: Configuration, bound: Bound, known: Mapping[str, Price]) -> tuple[int, int, float]:
    """Calls, tokens and dollars in all; where calls are capped, the others in proportion."""
    budget, calls = configuration.budget, bound.total(_calls)
    share = min(1.0, budget.calls / calls) if budget.calls else 1.0
    tokens = round(share * bound.total(lambda use: use.tokens))
    dollars = share * bound.total(lambda use: use.dollars(known))
    return (
        round(share * calls),
        min(tokens, budget.tokens or tokens),
        min(dollars, budget.dollars or dollars),
    )


def _mean(texts: Sequence[str]) -> int:
    return round(sum(map(estimate_tokens, texts)) / len(texts)) if texts else 0
