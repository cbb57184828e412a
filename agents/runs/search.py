"""A whole run: from a configuration to a trained prompt, a held-out report and a run directory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import orjson

from agents.operators.operator import Operator
from agents.prompting.forward import Forward
from agents.prompting.shelves import EXAMPLES, PASSAGES, open_shelves
from agents.ring.agent import Agent
from agents.ring.archive import Member
from agents.ring.choices import Choices, open_actions
from agents.ring.controller import Controller, SearchSettings
from agents.ring.credit import LeaveOneOut
from agents.ring.critic import Critic
from agents.ring.evaluator import Evaluator, RaceSettings
from agents.ring.proposer import Proposer
from agents.ring.team import Team
from agents.runs.budget import open_ledger
from agents.runs.catalogue import open_operators, open_selector
from agents.runs.comparison import Held, held_out
from agents.runs.configuration import Configuration
from agents.runs.leaks import leaks
from agents.runs.loading import load_corpus, load_first_prompt, load_task
from agents.runs.metrics import calls_per_example
from agents.runs.models import Models, connections
from agents.runs.recycling import recycle
from agents.runs.result import Result, spent, trained, validated
from agents.runs.run_directory import (
    BEST_EXAMPLES,
    BEST_PASSAGES,
    BEST_PROMPT,
    CACHE,
    JOURNAL,
    MEMORY,
    RESULT,
    check_free,
    make_directory,
    write,
)
from agents.selectors.selector import Selector
from memory.cache import ReplyCache, open_cache
from memory.journal import open_journal
from memory.store import Memory, open_memory
from protocols import prompt_file
from protocols.bus import Bus
from protocols.embedding import HashedNgrams
from protocols.errors import BudgetExhausted, ConfigError
from protocols.messages import FIRST
from protocols.prompt import Prompt
from protocols.providers.http import Transport, open_transport
from protocols.task import Task
from protocols.wrappers.accounts import Accounts
from protocols.wrappers.ledger import Ledger
from protocols.wrappers.purse import Caps

RACING = 2
"""Times its share of the calls allowed that a racer may use: not all assignments in flight are racing at once."""


class Run:
    """One search, ready to start. Observers may look at `task`, `bus`, `controller` and `ledger` while it works."""

    def __init__(
        self, configuration: Configuration, directory: Path, task: Task, first: Prompt, bus: Bus, ledger: Ledger
    ) -> None:
        self.configuration, self.directory = configuration, directory
        self.task, self.first, self.bus, self.ledger = task, first, bus, ledger
        self.shelves = open_shelves(task, load_corpus(configuration))

    def assemble(
        self,
        models: Models,
        cache: ReplyCache,
        memory: Memory,
        operators: Mapping[str, Operator],
        selector: Selector,
    ) -> None:
        """Put the agents together."""
        self.task = models.judging(self.task, cache)
        settings, seed = self.configuration.search, self.configuration.search.seed
        self._operators, self._selector = operators, selector
        self._recalled = reads = memory if self.configuration.memory.read else None
        self.forward = Forward(models.of("task", cache), self.task, self.shelves, settings.concurrency)
        self.controller = Controller(
            self.task,
            Choices(operators, self.task, HashedNgrams()),
            selector,
            SearchSettings(
                self.configuration.width,
                settings.assignments,
                settings.token_price,
                settings.failure_reward,
                settings.barrier,
            ),
            memory if self.configuration.memory.write else None,
            Random(f"{seed}/controller"),
            time.time,
        )
        race = RaceSettings(
            alpha=settings.alpha,
            min_effect=settings.min_effect,
            critique=settings.critique,
            max_unanswered=settings.max_unanswered,
            at_once=max(1, RACING * self.configuration.allowed // self.configuration.width),
        )
        self.evaluator = Evaluator(self.forward, self.task, race, seed)
        others: list[Agent] = [
            self.evaluator,
            Critic(models.of("critic", cache), self._credit(models, cache)),
        ]
        for name, operator in operators.items():
            model = models.of(f"proposer/{name}", cache)
            others.append(Proposer(operator, model, self.task, reads, seed, self.shelves))
        self.team = Team(self.controller, others, self.bus, self.configuration.width)

    def _credit(self, models: Models, cache: ReplyCache) -> LeaveOneOut | None:
        """Its calls go to the task's model under a role of its own: the report then says what credit cost, and the
        rule that limits it can be read off the ledger."""
        settings = self.configuration.search
        if not settings.credit_share:
            return None
        model = models.of("credit", cache)
        forward = Forward(model, self.task, self.shelves, settings.concurrency)
        task, own = (self.ledger.account(role, model.name) for role in ("task", "credit"))
        return LeaveOneOut(forward, settings.credit_share, task, own)

    async def search(self) -> Result:
        """Train the prompt, then read the test split once; everything is written to the run directory.

        The best prompt so far is written however the search ends.

        :raises RunFailed: there is no result, because the first prompt could not be evaluated.
        :raises ModelError: a fatal one.
        :raises StorageFailed: a file of the run directory cannot be written.
        """
        try:
            with self.ledger.holding(2 * len(self.task.test) * calls_per_example(self.configuration)):
                stopped_by = await self.train()
        finally:
            if self.controller.archive.members:
                self._export(self.controller.archive.best().prompt)
        if stopped_by == "budget":
            stopped_by = f"budget: {self.ledger.exhausted}"
        winner = self.controller.archive.best()
        test: Held | None = None
        missing: str | None = None
        try:
            test = await self._held_out(winner)
        except BudgetExhausted as error:
            missing = str(error)
        result = self._result(winner, stopped_by, test, missing)
        write(self.directory / RESULT, orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
        return result

    async def train(self) -> str:
        """Search, without a look at the test split, with what the memory recalls; returns what stopped it.

        :raises Exception: see `search`.
        """
        if self._recalled is not None:
            await recycle(self._selector, self._recalled, self.task, self.first, self._operators, time.time())
        return await self.team.run(self.first)

    def _export(self, best: Prompt) -> None:
        """The prompt's file, and beside it what it leaves to be filled for each input."""
        write(self.directory / BEST_PROMPT, prompt_file.dumps(best).encode("utf-8"))
        for name, file in ((EXAMPLES, BEST_EXAMPLES), (PASSAGES, BEST_PASSAGES)):
            if lines := self.shelves.export(best, name):
                write(self.directory / file, lines)

    async def _held_out(self, winner: Member) -> Held:
        seed = await self.forward(self.first, self.task.test)
        best = seed
        if winner.candidate != FIRST:
            best = await self.forward(winner.prompt, self.task.test)
        return held_out(self.task.metric, seed, best)

    def _result(self, winner: Member, stopped_by: str, test: Held | None, missing: str | None) -> Result:
        roles = spent(self.ledger)
        first = self.controller.first
        assert first is not None, "a search without a first evaluation has failed"
        return Result(
            task=self.task.name,
            random_seed=self.configuration.search.seed,
            seed=validated(first),
            best=validated(winner),
            candidate=winner.candidate,
            train=trained(self.task.metric, first, winner),
            test=test,
            test_missing=missing,
            leaks=leaks(winner.prompt, self.first, self.task),
            unanswered=dict(self.evaluator.unanswered.reasons),
            roles=roles,
            calls={role: account.calls for role, account in roles.items()},
            tokens={role: account.input + account.output for role, account in roles.items()},
            saved=self.ledger.saved,
            dollars=self.ledger.dollars,
            seconds=self.ledger.seconds,
            assignments=self.controller.issued,
            stopped_by=stopped_by,
        )


@dataclass(frozen=True, slots=True)
class Shared:
    """What the searches of one process share. `cache` and `memory` None: each has its own, in its run directory. One
    that a configuration names goes first."""

    transport: Transport
    accounts: Accounts = field(default_factory=Accounts)
    cache: ReplyCache | None = None
    memory: Memory | None = None


@asynccontextmanager
async def open_run(
    configuration: Configuration, environ: Mapping[str, str], directory: Path | None
) -> AsyncIterator[Run]:
    """A run that shares nothing, see `open_run_in`."""
    async with (
        open_transport(connections(configuration)) as transport,
        open_run_in(Shared(transport), configuration, environ, directory) as run,
    ):
        yield run


@asynccontextmanager
async def open_run_in(
    shared: Shared, configuration: Configuration, environ: Mapping[str, str], directory: Path | None
) -> AsyncIterator[Run]:
    """Read everything, check it, then make the run directory and put the run together.

    `directory` None: the configuration's, or else the next free `runs/<task>-<n>`.

    :raises InputError: something that a person wrote cannot be used; nothing was written.
    :raises StorageFailed: the run directory cannot be used.
    """
    given = read_inputs(configuration)
    task, first, ledger = given.task, given.first, open_ledger(configuration, environ)
    check_calls(ledger.caps, task, calls_per_example(configuration))
    named = configuration.run.directory
    if directory is None and named is not None:
        directory = configuration.path(named)
    if directory is not None:
        check_free(directory)
    async with AsyncExitStack() as stack:
        models = Models(configuration, environ, shared.transport, ledger, shared.accounts)
        memory = shared.memory
        if path := configuration.memory.path:
            memory = await stack.enter_async_context(open_memory(configuration.path(path), HashedNgrams()))
        directory = make_directory(directory, configuration, first)
        journal = await stack.enter_async_context(open_journal(directory / JOURNAL))
        cache, table = shared.cache, configuration.cache
        if cache is None or table.path:
            path = configuration.path(table.path) if table.path else directory / CACHE
            cache = await stack.enter_async_context(open_cache(path, table.megabytes * 2**20))
        if memory is None:
            memory = await stack.enter_async_context(open_memory(directory / MEMORY, HashedNgrams()))
        bus = Bus(time.time)
        stack.callback(bus.close)
        bus.tap(journal.append)
        run = Run(configuration, directory, task, first, bus, ledger)
        run.assemble(models, cache, memory, given.operators, given.selector)
        yield run


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a configuration names, read and checked."""

    task: Task
    first: Prompt
    operators: Mapping[str, Operator]
    selector: Selector


def read_inputs(configuration: Configuration) -> Inputs:
    """:raises InputError: something that a person wrote cannot be used."""
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    operators = open_operators(configuration.search.operators)
    selector = open_selector(configuration.search.selector, Random(f"{configuration.search.seed}/selector"))
    check_editable(first, operators, task)
    return Inputs(task, first, operators, selector)


def check(configuration: Configuration, environ: Mapping[str, str], transport: Transport) -> None:
    """:raises InputError: a run of it could not be opened; nothing is written."""
    given, ledger = read_inputs(configuration), open_ledger(configuration, environ)
    check_calls(ledger.caps, given.task, calls_per_example(configuration))
    Models(configuration, environ, transport, ledger)


def check_editable(first: Prompt, operators: Mapping[str, Operator], task: Task) -> None:
    """:raises ConfigError: there is nothing that the search could try."""
    if not open_actions(first, operators, task):
        raise ConfigError(
            f"no section of the prompt may be edited by any of the operators {', '.join(operators)}; "
            "unfreeze a section, or add one of another kind"
        )


def check_calls(caps: Caps, task: Task, each: int) -> None:
    """:raises ConfigError: not even the first prompt could be evaluated and reported, at `each` calls an example."""
    least = each * (len(task.validation) + 2 * len(task.test))
    if caps.calls is not None and caps.calls <= least:
        raise ConfigError(
            f"budget.calls = {caps.calls} is too small: the first prompt on validation and the held-out report "
            f"alone take {least}"
        )
