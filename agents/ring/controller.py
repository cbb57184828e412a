"""The Controller: owns the archive and the selector, and keeps `width` assignments in flight.

There are no generations: every critique is answered with the next assignment at once, so that a slow reply delays
only its own lineage.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import assert_never, get_args

from agents.archive.aims import Aims
from agents.archive.archive import Archive, Member, best_parent, survivor
from agents.archive.choices import Choices
from agents.archive.ends import ALL_MADE, ALLOWANCES, FLAWLESS, INTERRUPTED, UNEDITABLE, UNREAD
from agents.archive.front import Prefer
from agents.archive.guard import Guard
from agents.archive.history import COUNTED, REMEMBERED, History
from agents.archive.reward import Reward
from agents.operators.operator import WHOLE, part, saved
from agents.ring.choosing import Chooser
from agents.ring.injected_edit import INJECTED, edited_section, nearest
from agents.ring.shrinking import Shrinker
from agents.ring.stopping import Stopping
from agents.selectors.selector import Choice, Selector
from memory.experience import Ending, Experience
from protocols.errors import Interrupted, RunFailed
from protocols.messages import (
    FIRST,
    SHRINK,
    Accept,
    Assignment,
    Candidate,
    Change,
    Command,
    Conclude,
    Continue,
    Critique,
    Failure,
    FailureKind,
    Finished,
    Freeze,
    Inject,
    Message,
    Missing,
    Pause,
    Reject,
    Resumed,
    Scores,
    Stop,
    mean,
)
from protocols.prompt import Prompt
from protocols.task import Task

WIDTH = "search.width"
"""Setting of the assignments in flight, which the Controller changes itself; see `_change` for those of the aims and
the operators' caps."""
OF_OPERATORS = "budget.operators."
"""Prefix of the settings that cap single operators."""
OBJECTIONS = 4
"""Reasons of a person, the last ones, that are told to the edits of a section."""
Remember = Callable[[int, Experience], Awaitable[None]]
"""Stores the experience of an assignment; a second call for the same assignment stores nothing."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """`width` >= 1: assignments in flight; `assignments` >= 0: in all. `token_price`: reward lost per token that an
    edit adds. `failure_reward` <= 0: reward of an assignment that ended in a failure. `barrier`: issue nothing until
    all assignments in flight have ended, as in generations; only to measure the cost of that. `prefer`: which member
    of the archive is the result. `shrink` >= 0: maximum number of races to shorten the result after the search.
    `aims`: those that the run began with. `guard`: what the result must not lose, None: nothing. `review`: edits
    that win their races wait for a person."""

    width: int = 8
    assignments: int = 100
    token_price: float = 1e-5
    failure_reward: float = -0.05
    barrier: bool = False
    prefer: Prefer = "best"
    shrink: int = 0
    aims: Aims = field(default_factory=Aims)
    guard: Guard | None = None
    review: bool = False


class Controller:
    """The search: a state that changes with each message, in order of arrival. The same messages lead to the same
    decisions, so the state is a fold over the journal.

    `remember` None: no experiences are stored. `clock` gives Unix seconds, for experiences. `failures`: by kind.
    `uncriticised`: survivors without a critique, by reason. `doubted`: how often the Critic has doubted the expected
    answer of each training example, by id. `width` and `paused`: as set by the last command. `limit`: most
    assignments of operators. `issued`: all assignments; `cut`: those of them that shrink the result; while
    `shrinking`, no others are issued. `waiting`: the critiques of edits that have won their races and wait for a
    person; they count for `width`, and the search is not over before a person has decided or stopped it.
    """

    address = "controller"
    accepts: tuple[type[Message], ...] = (Critique, Failure, Conclude, *get_args(Command))

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
        self._task, self._choices, self._settings = task, choices, settings
        self._remembers, self._clock = remember, clock
        self._reward = Reward(settings.token_price)
        self.archive = Archive(settings.prefer, settings.guard)
        self.first: Member | None = None
        self.open: dict[int, Assignment] = {}
        self.waiting: dict[int, tuple[Critique, Assignment]] = {}
        self._objections: dict[str, deque[str]] = {}
        self.failures: Counter[FailureKind] = Counter()
        self.history = History()
        self._chooser = Chooser(self.archive, choices, selector, self.history, rng)
        self._stopping = Stopping(settings.aims)
        self.uncriticised: Counter[Missing] = Counter()
        self.doubted: Counter[str] = Counter()
        self.issued = self.cut = 0
        self.limit = settings.assignments
        self.width, self.paused = settings.width, False
        self._frozen: set[str] = set()
        self._made_by_hand: deque[Prompt] = deque()

    @property
    def aims(self) -> Aims:
        """The current aims."""
        return self._stopping.standing.aims

    @property
    def idle(self) -> int:
        """Assignments with an edit, or an attempt at one, that have ended since the best value last rose."""
        return self._stopping.standing.idle

    @property
    def finished(self) -> bool:
        """Whether the search is over, and its result as short as it gets."""
        return self._stopping.finished

    def begin(self, first: Prompt) -> Candidate:
        """The first prompt as a candidate for the Evaluator."""
        return Candidate(FIRST, first)

    async def handle(self, message: Message) -> Sequence[Message]:
        """Learn from a message, and answer with the assignments that bring those in flight back to `width`.

        :raises RunFailed: the first prompt could not be evaluated, or no section of it may be edited.
        :raises Interrupted: a person has stopped the search before the first prompt was evaluated.
        """
        match message:
            case Critique():
                await self._learn(message)
            case Failure():
                await self._fail(message)
            case Accept(number) if number in self.waiting:
                await self._settle(*self.waiting.pop(number))
            case Reject(number, reason) if number in self.waiting:
                await self._decline(*self.waiting.pop(number), reason)
            case Accept() | Reject():
                pass  # it does not wait, or no longer
            case Stop() | Pause() | Continue() | Change() | Freeze() | Inject():
                self._obey(message)
            case Conclude(stopped_by):
                self._stopping.conclude(stopped_by, Shrinker(self.archive, self._task, self._settings.shrink))
            case Resumed():
                self._resume(message)
            case _:
                raise AssertionError(f"the Controller does not accept {type(message).__name__}")
        return await self._go_on()

    def _obey(self, command: Stop | Pause | Continue | Change | Freeze | Inject) -> None:
        match command:
            case Stop(reason):
                if not self._all_made or self._settings.shrink or self._settings.review:  # there is something to stop
                    self._stopping.stop(reason)
                    if reason == INTERRUPTED:
                        self._stopping.interrupt()
            case Pause():
                self.paused = True
            case Continue():
                self.paused = False
            case Change():
                self._change(command)
            case Freeze(section):
                self._frozen.add(section)
                if self._stopping.shrinker is not None:
                    self._stopping.shrinker.freeze(section)
                self.archive.freeze(section)
                self._choices.freeze(section)
            case Inject(prompt):
                self._made_by_hand.append(prompt)
            case _:
                assert_never(command)

    def _change(self, change: Change) -> None:
        if change.setting == WIDTH and change.value is not None:
            self.width = int(change.value)
        self._stopping.change(change.setting, change.value)
        if change.setting.startswith(OF_OPERATORS):
            self._choices.open(change.setting.removeprefix(OF_OPERATORS).rpartition(".")[0])

    def _resume(self, resumed: Resumed) -> None:
        """End a pause, and continue with the aims, caps and assignments that are allowed now."""
        self.paused = False
        for operator in resumed.reopened:
            self._choices.open(operator)
        self._stopping.resume(resumed)

    async def _learn(self, critique: Critique) -> None:
        assignment = self.open.pop(critique.assignment, None)
        if critique.missing:
            self.uncriticised[critique.missing] += 1
        self.doubted.update(critique.doubtful)
        if assignment is not None and assignment.review and critique.evaluation.survived:
            self.waiting[critique.assignment] = critique, assignment
        else:
            await self._settle(critique, assignment)
        if critique.cut_by:
            self._stopping.exhaust(critique.cut_by)

    async def _settle(self, critique: Critique, assignment: Assignment | None) -> None:
        """Take the result of a race into the archive, the selector and the memory. `assignment` None: that of the
        first prompt."""
        evaluation = critique.evaluation
        successors: Sequence[Choice] = ()
        if evaluation.survived:
            member = survivor(critique, assignment, self._frozen)
            entered = self.archive.add(member)
            if self.first is None:
                self.first = member
                self._stopping.standing.take(member.value)
            if entered:
                successors = await self._choices.of(member)
        if assignment is not None:
            self.history.measure(assignment, evaluation)
            cost = evaluation.tokens - self.archive.tokens(best_parent(evaluation.prompt, assignment).candidate)
            reward = self._reward(evaluation, cost)
            self._chooser.teach(critique.assignment, reward, successors)
            after = saved(evaluation.prompt, assignment.section)
            ending: Ending = "survived" if evaluation.survived else "lost"
            self._ended(assignment, ending)
            await self._remember(assignment, after, reward, ending, evaluation.paired, cost)
            if assignment.operator == SHRINK and self._stopping.shrinker is not None:
                self._stopping.shrinker.raced(critique.assignment)

    async def _decline(self, critique: Critique, assignment: Assignment, reason: str) -> None:
        """Drop an edit that a person does not want: it has earned nothing, and the reason is told to later edits of
        the section."""
        self._objections.setdefault(assignment.section, deque(maxlen=OBJECTIONS)).append(reason)
        evaluation = replace(critique.evaluation, survived=False)
        self.history.measure(assignment, evaluation)
        self._chooser.teach(critique.assignment, 0.0, ())
        self._ended(assignment, "declined")
        after = saved(evaluation.prompt, assignment.section)
        objected = replace(assignment, gradient=reason)
        await self._remember(objected, after, 0.0, "declined", evaluation.paired)

    async def _fail(self, failure: Failure) -> None:
        if failure.assignment == FIRST and failure.kind == "stopped":
            raise Interrupted("stopped before the first prompt was evaluated")
        if failure.assignment == FIRST:
            raise RunFailed(f"the first prompt could not be evaluated: {failure.reason}", cap=failure.cap)
        self.failures[failure.kind] += 1
        assignment, reward = self.open.pop(failure.assignment), self._settings.failure_reward
        self._ended(assignment, failure.kind)
        if assignment.operator == SHRINK and self._stopping.shrinker is not None:
            self._stopping.shrinker.failed(failure.kind)
        self._chooser.teach(failure.assignment, reward, ())
        if failure.kind in REMEMBERED:
            await self._remember(assignment, failure.text, reward, failure.kind)
        if failure.kind == "allowance":
            self._choices.close(assignment.operator)
        if failure.kind == "budget":
            self._stopping.exhaust(failure.cap)
        if failure.kind == "stopped":  # also if these were the last assignments, with nothing else to stop
            self._stopping.interrupt()

    def _ended(self, assignment: Assignment, ending: Ending) -> None:
        self.history.end(assignment.operator, ending)
        if ending in COUNTED and self._stopping.standing.take(max(m.value for m in self.archive.members)):
            self._chooser.timetable.rise()

    async def _remember(
        self, assignment: Assignment, after: str, reward: float, ending: Ending, evidence: int = 0, cost: int = 0
    ) -> None:
        if self._remembers is None or assignment.operator == SHRINK:  # cuts teach no operator
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
        return self.issued - self.cut >= self.limit

    @property
    def shrinking(self) -> bool:
        """Whether the search has been concluded: the result is being made shorter, or will be next."""
        return self._stopping.shrinking

    @property
    def _under_way(self) -> int:
        """Assignments that have not ended; an edit that waits for a person has not."""
        return len(self.open) + len(self.waiting)

    async def _go_on(self) -> list[Message]:
        """:raises RunFailed: no operator can edit the first prompt."""
        messages: list[Message] = []
        stopping = self._stopping
        if self.first is not None and not self._all_made:  # there is something to stop
            stopping.stop(stopping.standing.reached(patient=bool(self.waiting)))
        room = 0 if self.paused or (self._settings.barrier and self._under_way) else self.width
        while self.first is not None and not stopping.reason and not self._all_made and self._under_way < room:
            if self._made_by_hand:
                messages.append(self._assign_by_hand(self._made_by_hand.popleft()))
            elif parents := self._chooser.parents(self.idle):
                parent, choice = self._chooser.choose(self.issued + 1, parents, self.idle)
                messages.append(self._issue(parent, choice.action.operator, choice.action.section))
            elif self._under_way:
                break  # an assignment in flight may yield a child that can be edited
            elif (flawless := await self._chooser.flawless()) or self.issued or self._frozen:
                unread = UNREAD if self.history.given_up else FLAWLESS if flawless else UNEDITABLE
                stopping.stop(ALLOWANCES if self._choices.closed else unread)
            else:
                names = ", ".join(self._choices.operators)
                raise RunFailed(f"no section of the prompt may be edited by any of the operators {names}")
        if (
            self._all_made and self.first is not None and not self._under_way
        ):  # not earlier: a cap may still refuse one of the last assignments
            stopping.stop(ALL_MADE)
        if stopping.reason and self.first is not None and not stopping.finished:
            messages += self._conclude()
        return messages

    def _conclude(self) -> list[Message]:
        """The messages after the last operator's assignment: one cut after the other, then the end."""
        stopping = self._stopping
        if stopping.shrinker is None:
            if self.open or stopping.concluding or (self.waiting and not stopping.interrupted):
                return []
            if self._settings.shrink and self.issued and not stopping.interrupted:
                stopping.concluding = True
                return [Conclude(stopping.reason, self.issued - self.cut)]
        elif not stopping.interrupted:
            if self.paused or any(assignment.operator == SHRINK for assignment in self.open.values()):
                return []
            if (found := stopping.shrinker.next()) is not None:
                self.cut += 1
                member, scores, section, prompt = found
                return [self._issue(member, SHRINK, section, prompt, scores)]
        if self.open:
            return []
        stopping.finished = True
        # After an interruption, a resumed run makes the cuts that are left, and a person decides what waits.
        left = self._settings.shrink or self.waiting
        return [Finished(INTERRUPTED if stopping.interrupted and left else stopping.reason)]

    def _assign_by_hand(self, edited: Prompt) -> Assignment:
        parent = nearest(self.archive.members, edited)
        return self._issue(parent, INJECTED, edited_section(parent.prompt, edited), edited)

    def _issue(
        self,
        parent: Member,
        operator: str,
        section: str,
        edited: Prompt | None = None,
        scores: Scores | None = None,
    ) -> Assignment:
        self.issued += 1
        self._chooser.timetable.issue(operator)
        partners = self.archive.partners(parent) if operator != SHRINK else ()
        best = max(map(mean, (parent.scores, *(partner.scores for partner in partners))))
        what = operator, section, parent.candidate
        twins = sum((other.operator, other.section, other.parent) == what for other in self.open.values())
        assignment = Assignment(
            assignment=self.issued,
            operator=operator,
            section=section,
            parent=parent.candidate,
            prompt=parent.prompt,
            gradient="\n".join(filter(None, (parent.gradients.get(section, ""), *self._objected(section)))),
            outcomes=parent.outcomes,
            scores=parent.scores if scores is None else scores,
            credit=parent.credit,
            partners=partners if operator == INJECTED or self._choices.combining(operator) else (),
            edited=edited,
            diagnosis=parent.diagnosis,
            tried=self.history.tried(section),
            best=best,
            review=self._settings.review and operator != SHRINK,
            twins=twins,
            doubtful=parent.doubtful,
        )
        self.open[assignment.assignment] = assignment
        return assignment

    def _objected(self, section: str) -> list[str]:
        """The reasons for which a person has rejected edits of the section, or of the whole prompt."""
        alike = [name for name in self._objections if section == WHOLE or name in (section, WHOLE)]
        return [f"- A person has rejected an edit: {why}" for name in alike for why in self._objections[name]]
