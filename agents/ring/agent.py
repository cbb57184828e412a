"""The interface of an agent, and the loop that runs one.

An agent is a class whose whole logic is `handle(message) -> messages`: it can be tested with no bus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import anyio

from protocols.bus import Bus, Mailbox
from protocols.errors import (
    BudgetExhausted,
    BusError,
    EditRejected,
    InapplicableError,
    Interrupted,
    ModelError,
    TooLong,
    UnreadableReply,
)
from protocols.files.users_code import users_code
from protocols.messages import (
    FIRST,
    Assignment,
    Candidate,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    FailureKind,
    Message,
)

Tolerance = Callable[[Exception], bool]
"""Whether the run continues after an agent's exception; the assignment then ends in a failure."""
ANSWERS: Final[Mapping[type[Message], type[Message]]] = {
    Assignment: Candidate,
    Candidate: Evaluation,
    Evaluation: Critique,
}
"""The type of message that answers each type of message of an assignment. A `Failure` ends the assignment instead."""


class Agent(Protocol):
    """One member of the ring."""

    @property
    def address(self) -> str:
        """The address of its mailbox on the bus; unique in the ring."""

    @property
    def accepts(self) -> tuple[type[Message], ...]:
        """The types of message that `handle` receives."""

    async def handle(self, message: Message) -> Sequence[Message]:
        """Answer a message.

        The answer to an assignment, a candidate or an evaluation is exactly one message of the same assignment: of
        the type in `ANSWERS`, or a `Failure`, which ends the assignment. An empty answer drops the assignment, which
        is recorded as a failure.

        :raises ModelError, BudgetExhausted, EditRejected, UnreadableReply, InapplicableError, Interrupted: the
            assignment ends in a failure of that kind.
        :raises Exception: any other exception is a bug; it is recorded, and fails the run unless it is tolerated.
        """


async def serve(agent: Agent, mailbox: Mailbox, bus: Bus, at_once: int, tolerated: Tolerance) -> None:
    """Handle the messages of a mailbox, up to `at_once` >= 1 at a time, until cancelled."""
    async with anyio.create_task_group() as tasks:
        for number in range(at_once):
            tasks.start_soon(_work, agent, mailbox, bus, tolerated, name=f"{agent.address}#{number}")


async def _work(agent: Agent, mailbox: Mailbox, bus: Bus, tolerated: Tolerance) -> None:
    with users_code(agent.address):  # a worker that ended like a cancelled one would leave the others waiting
        while True:
            async with mailbox.take() as envelope:
                for message in await _respond(agent, envelope, bus, tolerated):
                    await say(bus, agent, message, envelope.id)


async def say(bus: Bus, agent: Agent, message: Message, cause: int | None) -> None:
    """Send a message of an agent: an assignment to its operator's Proposer, others by their type.

    :raises BusError: there is no recipient.
    """
    to = f"proposer/{message.operator}" if isinstance(message, Assignment) else None
    await bus.send(message, sender=agent.address, to=to, cause=cause)


async def _respond(agent: Agent, envelope: Envelope, bus: Bus, tolerated: Tolerance) -> Sequence[Message]:
    message = envelope.message
    if not isinstance(message, Assignment | Candidate | Evaluation):
        return await agent.handle(message)
    try:
        with users_code(agent.address):
            answers = await agent.handle(message)
        return _exactly_one(agent, message, answers)
    except Exception as error:
        kind = _kind(error)
        reason = f"{agent.address}: {type(error).__name__}: {error}" if kind == "raised" else str(error)
        failure = Failure(
            message.assignment,
            kind,
            reason,
            text=error.text if isinstance(error, EditRejected) else "",
            cap=error.name if isinstance(error, BudgetExhausted) else "",
        )
        fatal = error.fatal if isinstance(error, ModelError) else kind == "raised"
        if not fatal or (kind == "raised" and message.assignment != FIRST and tolerated(error)):
            return [failure]
        await bus.note(failure, sender=agent.address, cause=envelope.id)  # recorded, but delivered to no agent
        raise


def _exactly_one(
    agent: Agent, message: Assignment | Candidate | Evaluation, answers: Sequence[Message]
) -> list[Message]:
    if not answers:
        return [Failure(message.assignment, "dropped", f"{agent.address} dropped a {type(message).__name__}")]
    numbers = [getattr(answer, "assignment", None) for answer in answers]
    if numbers != [message.assignment]:
        raise BusError(f"{agent.address} answered assignment {message.assignment} with messages of {numbers}")
    wanted = ANSWERS[type(message)]
    if not isinstance(answers[0], wanted | Failure):
        said, told = type(answers[0]).__name__, type(message).__name__
        raise BusError(f"{agent.address} answered a {told} with a {said}, and not with a {wanted.__name__}")
    return list(answers)


def _kind(error: Exception) -> FailureKind:
    match error:
        case EditRejected():
            return "rejected"
        case UnreadableReply():
            return "unreadable"
        case InapplicableError():
            return "inapplicable"
        case TooLong():
            return "too long"
        case ModelError():
            return "call"
        case Interrupted():
            return "stopped"
        case ExceptionGroup() if error.subgroup(Interrupted):  # an operator may make several calls at once
            return "stopped"
        case BudgetExhausted(scope=scope):
            return "allowance" if scope.startswith("proposer/") else "budget"
        case _:
            return "raised"
