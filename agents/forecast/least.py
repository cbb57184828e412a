"""The minimum cost of a run: caps below it are refused before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agents.config.configuration import Configuration
from agents.config.loading import load_corpus
from agents.config.metrics import against, compares, grades
from agents.config.tables.search import CapsTable
from agents.programs.trial import Trial
from agents.prompting.asking import likely_requests
from agents.prompting.retrieval_slots import MAX_TOKENS, open_slots, slots_of, unfilled
from protocols.budget.amount import Amount
from protocols.budget.budget_scope import Caps
from protocols.budget.prices import Price
from protocols.budget.shared_budget import SharedBudget
from protocols.errors import ConfigError
from protocols.metrics.judge import ModelJudge
from protocols.model import Request, Usage
from protocols.prompt import Prompt, estimate_message
from protocols.providers.responses.figures import BYTES
from protocols.task import Example, Task
from protocols.wrappers.reply_room import min_reply_tokens


@dataclass(frozen=True, slots=True)
class Least:
    """The cost of running the first prompt on validation, and two prompts on test. `tokens` and `dollars` are
    estimates for these `calls` without their replies, plus twice the longest call: the ledger sends no call that
    could exceed the budget, and holds back as much for the report. `dollars` None: the price is unknown. `longest`:
    input tokens of the longest call; `reply`: maximum number of tokens of a reply. `judge_tokens`, `judge_dollars`:
    what a judge who grades every answer takes besides, estimated for empty answers.
    """

    calls: int
    tokens: int
    dollars: float | None
    longest: int
    reply: int
    judge_tokens: int = 0
    judge_dollars: float | None = 0.0

    def of(self, judged: bool) -> tuple[int, float | None]:
        """Tokens and dollars, with those of the judge if the answers are `judged` under the same cap."""
        if not judged:
            return self.tokens, self.dollars
        known = self.dollars is not None and self.judge_dollars is not None
        dollars = (self.dollars or 0.0) + (self.judge_dollars or 0.0)
        return self.tokens + self.judge_tokens, dollars if known else None


def least(configuration: Configuration, task: Task, first: Prompt, known: Mapping[str, Price]) -> Least:
    """The minimum cost of the task model's calls, or of all calls of several. Of the calls of a program, which nobody
    knows beforehand, only one is counted for each example: the shortest, to the cheapest model."""
    repeats, models = configuration.search.repeats, len(configuration.models.each("task"))
    examples = (*task.validation, *task.test, *task.test)
    costs = [
        [_costs(configuration, request, known) for request in likely_requests(task, first, example.inputs, unfilled)]
        for example in examples
    ]
    every = [cost for each in costs for request in each for cost in request]
    longest = max(every, key=lambda cost: cost.longest + cost.reply)
    tokens = repeats * sum(min(sum(cost.tokens for cost in request) for request in each) for each in costs)
    dollars = repeats * sum(min(sum(cost.dollars for cost in request) for request in each) for each in costs)
    dollars += 2 * max(cost.most for cost in every)
    known_price = all(cost.priced for cost in every)
    judged = _judged(configuration, task, examples, known)
    times = repeats * models
    return Least(
        calls=times * len(costs),
        tokens=tokens + 2 * (longest.longest + longest.reply),
        dollars=dollars if known_price else None,
        longest=longest.longest,
        reply=longest.reply,
        judge_tokens=sum(times * cost.tokens for cost in judged)
        + 2 * max((cost.longest + cost.reply for cost in judged), default=0),
        judge_dollars=sum(times * cost.dollars for cost in judged) + 2 * max((c.most for c in judged), default=0.0)
        if all(cost.priced for cost in judged)
        else None,
    )


def _judged(
    configuration: Configuration, task: Task, examples: Sequence[Example], known: Mapping[str, Price]
) -> list[_Cost]:
    """The cost of grading an empty answer to each of the examples; nothing if no judge grades."""
    if not grades(configuration):
        return []
    judge = ModelJudge(task.kind, configuration.task.rubric or "", None)
    return [_cost(configuration, judge.request(example, ""), known, "judge") for example in examples]


@dataclass(frozen=True, slots=True)
class _Cost:
    """The cost of one call: the estimated `tokens` and `dollars` of its input, at most `longest` tokens of input and
    `reply` of output, and `most` dollars. Dollars are 0 unless it is `priced`."""

    tokens: int
    longest: int
    reply: int
    priced: bool
    dollars: float
    most: float


def _costs(configuration: Configuration, request: Request, known: Mapping[str, Price]) -> list[_Cost]:
    """The cost of a request to each of the models that are sent it."""
    return [_cost(configuration, request, known, role) for role in configuration.models.each(role_of(request.prompt))]


def _cost(configuration: Configuration, request: Request, known: Mapping[str, Price], role: str) -> _Cost:
    price = known.get(configuration.models.of(role))
    tokens = sum(map(estimate_message, request.messages)) + (request.offer.size // BYTES if request.offer else 0)
    reply, longest = reply_room(configuration, request.max_tokens, role), request.most_input
    if price is None:
        return _Cost(tokens, longest, reply, False, 0.0, 0.0)
    return _Cost(tokens, longest, reply, True, price.of(Usage(tokens)), price.most(longest, reply))


def role_of(prompt: str) -> str:
    """The role whose model answers the prompt of this name; "" without a program."""
    return f"task/{prompt}" if prompt else "task"


def reply_room(configuration: Configuration, limit: int, role: str = "task") -> int:
    """Maximum number of tokens of a task model's reply if `limit` is wanted; more than that if the model, or one of
    several, needs more."""
    models = configuration.models.each(role).values()
    return max(limit, *(configuration.provider(name).reply_tokens or min_reply_tokens(name) or 0 for name in models))


def check_caps(
    configuration: Configuration,
    task: Task,
    first: Prompt,
    known: Mapping[str, Price],
    seen: Trial | None = None,
    shared: SharedBudget | None = None,
) -> Amount:
    """Check the caps, also those of a budget of several runs, and return what the run takes at least; 0 dollars if a
    price is unknown. `seen`: the calls of a program; None: it was not tried.

    :raises ConfigError: a cap of the run or of several, or of the role task or judge, is too small to evaluate and
        report even the first prompt; the message states the minimum.
    """
    takes = least(configuration, task, first, known)
    opponent = (len(task.validation) + len(task.test)) * configuration.search.repeats if against(configuration) else 0
    compared = _compared(configuration, task)
    capped = [*_capped(configuration, takes.calls, opponent, compared, seen.calls if seen else 1.0)]
    _, _, whole = capped[0]
    if shared is not None:
        capped.append((f"{shared.name}.budget", shared.caps, whole))
    for name, table, calls in capped:
        what = "the first prompt on validation and the held-out report alone take"
        if table.calls is not None and table.calls <= calls:
            raise ConfigError(f"{name}.calls = {table.calls} is too small: {what} {calls}, and a search needs more")
        if name.endswith("judge"):
            continue  # how long its requests are depends on the replies
        tokens, dollars = takes.of(judged=not name.endswith("task"))
        each = f"{takes.calls} calls, the longest of up to {takes.longest:,} tokens and {takes.reply:,} of reply"
        if takes.judge_tokens and not name.endswith("task"):
            each += ", and as many verdicts of the judge"
        if table.tokens is not None and table.tokens < tokens:
            raise ConfigError(f"{name}.tokens = {table.tokens} is too small: {what} about {tokens:,} ({each})")
        if table.dollars is not None and dollars is not None and table.dollars < dollars:
            raise ConfigError(f"{name}.dollars = {table.dollars:g} is too small: {what} about {dollars:.2g} ({each})")
    tokens, dollars = takes.of(judged=True)
    return Amount(whole, tokens, dollars or 0.0)


def check_length(configuration: Configuration, task: Task, first: Prompt) -> None:
    """:raises ConfigError: the first prompt is longer than `prompt.max_tokens`."""
    if (most := configuration.prompt.max_tokens) is None:
        return
    filled = open_slots(task, load_corpus(configuration)).filled(first) if slots_of(first) else 0
    sent = first.tokens + filled
    if sent > most:
        raise ConfigError(
            f"{MAX_TOKENS} = {most} is too small: the first prompt has about {sent:,} tokens without the input; "
            "shorten it, or allow as many"
        )


def _compared(configuration: Configuration, task: Task) -> int:
    """Verdicts of preferences that a run keeps calls for: those of the held-out report on the result, and on the
    first prompt if another one is the opponent."""
    prompts = (2 if against(configuration) else 1) if compares(configuration) else 0
    return 2 * prompts * len(task.test) * configuration.search.repeats


def _capped(
    configuration: Configuration, answers: int, opponent: int, compared: int, calls: float
) -> Iterator[tuple[str, CapsTable | Caps, int]]:
    """Each table of caps that apply to these answers and those of an `opponent`, of so many `calls` each, first that
    of the run: its name, the table, and the calls that it has to allow, with the verdicts of answers that are
    `compared`. A cap of the judge need not allow these: nobody is asked to compare equal answers."""
    budget, graded = configuration.budget, answers * grades(configuration)
    yield "budget", budget, math.ceil((answers + opponent) * calls + graded + compared)
    for role, table in budget.roles.items():
        if role == "task" or (role == "judge" and graded):
            yield f"budget.roles.{role}", table, math.ceil((answers + opponent) * calls) if role == "task" else graded
