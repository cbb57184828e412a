"""A program: the user's code, which answers an example by asking models with one or several prompts."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from protocols.errors import ProgramFailed
from protocols.model import ChatMessage, Finish, Offer, Reply, Usage
from protocols.prompt import Prompt, without_addresses
from protocols.task import Example, Json

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


class Program(Protocol):
    """Answers examples with the prompts that it is given."""

    async def answer(self, example: Example, prompts: Prompts, call: Call, note: Callable[[str], None]) -> Json:
        """The answer to one example; many may be answered at the same time. `note`: adds a note to the trace.

        :raises ProgramFailed: the program raised, hung, or gave no answer.
        :raises ModelError, BudgetExhausted: a call of a model failed, and the program did not catch it.
        """


@dataclass(frozen=True, slots=True)
class TaskProgram:
    """The program of a task. `prompts`: the names of its prompts, each with the most tokens of a reply; None: as the
    task's kind allows, or `GENEROUS` where there are several prompts. `computed`: the values that it renders them
    with, besides the input fields. `timeout`: seconds that it may spend on an example without calling a model.
    `offers`: what the calls of a prompt offer, given the prompt with the bare names of its sections."""

    program: Program
    prompts: Mapping[str, int | None]
    computed: tuple[str, ...]
    timeout: float
    offers: Mapping[str, Callable[[Prompt], Offer | None]] = field(default_factory=dict)

    def parts(self, prompt: Prompt) -> dict[str, Prompt]:
        """The prompts by their names; a single one is the whole."""
        if len(self.prompts) == 1:
            return {name: prompt for name in self.prompts}
        return {name: prompt.of(name) for name in self.prompts}

    def offered(self, prompt: Prompt) -> dict[str, Offer]:
        """What the calls of its prompts offer, by their names; those that offer nothing are left out."""
        if not self.offers:
            return {}
        parts = self.parts(prompt)
        found = {name: offer(without_addresses(parts[name])) for name, offer in self.offers.items()}
        return {name: offer for name, offer in found.items() if offer is not None}


Function = Callable[[Mapping[str, str], Prompts, Call], Awaitable[Json]]
"""A user's program as a function: `async def answer(inputs, prompts, call)`."""
