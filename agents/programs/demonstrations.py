"""Worked examples of one prompt of a program: what it was rendered with on an example, and the reply.

After DSPy (arXiv 2310.03714): a program that was right shows by its calls what each of its prompts should reply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agents.programs.bound import INPUTS, Values
from agents.programs.calls import asked
from agents.programs.trace import TEXT, middle
from protocols.messages import Outcome
from protocols.program import Step
from protocols.prompt import Prompt, placeholders
from protocols.turns import images_of


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What a prompt was rendered with, and a reply to it."""

    values: Mapping[str, str]
    reply: str


def demonstrations(prompt: str, outcomes: Sequence[Outcome]) -> dict[str, Demonstration]:
    """The last call of the prompt in each example that came out right, by the example's id. Calls that had other
    messages than the rendered ones, texts that the trace has cut, or images, are no examples."""
    right = (outcome for outcome in outcomes if outcome.score >= 1.0)
    return {outcome.example: Demonstration(step.values, step.reply) for outcome, step in _calls(prompt, right)}


def corrected(prompt: str, outcomes: Sequence[Outcome], replies: Mapping[str, str]) -> dict[str, Demonstration]:
    """The last call of the prompt in each example, with the right reply in place of its own: for the prompt whose
    reply is the answer. `replies`: the right ones, by the ids of the examples."""
    return {
        outcome.example: Demonstration(step.values, replies[outcome.example])
        for outcome, step in _calls(prompt, outcomes, cut=True)
        if outcome.example in replies
    }


def seen_in(prompt: Prompt, outcome: Outcome) -> bool:
    """Whether a prompt of the program shows, in a worked example, what it was rendered with on this example."""
    parts = {name: prompt.of(name) for name in prompt.names}
    return any(
        all(_spaced(value) in _spaced(_examples(parts[step.prompt])) for value in values)
        for step in asked(outcome.steps)
        if step.prompt in parts and (values := rendered(parts[step.prompt], step.values))
    )


def rendered(prompt: Prompt, values: Mapping[str, str]) -> list[str]:
    """Those of the values that the prompt shows; all if it shows none by its name."""
    shown = {name for section in prompt for name in placeholders(section.filled, Values(values))}
    return [value for name, value in values.items() if name in shown or INPUTS in shown or not shown]


def _calls(prompt: str, outcomes: Iterable[Outcome], cut: bool = False) -> Iterator[tuple[Outcome, Step]]:
    """`cut`: calls count whose reply ended early, since it is not shown."""
    for outcome in outcomes:
        images = {middle(str(value)) for value in outcome.inputs.values() if images_of(value)}
        usable = [step for step in asked(outcome.steps, prompt) if _is_usable(step, cut)]
        if usable and images.isdisjoint(usable[-1].values.values()):
            yield outcome, usable[-1]


def _is_usable(step: Step, cut: bool) -> bool:
    if step.error or step.messages or not step.reply.strip() or (step.finish != "stop" and not cut):
        return False
    texts = [step.reply, *step.values.values()]
    return any(value.strip() for value in step.values.values()) and all(len(text) <= TEXT for text in texts)


def _examples(prompt: Prompt) -> str:
    return "\n".join(section.said for section in prompt if section.kind == "examples")


def _spaced(text: str) -> str:
    return " ".join(text.split())
