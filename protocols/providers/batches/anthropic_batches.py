"""Anthropic's Message Batches. https://platform.claude.com/docs/en/build-with-claude/batch-processing"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from protocols.concurrency.threads import in_thread
from protocols.model import Reply, Request
from protocols.providers.anthropic import NEWEST_VERSION, api_version, request_body
from protocols.providers.batches.service import Limits, Sent, Service, Standing, listed, number, table, text
from protocols.providers.responses.decoding import JsonObject
from protocols.providers.responses.failures import status_of
from protocols.providers.responses.messages_reply import read_reply
from protocols.providers.transport.http import Endpoint, Transport, encode
from protocols.providers.wire import Wire

PATH: Final = "/v1/messages/batches"
DONE: Final = ("succeeded", "errored", "canceled", "expired")
PAGE: Final = 100
WINDOW: Final = (-300.0, 7200.0)
"""A batch was created within these seconds of the time when it was about to be sent, with all tries and by two
clocks."""


class AnthropicBatches(Service):
    """A `BatchService` of `/v1/messages/batches`."""

    limits = Limits(100_000, 256_000_000)
    cancelling = "https://platform.claude.com, or POST /v1/messages/batches/{id}/cancel, cancels it"

    def __init__(self, model: str, endpoint: Endpoint, transport: Transport, wire: Wire) -> None:
        super().__init__(f"anthropic/{model}", endpoint, transport)
        self._model, self._wire = model, replace(wire, stream=False)
        self._headers = {**endpoint.headers(), "anthropic-version": wire.version or NEWEST_VERSION}

    def line(self, key: str, request: Request) -> bytes:
        """See `BatchService`."""
        return encode({"custom_id": key, "params": request_body(request, self._model, self._wire)}, self.name)

    async def submit(self, tag: str, lines: Sequence[bytes], requests: Sequence[Request]) -> Standing:
        """See `BatchService`. One header says the version for the whole batch: the older, if a request needs it."""
        version = self._wire.version or min(map(api_version, requests))
        data = await in_thread(lambda: b'{"requests":[' + b",".join(lines) + b"]}")
        payload = await self._object(PATH, {**self._headers, "anthropic-version": version}, data)
        standing = standing_of(payload)
        if not standing.id:
            raise self._no_id(payload)
        return standing

    async def look(self, batch: str) -> Standing:
        """See `BatchService`."""
        return standing_of(await self._object(f"{PATH}/{batch}", self._headers))

    async def find(self, sent: Sent) -> Sequence[Standing]:
        """See `BatchService`. These batches carry no tag: they may be all of the same size and time, and the keys
        of the results tell which one it is."""
        found, after = list[Standing](), ""
        while True:
            page = await self._object(f"{PATH}?limit={PAGE}{after}", self._headers)
            known = [standing for _, standing in listed(page, standing_of)]
            for standing in known:
                if standing.total == sent.count and WINDOW[0] <= standing.created - sent.at <= WINDOW[1]:
                    found.append(standing)
            if not known or not page.get("has_more") or known[-1].created < sent.at + WINDOW[0]:
                return found
            after = f"&after_id={known[-1].id}"

    async def results(self, standing: Standing) -> Mapping[str, JsonObject]:
        """See `BatchService`. They are asked for at our own address, since what a server names gets the key."""
        lines = await self._lines(f"{PATH}/{standing.id}/results", self._headers)
        return {text(line.get("custom_id")): table(line.get("result")) for line in lines}

    def read(self, result: JsonObject, request: Request | None) -> Reply | None:
        """See `BatchService`."""
        match result:
            case {"type": "expired" | "canceled"}:
                return None
            case {"type": "succeeded", "message": dict(message)}:
                answer = self._answer(200, message)
            case _:
                error = table(result.get("error"))
                kind = table(error.get("error")).get("type") or error.get("type")
                answer = self._answer(status_of(kind) or 500, error)
        return read_reply(answer, self.name, self._endpoint.key, request)


def standing_of(payload: JsonObject) -> Standing:
    """What a batch object says. While it is in progress, all of its requests count as being processed."""
    counts, state = table(payload.get("request_counts")), text(payload.get("processing_status"))
    done = sum(number(counts.get(kind)) for kind in DONE)
    return Standing(
        text(payload.get("id")),
        state,
        ended=state == "ended",
        cancelled=bool(payload.get("cancel_initiated_at")),
        done=done,
        total=done + number(counts.get("processing")),
        created=moment(text(payload.get("created_at"))),
    )


def moment(date: str) -> float:
    """An RFC 3339 date in Unix seconds; 0 if it is none."""
    try:
        return datetime.fromisoformat(date).timestamp()
    except ValueError:
        return 0.0
