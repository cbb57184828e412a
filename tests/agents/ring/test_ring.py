"""The whole ring: nothing is lost, every assignment ends once, the books agree, whatever agents and models do."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.ends import ALLOWANCES, FLAWLESS
from agents.operators.operator import Context
from agents.ring.agent import Agent
from agents.ring.controller import SearchSettings
from agents.ring.evaluator import RaceSettings
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Reserve
from protocols.errors import (
    AuthenticationFailed,
    BadReply,
    BadRequest,
    BudgetExhausted,
    BusError,
    CallTimeout,
    ConnectionFailed,
    EditRejected,
    InapplicableError,
    Interrupted,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    RunFailed,
    ServerFailed,
    UnreadableReply,
)
from protocols.messages import (
    FIRST,
    Assignment,
    Candidate,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Finished,
    Message,
    Outcome,
)
from protocols.model import Request
from protocols.prompt import Prompt
from protocols.task import Task
from tests.world import FIRST_PROMPT, SETTINGS, WORDS, AddWord, AskWord, Oracle, Ring, digest, shuffled, value

pytestmark = pytest.mark.anyio
BACKENDS = ["asyncio", "trio"]

Trick = Callable[[Message], Sequence[Message]]


class Mishap(Exception):
    """An agent's bug."""


@dataclass
class Tricky:
    """Stands in for an agent: now and then plays one of `tricks` in its place, by the number of the assignment."""

    agent: Agent
    tricks: Sequence[str]
    share: int
    seed: int

    @property
    def address(self) -> str:
        return self.agent.address

    @property
    def accepts(self) -> tuple[type[Message], ...]:
        return self.agent.accepts

    async def handle(self, message: Message) -> Sequence[Message]:
        number = getattr(message, "assignment", FIRST)
        drawn = digest(self.seed, self.address, number)
        if number == FIRST or not self.tricks or drawn % 100 >= self.share:
            return await self.agent.handle(message)
        await anyio.lowlevel.checkpoint()
        return await self._play(self.tricks[drawn % len(self.tricks)], message)

    async def _play(self, trick: str, message: Message) -> Sequence[Message]:
        match trick:
            case "drop":
                return ()
            case "raise":
                raise Mishap("the agent's own")
            case "reject":
                raise EditRejected("no")
            case "unreadable":
                raise UnreadableReply("what?")
            case "inapplicable":
                raise InapplicableError("nothing")
        answers = list(await self.agent.handle(message))
        if trick == "twice":
            return [*answers, *answers]
        return [replace(a, assignment=10_000) for a in answers if isinstance(a, Candidate | Evaluation | Critique)]


HARMLESS = ("drop", "reject", "unreadable", "inapplicable")
BUGS = ("raise", "twice", "wrong")
ERRORS: tuple[type[ModelError], ...] = (
    BadRequest, RateLimited, ServerFailed, ConnectionFailed, CallTimeout, BadReply,
    AuthenticationFailed, ModelNotFound, QuotaExhausted,
)  # fmt: skip


def failing(kinds: Sequence[type[ModelError]], percent: int, seed: int) -> Callable[[Request], ModelError | None]:
    """Errors for a share of the requests about other prompts than the first."""

    def fault(request: Request) -> ModelError | None:
        drawn = digest(seed, request)
        if not kinds or drawn % 100 >= percent or request.messages[0].text == FIRST_PROMPT["rule"].text:
            return None
        return kinds[drawn % len(kinds)]("scripted", model="scripted")

    return fault


@st.composite
def rings(draw: st.DrawFn) -> Ring:
    seed = draw(st.integers(0, 2**16))
    tricks = draw(st.lists(st.sampled_from(HARMLESS), unique=True, max_size=3))
    tricks += draw(st.lists(st.sampled_from(BUGS), unique=True, max_size=1))
    share = draw(st.sampled_from((0, 10, 40, 90)))
    kinds = draw(st.lists(st.sampled_from(ERRORS), unique=True, max_size=3))
    fault = failing(kinds, draw(st.sampled_from((0, 5, 30))), seed)
    return Ring(
        model=Oracle(fault=fault, delay=shuffled(Random(seed), draw(st.integers(0, 5)))),
        settings=SearchSettings(draw(st.integers(1, 8)), draw(st.integers(0, 20))),
        race=RaceSettings(
            alpha=draw(st.sampled_from((0.01, 0.3, 0.9))),
            min_effect=draw(st.sampled_from((0.0, 0.1))),
            critique=draw(st.integers(1, 12)),
            max_unanswered=draw(st.sampled_from((0.0, 0.2, 1.0))),
            at_once=draw(st.integers(1, 12)),
            racers=draw(st.integers(1, 4)),
        ),
        caps=Caps(calls=draw(st.none() | st.integers(30, 400))),
        seed=seed,
        wrap=lambda agent: Tricky(agent, tricks, share, seed),
    )


def check_books(ring: Ring) -> None:
    """What holds of every run, however it ended."""
    assert set(ring.endings().values()) <= {1}
    known = {0}
    for envelope in ring.log:
        assert envelope.cause is None or envelope.cause in known
        assert envelope.id > max(known)
        known.add(envelope.id)
    roles = ring.ledger.accounts.values()
    assert ring.ledger.calls == ring.model.calls
    assert sum(account.calls - account.failed for account in roles) == ring.model.answered
    assert ring.ledger.tokens == ring.model.tokens.total() + ring.model.uncertain
    assert ring.ledger.in_flight == ring.model.in_flight == 0
    if ring.caps.calls is not None:
        assert ring.model.calls <= ring.caps.calls


@pytest.mark.parametrize("backend", BACKENDS)
@given(data=st.data())
@settings(max_examples=75, deadline=None)
def test_every_assignment_ends_once_and_the_books_agree(backend: str, data: st.DataObject) -> None:
    ring = data.draw(rings())
    error = anyio.run(outcome, ring, backend=backend)
    check_books(ring)
    match error:
        case None:
            check_clean_end(ring)
        case Mishap() | BusError():
            raised = [e.message for e in ring.log if isinstance(e.message, Failure) and e.message.kind == "raised"]
            assert any(type(error).__name__ in failure.reason for failure in raised)
        case ModelError():
            assert error.fatal
        case _:
            assert isinstance(error, RunFailed)
            assert re.search("first prompt|left unanswered", str(error))


async def outcome(ring: Ring) -> Exception | None:
    try:
        await ring.run()
    except Exception as error:
        return error
    return None


def check_clean_end(ring: Ring) -> None:
    """No message is lost, and the last word is the Controller's, spoken when nothing was open."""
    for traffic in ring.bus.traffic.values():
        assert traffic.sent == traffic.taken == traffic.done
    finished = [n for n, e in enumerate(ring.log) if isinstance(e.message, Finished)]
    assert finished == [len(ring.log) - 1]
    assert ring.controller.open == {}
    numbers = [e.message.assignment for e in ring.log if isinstance(e.message, Assignment)]
    assert numbers == list(range(1, ring.controller.issued + 1))
    for member in ring.controller.archive.members:
        assert member.value <= ring.controller.archive.best().value


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("who", ["proposer/add_word", "evaluator", "critic"])
def test_a_run_fails_with_the_agents_own_exception(who: str, backend: str) -> None:
    ring = Ring(wrap=lambda agent: Tricky(agent, ["raise"], 100 if agent.address == who else 0, 1))
    with pytest.raises(Mishap) as caught:
        anyio.run(ring.run, backend=backend)
    assert "_play" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    check_books(ring)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [AuthenticationFailed, ModelNotFound, QuotaExhausted])
def test_a_fatal_error_of_the_first_evaluation_is_the_runs(kind: type[ModelError], backend: str) -> None:
    """And not that the first prompt could not be evaluated, which is what comes of it."""
    ring = Ring(model=Oracle(fault=lambda request: kind("no", model="scripted")))
    with pytest.raises(kind):
        anyio.run(ring.run, backend=backend)


async def test_a_first_prompt_without_an_answer_fails_the_run() -> None:
    ring = Ring(
        model=Oracle(fault=lambda request: BadRequest("no", model="scripted")),
        race=RaceSettings(critique=6, max_unanswered=1),
    )
    with pytest.raises(RunFailed, match="scripted: no"):
        await ring.run()


async def test_a_bug_in_the_metric_is_named_in_the_journal() -> None:
    ring = Ring(model=Oracle(fault=lambda request: 1 / 0))  # type: ignore[arg-type,return-value]
    with pytest.raises(ZeroDivisionError):
        await ring.run()
    [failure] = [e.message for e in ring.log if isinstance(e.message, Failure)]
    assert "ZeroDivisionError: division by zero" in failure.reason


@given(seed=st.integers(0, 2**16), kinds=st.lists(st.sampled_from(ERRORS[:6]), max_size=2))
@settings(max_examples=12, deadline=None)
def test_the_same_seed_makes_the_same_decisions_at_width_one(seed: int, kinds: list[type[ModelError]]) -> None:
    def journal(delays: int) -> list[Envelope]:
        model = Oracle(fault=failing(kinds, 10, seed), delay=shuffled(Random(delays)))
        ring = Ring(model=model, settings=SearchSettings(1, 15), seed=seed)
        assert anyio.run(ring.run) == "assignments"
        return ring.log

    assert journal(1) == journal(2)


@pytest.mark.parametrize("width", range(1, 9))
async def test_width_assignments_are_in_flight_while_work_is_left(width: int) -> None:
    ring = Ring(settings=SearchSettings(width, 20), model=Oracle(delay=shuffled(Random(width))))
    await ring.run()
    ends = [e.id for e in ring.log if isinstance(e.message, Critique | Failure)]
    causes = [e.cause for e in ring.log if isinstance(e.message, Assignment)]
    assert causes == [*ends[:1] * width, *ends[1:]][:20]


async def test_a_slow_assignment_holds_back_no_other() -> None:
    """The first waits until the last has begun, which would be never if it were waited for."""
    last_has_begun = anyio.Event()

    class Slow(AddWord):
        async def edit(self, assignment: Assignment, context: object) -> Prompt:
            if assignment.assignment == 1:
                await last_has_begun.wait()
            if assignment.assignment == 12:
                last_has_begun.set()
            return await super().edit(assignment, context)  # type: ignore[arg-type]

    ring = Ring(operators=(Slow(),), settings=SearchSettings(2, 12))
    with anyio.fail_after(60):
        assert await ring.run() == "assignments"
    assert ring.controller.issued == 12
    check_clean_end(ring)


@pytest.mark.parametrize("backend", BACKENDS)
@given(after=st.integers(0, 80), width=st.integers(1, 6))
@settings(max_examples=30, deadline=None)
def test_stop_drains_whenever_it_comes(backend: str, after: int, width: int) -> None:
    ring = Ring(settings=SearchSettings(width, 10_000), model=Oracle(delay=shuffled(Random(after))))

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            for _ in range(after):
                await anyio.lowlevel.checkpoint()
            await ring.team.stop("asked to")

    async def run() -> None:
        assert await ring.run() == "asked to"

    anyio.run(main, backend=backend)
    check_clean_end(ring)
    check_books(ring)
    assert ring.controller.first is not None
    assert ring.controller.archive.best().value >= 0
    assert not any(isinstance(e.message, Failure) for e in ring.log)


@pytest.mark.parametrize("backend", BACKENDS)
@given(after=st.integers(1, 200), width=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_a_cancelled_run_records_what_was_open(backend: str, after: int, width: int, seed: int) -> None:
    """Also with an observer that takes its time, such as a journal on a disk: it misses nothing that others saw."""
    ring = Ring(settings=SearchSettings(width, 10_000), model=Oracle(delay=shuffled(Random(seed))))
    slow: list[Envelope] = []

    async def journal(envelope: Envelope) -> None:
        await shuffled(Random(seed + envelope.id), 2)()
        slow.append(envelope)

    ring.bus.tap(journal)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ring.run)
            for _ in range(after):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    check_books(ring)
    assert sorted(e.id for e in slow) == [e.id for e in ring.log]


async def test_a_cap_ends_the_search_and_keeps_what_is_held_back() -> None:
    ring = Ring(settings=SearchSettings(4, 10_000), caps=Caps(calls=300))
    with ring.ledger.holding(Reserve(50, 50)):
        assert await ring.run() == "budget: calls"
    assert ring.ledger.calls <= 250
    check_clean_end(ring)
    check_books(ring)
    for _ in range(50):
        await ring.metered("task").complete(Request(FIRST_PROMPT.render({"text": "h 1 amber"})))
    with pytest.raises(BudgetExhausted):
        await ring.metered("task").complete(Request(FIRST_PROMPT.render({"text": "h 1 amber"})))
    assert ring.model.calls == ring.ledger.calls


async def test_an_operator_whose_own_budget_is_used_up_is_chosen_no_more() -> None:
    """The search goes on with the others; with none left it ends by their budgets, which are no cap of the run."""
    ring = Ring(settings=SearchSettings(4, 60), scopes={"proposer/ask_word": Caps(calls=3)})
    assert await ring.run() == "assignments"
    check_clean_end(ring)
    check_books(ring)
    issued = [e.message for e in ring.log if isinstance(e.message, Assignment)]
    assert 3 <= sum(assignment.operator == "ask_word" for assignment in issued) <= 3 + ring.settings.width
    assert ring.ledger.account("proposer/ask_word", "scripted").calls == 3
    alone = Ring(operators=(AskWord(),), scopes={"proposer/ask_word": Caps(calls=3)})
    assert await alone.run() == ALLOWANCES


async def test_the_search_finds_the_words() -> None:
    ring = Ring(settings=SearchSettings(4, 120))
    await ring.run()
    assert value(ring.controller.archive.best().prompt) == ring.controller.archive.best().value == 1.0


class Shrinks:
    """Applies only to a section that is still long."""

    name = "shrinks"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        return [section.name for section in prompt if len(section.text) > 40]

    async def edit(self, assignment: Assignment, context: object) -> Prompt:
        return assignment.prompt.edit(assignment.section, "amber", ())


async def test_a_search_with_nothing_left_to_edit_ends_with_what_it_has() -> None:
    first = FIRST_PROMPT.edit("rule", "Know: amber" + " and so on" * 20, ())
    ring = Ring(operators=(Shrinks(),), first=first, settings=SearchSettings(3, 50))
    assert await ring.run() == "no section left to edit"
    assert ring.controller.archive.best().prompt["rule"].text == "amber"
    check_clean_end(ring)


class MendsWords(AddWord):
    """Adds a word only where one was missing."""

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        return any(outcome.score < 1.0 for outcome in outcomes)


async def test_a_search_that_could_only_mend_ends_with_what_it_has_where_nothing_fails() -> None:
    ring = Ring(operators=(MendsWords(),), first=FIRST_PROMPT.edit("rule", " ".join(WORDS), ()))
    assert await ring.run() == FLAWLESS
    assert (ring.controller.issued, ring.controller.archive.best().value) == (0, 1.0)
    check_clean_end(ring)
    with pytest.raises(RunFailed, match="add_word"):
        await Ring(operators=(MendsWords(),), first=ring.first.freeze(("rule",))).run()


async def test_a_search_with_nothing_to_edit_says_so() -> None:
    with pytest.raises(RunFailed, match="shrinks"):
        await Ring(operators=(Shrinks(),)).run()


async def test_operators_that_ask_a_model_are_charged_to_their_own_role() -> None:
    ring = Ring(operators=(AskWord(),), settings=SearchSettings(2, 10))
    await ring.run()
    [account] = [a for (role, _), a in ring.ledger.accounts.items() if role == "proposer/ask_word"]
    assert account.calls == 10


@pytest.mark.parametrize("group", [False, True])
async def test_what_a_person_has_stopped_says_nothing_of_an_assignment(group: bool) -> None:
    """Also where an operator asked several things at once, and all of them were given up."""

    class Stopped(AddWord):
        async def edit(self, assignment: Assignment, context: Context) -> Prompt:
            error = Interrupted("stopped by a person")
            raise ExceptionGroup("all at once", [error]) if group else error

    ring = Ring(operators=(Stopped(),), settings=replace(SETTINGS, assignments=3))
    assert await ring.run() == "interrupted"
    assert {e.message.kind for e in ring.log if isinstance(e.message, Failure)} == {"stopped"}


async def test_a_first_evaluation_that_is_stopped_is_no_failed_run() -> None:
    def stop(request: Request) -> ModelError | None:
        raise Interrupted("stopped by a person")

    ring = Ring(model=Oracle(fault=stop))
    with pytest.raises(Interrupted, match="before the first prompt was evaluated"):
        await ring.run()


HANGS: dict[str, Callable[[Message], bool]] = {
    "the first candidate": lambda message: isinstance(message, Candidate),
    "an assignment": lambda message: isinstance(message, Assignment) and message.assignment == 2,
    "what was under way": lambda message: isinstance(message, Failure) and message.kind == "stopped",
}


@pytest.mark.parametrize("hangs", HANGS.values(), ids=HANGS)
async def test_a_tap_that_never_comes_back_holds_no_search_that_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, hangs: Callable[[Message], bool]
) -> None:
    """Its senders are shielded, for all taps are to tell the same story, but not for ever."""
    monkeypatch.setattr("agents.ring.team.RECORDING_SECONDS", 0.0)
    waiting, hung = anyio.Event(), list[Message]()

    async def never_answers() -> None:
        if len([e for e in search.log if isinstance(e.message, Assignment)]) >= 4:
            waiting.set()
            await anyio.sleep_forever()

    search = Ring(Oracle(delay=never_answers), SearchSettings(4, 40))

    async def tap(envelope: Envelope) -> None:
        if hangs(envelope.message):
            hung.append(envelope.message)
            waiting.set()
            await anyio.sleep_forever()

    search.bus.tap(tap)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(search.run)
        await waiting.wait()
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert hung
    assert set(search.endings().values()) <= {1}
