"""A local server that sells batches in both wire formats, and answers single calls, with its own books.

`async with BatchServer(answer) as server: … server.openai_url, server.url`. Each batch follows the next of `plans`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from types import TracebackType
from typing import Any, Literal, Self

import anyio
import orjson
from aiohttp import web

from tests.wire.formats import FORMATS, conversation, count_tokens, error_body

Fate = Literal["answered", "overloaded", "refused", "not run"]
Answerer = Callable[[list[tuple[str, str]]], str]
CHAT, MESSAGES, BATCHES = "/v1/chat/completions", "/v1/messages", "/v1/messages/batches"


@dataclass(slots=True)
class Plan:
    """What becomes of a batch: it is in progress for `looks` looks, then in the state `end`, with these `fates` of
    its first requests; the others are answered, unless it fails. `lost`: what answers its creation is lost."""

    looks: int = 0
    end: Literal["completed", "expired", "failed", "cancelled"] = "completed"
    fates: tuple[Fate, ...] = ()
    lost: bool = False


@dataclass(slots=True)
class Batch:
    """A batch that was accepted."""

    id: str
    form: str
    lines: list[dict[str, Any]]
    plan: Plan
    metadata: dict[str, str] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    looks: int = 0
    results: list[tuple[str, Fate, Any]] = field(default_factory=list)


class BatchServer:
    """`paid` counts the answers to each text of a user that were given for money, `single` those outside of batches.
    While it is `held`, no batch ends. `taken` are the batches; `files` the uploads.
    `arrived` is set by the first batch."""

    def __init__(self, answer: Answerer) -> None:
        self._answer, self._numbers = answer, count(1)
        self.plans: deque[Plan] = deque()
        self.taken: list[Batch] = []
        self.files: dict[str, bytes] = {}
        self.paid: Counter[str] = Counter()
        self.single: Counter[str] = Counter()
        self.tokens: Counter[str] = Counter()
        self.refused: list[int] = []
        self.held = False
        self.arrived = anyio.Event()
        self.url = ""

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**30)
        app.router.add_post(CHAT, self._call)
        app.router.add_post(MESSAGES, self._call)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._file)
        app.router.add_post("/v1/batches", self._create_openai)
        app.router.add_post(BATCHES, self._create_anthropic)
        for base, show in (("/v1/batches", self._openai), (BATCHES, self._anthropic)):
            app.router.add_get(base, self._listed(show))
            app.router.add_get(f"{base}/{{id}}", self._looked(show))
        app.router.add_get(f"{BATCHES}/{{id}}/results", self._results)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    def _paid(self, body: dict[str, Any], form: str, books: Counter[str]) -> Any:
        """The answer to one request, entered in the books."""
        turns = conversation(body)
        text, tokens = self._answer(turns), sum(count_tokens(said) for _, said in turns)
        books[turns[-1][1]] += 1
        self.tokens["input"] += tokens
        self.tokens["output"] += count_tokens(text)
        return FORMATS[form].answer(body["model"], text, tokens, count_tokens(text))

    async def _call(self, request: web.Request) -> web.Response:
        return _json(self._paid(await request.json(), request.path, self.single))

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        name = f"file-{next(self._numbers)}"
        self.files[name] = file.file.read()
        return _json({"id": name, "object": "file", "purpose": "batch"})

    async def _file(self, request: web.Request) -> web.Response:
        kind, _, batch = request.match_info["id"].partition("-of-")
        lines = [
            line for line in _openai_lines(self._batch(batch)) if (line["error"] is not None) == (kind == "errors")
        ]
        return web.Response(body=b"".join(orjson.dumps(line) + b"\n" for line in lines))

    async def _create_openai(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert (asked["endpoint"], asked["completion_window"]) == (CHAT, "24h")
        lines = [orjson.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        assert all(line["method"] == "POST" and line["url"] == CHAT for line in lines)
        return self._accept(request, CHAT, lines, asked["metadata"], self._openai)

    async def _create_anthropic(self, request: web.Request) -> web.Response:
        assert request.headers["anthropic-version"]
        lines = [
            {"custom_id": each["custom_id"], "body": each["params"]} for each in (await request.json())["requests"]
        ]
        return self._accept(request, MESSAGES, lines, {}, self._anthropic)

    def _accept(
        self,
        request: web.Request,
        form: str,
        lines: list[dict[str, Any]],
        metadata: dict[str, str],
        show: Callable[[Batch], dict[str, Any]],
    ) -> web.Response:
        if self.refused:
            status = self.refused.pop(0)
            return web.Response(
                status=status, body=error_body("api_error", "not now"), content_type="application/json"
            )
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert all(line["custom_id"].isalnum() and len(line["custom_id"]) <= 64 for line in lines)
        assert not any("stream" in line["body"] for line in lines)
        batch = Batch(f"batch_{next(self._numbers)}", form, lines, self.plans.popleft() if self.plans else Plan())
        batch.metadata = metadata
        self.taken.append(batch)
        self.arrived.set()
        if batch.plan.lost and request.transport is not None:
            request.transport.abort()
        return _json(show(batch))

    def _batch(self, name: str) -> Batch:
        found = [batch for batch in self.taken if batch.id == name]
        if not found:
            raise web.HTTPNotFound(
                body=error_body("not_found_error", "no such batch"), content_type="application/json"
            )
        return found[0]

    def _advance(self, batch: Batch) -> bool:
        """Whether the batch has ended; what it answers is answered then."""
        batch.looks += 1
        if self.held or batch.looks <= batch.plan.looks:
            return False
        if not batch.results and batch.plan.end != "failed":
            fates = list[Fate](batch.plan.fates)
            answered: Fate = "answered"
            fates += [answered] * len(batch.lines)
            for line, fate in zip(batch.lines, fates, strict=False):
                answer = self._paid(line["body"], batch.form, self.paid) if fate == "answered" else None
                batch.results.append((line["custom_id"], fate, answer))
            batch.results.reverse()
        return True

    def _looked(
        self, show: Callable[[Batch], dict[str, Any]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def look(request: web.Request) -> web.StreamResponse:
            return _json(show(self._batch(request.match_info["id"])))

        return look

    def _listed(
        self, show: Callable[[Batch], dict[str, Any]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def listed(request: web.Request) -> web.StreamResponse:
            return _json({"data": [show(batch) for batch in reversed(self.taken)], "has_more": False})

        return listed

    def _openai(self, batch: Batch) -> dict[str, Any]:
        ended = self._advance(batch)
        answered = sum(fate == "answered" for _, fate, _ in batch.results)
        state = batch.plan.end if ended else "validating" if batch.looks == 1 else "in_progress"
        files = {}
        if batch.results:
            files = {"output_file_id": f"output-of-{batch.id}", "error_file_id": f"errors-of-{batch.id}"}
        failure = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "too many tokens wait"}]}
        return {
            "id": batch.id,
            "object": "batch",
            "status": state,
            "created_at": int(batch.created),
            "errors": failure if state == "failed" else None,
            "request_counts": {"total": len(batch.lines), "completed": answered, "failed": 0},
            "metadata": batch.metadata,
            **files,
        }

    def _anthropic(self, batch: Batch) -> dict[str, Any]:
        ended = self._advance(batch)
        created = datetime.fromtimestamp(batch.created, UTC).isoformat()
        fates = Counter(fate for _, fate, _ in batch.results)
        waiting = 0 if ended else len(batch.lines)
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "in_progress",
            "created_at": created,
            "cancel_initiated_at": created if batch.plan.end == "cancelled" else None,
            "request_counts": {"processing": waiting, "succeeded": fates["answered"], "expired": fates["not run"]},
            "results_url": f"https://elsewhere.example/{batch.id}" if ended else None,
        }

    async def _results(self, request: web.Request) -> web.Response:
        batch = self._batch(request.match_info["id"])
        return web.Response(body=b"".join(orjson.dumps(line) + b"\n" for line in _anthropic_lines(batch)))


def _json(document: object) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")


def _openai_lines(batch: Batch) -> Iterator[dict[str, Any]]:
    for key, fate, answer in batch.results:
        line: dict[str, Any] = {"id": f"batch_req_{key[:8]}", "custom_id": key, "response": None, "error": None}
        match fate:
            case "answered":
                line["response"] = {"status_code": 200, "request_id": "r", "body": answer}
            case "not run":
                line["error"] = {"code": f"batch_{batch.plan.end}", "message": "it was not executed"}
            case _:
                status, kind = (429, "rate_limit_error") if fate == "overloaded" else (400, "invalid_request_error")
                line["response"] = {"status_code": status, "body": orjson.loads(error_body(kind, fate))}
                line["error"] = {"code": kind, "message": fate}
        yield line


def _anthropic_lines(batch: Batch) -> Iterator[dict[str, Any]]:
    for key, fate, answer in batch.results:
        match fate:
            case "answered":
                result: dict[str, Any] = {"type": "succeeded", "message": answer}
            case "not run":
                result = {"type": "canceled" if batch.plan.end == "cancelled" else "expired"}
            case _:
                kind = "overloaded_error" if fate == "overloaded" else "invalid_request_error"
                result = {"type": "errored", "error": orjson.loads(error_body(kind, fate))}
        yield {"custom_id": key, "result": result}
