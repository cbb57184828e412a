"""A ring whose gain hangs on its critic, and faults that are put into it on purpose, for a study to find. Each class
is named `benchmarks.planted:Class` in a configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agents.operators.operator import Context, of_kinds
from agents.ring.place import Place
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Critique, Evaluation, Message
from protocols.prompt import Prompt
from protocols.task import Task

ADVICE = re.compile(r"inputs about (?P<words>.+) must lead to (?P<answer>.+?)(?: \([^()]*\))?")
"""A line of the embedded model's gradients; the ids of the examples that show it come last."""


class Obedient:
    """An operator that makes a definition of every line that the critic says: its worth is the critic's."""

    name = "obedient"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The definitions."""
        return of_kinds(prompt, "definitions")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: the critic advised nothing."""
        advice = [match for line in assignment.gradient.splitlines() if (match := ADVICE.fullmatch(line.strip()))]
        if not advice:
            raise InapplicableError("the critic advised nothing")
        lines = assignment.prompt[assignment.section].text.splitlines()
        lines += [f"{match['answer']}: {match['words']}" for match in advice]
        text = "\n".join(dict.fromkeys(line for line in lines if line))
        return assignment.prompt.edit(assignment.section, text, context.task.fields)


class Useless:
    """An operator that edits what `Obedient` edits, and helps nobody."""

    name = "useless"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The definitions."""
        return of_kinds(prompt, "definitions")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """A remark and nothing else."""
        text = f"Remark {assignment.assignment} of none."
        return assignment.prompt.edit(assignment.section, text, context.task.fields)


class WrongCritic:
    """A critic that reads what the usual one says, and advises for the inputs of each answer the next answer."""

    def __init__(self, place: Place) -> None:
        self._usual = place.usual
        answers = sorted({place.task.kind.show(example.target) for example in place.task.train})
        self._next = dict(zip(answers, [*answers[1:], answers[0]], strict=True))

    async def handle(self, message: Message) -> Sequence[Message]:
        """The usual critique, all of whose advice is wrong."""
        assert isinstance(message, Evaluation)
        [critique] = await self._usual.handle(message)
        assert isinstance(critique, Critique)
        wrong = {name: "\n".join(map(self._turned, text.splitlines())) for name, text in critique.gradients.items()}
        return [replace(critique, gradients=wrong)]

    def _turned(self, line: str) -> str:
        match = ADVICE.fullmatch(line.strip())
        if match is None or match["answer"] not in self._next:
            return line
        return f"inputs about {match['words']} must lead to {self._next[match['answer']]}"
