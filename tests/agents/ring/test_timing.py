"""Operators that have their time: told from the messages alone, and so the same when a run goes on."""

from __future__ import annotations

from random import Random

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.choices import Choices
from agents.operators.describe import TIMES, Describe
from agents.operators.operator import Operator
from agents.operators.restart import PLATEAU, Restart
from agents.operators.short_instruction import IDLE, ShortInstruction
from agents.ring.controller import Controller, SearchSettings
from agents.selectors.baselines import Uniform
from protocols.embedding import HashedNgrams
from protocols.messages import FIRST, Assignment, Critique, Evaluation, Failure, FailureKind, Message
from protocols.prompt import Prompt, Section
from tests.world import TASK, AddWord

PROMPT = Prompt(
    (
        Section("rule", "task", "amber " * 80),
        Section("definitions", "definitions"),
        Section("input", "task", "Text: {text}", frozen=True),
    )
)
ENDINGS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["gained", "survived", "lost", "rejected", "call"])), max_size=40
)


def controller(width: int, *operators: Operator) -> Controller:
    choices = Choices({operator.name: operator for operator in operators}, TASK, HashedNgrams())
    return Controller(TASK, choices, Uniform(Random(0)), SearchSettings(width, 99), None, Random(0), lambda: 0.0)


def critique(number: int, value: float, survived: bool = True, doubtful: tuple[str, ...] = ()) -> Critique:
    prompt = PROMPT.edit("definitions", f"{number}", ())
    evaluation = Evaluation(number, prompt, (value,) * 4, survived, 0.1, 0.1, 4, 0, value=value)
    return Critique(number, evaluation, {}, doubtful=doubtful)


@given(ENDINGS, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_describe_begins_restart_comes_with_every_plateau_and_short_instruction_late(
    endings: list[tuple[int, str]], width: int
) -> None:
    operators = (AddWord(), ShortInstruction(), Describe(), Restart())
    it, again = controller(width, *operators), controller(width, *operators)
    described = restarted = idle = 0
    value, open_now = 0.1, list[Assignment]()

    def check(answers: list[Message]) -> None:
        nonlocal described, restarted
        for message in answers:
            assert isinstance(message, Assignment)
            alike = [(one.operator, one.section, one.parent) for one in open_now]
            assert message.twins == alike.count((message.operator, message.section, message.parent))
            open_now.append(message)
            if described < TIMES:
                assert (message.operator, message.section) == ("describe", "definitions")
                described += 1
            elif restarted < idle // PLATEAU:
                assert message.operator == "restart"
                restarted += 1
            else:
                assert message.operator in {"add_word", "short_instruction"}
                assert message.operator != "short_instruction" or idle >= IDLE

    async def main() -> None:
        nonlocal idle, restarted, value
        told: list[Message] = [critique(FIRST, value)]
        check(list(await it.handle(told[0])))
        made = list(open_now)
        for which, ending in endings:
            number = open_now.pop(which % len(open_now)).assignment
            gained = ending == "gained"
            value += 0.01 * gained
            idle, restarted = (0, 0) if gained else (idle + (ending != "call"), restarted)
            at = value if gained else value / 2
            failures: dict[str, FailureKind] = {"rejected": "rejected", "call": "call"}
            told.append(
                Failure(number, failures[ending], "no")
                if ending in failures
                else critique(number, at, ending != "lost")
            )
            before = len(open_now)
            check(list(await it.handle(told[-1])))
            made += open_now[before:]
        assert [message for said in told for message in await again.handle(said)] == made
        assert it.idle == again.idle == idle

    anyio.run(main)


def test_operators_that_all_have_another_time_are_applied_all_the_same() -> None:
    """Else nothing could be measured of one of them alone."""

    async def operators(*of: Operator) -> list[str]:
        it = controller(4, *of)
        return [m.operator for m in await it.handle(critique(FIRST, 0.1)) if isinstance(m, Assignment)]

    for operator in (ShortInstruction(), Restart(), Describe()):
        assert anyio.run(operators, operator) == [operator.name] * 4
    assert anyio.run(operators, Describe(), AddWord()) == ["describe"] * 2 + ["add_word"] * 2


def test_doubts_are_counted_over_all_critiques_and_losers() -> None:
    async def main() -> Controller:
        it = controller(2, AddWord())
        await it.handle(critique(FIRST, 0.1, doubtful=("t1", "t2")))
        await it.handle(critique(1, 0.2, doubtful=("t1",)))
        return it

    assert anyio.run(main).doubted == {"t1": 2, "t2": 1}


def test_an_operator_that_was_given_up_is_opened_again_by_a_reply_that_was_in_flight() -> None:
    async def main() -> tuple[list[str], list[str]]:
        it = controller(4, AddWord())
        issued = [m for m in await it.handle(critique(FIRST, 0.1)) if isinstance(m, Assignment)]
        answers: list[Message] = []
        for assignment in issued[:3]:
            answers = list(await it.handle(Failure(assignment.assignment, "unreadable", "no")))
        later = await it.handle(critique(issued[3].assignment, 0.2))
        return [type(m).__name__ for m in answers], [type(m).__name__ for m in later]

    closed, opened = anyio.run(main)
    assert (closed, opened) == ([], ["Assignment"] * 2), "the first two failures were made good before it was closed"
