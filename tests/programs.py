"""A program of two prompts, and outcomes of it as its traces tell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from protocols.messages import Outcome
from protocols.model import Finish
from protocols.naming import closed
from protocols.program import Call, Prompts, Step
from protocols.prompt import Prompt, Section
from protocols.task import Example, Json, Task, TaskKind, TaskProgram
from tests.world import KIND, TASK

LABELS: TaskKind = replace(KIND, names=closed(("no", "yes")))
PROMPTS = Prompt(
    (
        Section("decide.task", "task", "Is it so?"),
        Section("decide.reasoning", "reasoning"),
        Section("decide.examples", "examples"),
        Section("decide.format", "format", "Reply with yes or no."),
        Section("decide.input", "task", "Message: {text}\nFacts: {facts}\nLabel:", frozen=True),
        Section("extract.task", "task", "What does the writer want? Yes, say what."),
        Section("extract.reasoning", "reasoning"),
        Section("extract.examples", "examples"),
        Section("extract.format", "format"),
        Section("extract.input", "task", "{inputs}", frozen=True),
    )
)
"""In another order than that in which the program calls them."""


class Two:
    """Extracts, then decides."""

    async def answer(self, example: Example, prompts: Prompts, call: Call, note: Callable[[str], None]) -> Json:
        facts = await call("extract", prompts["extract"].render(example.inputs))
        return await call("decide", prompts["decide"].render({**example.inputs, "facts": facts}))


def of_program(*prompts: str, task: Task = TASK, kind: TaskKind = LABELS) -> Task:
    """The task, answered by a program with these prompts."""
    program = TaskProgram(Two(), dict.fromkeys(prompts), ("facts", "inputs"), 5.0)
    return replace(task, kind=kind, program=program)


TWO = of_program("decide", "extract")
ONE = of_program("main")


def step(prompt: str, reply: str, values: Mapping[str, str], finish: Finish = "stop", error: str = "") -> Step:
    """A call that was rendered from the prompt."""
    return Step(prompt, reply, values, finish=finish, error=error)


def outcome(number: int, facts: str, answer: str, right: bool, text: str = "") -> Outcome:
    """An example whose facts were extracted, and which was then decided."""
    inputs = {"text": text or f"t {number} birch"}
    steps = (
        step("extract", facts, inputs),
        Step("", f"note {number}"),
        step("decide", answer, {**inputs, "facts": facts}),
    )
    target = answer if right else {"yes": "no", "no": "yes"}[answer]
    mistakes = {} if right else {f"{target} answered as {answer}": 1}
    return Outcome(f"t{number}", inputs, target, answer, answer, float(right), "", {}, mistakes, steps=steps)


OUTCOMES = (
    outcome(1, "wants a refund at once", "no", right=False),
    outcome(2, "wants a refund", "yes", right=True),
    outcome(4, "is angry", "no", right=True),
    outcome(5, "asks for the opening hours", "yes", right=True),
    outcome(7, "wants nothing", "no", right=False),
)
