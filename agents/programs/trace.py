"""The trace of a program on one example: its calls and notes, in order, bounded in size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from protocols.model import ChatMessage, Reply, Request, Usage, with_calls
from protocols.program import Step

STEPS = 24
"""Most steps kept: the first half and the last half of them."""
Rendered = tuple[Mapping[str, str], tuple[ChatMessage, ...]]
"""The values that a prompt was rendered with, and the messages."""
TEXT = 2000
"""Most characters kept of each text of a step, from both ends."""


class Trace:
    """Collects the steps of one example. `usage`: the sum over all calls, also those that are not kept."""

    def __init__(self) -> None:
        self._first: list[Step] = []
        self._last: list[Step] = []
        self._left_out = 0
        self.usage = Usage()

    def add(self, step: Step) -> None:
        """Add a step."""
        self.usage = self.usage + step.usage
        kept = shortened(step)
        if len(self._first) < STEPS // 2:
            self._first.append(kept)
            return
        self._last.append(kept)
        if len(self._last) > STEPS - STEPS // 2:
            del self._last[0]
            self._left_out += 1

    def note(self, text: str) -> None:
        """Add a note of the program."""
        self.add(Step("", text))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that are kept, with a note of how many are not."""
        between = [Step("", f"({self._left_out} more steps)")] if self._left_out else []
        return (*self._first, *between, *self._last)


def shortened(step: Step) -> Step:
    """The step with every text cut to `TEXT` characters. Images are their labels, and calls of tools are text."""
    return replace(
        step,
        reply=middle(step.reply),
        values={name: middle(str(value)) for name, value in step.values.items()},
        messages=tuple(ChatMessage(message.speaker, middle(_said(message))) for message in step.messages[-STEPS:]),
        error=middle(step.error),
    )


def _said(message: ChatMessage) -> str:
    """The text of a message, and the calls that it makes."""
    return with_calls(message.text, message.calls if message.speaker == "assistant" else ())


def middle(text: str) -> str:
    """The text, or its beginning and its end if it is longer than `TEXT` characters."""
    if len(text) <= TEXT:
        return text
    half = TEXT // 2
    return f"{text[:half]} […] {text[-half:]}"


def call_step(
    request: Request, reply: Reply | None, rendered: Rendered | None, seconds: float, error: str = ""
) -> Step:
    """The step of a call. `reply` None: the call failed. Messages that the prompt was rendered to are replaced by the
    values that it was rendered with."""
    values: Mapping[str, str] = {}
    messages = request.messages
    if rendered is not None and messages[: len(rendered[1])] == rendered[1]:
        values, messages = rendered[0], messages[len(rendered[1]) :]
    if reply is None:
        return Step(request.prompt, "", values, messages, "other", seconds=seconds, error=error)
    return Step(request.prompt, reply.said, values, messages, reply.finish, reply.usage, seconds)
