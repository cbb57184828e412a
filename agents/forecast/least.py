"""The minimum cost of a run: caps below it are refused before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.config.configuration import Configuration
from agents.config.loading import load_corpus
from agents.config.metrics import asks_judge
from agents.config.tables import CapsTable
from agents.prompting.asking import reply_limit, task_request
from agents.prompting.retrieval_slots import MAX_TOKENS, open_slots, slots_of, unfilled
from protocols.budget.prices import Price
from protocols.errors import ConfigError
from protocols.model import Usage
from protocols.prompt import Prompt, estimate_message
from protocols.task import Task
from protocols.wrappers.reply_room import min_reply_tokens


@dataclass(frozen=True, slots=True)
class Least:
    """The cost of running the first prompt on validation, and two prompts on test. `tokens` and `dollars` are
    estimates for these `calls` without their replies, plus twice the longest call: the ledger sends no call that
    could exceed the budget, and holds back as much for the report. `dollars` None: the price is unknown. `longest`:
    input tokens of the longest call; `reply`: maximum number of tokens of a reply.
    """

    calls: int
    tokens: int
    dollars: float | None
    longest: int
    reply: int


def least(configuration: Configuration, task: Task, first: Prompt, known: Mapping[str, Price]) -> Least:
    """The minimum cost of the task model's calls."""
    asked = [
        task_request(task.kind, first, first.render(unfilled(example.inputs)))
        for example in (*task.validation, *task.test, *task.test)
    ]
    name, repeats = configuration.models.of("task"), configuration.search.repeats
    reply = reply_room(configuration, reply_limit(task.kind, first))
    longest = max(request.most_input for request in asked)
    tokens = repeats * sum(estimate_message(message) for request in asked for message in request.messages)
    price = known.get(name)
    dollars = price.of(Usage(tokens)) + 2 * price.most(longest, reply) if price else None
    return Least(repeats * len(asked), tokens + 2 * (longest + reply), dollars, longest, reply)


def reply_room(configuration: Configuration, limit: int) -> int:
    """Maximum number of tokens of a task model's reply if `limit` is wanted; more than that if the model needs
    more."""
    name = configuration.models.of("task")
    return max(limit, configuration.provider(name).reply_tokens or min_reply_tokens(name) or 0)


def check_caps(configuration: Configuration, task: Task, first: Prompt, known: Mapping[str, Price]) -> None:
    """:raises ConfigError: a cap of the run, or of the role task or judge, is too small to evaluate and report even
    the first prompt; the message states the minimum."""
    takes = least(configuration, task, first, known)
    for name, table, calls in _capped(configuration, takes.calls):
        what = "the first prompt on validation and the held-out report alone take"
        if table.calls is not None and table.calls <= calls:
            raise ConfigError(f"{name}.calls = {table.calls} is too small: {what} {calls}, and a search needs more")
        if name.endswith("judge"):
            continue  # how long its requests are depends on the replies
        each = f"{takes.calls} calls, the longest of up to {takes.longest:,} tokens and {takes.reply:,} of reply"
        if table.tokens is not None and table.tokens < takes.tokens:
            raise ConfigError(f"{name}.tokens = {table.tokens} is too small: {what} about {takes.tokens:,} ({each})")
        if table.dollars is not None and takes.dollars is not None and table.dollars < takes.dollars:
            raise ConfigError(
                f"{name}.dollars = {table.dollars:g} is too small: {what} about {takes.dollars:.2g} ({each})"
            )


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


def _capped(configuration: Configuration, calls: int) -> Iterator[tuple[str, CapsTable, int]]:
    """Each table of caps that apply to these calls: its name, the table, and the calls that it has to allow."""
    budget, judges = configuration.budget, asks_judge(configuration)
    yield "budget", budget, calls * (1 + judges)
    for role, table in budget.roles.items():
        if role == "task" or (role == "judge" and judges):
            yield f"budget.roles.{role}", table, calls
