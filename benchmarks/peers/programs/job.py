"""What a program is given, and what it gives back. Only the standard library: it is imported in every environment."""

from __future__ import annotations

import json
import random
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Message = dict[str, str]
TASK, WRITER = "task", "writer"
"""The names under which the endpoint knows the model, by what it is asked for."""
KEY = "none"
"""The endpoint is on loopback and asks for no key; the clients want one."""
TIMEOUT = 1800.0
"""Seconds of one call."""


@dataclass(frozen=True)
class Item:
    """An example: its inputs by field, how the first prompt asks for it, how a reply answers it, and its target."""

    id: str
    inputs: dict[str, str]
    asked: str
    answer: str
    target: Any


@dataclass(frozen=True)
class Job:
    """`url`: the endpoint, without `/v1`. `calls`: of the task's model. `instruction`: the first prompt's system
    message. `field`: what an answer is called. `labels`: empty where answers are no labels. `test`: without answers.
    `spare`: one more example, for programs that must have a test split.

    A task whose program has several prompts: `prompts` are its first ones (see `pipeline.py`), `limits` the most
    tokens of a reply to each, and `configuration` its file. `instruction`, and how examples are asked for, are "".
    """

    url: str
    calls: int
    seed: int
    at_once: int
    instruction: str
    field: str
    kind: str
    labels: list[str]
    train: list[Item]
    validation: list[Item]
    test: list[Item]
    spare: list[Item]
    work: Path
    prompts: dict[str, list[Message]]
    limits: dict[str, int]
    configuration: str

    @property
    def base(self) -> str:
        """What clients of OpenAI's format call the base URL."""
        return f"{self.url}/v1"

    def left(self) -> int:
        """Task calls that are left."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=TIMEOUT) as reply:
            return int(json.load(reply)["left"])

    def judged(self, item: Item, reply: str) -> tuple[float, str]:
        """Score and feedback, by the reading that judges all programs."""
        found = self._post("/score", {"id": item.id, "reply": reply})
        return float(found["score"]), str(found["feedback"])

    def read(self, reply: str) -> str | None:
        """The answer in a reply, by the same reading."""
        answer = self._post("/read", {"reply": reply})["answer"]
        return None if answer is None else str(answer)

    def ask(self, chats: Sequence[list[Message]]) -> list[str | None]:
        """The replies, in order; None where no call was left, or this one was refused."""
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(self.reply, chats))

    def reply(self, messages: list[Message], most: int | None = None) -> str | None:
        """The reply, of `most` tokens; None if no call was left, or this one was refused."""
        try:
            found = self._post("/v1/chat/completions", {"model": TASK, "messages": messages, "max_tokens": most})
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            return None
        return str(found["choices"][0]["message"]["content"] or "")

    def first(self, item: Item) -> list[Message]:
        """The first prompt, as it is sent."""
        return [{"role": "system", "content": self.instruction}, {"role": "user", "content": item.asked}]

    def done(self, chats: Sequence[list[Message]] | Sequence[dict[str, list[Message]]]) -> None:
        """What was found: the messages of each test input, in order, or the prompts of the program for each."""
        (self.work / "found.json").write_text(json.dumps(list(chats), ensure_ascii=False), encoding="utf-8")

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode("utf-8")
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            found: dict[str, Any] = json.load(reply)
        return found


def taken() -> Job:
    """The job whose file the command line names; the random numbers of Python begin with its seed."""
    told = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    splits = {name: [Item(**row) for row in told[name]] for name in ("train", "validation", "test", "spare")}
    random.seed(told["seed"])
    return Job(**{**told, **splits, "work": Path(told["work"])})
