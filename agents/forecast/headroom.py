"""Measures headroom: in full for `doctor`, and at the start of a search if it is cheap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agents.config.catalogue import open_operators
from agents.config.configuration import Configuration
from agents.config.loading import load_corpus
from agents.config.metrics import asks_judge, compares
from agents.forecast.composed import composed
from agents.forecast.estimate import Estimate, estimate
from agents.forecast.least import role_of
from agents.forecast.past import read_past
from agents.headroom.found import Headroom, found
from agents.headroom.probe import DRAWS, LEAST, Plan, Probe, Tell
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger
from agents.models.outside import open_forward
from agents.programs.trial import Trial
from agents.prompting.forward import Forward
from agents.prompting.retrieval_slots import open_slots
from protocols.budget.prices import Price
from protocols.concurrency.threads import in_thread
from protocols.errors import BudgetExhausted, Interrupted
from protocols.model import Usage
from protocols.prompt import Prompt
from protocols.providers.catalogue import EMBEDDED
from protocols.task import Task

SHARE: Final = 20
"""A search measures headroom if that takes at most a 20th of its expected calls and tokens."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a plan: calls, and an upper estimate of tokens, since most replies are shorter than their limit.
    `dollars` None: a price is not known."""

    calls: int
    tokens: int
    dollars: float | None

    def __str__(self) -> str:
        paid = "" if self.dollars is None else f" (${self.dollars:,.4f})"
        return f"{self.calls:,} calls, at most about {self.tokens:,} tokens{paid}"


def draws(configuration: Configuration) -> int:
    """The number of replies drawn at the model's default temperature; 0 if a person has set it to 0."""
    roles = configuration.models.each("task")
    return 0 if any(configuration.asked(role).get("temperature") == 0 for role in roles) else DRAWS


def cost(
    configuration: Configuration, probe: Probe, plan: Plan, known: Mapping[str, Price], seen: Trial | None = None
) -> Cost:
    """The cost for the task model and, if there is one, for a judge, which is asked as often. A program makes as many
    calls as were `seen`; None: it was not tried, or there is none."""
    length, judged = probe.length(plan), asks_judge(configuration)
    usage = dict.fromkeys(configuration.models.each("task"), Usage(length.input, length.output))
    asked = len(usage)
    calls = float(plan.replies * asked)
    if seen is not None:
        calls *= seen.calls
        usage = {role_of(name): _times(seen, name, plan.replies) for name in seen.prompts}
    elif configuration.prompts:
        calls *= len(configuration.prompts)
    if judged:
        usage["judge"] = Usage(asked * (length.input + length.output), asked * length.output)
        calls += plan.replies * asked
    models = {role: configuration.models.of(role) for role in usage}
    priced = all(name in known for name in models.values())
    dollars = sum(known[models[role]].of(used) for role, used in usage.items()) if priced else None
    tokens = sum(used.input + used.output for used in usage.values())
    return Cost(round(calls), tokens, dollars)


def _times(seen: Trial, name: str, answers: int) -> Usage:
    """The tokens of the calls of a prompt for some answers."""
    use = seen.prompts[name]
    calls = answers * seen.of(name)
    return Usage(round(calls * use.mean(use.usage.input)), round(calls * use.mean(use.usage.output)))


def may_be_cheap(configuration: Configuration, task: Task, calls: float = 1.0) -> bool:
    """Whether a search may be long enough to pay for LEAST examples: a quick test that rules out short searches.
    `calls` >= 0: of an answer; one that makes none, as of a program that asks no model, is never long enough."""
    if not calls:
        return False
    search = configuration.search
    whole = len(task.validation) + configuration.minibatch(len(task.validation))
    most = search.repeats * (whole * (1 + search.assignments) + 2 * len(task.test))
    return min(most, (configuration.budget.calls or math.inf) / calls) >= SHARE * 2 * LEAST


def affordable(
    configuration: Configuration,
    probe: Probe,
    known: Mapping[str, Price],
    expected: Estimate,
    seen: Trial | None = None,
) -> Plan | None:
    """The plan with as many examples as one SHARE-th of the search pays for; None if these are fewer than LEAST."""
    plan = probe.plan()
    takes = cost(configuration, probe, plan, known, seen)
    calls, tokens = takes.calls / max(1.0, expected.calls.expected), takes.tokens / max(1.0, expected.tokens.expected)
    most = int(len(plan.examples) / max(1.0, SHARE * calls, SHARE * tokens))
    return plan.of(most) if most >= LEAST else None


async def before_search(
    configuration: Configuration,
    forward: Forward,
    first: Prompt,
    known: Mapping[str, Price],
    tell: Tell,
    seen: Trial | None = None,
) -> Headroom | None:
    """Measure headroom before a search if it is `affordable`, and tell the result; None if it is not, or the
    configuration, a cap or a person prevents it. It is not measured where a simulator's replies would say nothing, or
    where answers are compared and none is right. `seen`: of a program.

    :raises Exception: otherwise as `Forward.until`.
    """
    task, slots = forward.task, forward.slots
    models = configuration.models.each("task")
    useless = EMBEDDED in models.values() or compares(configuration)
    each = seen.calls if seen else float(len(models))
    if not configuration.search.headroom or useless or not may_be_cheap(configuration, task, each):
        return None
    operators = open_operators(configuration.search_operators)
    asked = await composed(slots, first, operators, configuration.minibatch(len(task.validation)))
    past = await in_thread(read_past, configuration)
    expected = estimate(configuration, known, task, first, asked, past, seen)
    probe = Probe(slots, first, draws(configuration))
    plan = await in_thread(affordable, configuration, probe, known, expected, seen)
    if plan is None:
        return None
    takes = cost(configuration, probe, plan, known, seen)
    tell(f"headroom: first measures what there is to gain: {takes}; search.headroom = false skips that")
    try:
        said = found(await probe.ask(plan, forward, tell))
    except (BudgetExhausted, Interrupted) as error:
        tell(f"headroom: left off: {error}")
        return None
    tell(f"headroom: {said.sentence}")
    return said


async def measure(
    configuration: Configuration,
    environ: Mapping[str, str],
    task: Task,
    first: Prompt,
    tell: Tell,
    accounts: Accounts,
    seen: Trial | None = None,
) -> Headroom:
    """Run the whole plan, within the caps of `[budget]`; replies go to the configured reply cache. `seen`: what a
    program was seen to call.

    :raises BudgetExhausted: a cap refused a call.
    :raises ModelError: a failure that every other call would meet as well.
    :raises InputError, StorageFailed: a file cannot be used.
    """
    slots = await in_thread(lambda: open_slots(task, load_corpus(configuration)))
    probe = Probe(slots, first, draws(configuration))
    plan = await in_thread(probe.plan)
    ledger = await in_thread(open_ledger, configuration, environ)
    kept = "" if configuration.cache.path else "; set cache.path, and the search can use these replies at no cost"
    takes = cost(configuration, probe, plan, ledger.prices, seen)
    tell(f"headroom: {len(plan.examples)} validation examples, {takes}{kept}")
    async with open_forward(configuration, environ, ledger, slots, accounts) as forward:
        return found(await probe.ask(plan, forward, tell))
