"""A whole run: from a configuration to a trained prompt, a held-out report and a run directory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import orjson

from agents.operators.operator import Operator
from agents.prompting.forward import Forward
from agents.prompting.shelves import EXAMPLES, PASSAGES, open_shelves
from agents.ring.agent import Agent
from agents.ring.archive import Member
from agents.ring.choices import open_actions
from agents.ring.controller import Remember
from agents.ring.credit import LeaveOneOut
from agents.ring.critic import Critic, Silent
from agents.ring.evaluator import Evaluator, RaceSettings
from agents.ring.hand import Hand
from agents.ring.place import Place
from agents.ring.proposer import Proposer
from agents.ring.team import Team
from agents.runs.budget import open_ledger
from agents.runs.catalogue import open_operators
from agents.runs.comparison import Held, held_out
from agents.runs.configuration import NONE, Configuration
from agents.runs.controllers import new_selector, open_controller
from agents.runs.fold import fold
from agents.runs.leaks import leaks
from agents.runs.loading import load_corpus, load_first_prompt, load_task
from agents.runs.meaning import meaning
from agents.runs.metrics import calls_per_example
from agents.runs.models import Models, connections, roles
from agents.runs.places import check_agents, open_observers, seated
from agents.runs.recycling import pack, recall_past, recycle, unpack
from agents.runs.result import Result, spent, trained, validated
from agents.runs.run_directory import (
    BEST_EXAMPLES,
    BEST_PASSAGES,
    BEST_PROMPT,
    CACHE,
    JOURNAL,
    MEMORY,
    REPORT,
    RESULT,
    Record,
    claim,
    named,
    write,
    write_configuration,
)
from agents.runs.steering import Listening, Steering, said_so_far
from agents.selectors.selector import Selector
from memory.cache import ReplyCache, open_cache
from memory.experience import Experience
from memory.journal import Journal, open_journal, read_durable, read_notes
from memory.store import Memory, open_memory
from protocols import prompt_file
from protocols.bus import Bus
from protocols.embedding import HashedNgrams
from protocols.errors import BudgetExhausted, ConfigError
from protocols.messages import FIRST, Resumed
from protocols.model import ChatModel
from protocols.prompt import Prompt
from protocols.providers.http import Transport, open_transport
from protocols.task import Task
from protocols.wrappers.accounts import Accounts
from protocols.wrappers.ledger import Books, Ledger, Saved
from protocols.wrappers.purse import Caps

OpenModel = Callable[[str], ChatModel]
"""The model of a role, with all that stands around it."""
RACING = 2
"""Times its share of the calls allowed that a racer may use: not all assignments in flight are racing at once."""


class Run:
    """One search, ready to start or to go on. Observers may look at `task`, `bus`, `controller` and `ledger` while it
    works. `heard`: bytes of the commands that are no business of this process."""

    def __init__(
        self,
        configuration: Configuration,
        directory: Path,
        record: Record,
        task: Task,
        first: Prompt,
        ledger: Ledger,
        heard: int,
    ) -> None:
        self.configuration, self.directory, self.record = configuration, directory, record
        self.task, self.first, self.ledger = task, first, ledger
        self.steering, self._heard = Steering(configuration, ledger), heard
        self._durable = read_durable(directory / JOURNAL)
        self.bus = Bus(time.time, self._durable.last)
        self.shelves = open_shelves(task, load_corpus(configuration))
        if configuration.search.assignments < self._durable.assignments:
            raise ConfigError(
                f"search.assignments = {configuration.search.assignments}, and the run in {directory} has made "
                f"{self._durable.assignments}; give it as many or more"
            )
        ledger.take_up(Books(self._durable.accounts, Saved(), self._durable.seconds))

    @property
    def resumed(self) -> bool:
        """Whether the run was begun by an earlier process."""
        return self._durable.last > 0

    async def assemble(
        self,
        models: Models,
        cache: ReplyCache,
        journal: Journal,
        memory: Memory,
        operators: Mapping[str, Operator],
    ) -> None:
        """Put the agents together, and bring the Controller to where the journal ends.

        :raises ReplayDiffers: this release does not decide as the journal says.
        """
        self.task = models.judging(self.task, cache, journal)
        settings, table = self.configuration.search, self.configuration.agents
        reads = memory if self.configuration.memory.read else None
        self.bus.tap(journal.append)
        self.steering.take_up(self.directory)
        self.bus.tap(self.steering.observe)
        self.journal = journal
        self.controller = open_controller(
            self.configuration, self.task, operators, await self._begin_with(journal, reads, operators),
            await self._remembering(memory) if self.configuration.memory.write else None,
        )  # fmt: skip
        open_model = partial(models.of, cache=cache, journal=journal)
        self.forward = Forward(open_model("task"), self.task, self.shelves, self.steering.at_once)
        credit = self._credit(open_model)
        agents = self._agents(open_model, credit, reads, operators)
        observers = open_observers(table, self.task, self.directory)
        errors = settings.agent_errors if settings.on_agent_error == "skip" else 1
        self.team = Team(self.controller, agents, self.bus, errors, observers)
        self.opening = await fold(
            self.directory / JOURNAL,
            self.controller,
            self.first,
            self._durable.last + 1,
            [self.evaluator.unanswered.take_up, *([credit.plan] if credit else [])],
        )

    def _agents(
        self,
        open_model: OpenModel,
        credit: LeaveOneOut | None,
        reads: Memory | None,
        operators: Mapping[str, Operator],
    ) -> list[Agent]:
        """All but the Controller, those of the user's in their places."""
        settings, table = self.configuration.search, self.configuration.agents
        race = RaceSettings(
            alpha=settings.alpha,
            min_effect=settings.min_effect,
            critique=settings.critique,
            max_unanswered=settings.max_unanswered,
            at_once=max(1, RACING * self.configuration.allowed // self.configuration.width),
        )
        self.evaluator = Evaluator(self.forward, self.task, race, settings.seed)
        critic = Silent() if table.critic == NONE else Critic(open_model("critic"), credit)
        agents: list[Agent] = [self.evaluator, critic, Hand(self.task.fields)]
        for name, operator in operators.items():
            model = open_model(f"proposer/{name}")
            # Ages are counted to the run's beginning, so that what is recalled depends on no clock.
            agents.append(
                Proposer(operator, model, self.task, reads, settings.seed, self.shelves, lambda: self.record.begun)
            )

        def place(usual: Agent) -> Place:
            model = open_model("task" if usual is self.evaluator else usual.address)
            return Place(usual.address, self.task, model, self.shelves, settings.seed, usual)

        return seated(agents, table, place)

    async def _begin_with(
        self, journal: Journal, memory: Memory | None, operators: Mapping[str, Operator]
    ) -> Selector:
        """The selector, with the past that the run began with."""
        selector = new_selector(self.configuration)
        past = unpack(read_notes(self.directory / JOURNAL))
        if past is None:
            begun = self.record.begun
            past = await recall_past(selector, memory, self.task, self.first, operators, begun) if memory else []
            await journal.keep(pack(past))
        recycle(selector, past)
        return selector

    async def _remembering(self, memory: Memory) -> Remember:
        """A run that was killed between its journal and its memory catches up in the fold."""
        run, known = self.record.run, await memory.remembered(self.record.run)

        async def remember(assignment: int, experience: Experience) -> None:
            if assignment not in known:
                await memory.remember(experience, (run, assignment))

        return remember

    def _credit(self, open_model: OpenModel) -> LeaveOneOut | None:
        """Its calls go to the task's model under a role of its own: the report then says what credit cost."""
        settings = self.configuration.search
        if not settings.credit_share or self.configuration.agents.critic == NONE:
            return None
        forward = Forward(open_model("credit"), self.task, self.shelves, self.steering.at_once)
        return LeaveOneOut(forward, settings.credit_share)

    async def search(self) -> Result:
        """Train the prompt, then read the test split once; everything is written to the run directory.

        The best prompt so far is written however the search ends.

        :raises RunFailed: there is no result, because the first prompt could not be evaluated.
        :raises ModelError: a fatal one.
        :raises StorageFailed: a file of the run directory cannot be written.
        """
        if self.resumed:
            write_configuration(self.directory, self.configuration)
            for name in (RESULT, REPORT):
                (self.directory / name).unlink(missing_ok=True)
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
        resumed = Resumed(self._durable.seconds) if self.resumed else None
        listening = Listening(self.directory, self._heard, self.configuration, self.first)
        return await self.team.run(replace(self.opening, resumed=resumed), listening)

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
        used = spent(self.ledger)
        first = self.controller.first
        assert first is not None, "a search without a first evaluation has failed"
        return Result(
            task=self.task.name,
            models={role: self.configuration.models.of(role) for role in roles(self.configuration)},
            random_seed=self.configuration.search.seed,
            seed=validated(first),
            best=validated(winner),
            candidate=winner.candidate,
            train=trained(self.task.metric, first, winner),
            test=test,
            test_missing=missing,
            leaks=leaks(winner.prompt, self.first, self.task),
            unanswered=dict(self.evaluator.unanswered.reasons),
            roles=used,
            calls={role: account.calls for role, account in used.items()},
            tokens={role: account.input + account.output for role, account in used.items()},
            saved=self.ledger.saved,
            dollars=self.ledger.dollars,
            seconds=self.ledger.seconds,
            assignments=self.controller.issued,
            failures=dict(sorted(self.controller.failures.items())),
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
    """Read everything, check it, then make the run directory and put the run together; or go on with the run that
    the directory holds.

    `directory` None: the configuration's, or else the next free `runs/<task>-<n>`.

    :raises InputError: something that a person wrote cannot be used; nothing was written.
    :raises StorageFailed: the run directory cannot be used.
    :raises ReplayDiffers: the run cannot be gone on with, because this release does not decide as its journal says.
    """
    given = read_inputs(configuration)
    task, first, ledger = given.task, given.first, open_ledger(configuration, environ)
    check_calls(ledger.caps, task, calls_per_example(configuration))
    counts = meaning(configuration, task, load_corpus(configuration), first)
    async with AsyncExitStack() as stack:
        models = Models(configuration, environ, shared.transport, ledger, shared.accounts)
        memory = shared.memory
        if path := configuration.memory.path:
            memory = await stack.enter_async_context(open_memory(configuration.path(path), HashedNgrams()))
        asked = named(configuration, directory)
        heard = said_so_far(asked)
        claimed, record = stack.enter_context(claim(asked, configuration, first, counts))
        journal = await stack.enter_async_context(open_journal(claimed / JOURNAL))
        cache, table = shared.cache, configuration.cache
        if cache is None or table.path:
            path = configuration.path(table.path) if table.path else claimed / CACHE
            opened = open_cache(path, table.megabytes * 2**20, alone=not table.path)
            cache = await stack.enter_async_context(opened)
        if memory is None:
            memory = await stack.enter_async_context(open_memory(claimed / MEMORY, HashedNgrams()))
        run = Run(configuration, claimed, record, task, first, ledger, heard)
        stack.callback(run.bus.close)
        await run.assemble(models, cache, journal, memory, given.operators)
        yield run


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a configuration names, read and checked."""

    task: Task
    first: Prompt
    operators: Mapping[str, Operator]


def read_inputs(configuration: Configuration) -> Inputs:
    """:raises InputError: something that a person wrote cannot be used."""
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    operators = open_operators(configuration.search.operators)
    new_selector(configuration)
    check_agents(configuration.agents)
    check_editable(first, operators, task)
    return Inputs(task, first, operators)


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
