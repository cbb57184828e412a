"""Commands of a person: whatever they interleave with, each holds from where the journal has it, and a replay or
another process does the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.ends import INTERRUPTED
from agents.config.catalogue import open_operators
from agents.config.configuration import Configuration, load
from agents.directory.run_directory import COMMANDS, JOURNAL
from agents.history.blame import blame
from agents.history.fold import Fold, fold
from agents.history.replay import replay
from agents.history.resumption import stopped_short
from agents.history.trace import trace
from agents.ring.controller import WIDTH, SearchSettings
from agents.ring.injected_edit import INJECTED
from agents.ring.team import PERSON, Person, Tell
from agents.run.opening import open_run
from agents.run.search import Run
from agents.run.steering import command
from memory.journals.journal import open_journal
from memory.journals.reading import read_journal
from protocols.errors import ConfigError, InputError
from protocols.files.named import Named
from protocols.messages import (
    FIRST,
    SHRINK,
    Assignment,
    Candidate,
    Change,
    Command,
    Continue,
    Critique,
    Envelope,
    Failure,
    Finished,
    Freeze,
    Inject,
    Message,
    Pause,
    Resumed,
    Stop,
)
from protocols.prompt import Prompt, Section
from tests.agents.history.test_looking_back import ignore
from tests.agents.run.test_search import check_journal
from tests.memory.helpers import directory as temporary
from tests.small_task import PROMPT, write_task
from tests.world import WORDS, Oracle, Ring, shuffled

pytestmark = pytest.mark.anyio
FIRST_PROMPT = Prompt(
    (
        Section("rule", "task", "Know: amber\nBe brief.\nBe kind to everybody who writes.\nThink."),
        Section("more", "task", "Know: birch"),
        Section("input", "task", "Text: {text}", frozen=True),
    )
)
BY_HAND = [
    FIRST_PROMPT.edit("rule", f"Know: {' '.join(WORDS)}", ()),
    FIRST_PROMPT.edit("more", "nothing", ()).edit("rule", "nothing", ()),
    FIRST_PROMPT,
    FIRST_PROMPT.reorder(["more", "rule", "input"]),
    Prompt((*FIRST_PROMPT.sections[:2], Section("input", "task", "lost"))),
]
commands = st.one_of(
    st.just(Pause()),
    st.just(Continue()),
    st.builds(Change, st.just(WIDTH), st.integers(1, 9), st.just(2)),
    st.builds(Freeze, st.sampled_from(["rule", "more", "input", "unheard-of"])),
    st.builds(Inject, st.sampled_from(BY_HAND)),
)


def spoken(said: Sequence[Command], rng: Random) -> Person:
    """Says this, now and then, and in the end to go on."""

    async def person(tell: Tell) -> None:
        for told in [*said, Continue()]:
            for _ in range(rng.randrange(40)):
                await anyio.lowlevel.checkpoint()
            await tell(told)

    return person


def ring(seed: int, assignments: int, last: int = 0) -> Ring:
    delay = shuffled(Random(seed), 3)
    settings = SearchSettings(2, assignments, prefer=("best", "short")[seed % 2], shrink=seed % 5)
    return Ring(Oracle(delay=delay), settings, first=FIRST_PROMPT, seed=seed, last=last)


@dataclass
class Told:
    """What the Controller was told until an envelope, in the order of the journal."""

    width: int
    paused: bool = False
    frozen: set[str] = field(default_factory=set)
    open: set[int] = field(default_factory=set)

    def follow(self, message: Message) -> None:
        match message:
            case Pause():
                self.paused = True
            case Continue() | Resumed():
                self.paused = False
            case Change(setting, value) if setting == WIDTH and value is not None:
                self.width = int(value)
            case Freeze(section):
                self.frozen.add(section)
            case Critique(assignment=number) | Failure(assignment=number):
                self.open.discard(number)
            case _:
                pass


def check_obeyed(log: Sequence[Envelope], width: int = 2) -> None:
    """Every assignment was allowed by what the Controller had been told when it issued it."""
    told, after = Told(width), -1
    issued = [envelope for envelope in log if isinstance(envelope.message, Assignment)]
    to_controller = [e for e in log if e.to == "controller" or isinstance(e.message, Resumed)]
    frozen: dict[int, set[str]] = {}
    for envelope in issued:
        assert envelope.cause is not None
        for earlier in to_controller:
            if after < earlier.id <= envelope.cause:
                told.follow(earlier.message)
        after = max(after, envelope.cause)
        assignment = envelope.message
        assert isinstance(assignment, Assignment)
        told.open.add(assignment.assignment)
        frozen[assignment.assignment] = set(told.frozen)
        assert not told.paused
        assert len(told.open) <= told.width
        assert assignment.section not in told.frozen | {"input"} or assignment.operator == INJECTED
        assert all(section.frozen for section in assignment.prompt if section.name in told.frozen)
    parents = {e.message.assignment: e.message for e in issued if isinstance(e.message, Assignment)}
    for envelope in log:
        if isinstance(candidate := envelope.message, Candidate) and candidate.assignment != FIRST:
            parent = parents[candidate.assignment].prompt
            for name in frozen[candidate.assignment] & {section.name for section in parent}:
                assert candidate.prompt[name] == parent[name]


async def check_replay(log: Sequence[Envelope], search: Ring) -> None:
    """A Controller that is told the same decides the same."""
    again = ring(search.seed, search.settings.assignments)
    again.bus.close()
    folded = Fold(again.controller, log)
    for envelope in log:
        await folded.take(envelope)
    assert not folded.said
    assert folded.made == again.controller.issued + 1 + again.controller.shrinking
    found = [[m.candidate for m in r.controller.archive.members] for r in (again, search)]
    assert found[0] == found[1]


@given(said=st.lists(commands, max_size=12), seed=st.integers(0, 999), assignments=st.integers(0, 16))
@settings(max_examples=50, deadline=None)
def test_commands_hold_whenever_they_come_and_a_replay_decides_the_same(
    said: list[Command], seed: int, assignments: int
) -> None:
    async def main() -> None:
        search = ring(seed, assignments)
        assert await search.run(spoken(said, Random(seed))) in ("assignments", "no section left to edit")
        check_obeyed(search.log)
        assert set(search.endings().values()) <= {1}
        assert [e.message for e in search.log if e.sender == PERSON] == [*said, Continue()][
            : sum(e.sender == PERSON for e in search.log)
        ]
        assert sum(isinstance(e.message, Finished) for e in search.log) == 1
        await check_replay(search.log, search)

    anyio.run(main)


@given(said=st.lists(commands, max_size=12), seed=st.integers(0, 999), share=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_a_run_killed_between_a_command_and_what_comes_of_it_goes_on(
    said: list[Command], seed: int, share: float
) -> None:
    """The journal ends at any envelope: a command that is in it holds, and a pause ends with the process."""

    async def main() -> None:
        search = ring(seed, 12)
        await search.run(spoken(said, Random(seed)))
        before = search.log[: int(share * len(search.log))]
        last = before[-1].id if before else 0
        with temporary() as path:
            async with open_journal(path / "journal") as journal:
                for envelope in before:
                    await journal.append(envelope)
            later = ring(seed, 12, last)
            opening = await fold(path / "journal", later.controller, FIRST_PROMPT, last + 1, [])
        if before:
            await later.bus.note(Resumed(0.0), sender="team")
        assert await later.team.run(opening) in ("assignments", "no section left to edit")
        log = [*before, *later.log]
        check_obeyed(log)
        await check_replay(log, later)
        ends = [e.message.assignment for e in log if isinstance(e.message, Critique | Failure)]
        assert sorted(ends) == list(range(len(ends)))

    anyio.run(main)


@given(
    seed=st.integers(0, 999),
    said=st.lists(commands, max_size=4),
    times=st.lists(st.tuples(st.floats(0, 1) | st.just(1.0), st.integers(0, 3)), min_size=1, max_size=3),
)
@settings(max_examples=25, deadline=None)
def test_a_run_that_is_given_more_is_a_search_again_whatever_was_being_shrunk(
    seed: int, said: list[Command], times: list[tuple[float, int]]
) -> None:
    """Killed at any envelope, or ended, and gone on with as it was or with more assignments, time and again."""

    async def main() -> None:
        assignments = 4
        search = ring(seed, assignments)
        await search.run(spoken(said, Random(seed)))
        log = search.log
        for share, more in times:
            log, assignments = log[: max(1, int(share * len(log)))], assignments + more
            search = ring(seed, assignments, log[-1].id)
            with temporary() as path:
                async with open_journal(path / "journal") as journal:
                    for envelope in log:
                        await journal.append(envelope)
                again = stopped_short(log, assignments)
                resumed = Resumed(0.0, more=again)
                opening = await fold(path / "journal", search.controller, FIRST_PROMPT, log[-1].id + 1, [], resumed)
            await search.bus.note(resumed, sender="team")
            await search.team.run(opening)
            log = [*log, *search.log]
            operators = [e.message.operator for e in log if isinstance(e.message, Assignment)]
            assert sum(operator != SHRINK for operator in operators) <= assignments
            await check_replay(log, search)

    anyio.run(main)


class Onlooker:
    """Sees all that is said in a run."""

    def __init__(self, run: Run) -> None:
        self.log: list[Envelope] = []
        self._more = anyio.Event()
        run.bus.tap(self._observe)

    async def _observe(self, envelope: Envelope) -> None:
        self.log.append(envelope)
        self._more.set()
        self._more = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._more.wait()

    def saw(self, kind: type[Message]) -> Callable[[], bool]:
        """Whether the journal has one such message: a condition must become true with a message."""
        return lambda: any(isinstance(envelope.message, kind) for envelope in self.log)


async def say(directory: Path, *words: str) -> str:
    return await to_thread.run_sync(command, directory, words)


def configured(tmp_path: Path, *set: str) -> Configuration:
    return load(write_task(tmp_path / "task"), ("search.assignments=5000", *set))


GOOD = PROMPT.replace(
    "=== examples", "invoice: card bank sum pay\nparcel: box van street post\n退款: 退 钱 款 😀\n=== examples"
)


async def test_a_run_does_as_it_is_told_and_every_word_is_in_its_journal(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text(GOOD, encoding="utf-8")
    said = [("set", WIDTH, "5"), ("set", "budget.calls", "900000"), ("set", "search.concurrency", "2")]
    said += [("freeze", "examples"), ("inject", str(tmp_path / "good.txt")), ("resume",)]  # type: ignore[list-item]
    directory = tmp_path / "run"
    weak = 'search.operators=["self_reflection", "few_shot"]'  # what the person writes is better than theirs
    async with open_run(configured(tmp_path, weak), {}, directory) as run:
        onlooker = Onlooker(run)

        async def steer() -> None:
            await onlooker.until(onlooker.saw(Critique))
            assert (await say(directory, "pause")).startswith("paused")
            await onlooker.until(onlooker.saw(Pause))
            for words in said:
                await say(directory, *words)
            await onlooker.until(lambda: ended_by_hand(onlooker.log) is not None)
            await say(directory, "stop")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(steer)
            result = await run.search()
        assert (run.ledger.caps.calls, run.steering.concurrency.calls, run.controller.width) == (900_000, 2, 5)
    assert result.stopped_by == INTERRUPTED
    kinds = [type(e.message) for e in onlooker.log if e.sender == PERSON]
    assert kinds == [Pause, Change, Change, Change, Freeze, Inject, Continue, Stop]
    check_obeyed(onlooker.log, width=3)
    check_journal(directory, result.assignments)
    assert (await replay(directory, ignore)).stopped_by == INTERRUPTED
    number = ended_by_hand(onlooker.log)
    [*_, last] = trace(directory, number)
    assert (last.ending.operator, last.ending.section) == (INJECTED, "definitions")
    assert last.ending.kind in ("survived", "lost"), "it has raced; who was best by then is a matter of time"
    assert {line.edit.operator for line in blame(directory, number) if line.section == "definitions"} == {INJECTED}
    with pytest.raises(ConfigError, match="has finished"):
        command(directory, ["pause"])


def ended_by_hand(log: Sequence[Envelope]) -> int | None:
    """The number of the assignment that a person made, once it has ended."""
    made = [e.message.assignment for e in log if isinstance(e.message, Assignment) and e.message.operator == INJECTED]
    ends = [e.message.assignment for e in log if isinstance(e.message, Critique | Failure)]
    return made[0] if made and made[0] in ends else None


async def test_who_goes_on_is_not_paused_and_keeps_what_was_set_unless_the_configuration_differs(
    tmp_path: Path,
) -> None:
    directory, given = tmp_path / "run", "budget.calls=100000"
    async with open_run(configured(tmp_path, given), {}, directory) as run:
        onlooker = Onlooker(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.search)
            await onlooker.until(onlooker.saw(Critique))
            for words in (("set", "budget.calls", "90000"), ("set", WIDTH, "7"), ("pause",)):
                await say(directory, *words)
            await onlooker.until(onlooker.saw(Pause))
            tasks.cancel_scope.cancel()
    async with open_run(configured(tmp_path, "budget.calls=95000"), {}, directory) as run:
        assert run.ledger.caps.calls == 95_000
    async with open_run(configured(tmp_path, given), {}, directory) as run:
        assert (run.ledger.caps.calls, run.controller.width, run.controller.paused) == (90_000, 7, False)
        onlooker = Onlooker(run)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.search)
            await onlooker.until(onlooker.saw(Assignment))
            assert len(run.controller.open) <= 7
            await say(directory, "stop")
    assert onlooker.saw(Resumed)()
    assert (await replay(directory, ignore)).stopped_by == INTERRUPTED


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "'' is no command; there are pause, resume, stop, set KEY VALUE"),
        (["halt"], "'halt' is no command"),
        (["pause", "now"], "'pause now' is no command"),
        (["set", WIDTH], f"'set {WIDTH}' is no command"),
        (["set", WIDTH, "0"], "search.width: input should be greater than or equal to 1"),
        (["set", WIDTH, "1025"], "search.width: input should be less than or equal to 1024"),
        (["set", WIDTH, "none"], "search.width: give a number"),
        (["set", WIDTH, "many"], "search.width: input should be a valid integer"),
        (
            ["set", "search.alpha", "0.1"],
            "search.alpha cannot be set while the run works; what can be is search.",
        ),
        (["set", "budget.roles.judge.calls", "3"], "cannot be set"),
        (["set", "budget.calls", "-1"], "budget.calls: input should be greater than or equal to 1"),
        (["freeze", "nothing"], "no section is named 'nothing'; there are task, definitions, examples, input"),
        (["inject", "absent.txt"], "absent.txt: cannot read the prompt"),
        (["inject", "frozen.txt"], "frozen.txt: section input is frozen"),
        (["inject", "invents.txt"], "invents.txt: section task: the edit invents {text}"),
        (["inject", "others.txt"], "others.txt: only one of the two prompts has definitions (definitions)"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frozen.txt").write_text(PROMPT.replace("Text:", "Words:"), encoding="utf-8")
    (tmp_path / "invents.txt").write_text(PROMPT.replace("it?", "{text}?"), encoding="utf-8")
    (tmp_path / "others.txt").write_text(PROMPT.replace("=== definitions (definitions) ===\n", ""), encoding="utf-8")
    config = configured(tmp_path, "budget.roles.critic.calls=7")
    async with open_run(config, {}, tmp_path / "run"):
        with pytest.raises(InputError) as caught:
            command(tmp_path / "run", words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / COMMANDS).exists()


async def test_who_injects_a_prompt_that_lost_a_label_is_warned_and_not_refused(tmp_path: Path) -> None:
    async with open_run(configured(tmp_path, "budget.roles.critic.calls=7"), {}, tmp_path / "run"):
        for text, doubt in (
            (PROMPT.replace("it?", "one?"), ""),
            (PROMPT.replace(", parcel", ""), "; but parcel stands"),
        ):
            (tmp_path / "mine.txt").write_text(text, encoding="utf-8")
            said = command(tmp_path / "run", ["inject", str(tmp_path / "mine.txt")])
            assert said.startswith("a prompt made by hand")
            assert (doubt in said) if doubt else ("but" not in said)
    assert (tmp_path / "run" / COMMANDS).read_text("utf-8").count("inject") == 2


async def test_nobody_is_told_where_nobody_works(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run directory"):
        command(tmp_path, ["pause"])
    async with open_run(configured(tmp_path, "budget.roles.critic.calls=7"), {}, tmp_path / "run"):
        assert command(tmp_path / "run", ["set", "budget.roles.critic.calls", "none"]).endswith("no cap from now on")
    with pytest.raises(ConfigError, match="nobody works on"):
        command(tmp_path / "run", ["pause"])


async def test_nothing_is_taken_up_once_a_cap_has_ended_the_search(tmp_path: Path) -> None:
    """Nor refused because an assignment failed, or because a cap ended what has gone on since."""
    directory = tmp_path / "run"
    async with open_run(configured(tmp_path), {}, directory) as run:
        await run.bus.send(Failure(1, "call", "no"), sender="evaluator")
        command(directory, ["pause"])
        await run.bus.send(Failure(2, "budget", "no"), sender="evaluator")
        await run.bus.send(Failure(3, "call", "no"), sender="evaluator")
        with pytest.raises(ConfigError, match="is ending; nothing more is issued"):
            command(directory, ["pause"])
        await run.bus.note(Resumed(0.0), sender="controller")
        command(directory, ["pause"])


class Handy:
    """An operator with a person's name."""

    name = INJECTED


def test_no_operator_is_called_as_a_persons_edits_are() -> None:
    with pytest.raises(ConfigError, match="is called hand, as the edits that a person makes are"):
        open_operators([Named(f"{__name__}:Handy")])


async def test_lines_of_others_and_of_earlier_processes_are_not_obeyed(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    async with open_run(configured(tmp_path), {}, directory):
        command(directory, ["set", WIDTH, "9"])
    async with open_run(configured(tmp_path), {}, directory) as run:
        with (directory / COMMANDS).open("ab") as file:
            file.write(
                b'not json\n["halt"]\n{"pause": 1}\n5\n[["pause"]]\n["set", 1, 2]\n["pause"'
            )  # the last as a full disk leaves it
        command(directory, ["stop"])
        assert (await run.search()).stopped_by == INTERRUPTED
    told = [e.message for e in read_journal(directory / JOURNAL) if e.sender == PERSON]
    assert told == [Stop(INTERRUPTED)]
