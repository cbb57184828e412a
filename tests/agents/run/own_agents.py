"""Agents of a user's own, for tests: each is named `tests.agents.run.own_agents:Class`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agents.ring.place import Place
from protocols.messages import Assignment, Candidate, Critique, Envelope, Evaluation, Message
from protocols.task import Task

MODULE = "tests.agents.run.own_agents"


class AsUsual:
    """Has the usual agent do the work."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def handle(self, message: Message) -> Sequence[Message]:
        return await self.place.usual.handle(message)


class Shouts:
    """A critic with one gradient for all sections."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def handle(self, message: Message) -> Sequence[Message]:
        assert isinstance(message, Evaluation)
        gradients = {section.name: "Louder!" for section in message.prompt if not section.frozen}
        return [Critique(message.assignment, message, gradients)]


class Echo:
    """Answers with what it was told: of no use in any place."""

    def __init__(self, place: Place) -> None: ...

    async def handle(self, message: Message) -> Sequence[Message]:
        return [message]


class Mute:
    """Answers with nothing, but for the first prompt."""

    def __init__(self, place: Place) -> None:
        self.place = place

    async def handle(self, message: Message) -> Sequence[Message]:
        assert isinstance(message, Assignment | Candidate | Evaluation)
        return [] if message.assignment else await self.place.usual.handle(message)


class Watcher:
    """Keeps the ids that it was shown, in a file of the run directory."""

    def __init__(self, task: Task, directory: Path) -> None:
        self.file = directory / "seen.txt"

    async def observe(self, envelope: Envelope) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{envelope.id}\n")


class Squeamish:
    """Cannot bear to see an evaluation."""

    def __init__(self, task: Task, directory: Path) -> None: ...

    async def observe(self, envelope: Envelope) -> None:
        if isinstance(envelope.message, Evaluation):
            raise ZeroDivisionError(f"at {envelope.message.assignment}")
