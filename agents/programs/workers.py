"""Programs of another environment or language: a pool of processes, and the endpoint that they ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Final, Self

import anyio
import orjson
from anyio.lowlevel import checkpoint

from agents.programs.bound import INPUTS
from agents.programs.endpoint.calls import Calls, Patience
from agents.programs.endpoint.server import Endpoint
from agents.programs.environment import Command, environment
from agents.programs.worker import Said, Worker, broken, start
from protocols.errors import ConfigError, ProgramFailed
from protocols.program import BoundPrompt, Call, Prompts
from protocols.prompt import NAMED
from protocols.providers.openai import content_of, part_of
from protocols.task import Example, Json, Task
from protocols.turns import Conversation, images_of, parts_of

ATTEMPTS: Final = 3
"""Processes that may go wrong before any process has answered."""
LEAVING: Final = 2.0
"""Seconds that idle processes have to end by themselves at the end."""


class CommandProgram:
    """A `Program` that is a command, while it is entered.

    A process answers one example at a time. It is started when it is needed, and replaced when it has ended, or was
    killed because it hung or did not keep to the protocol. `environ`: the user's environment.
    """

    def __init__(self, command: Command, environ: Mapping[str, str] = MappingProxyType({})) -> None:
        self.command, self._environ = command, environ
        self._endpoint = Endpoint()
        self._free = anyio.Semaphore(command.workers)
        self._idle: list[Worker] = []
        self._started = self._failures = 0
        self._proved = False

    async def __aenter__(self) -> Self:
        await self._endpoint.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with anyio.move_on_after(LEAVING):
                async with anyio.create_task_group() as tasks:
                    for worker in self._idle:
                        tasks.start_soon(worker.finish)
        finally:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as tasks:
                    for worker in self._idle:
                        tasks.start_soon(worker.end)
                self._idle.clear()
                await self._endpoint.__aexit__(kind, error, trace)

    async def answer(self, example: Example, prompts: Prompts, call: Call, note: Callable[[str], None]) -> Json:
        """The answer to one example. See `Program.answer`.

        :raises ConfigError: the command cannot be started, or has gone wrong `ATTEMPTS` times and never answered.
        """
        line = question(example, prompts)
        async with self._free:
            while True:
                worker = await self._taken()
                used = worker.answered > 0
                said, calls = await self._asked(worker, example.id, line, prompts, call, note)
                if not (used and said.silent and not calls.made):  # else it has ended after its last example
                    break
        self._proved = self._proved or said.alive
        if calls.ending is not None:
            raise calls.ending
        if not said.failure:
            return said.answer
        if calls.failed is not None:
            raise calls.failed
        if not self._proved:
            self._count(said)
        reason = f"on the example {example.id}, {said.failure}"
        raise ProgramFailed(reason, trace="\n".join(filter(None, [said.trace, worker.errors])))

    async def _taken(self) -> Worker:
        """A process that can be asked."""
        await checkpoint()  # what an idle process has said meanwhile is read
        while self._idle:
            worker = self._idle.pop()
            if worker.fit:
                return worker
            await worker.end()
        self._started += 1
        name, endpoint = f"w{self._started}", self._endpoint
        environ = environment(self.command, self._environ, endpoint.base_url(name), endpoint.token)
        return await start(self.command, name, environ)

    async def _asked(
        self,
        worker: Worker,
        identity: str,
        line: bytes,
        prompts: Prompts,
        call: Call,
        note: Callable[[str], None],
    ) -> tuple[Said, Calls]:
        """What the process says to an example, and the calls that it made for it. It is idle again, or ended."""
        said = broken("it was left")
        try:
            async with anyio.create_task_group() as tasks:
                patience = Patience(self.command.timeout)
                calls = Calls(tasks, prompts, call, patience)
                with self._endpoint.serving(worker.name, calls), patience.scope:
                    said = await worker.ask(identity, line, note)
            if patience.scope.cancelled_caught:
                said = broken(f"it made no call and gave no answer for {self.command.timeout:g} s{worker.hint}")
        finally:
            if said.alive:
                self._idle.append(worker)
            else:
                await worker.end()
        return said, calls

    def _count(self, said: Said) -> None:
        """:raises ConfigError: the command goes wrong each time."""
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise ConfigError(
                f"the program's command has never answered, in {self._failures} attempts; at the last one "
                f"{said.failure}; the command is {self.command.shown}"
            )


@asynccontextmanager
async def at_work(task: Task, environ: Mapping[str, str]) -> AsyncIterator[Task]:
    """The task, with its program able to work while the context is entered, if that is a command."""
    if task.program is None or not isinstance(task.program.program, CommandProgram):
        yield task
        return
    async with CommandProgram(task.program.program.command, environ) as program:
        yield replace(task, program=replace(task.program, program=program))


def question(example: Example, prompts: Prompts) -> bytes:
    """The line that a process gets for an example: `id`, `inputs`, and of each prompt the `text` and the `messages`
    with the inputs in their places; placeholders of other values are left as they are.

    :raises ProgramFailed: a prompt cannot be rendered.
    """
    told = {name: {"text": prompt.text, "messages": rendered(prompt, example)} for name, prompt in prompts.items()}
    inputs = {name: as_json(value) for name, value in example.inputs.items()}
    return orjson.dumps({"id": example.id, "inputs": inputs, "prompts": told}) + b"\n"


def as_json(value: str) -> object:
    """An input as a process gets it: a text, a conversation as a list of messages, a text with images as a list of
    parts; messages and parts are written as OpenAI's format has them, with data URLs."""
    if isinstance(value, Conversation):
        return [{"role": turn.speaker, "content": content_of(turn)} for turn in value.turns]
    return [part_of(part) for part in parts_of(value)] if images_of(value) else value


def rendered(prompt: BoundPrompt, example: Example) -> list[dict[str, object]]:
    """The messages of a prompt for an example."""
    try:
        messages = prompt.render(example.inputs)
    except ProgramFailed:  # it shows values that the program computes
        left = {name: f"{{{name}}}" for name in NAMED.findall(prompt.text) if name != INPUTS}
        messages = prompt.render({**left, **example.inputs})
    return [{"role": message.speaker, "content": content_of(message)} for message in messages]
