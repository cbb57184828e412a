"""A whole run: from a configuration to a trained prompt, a held-out report and a run directory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
from anyio import CancelScope

from agents.archive.aims import AIMS, unpack_aims
from agents.archive.archive import Member
from agents.archive.credit import LeaveOneOut
from agents.archive.ends import INTERRUPTED
from agents.config.configuration import Configuration
from agents.config.extensions import open_observers, seated
from agents.config.loading import load_corpus, opponent_of
from agents.config.metrics import calls_per_example, grades, verdicts_per_example
from agents.config.own_instructions import critic_instruction
from agents.config.roles import measures_credit
from agents.directory.run_directory import (
    CONFIGURATION,
    JOURNAL,
    PARETO,
    REPORT,
    RESULT,
    TEST_SCORES,
    Record,
    read_document,
    remove,
    write,
    write_configuration,
)
from agents.directory.shared_caps import raised_shared_caps
from agents.forecast.headroom import before_search
from agents.forecast.trial import TRIED, told, try_program
from agents.headroom.found import NOTE, Headroom, unpack_headroom
from agents.headroom.probe import Tell, quiet
from agents.history.controllers import new_selector, open_controller
from agents.history.fold import TURNS, fold
from agents.history.recycling import Recycler, pack, recall_past, recycle, unpack
from agents.history.resumption import stopped_short
from agents.models.opponent import Replying
from agents.models.stack import Models
from agents.operators.operator import Operator
from agents.programs.trial import NOTE as PROGRAM
from agents.programs.trial import Trial, unpack_trial
from agents.prompting.forward import Forward
from agents.prompting.retrieval_slots import open_slots
from agents.results.finished import raised, reopened
from agents.results.kept_scores import keep_scores
from agents.results.pareto import front
from agents.results.result import Result
from agents.results.saving import save_best
from agents.ring.agent import Agent
from agents.ring.controller import Remember
from agents.ring.critic import Critic, Silent
from agents.ring.evaluator import Evaluator, RaceSettings
from agents.ring.injected_edit import InjectedEdit
from agents.ring.place import Place
from agents.ring.proposer import Proposer
from agents.ring.shrinking import Shrink
from agents.ring.team import Team
from agents.run.concluding import Conclusion
from agents.run.held_out import Tested, read_test
from agents.run.steering import Hearing, Listening, Steering
from agents.selectors.expected import expected
from agents.selectors.selector import Selector
from memory.experience import Experience
from memory.journals.exchanges import Keep
from memory.journals.journal import Journal
from memory.journals.reading import read_durable, read_journal, read_notes
from memory.store import Memory
from protocols.budget.funds import Funds
from protocols.budget.ledger import Books, Ledger, Reserve, Saved
from protocols.bus import Bus
from protocols.concurrency.threads import in_thread
from protocols.errors import BudgetExhausted, ConfigError, Interrupted, ModelError, StorageFailed
from protocols.messages import FIRST, Conclude, Envelope, Evaluation, Resumed
from protocols.model import ChatModel
from protocols.prompt import Prompt
from protocols.task import Task
from protocols.wrappers.cached import Replies
from protocols.wrappers.window import spare

OpenModel = Callable[[str], ChatModel]
"""Opens the model of a role, with all its wrappers."""
RACING = 2
"""Calls in flight of all races together, as a multiple of the calls allowed: some races wait for last answers."""


class Run:
    """One search, ready to start or to resume. Observers may read `task`, `bus`, `controller` and `ledger` while it
    runs, and `result` once there is one. `say` reports what is measured before the search; `seen` and `headroom` are
    its outcomes."""

    def __init__(
        self,
        configuration: Configuration,
        directory: Path,
        record: Record,
        task: Task,
        first: Prompt,
        ledger: Ledger,
        hearing: Hearing,
    ) -> None:
        self.configuration, self.directory, self.record = configuration, directory, record
        self.task, self.first, self.ledger = task, first, ledger
        self.steering, self.hearing = Steering(configuration, ledger), hearing
        self._durable = read_durable(directory / JOURNAL)
        self.bus = Bus(time.time, self._durable.last)
        self._unremembered = 0
        self._searched = False
        self.result: Result | None = None
        self.headroom: Headroom | None = None
        self.seen: Trial | None = None
        self.say: Tell = quiet
        self.slots = open_slots(task, load_corpus(configuration), configuration.prompt.max_tokens)
        self.opponent = opponent_of(configuration, task, first)
        if configuration.search.assignments < self._durable.assignments:
            raise ConfigError(
                f"search.assignments = {configuration.search.assignments}, and the run in {directory} has made "
                f"{self._durable.assignments}; give it as many or more"
            )
        before = read_document(directory / CONFIGURATION)
        self._reopened = reopened(before, configuration) if before else ()
        self._more = stopped_short(read_journal(directory / JOURNAL, TURNS), configuration.search.assignments)
        if before and raised(before["budget"], configuration.budget.model_dump(mode="json")):
            self._more = True
        share = ledger.share
        if raised_shared_caps(directory, share.budget.caps if share else None):
            self._more = True
        ledger.take_up(Books(self._durable.accounts, Saved(), self._durable.seconds))

    @property
    def resumed(self) -> bool:
        """Whether an earlier process began the run."""
        return self._durable.last > 0

    @property
    def _keep(self) -> Keep | None:
        return self.journal.exchanged if self.configuration.run.exchanges else None

    @property
    def _resumption(self) -> Resumed:
        aims = self.steering.aims
        return Resumed(self._durable.seconds, self._reopened, self._more, aims.target, aims.patience)

    async def assemble(
        self,
        models: Models,
        cache: Replies,
        journal: Journal,
        memory: Memory,
        operators: Mapping[str, Operator],
    ) -> None:
        """Assemble the agents, and bring the Controller to the end of the journal.

        :raises ReplayDiffers: this release makes other decisions than the journal has.
        """
        self.accounts, self.patience, self.loads = models.accounts, models.patience, models.loads
        notes = await in_thread(read_notes, self.directory / JOURNAL)
        models.take_up(notes, self._durable.accounts)
        self.headroom = unpack_headroom(notes[NOTE]) if NOTE in notes else None
        self.seen = unpack_trial(notes[PROGRAM]) if PROGRAM in notes else None
        open_model, repeats = partial(models.of, cache=cache, journal=journal), self.configuration.search.repeats
        task_model = open_model("task")
        self.slots = replace(self.slots, room=partial(spare, task_model))
        replying = Forward(task_model, self.task, self.slots, self.steering.concurrency)
        self.task = models.judging(self.task, Replying(replying, self.opponent, repeats), cache, journal)
        self.slots = replace(self.slots, task=self.task)
        settings, table = self.configuration.search, self.configuration.agents
        reads = memory if self.configuration.memory.read else None
        self.bus.tap(journal.append)
        await in_thread(self.steering.take_up, self.directory)
        self.bus.tap(self.steering.observe)
        self.bus.tap(self._keep_for_shrinking)
        self.journal = journal
        if not self.resumed:
            await journal.learned(AIMS, self.steering.aims.pack())
        self.controller = open_controller(
            self.configuration, self.task, operators, await self._begin_with(notes, reads, operators),
            await self._remembering(memory) if self.configuration.memory.write else None,
            unpack_aims(notes) if self.resumed else self.steering.aims,
        )  # fmt: skip
        self.forward = self.waiting = Forward(task_model, self.task, self.slots, self.steering.concurrency, repeats)
        if self.configuration.run.batch:
            batches = models.in_batches(cache, journal, notes)
            self.waiting = Forward(batches, self.task, self.slots, self.steering.concurrency, repeats).at_once()
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
            [credit.plan] if credit else [],
            self._resumption,
        )
        await in_thread(self._take_up_unanswered)

    def _take_up_unanswered(self) -> None:
        for envelope in read_journal(self.directory / JOURNAL, (Evaluation,)):
            message = envelope.message  # also one without a Critique yet; one that a cap cut short is repeated
            if isinstance(message, Evaluation) and not message.cut:
                self.evaluator.unanswered.take_up(message)

    def _agents(
        self,
        open_model: OpenModel,
        credit: LeaveOneOut | None,
        reads: Memory | None,
        operators: Mapping[str, Operator],
    ) -> list[Agent]:
        """All agents except the Controller, with the user's agents in their places."""
        settings, table = self.configuration.search, self.configuration.agents
        race = RaceSettings(
            alpha=settings.alpha,
            min_effect=settings.min_effect,
            critique=self.configuration.minibatch(len(self.task.validation)),
            max_unanswered=settings.max_unanswered,
            at_once=RACING * self.configuration.allowed,
            racers=self.configuration.width,
        )
        funds = Funds(self.ledger, self._reserve)
        self.evaluator = Evaluator(self.forward, self.task, race, settings.seed, self._keep, self.waiting, funds)
        own = critic_instruction(self.configuration)
        critic = Critic(open_model("critic"), self.task, credit, own) if table.criticises else Silent()
        agents: list[Agent] = [self.evaluator, critic, InjectedEdit(self.slots), Shrink(self.slots)]
        price = settings.token_price
        for name, operator in operators.items():
            model = open_model(f"proposer/{name}")
            # Ages count up to the beginning of the run, so that the recalled experiences do not depend on the clock.
            agents.append(
                Proposer(operator, model, self.slots, reads, settings.seed, price, lambda: self.record.begun)
            )

        def place(usual: Agent) -> Place:
            model = open_model("task" if usual is self.evaluator else usual.address)
            return Place(usual.address, self.task, model, self.slots, settings.seed, usual)

        return seated(agents, table, place)

    async def _begin_with(
        self, notes: Mapping[str, bytes], memory: Memory | None, operators: Mapping[str, Operator]
    ) -> Selector:
        """The selector, with the past episodes that the run began with."""
        selector = new_selector(self.configuration)
        past = unpack(notes)
        if past is None:
            begun = self.record.begun
            past = expected(operators) if isinstance(selector, Recycler) else []
            past += await recall_past(selector, memory, self.task, self.first, operators, begun) if memory else []
            await self.journal.keep(pack(past))
        recycle(selector, past)
        return selector

    async def _remembering(self, memory: Memory) -> Remember:
        """A function that stores an experience once. Experiences missing from the memory, because the process was
        killed or they could not be embedded, are stored when the run is resumed. The latter are counted; the search
        does not wait for them."""
        run, known = self.record.run, await memory.remembered(self.record.run)

        async def remember(assignment: int, experience: Experience) -> None:
            if assignment in known:
                return
            try:
                await memory.remember(experience, (run, assignment))
            except (ModelError, BudgetExhausted, Interrupted) as error:
                if isinstance(error, ModelError) and error.fatal:
                    raise
                self._unremembered += 1

        return remember

    def _credit(self, open_model: OpenModel) -> LeaveOneOut | None:
        """Section credit, None if it is not measured. Its calls go to the task's model under their own role, so that
        the report shows their cost."""
        if not measures_credit(self.configuration):
            return None
        settings = self.configuration.search
        forward = Forward(open_model("credit"), self.task, self.slots, self.steering.concurrency, settings.repeats)
        return LeaveOneOut(forward, settings.credit_share)

    async def search(self) -> Result:
        """Train the prompt, then read the test split once; everything is written to the run directory.

        The best prompt so far is always written, even if the search fails.

        :raises RunFailed: there is no result, because the first prompt could not be evaluated.
        :raises Interrupted: there is none, because a person stopped the run before the first prompt was evaluated.
        :raises ModelError: a fatal one.
        :raises StorageFailed: a file of the run directory cannot be written.
        """
        if self.resumed:
            await in_thread(self._go_on)
        try:
            await self._try_program()
            count = len(self.task.test)
            with self.ledger.holding(self._reserve(count, first=True) + self._reserve(count)):
                await self._look_for_headroom()
                stopped_by = await self.train()
        except BaseException:
            with suppress(StorageFailed), CancelScope(shield=True):  # the error that ended the search is reported
                await in_thread(self._export)
            raise
        await in_thread(self._export)
        self._searched = True
        if self.patience.stopped:
            self.patience.hurry()
        winner = self.controller.archive.best()
        save = partial(keep_scores, self.directory, self.configuration, self.task, self.opponent)
        tested = await read_test(self.waiting, self.first, winner, self._keep, save)
        if tested.missing is not None and self.patience.hurried:
            stopped_by = INTERRUPTED  # so that a resume completes the report
        elif tested.missing is not None and self.ledger.share is not None and (cap := self.ledger.share.refused):
            stopped_by = f"budget: {cap} of {self.ledger.share.name}"  # so that a raised cap completes it
        self.result = await in_thread(self._conclusion, winner, stopped_by, tested)
        return self.result

    def _go_on(self) -> None:
        write_configuration(self.directory, self.configuration)
        for name in (RESULT, REPORT, PARETO, TEST_SCORES):
            remove(self.directory / name)

    def _conclusion(self, winner: Member, stopped_by: str, tested: Tested) -> Result:
        """Write the result of the run to its directory, and return it."""
        found = Conclusion(
            self.configuration,
            self.slots,
            self.first,
            self.controller,
            self.ledger,
            self.evaluator.unanswered,
            self._unremembered,
            self.headroom,
        )
        result = found.result(winner, stopped_by, tested)
        rows = front(self.controller.archive.members, winner, found.paid, self.directory / JOURNAL)
        write(self.directory / PARETO, orjson.dumps(rows, option=orjson.OPT_INDENT_2) + b"\n")
        write(self.directory / RESULT, orjson.dumps(result, option=orjson.OPT_INDENT_2) + b"\n")
        return result

    def _reserve(self, answers: int, first: bool = False) -> Reserve:
        """Model calls of some answers. `first`: with the first prompt. A cap of the judge keeps only those of a judge
        who grades: nobody is asked to compare equal answers."""
        whole = math.ceil(answers * calls_per_example(self.configuration, self.seen, first))
        judged = answers * verdicts_per_example(self.configuration, first)
        return Reserve(whole, whole - judged, judged if grades(self.configuration) else 0)

    def _set_aside(self) -> None:
        """Keep budget for shrinking the result."""
        races = 0 if self.controller.shrinking else self.configuration.search.shrink
        self.ledger.set_aside(self._reserve(races * len(self.task.validation)))

    async def _try_program(self) -> None:
        """Run a program on a few validation examples, whose replies the first evaluation then has from the cache,
        and tell what is to be known before a search. A resumed run has what its first process saw."""
        if self.task.program is None or self.seen is not None:
            return
        forward = self.forward.attributed_to(FIRST)
        try:
            tried = await try_program(forward, self.first, self.task.validation[:TRIED])
        except (BudgetExhausted, Interrupted) as error:
            self.say(f"program: not tried: {error}")
            return
        self.seen = tried.trial
        await self.journal.learned(PROGRAM, orjson.dumps(self.seen))
        for line in told(self.seen):
            self.say(f"program: {line}")

    async def _look_for_headroom(self) -> None:
        """Measure the headroom, if that is wanted and cheap. A resumed run has the measurement of its first process,
        or none."""
        if self.resumed:
            return
        forward = self.forward.attributed_to(FIRST)
        known = self.ledger.prices
        self.headroom = await before_search(self.configuration, forward, self.first, known, self.say, self.seen)
        if self.headroom is not None:
            await self.journal.learned(NOTE, orjson.dumps(self.headroom))

    async def stop(self, reason: str) -> None:
        """Let calls in flight end, and make no more for the search; calls that wait for the rate limit or for a retry
        are given up. The held-out report is still made, but cut short if the model does not answer."""
        if self._searched:
            self.patience.hurry()
        else:
            self.patience.stop()  # first: until the message is recorded, calls would continue
        await self.team.stop(reason)

    async def train(self) -> str:
        """Search, without reading the test split. Returns the reason why the search stopped.

        :raises Exception: see `search`.
        """
        resumed = self._resumption if self.resumed else None
        waiting = (envelope.message for envelope in self.opening.unanswered)
        if self.controller.first is not None or any(isinstance(message, Evaluation) for message in waiting):
            self._set_aside()
        listening = Listening(self.directory, self.hearing, self.configuration, self.first, self.ledger.prices)
        return await self.team.run(replace(self.opening, resumed=resumed), listening)

    async def _keep_for_shrinking(self, envelope: Envelope) -> None:
        """The first prompt's evaluation may use the whole budget; after it, keep some for shrinking, until that
        begins."""
        match envelope.message:
            case Evaluation() as evaluation if evaluation.assignment == FIRST:
                self._set_aside()
            case Conclude():
                self.ledger.set_aside(Reserve())

    def _export(self) -> None:
        """Write the best prompt, if there is one."""
        if self.controller.archive.members:
            save_best(self.directory, self.controller.archive.best().prompt, self.slots)
