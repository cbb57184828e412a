"""An agent of the user's in the place of one of the ring's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.prompting.retrieval_slots import Shelves
from agents.ring.agent import Agent
from protocols.messages import Message
from protocols.model import ChatModel
from protocols.task import Task


@dataclass(frozen=True, slots=True)
class Place:
    """The place that an agent takes, and what it finds there.

    `address`: `critic`, `evaluator` or `proposer/<operator>`. `task`: its examples, metric and kind. `model`: the
    role's; its calls are cached, counted, capped and on record like those of the agent that was there. `shelves`:
    what `{examples:k}` and `{passages:k}` are filled from. `seed`: the run's, to draw from together with the
    assignment's number. `usual`: the agent whose place it is, which may be asked to do its work.
    """

    address: str
    task: Task
    model: ChatModel
    shelves: Shelves
    seed: int
    usual: Agent


class OwnAgent(Protocol):
    """What a user writes: a class that is made with its place and handles what comes there.

    Several messages may be handled at a time. A run that goes on makes the agent anew: what it says should depend on
    the message and the seed alone.
    """

    def __init__(self, place: Place) -> None: ...

    async def handle(self, message: Message) -> Sequence[Message]:
        """As `Agent.handle`: one message, of the type that `agents.ring.agent.ANSWERS` names, of the same
        assignment."""


class Seated:
    """An agent of the user's under the address, and with the messages, of the agent whose place it takes."""

    def __init__(self, own: OwnAgent, usual: Agent) -> None:
        self._own = own
        self.address, self.accepts = usual.address, usual.accepts

    async def handle(self, message: Message) -> Sequence[Message]:
        """:raises Exception: whatever the agent raises."""
        return await self._own.handle(message)
