"""A user's agent that replaces one of the ring's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.prompting.retrieval_slots import RetrievalSlots
from agents.ring.agent import Agent
from protocols.messages import Message
from protocols.model import ChatModel
from protocols.task import Task


@dataclass(frozen=True, slots=True)
class Place:
    """The place of an agent in the ring, with everything that its replacement may use.

    `address`: `critic`, `evaluator` or `proposer/<operator>`. `task`: its examples, metric and kind. `model`: the
    role's; calls are cached, counted, capped and recorded like those of the replaced agent. `slots`: the source of
    `{examples:k}` and `{passages:k}`. `seed`: the run's, for random draws together with the assignment's number.
    `usual`: the replaced agent, to which the replacement may delegate.
    """

    address: str
    task: Task
    model: ChatModel
    slots: RetrievalSlots
    seed: int
    usual: Agent


class OwnAgent(Protocol):
    """The interface of a user's agent; its class is called with its place.

    Several messages may be handled at a time. When a run is resumed, the agent is created anew, so its answers should
    depend only on the message and the seed.
    """

    def __init__(self, place: Place) -> None: ...

    async def handle(self, message: Message) -> Sequence[Message]:
        """As `Agent.handle`: return one message of the same assignment, of the type in
        `agents.ring.agent.ANSWERS`."""


class Seated:
    """A user's agent, with the address and the accepted messages of the agent that it replaces."""

    def __init__(self, own: OwnAgent, usual: Agent) -> None:
        self._own = own
        self.address, self.accepts = usual.address, usual.accepts

    async def handle(self, message: Message) -> Sequence[Message]:
        """:raises Exception: the user's agent raises it."""
        return await self._own.handle(message)
