"""Prompts, models and programs for tests."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.programs.environment import Command
from protocols.model import ChatMessage, Finish, Reply, Usage
from protocols.program import Answered, Prompts, Turn
from protocols.task import Example

WORKER = """
import json, os, sys
def answer(it):
{body}
for line in sys.stdin:
    it = json.loads(line)
    print(json.dumps({{"id": it["id"], "answer": answer(it)}}), flush=True)
"""
ASKING = """
import urllib.request
def ask(text, token=None, path="/chat/completions"):
    body = json.dumps({"model": "any", "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"Authorization": "Bearer " + (token or os.environ["OPENAI_API_KEY"])}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + path, body, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)["choices"][0]["message"]["content"]
    except urllib.error.HTTPError as error:
        return f"{error.code}: {json.load(error)['error']['message']}"
"""


@dataclass(frozen=True, slots=True)
class Bound:
    """A prompt that is a user message."""

    name: str
    text: str

    def render(self, values: Mapping[str, object] | None = None, /, **more: object) -> list[ChatMessage]:
        said = self.text
        for name, value in {**(values or {}), **more}.items():
            said = said.replace(f"{{{name}}}", str(value))
        return [ChatMessage("user", said)]


def bound(**texts: str) -> Prompts:
    return Prompts({name: Bound(name, text) for name, text in texts.items()})


ONE = bound(decide="Which department?\n{text}")
TWO = bound(extract="List the facts.\n{text}", decide="Which department?\n{facts}")


@dataclass(slots=True)
class Scripted:
    """A `Call` that answers with what `reply` makes of the last message's text, and keeps what it was asked."""

    reply: Callable[[str], str] = lambda text: f"to {text}"
    usage: Usage = field(default_factory=lambda: Usage(12, 3, cached=4))
    finish: Finish = "stop"
    error: Exception | None = None
    wait: Callable[[], Awaitable[object]] | None = None
    asked: list[tuple[str, Sequence[Turn], float | None, int | None, Mapping[str, object]]] = field(
        default_factory=list
    )

    async def __call__(
        self,
        prompt: str,
        messages: Sequence[Turn],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        **parameters: object,
    ) -> Answered:
        self.asked.append((prompt, messages, temperature, max_tokens, parameters))
        if self.wait is not None:
            await self.wait()
        if self.error is not None:
            raise self.error
        last = messages[-1]
        text = last.text if isinstance(last, ChatMessage) else str(last.get("content"))
        return Answered(Reply(self.reply(text), self.usage, self.finish))


def example(number: int = 0, text: str = "Where is my parcel?") -> Example:
    return Example(f"e{number}", {"text": text}, "shipping")


def python(folder: Path, source: str, *, workers: int = 1) -> Command:
    """A worker that runs this source."""
    return Command((sys.executable, "-c", source), folder, workers=workers, timeout=60)


def answering(body: str) -> str:
    """The source of a worker: `body` are the lines of `answer(it)`; it may `ask(text)`."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"import json, os, sys, urllib.error\n{ASKING}" + WORKER.format(body=lines)
