"""The Controller: owns the archive and the selector, and keeps `width` assignments in flight.

There is no generation: every critique is answered with the next assignment at once, so that a slow reply holds back
its own lineage and nothing else.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import assert_never, get_args

from agents.operators.operator import part, saved
from agents.ring.aims import Aims, Progress, setting_of
from agents.ring.archive import Archive, Member, best_parent, draw
from agents.ring.choices import Choices
from agents.ring.credit import believed
from agents.ring.endings import HOPELESS
from agents.ring.hand import HAND, edited_section, nearest
from agents.ring.reward import Reward
from agents.selectors.selector import Choice, ParentSelector, Selector
from memory.experience import Ending, Experience
from protocols.errors import Interrupted, RunFailed
from protocols.messages import (
    ENDED_WITH_THE_RUN,
    FIRST,
    Assignment,
    Candidate,
    Change,
    Command,
    Continue,
    Critique,
    Failure,
    FailureKind,
    Finished,
    Freeze,
    Inject,
    Message,
    Missing,
    Partner,
    Pause,
    Resumed,
    Stop,
)
from protocols.prompt import Prompt
from protocols.task import Task

WIDTH = "search.width"
"""The one setting that a `Change` is told the Controller for; others change how fast, or for how long, it works."""
ALLOWANCES = "the operators' own budgets"
"""What has ended a search whose operators may make no more calls: no cap of the run, which still has room."""
UNREAD = "no reply of the operators' models can be read"
"""What has ended a search all of whose operators were given up for that."""
INTERRUPTED = "interrupted"
"""What has ended a search that a person has stopped, and that goes on when it is begun again."""
ALL_MADE = "assignments"
"""What has ended a search all of whose assignments were made, and have ended."""
OF_OPERATORS = "budget.operators."
"""The settings of the operators' own caps begin with it."""
READ: frozenset[Ending] = frozenset({"survived", "lost", "rejected", "too long"})
"""Endings of an assignment whose model's reply was read."""
PARTNERS = 4
"""Members of the archive that an assignment tells its operator of."""
Remember = Callable[[int, Experience], Awaitable[None]]
"""Keeps the experience of an assignment, once however often it is told."""
REMEMBERED: frozenset[FailureKind] = frozenset({"rejected", "unreadable", "too long", "inapplicable"})
"""Failures that say something of the edit, and not of a model's day."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """`width` >= 1 assignments in flight, `assignments` >= 0 in all. `token_price`: reward lost for each token that
    an edit adds. `failure_reward` <= 0: what an assignment earns that ended in a failure. `barrier`: issue nothing
    until all that is in flight has ended, as generations do; only to see what that costs. `aims`: those that the run
    began with."""

    width: int = 8
    assignments: int = 100
    token_price: float = 1e-5
    failure_reward: float = -0.05
    barrier: bool = False
    aims: Aims = field(default_factory=Aims)


class Controller:
    """The search: a state that every message changes, in the order in which they come. The same messages lead to the
    same decisions, so the state is a fold over the journal.

    `remember` None: nothing is remembered. `clock` gives Unix seconds, for experiences. `failures` by kind. `endings`
    of each operator's assignments. `uncriticised`: survivors whose critique is missing, by why. `width` and `paused`
    are as the last command has it.
    """

    address = "controller"
    accepts: tuple[type[Message], ...] = (Critique, Failure, *get_args(Command))

    def __init__(
        self,
        task: Task,
        choices: Choices,
        selector: Selector,
        settings: SearchSettings,
        remember: Remember | None,
        rng: Random,
        clock: Callable[[], float],
    ) -> None:
        self._task, self._choices, self._selector = task, choices, selector
        self._settings, self._remembers, self._rng, self._clock = settings, remember, rng, clock
        self._reward = Reward(settings.token_price)
        self.archive = Archive()
        self.first: Member | None = None
        self.open: dict[int, Assignment] = {}
        self.failures: Counter[FailureKind] = Counter()
        self.endings: dict[str, Counter[Ending]] = {}
        self.uncriticised: Counter[Missing] = Counter()
        self._chosen: dict[int, Choice] = {}
        self.issued = 0
        self.width, self.paused = settings.width, False
        self._frozen: set[str] = set()
        self._made_by_hand: deque[Prompt] = deque()
        self._stopped_by = ""
        self.finished = False
        self._progress = Progress(settings.aims)

    @property
    def aims(self) -> Aims:
        """As they were last set."""
        return self._progress.aims

    def begin(self, first: Prompt) -> Candidate:
        """The first prompt, for the Evaluator."""
        return Candidate(FIRST, first)

    async def handle(self, message: Message) -> Sequence[Message]:
        """Learn from what came, and answer with what keeps `width` assignments in flight.

        :raises RunFailed: the first prompt could not be evaluated, or no section of it may be edited.
        :raises Interrupted: a person has stopped the search before the first prompt was evaluated.
        """
        match message:
            case Critique():
                await self._learn(message)
            case Failure():
                await self._fail(message)
            case Stop() | Pause() | Continue() | Change() | Freeze() | Inject():
                self._obey(message)
            case Resumed():
                self._resume(message)
            case _:
                raise AssertionError(f"the Controller does not accept {type(message).__name__}")
        return await self._go_on()

    def _obey(self, command: Command) -> None:
        match command:
            case Stop(reason):
                if not self._all_made:  # there is something to stop
                    self._stopped_by = self._stopped_by or reason
            case Pause():
                self.paused = True
            case Continue():
                self.paused = False
            case Change(setting, value):
                self.width = int(value) if setting == WIDTH and value is not None else self.width
                if not self.finished:
                    self._aim(self.aims.changed(setting, value))
                if setting.startswith(OF_OPERATORS):
                    self._choices.open(setting.removeprefix(OF_OPERATORS).rpartition(".")[0])
            case Freeze(section):
                self._frozen.add(section)
                self.archive.freeze(section)
                self._choices.freeze(section)
            case Inject(prompt):
                self._made_by_hand.append(prompt)
            case _:
                assert_never(command)

    def _resume(self, resumed: Resumed) -> None:
        """Whoever starts the run again wants no pause, has these aims, and has raised the caps of these operators."""
        self.paused = False
        self._aim(Aims(resumed.target, resumed.patience))
        for operator in resumed.reopened:
            self._choices.open(operator)
        if resumed.reopened and self._stopped_by == ALLOWANCES:
            self._stopped_by, self.finished = "", False

    def _aim(self, aims: Aims) -> None:
        """What had ended the search ends it no more if it is an aim that is not reached now."""
        self._progress.aims = aims
        if setting_of(self._stopped_by) and not self._progress.reached:
            self._stopped_by, self.finished = "", False

    def _exhaust(self, cap: str) -> None:
        """A cap that ends the search has refused a call. ("": a journal of an earlier release.)"""
        self._stopped_by = self._stopped_by or (f"budget: {cap}" if cap else "budget")

    async def _learn(self, critique: Critique) -> None:
        evaluation = critique.evaluation
        successors: Sequence[Choice] = ()
        assignment = self.open.pop(critique.assignment, None)
        if critique.missing:
            self.uncriticised[critique.missing] += 1
        if evaluation.survived:
            member = Member(
                candidate=critique.assignment,
                parent=None if assignment is None else assignment.parent,
                prompt=evaluation.prompt.freeze(self._frozen),
                tokens=evaluation.tokens,
                scores=evaluation.scores,
                value=evaluation.value,
                gradients=critique.gradients,
                outcomes=evaluation.outcomes,
                credit=believed(critique, assignment),
                refused=evaluation.refused,
                truncated=evaluation.truncated,
                unreadable=evaluation.unreadable,
                textless=evaluation.textless,
                quoted=evaluation.quoted,
            )
            entered = self.archive.add(member)
            if self.first is None:
                self.first = member
                self._progress.take(member.value)
            if entered:
                successors = await self._choices.of(member)
        if assignment is not None:
            cost = evaluation.tokens - self.archive.tokens(best_parent(evaluation.prompt, assignment).candidate)
            reward = self._reward(evaluation, cost)
            self._teach(critique.assignment, reward, successors)
            after = saved(evaluation.prompt, assignment.section)
            ending: Ending = "survived" if evaluation.survived else "lost"
            self._ended(assignment, ending)
            await self._remember(assignment, after, reward, ending, evaluation.paired, cost)
        if critique.cut_by:
            self._exhaust(critique.cut_by)

    async def _fail(self, failure: Failure) -> None:
        if failure.assignment == FIRST and failure.kind == "stopped":
            raise Interrupted("stopped before the first prompt was evaluated")
        if failure.assignment == FIRST:
            raise RunFailed(f"the first prompt could not be evaluated: {failure.reason}")
        self.failures[failure.kind] += 1
        assignment, reward = self.open.pop(failure.assignment), self._settings.failure_reward
        self._ended(assignment, failure.kind)
        self._teach(failure.assignment, reward, ())
        if failure.kind in REMEMBERED:
            await self._remember(assignment, failure.text, reward, failure.kind)
        if failure.kind == "allowance" or self._hopeless(assignment.operator):
            self._choices.close(assignment.operator)
        if failure.kind == "budget":
            self._exhaust(failure.cap)
        if failure.kind == "stopped":  # also of the last assignments, after which there was nothing else to stop
            self._stopped_by = self._stopped_by or INTERRUPTED

    def _hopeless(self, operator: str) -> bool:
        endings = self.endings[operator]
        return endings["unreadable"] >= HOPELESS and not any(endings[ending] for ending in READ)

    def _ended(self, assignment: Assignment, ending: Ending) -> None:
        self.endings.setdefault(assignment.operator, Counter())[ending] += 1
        if ending not in ENDED_WITH_THE_RUN:
            self._progress.take(self.archive.best().value)

    def _teach(self, assignment: int, reward: float, successors: Sequence[Choice]) -> None:
        """What a person has made was no choice of the selector's."""
        choice = self._chosen.pop(assignment, None)
        if choice is not None:
            self._selector.learn(choice, reward, successors)

    async def _remember(
        self, assignment: Assignment, after: str, reward: float, ending: Ending, evidence: int = 0, cost: int = 0
    ) -> None:
        if self._remembers is None:
            return
        before = part(assignment.prompt, assignment.section)
        experience = Experience(
            task=self._task.name,
            section=before.name,
            kind=before.kind,
            operator=assignment.operator,
            before=saved(assignment.prompt, assignment.section),
            after=after,
            gradient=assignment.gradient,
            reward=reward,
            evidence=evidence,
            cost=cost,
            outcome=ending,
            time=self._clock(),
        )
        await self._remembers(assignment.assignment, experience)

    @property
    def _all_made(self) -> bool:
        return self.issued >= self._settings.assignments

    async def _go_on(self) -> list[Message]:
        """:raises RunFailed: nothing can be edited from the beginning."""
        messages: list[Message] = []
        if self.first is not None and not self._all_made:  # there is something to stop
            self._stopped_by = self._stopped_by or self._progress.reached
        room = 0 if self.paused or (self._settings.barrier and self.open) else self.width
        while self.first is not None and not self._stopped_by and not self._all_made and len(self.open) < room:
            if self._made_by_hand:
                messages.append(self._assign_by_hand(self._made_by_hand.popleft()))
            elif parents := [member for member in self.archive.members if await self._offer(member)]:
                messages.append(await self._assign(parents))
            elif self.open:
                break  # a child of those in flight may be one that can be edited
            elif self.issued or self._frozen:
                capped = [name for name in self._choices.closed if not self._hopeless(name)]
                given_up = UNREAD if self._choices.closed else "no section left to edit"
                self._stopped_by = ALLOWANCES if capped else given_up
            else:
                names = ", ".join(self._choices.operators)
                raise RunFailed(f"no section of the prompt may be edited by any of the operators {names}")
        if (
            self._all_made and self.first is not None and not self.open
        ):  # and not before: a cap may yet refuse one of the last
            self._stopped_by = self._stopped_by or ALL_MADE
        if self._stopped_by and not self.open and self.first is not None and not self.finished:
            self.finished = True
            messages.append(Finished(self._stopped_by))
        return messages

    async def _choose(self, parents: Sequence[Member]) -> tuple[Member, Choice]:
        if not isinstance(self._selector, ParentSelector):
            parent = draw(parents, self._rng)
            return parent, self._selector.choose(await self._offer(parent))
        offers = [await self._offer(parent) for parent in parents]
        choice = self._selector.choose_parent([(p.value, o) for p, o in zip(parents, offers, strict=True)])
        return next(parent for parent, offer in zip(parents, offers, strict=True) if choice in offer), choice

    async def _assign(self, parents: Sequence[Member]) -> Assignment:
        parent, choice = await self._choose(parents)
        self._chosen[self.issued + 1] = choice
        return self._issue(parent, choice.action.operator, choice.action.section)

    def _assign_by_hand(self, edited: Prompt) -> Assignment:
        parent = nearest(self.archive.members, edited)
        return self._issue(parent, HAND, edited_section(parent.prompt, edited), edited)

    def _issue(self, parent: Member, operator: str, section: str, edited: Prompt | None = None) -> Assignment:
        self.issued += 1
        assignment = Assignment(
            assignment=self.issued,
            operator=operator,
            section=section,
            parent=parent.candidate,
            prompt=parent.prompt,
            gradient=parent.gradients.get(section, ""),
            outcomes=parent.outcomes,
            scores=parent.scores,
            credit=parent.credit,
            partners=self._partners(parent),
            edited=edited,
        )
        self.open[assignment.assignment] = assignment
        return assignment

    async def _offer(self, parent: Member) -> tuple[Choice, ...]:
        return await self._choices.of(parent, self._partners(parent))

    def _partners(self, parent: Member) -> tuple[Partner, ...]:
        others = [member for member in self.archive.members if member is not parent]
        best = sorted(others, key=lambda member: (-member.value, member.candidate))[:PARTNERS]
        return tuple(
            Partner(m.candidate, m.prompt, m.scores, m.credit, self.archive.ancestor(parent, m)) for m in best
        )
