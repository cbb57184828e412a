"""What a program works with: its prompts, its calls, and the steps that are traced. See `task.Program`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from protocols.errors import ProgramFailed
from protocols.model import ChatMessage, Finish, Reply, Speaker, Usage

SPEAKERS: Final[Mapping[object, Speaker]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
"""The speaker of each role in a wire format, tools aside."""
Turn = ChatMessage | Mapping[str, object]
"""A message of a call: ours, or as OpenAI's or Anthropic's format has it, `{"role": ..., "content": ...}`."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a program on an example: a model call, or a note.

    `prompt`: the name of the prompt that was asked, "" for a note and for a call that belongs to no prompt. `values`:
    what the prompt was rendered with, if it was rendered. `messages`: the messages of a call that were not rendered
    from the prompt. `reply`: the reply's text, with its calls of tools, or the note. `error`: why the call
    failed, "" if it did not. `seconds`: how long the call took.
    """

    prompt: str
    reply: str
    values: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[ChatMessage, ...] = ()
    finish: Finish = "stop"
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str = ""


class Answered(str):
    """The text of a reply; `reply` is all of it."""

    reply: Reply

    def __new__(cls, reply: Reply) -> Answered:
        """The text of this reply."""
        made = super().__new__(cls, reply.text)
        made.reply = reply
        return made


class Call(Protocol):
    """Asks the model of a prompt."""

    async def __call__(
        self,
        prompt: str,
        messages: Sequence[Turn],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: Sequence[Mapping[str, object]] | None = None,
        **parameters: object,
    ) -> Answered:
        """The model's reply.

        `prompt`: the name of one of the program's prompts, "" for a call that belongs to none. `temperature`,
        `max_tokens`: None leaves them as they are for the prompt. `tools`: definitions of tools in either API's form,
        in place of the prompt's own, whose sections describe them if it has any; `reply.calls` are calls of them.
        `parameters`: further fields of the call's body, by
        their names in the wire format.

        :raises ProgramFailed: no prompt has this name, or the messages or tools are none.
        :raises ModelError: the call failed.
        :raises BudgetExhausted: a cap refused it; it ends the example, whatever the program does with it.
        """


class BoundPrompt(Protocol):
    """A prompt of a program, for one example."""

    @property
    def name(self) -> str:
        """Its name in `[prompts]`."""

    @property
    def text(self) -> str:
        """The whole prompt as it is sent, with placeholders where values belong."""

    def render(self, values: Mapping[str, object] | None = None, /, **more: object) -> list[ChatMessage]:
        """The messages with these values for the placeholders; a value that is no text is written as JSON.

        :raises ProgramFailed: the prompt shows a value that is not given.
        """


class Prompts(Mapping[str, BoundPrompt]):
    """The prompts of a program by name: `prompts["extract"]`, `prompts.extract`."""

    def __init__(self, bound: Mapping[str, BoundPrompt]) -> None:
        self._bound = bound

    def __getitem__(self, name: str) -> BoundPrompt:
        """:raises ProgramFailed: no prompt has this name."""
        if name in self._bound:
            return self._bound[name]
        raise ProgramFailed(no_prompt(name, self._bound))

    def __getattr__(self, name: str) -> BoundPrompt:
        """:raises AttributeError: no prompt has this name."""
        if name in self._bound:
            return self._bound[name]
        raise AttributeError(no_prompt(name, self._bound))

    def __contains__(self, name: object) -> bool:
        return name in self._bound

    def __iter__(self) -> Iterator[str]:
        return iter(self._bound)

    def __len__(self) -> int:
        return len(self._bound)


def no_prompt(name: str, known: Mapping[str, object]) -> str:
    """A message for a name that no prompt has."""
    near = difflib.get_close_matches(name, known, 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"no prompt is called {name!r}; there are {', '.join(known)}{hint}"
