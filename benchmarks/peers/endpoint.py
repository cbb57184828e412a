"""The one endpoint that all programs ask: it counts by role, keeps to the budget, and reads replies for everybody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web

from benchmarks.peers.programs.job import TASK, WRITER, Message
from protocols.errors import PromptFlowError, UnreadableReply
from protocols.task import Example, Judgement, Task, show_text

JUDGE: Final = "judge"
"""The role in which the benchmark itself asks found prompts; no budget holds for it."""
LARGEST: Final = 32 * 2**20
"""Bytes of a request."""
TIMEOUT: Final = 1800.0
SPENT: Final = {"error": {"message": "no task call is left", "type": "invalid_request_error", "code": "spent"}}
STREAMS: Final = {"error": {"message": "streams are not served here", "type": "invalid_request_error", "code": None}}


class UpstreamFailed(PromptFlowError):
    """The server behind the endpoint gave no answer."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the model is: a base URL that ends in `/v1`, its name there, and a key, which is shown nowhere."""

    base: str
    model: str
    key: str = field(repr=False)


@dataclass(slots=True)
class Account:
    """What one role has asked: calls that were sent, those that `failed`, those that were `refused` for want of
    budget, and tokens as the server counts them."""

    calls: int = 0
    failed: int = 0
    refused: int = 0
    input: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A reply, and the tokens of it and of its request. `text` None: the server refused the request."""

    text: str | None
    input: int
    output: int


class Endpoint:
    """`/v1/chat/completions` for the models `task` and `writer`; `/score` and `/read`, which judge and read a reply
    as in the end all replies are; `/counts`.

    The task's model is asked at temperature 0, whoever asks; the writer as the program says. A reply is read as it
    is, whether or not it came to its own end.
    """

    def __init__(self, upstream: Upstream, session: aiohttp.ClientSession) -> None:
        self._upstream, self._session = upstream, session
        self.url = ""
        self.begin(None, 0, 1, 1)

    def begin(self, task: Task | None, calls: int, reply: int, written: int) -> None:
        """A new row: nothing is counted yet, `calls` task calls are allowed, and replies of the task's model and of
        the writer may have so many tokens, whatever is asked for."""
        self._longest = {TASK: reply, JUDGE: reply, WRITER: written}
        self.accounts = {role: Account() for role in (TASK, WRITER, JUDGE)}
        self._calls, self._task = calls, task
        splits = (*task.train, *task.validation) if task else ()
        self._examples: Mapping[str, Example] = {example.id: example for example in splits}

    @property
    def left(self) -> int:
        """Task calls that are left."""
        return max(0, self._calls - self.accounts[TASK].calls)

    async def ask(self, messages: Sequence[Message], most: int | None = None) -> Said:
        """One call of the benchmark's own, with a reply of `most` tokens; None: as many as the row allows.

        :raises UpstreamFailed: the server gave no answer.
        """
        status, document = await self._sent(JUDGE, {"messages": list(messages), "max_tokens": most})
        if status == 200:
            return said(document)
        if status == 400:
            return Said(None, 0, 0)
        raise UpstreamFailed(f"the server of the model answered with status {status}")

    async def judge(self, example: Example, reply: str) -> Judgement:
        """What the task's metric says of one reply."""
        assert self._task is not None
        return await self._task.metric.judge(example, reply)

    def application(self) -> web.Application:
        """What is served."""
        made = web.Application(client_max_size=LARGEST)
        made.router.add_post("/v1/chat/completions", self._chat)
        made.router.add_post("/score", self._score)
        made.router.add_post("/read", self._read)
        made.router.add_get("/counts", self._counts)
        return made

    async def _chat(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        role = str(body.get("model"))
        if role not in (TASK, WRITER):
            return respond({"error": {"message": f"no model {role}", "type": "invalid_request_error"}}, 404)
        if body.pop("stream", False):
            return respond(STREAMS, 400)
        if role == TASK and not self.left:
            self.accounts[TASK].refused += 1
            return respond(SPENT, 400)
        status, document = await self._sent(role, body)
        return respond(document, status)

    async def _sent(self, role: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        account = self.accounts[role]
        account.calls += 1  # before anything is awaited: so the budget holds however many ask at once
        asked = body.pop("max_completion_tokens", None) or body.get("max_tokens")
        most = self._longest[role]
        body |= {"model": self._upstream.model, "max_tokens": min(int(asked or most), most)}
        if role != WRITER:
            body["temperature"] = 0
        headers = {"Authorization": f"Bearer {self._upstream.key}", "Content-Type": "application/json"}
        url = f"{self._upstream.base}/chat/completions"
        try:
            async with self._session.post(url, data=orjson.dumps(body), headers=headers) as answer:
                status, document = answer.status, orjson.loads(await answer.read())
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
            status, document = (
                502,
                {"error": {"message": "the model's server gave no answer", "type": "server_error"}},
            )
        if status != 200:
            account.failed += 1
            return status, document
        for choice in document["choices"]:
            choice["message"]["content"] = choice["message"].get("content") or ""
        usage = document.get("usage") or {}
        account.input += usage.get("prompt_tokens", 0)
        account.output += usage.get("completion_tokens", 0)
        return status, document

    async def _score(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        found = await self.judge(self._examples[body["id"]], str(body["reply"]))
        return respond({"score": found.score, "feedback": found.feedback})

    async def _read(self, request: web.Request) -> web.Response:
        assert self._task is not None
        reply = str(orjson.loads(await request.read())["reply"])
        try:
            answer = self._task.kind.parse(reply)
        except UnreadableReply:
            answer = None
        return respond({"answer": None if answer is None else show_text(answer)})

    async def _counts(self, _: web.Request) -> web.Response:
        return respond({role: asdict(account) for role, account in self.accounts.items()} | {"left": self.left})


def said(document: Mapping[str, Any]) -> Said:
    """The reply in a document of OpenAI's format."""
    [choice, *_], usage = document["choices"], document.get("usage") or {}
    return Said(choice["message"]["content"], usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))


def respond(document: object, status: int = 200) -> web.Response:
    """JSON."""
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


@asynccontextmanager
async def served(upstream: Upstream) -> AsyncIterator[Endpoint]:
    """The endpoint, on a free port of loopback, while the block runs."""
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(TIMEOUT)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        endpoint = Endpoint(upstream, session)
        runner = web.AppRunner(endpoint.application(), access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            endpoint.url = f"http://{host}:{port}"
            yield endpoint
        finally:
            await runner.cleanup()
