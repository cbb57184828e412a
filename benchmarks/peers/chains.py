"""Programs of several prompts: the material of one, and how its prompts are judged, whoever has trained them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.config.configuration import load
from agents.config.loading import load_first_prompt, load_task
from agents.programs.bound import as_text
from benchmarks.peers.endpoint import Said
from benchmarks.peers.material import Material
from benchmarks.peers.programs.job import Message
from benchmarks.peers.programs.pipeline import FIELDS, filled, unframed
from protocols.errors import ConfigError, ProgramFailed
from protocols.model import ChatMessage, Reply, Usage
from protocols.program import Answered, Prompts, Turn
from protocols.task import Example, Task

Ask = Callable[[Sequence[Message], int | None], Awaitable[Said]]
COPIED = "examples.pipeline.program:answer"
"""The program that benchmarks/peers/programs/pipeline.py is a copy of."""


def chain(file: Path) -> Material:
    """The task of a configuration whose program is the one that the peers have a copy of: all of its examples, and
    its first prompts.

    :raises ConfigError: it is another program, or none.
    :raises InputError: a file cannot be read.
    """
    configuration = load(file)
    if str(configuration.task.program) != COPIED:
        raise ConfigError(f"the peers have a copy of the program {COPIED} alone", file=str(file))
    task = load_task(configuration)
    made_up = Example("spare", {field: field for field in task.fields}, task.train[0].target)
    return Material(file.stem, task, load_first_prompt(configuration, task), made_up, str(file.resolve()))


@dataclass(frozen=True, slots=True)
class Written:
    """A `BoundPrompt` of messages in which names in braces stand for values."""

    name: str
    messages: list[Message]

    @property
    def text(self) -> str:
        """All messages."""
        return "\n\n".join(message["content"] for message in self.messages)

    def render(self, values: Mapping[str, object] | None = None, /, **more: object) -> list[ChatMessage]:
        """The messages with these values."""
        texts = {name: as_text(value, name) for name, value in {**(values or {}), **more}.items()}
        return [
            ChatMessage(message["role"], message["content"])  # type: ignore[arg-type]
            for message in filled(self.messages, texts)
        ]


async def answered(task: Task, example: Example, prompts: Mapping[str, list[Message]], ask: Ask) -> Said:
    """What the task's own program says to an example with these prompts, and the tokens of all its calls. A reply in
    DSPy's frame is read without it.

    :raises UpstreamFailed: the model's server is gone.
    """
    program = task.program
    assert program is not None
    tokens, failed = Usage(), list[Exception]()

    async def call(prompt: str, messages: Sequence[Turn], **_: object) -> Answered:
        nonlocal tokens
        chat = [{"role": m.speaker, "content": m.text} for m in messages if isinstance(m, ChatMessage)]
        try:
            said = await ask(chat, program.prompts[prompt])
        except Exception as error:
            failed.append(error)
            raise
        tokens += Usage(said.input, said.output)
        if said.text is None:
            raise ProgramFailed("the server refuses the request")
        return Answered(Reply(unframed(said.text, FIELDS[prompt][1]), Usage(said.input, said.output)))

    bound = Prompts({name: Written(name, prompts[name]) for name in program.prompts})
    try:
        answer = await program.program.answer(example, bound, call, lambda note: None)
    except ProgramFailed:
        if failed:
            raise failed[0] from None
        return Said(None, tokens.input, tokens.output)
    return Said(str(answer), tokens.input, tokens.output)
