"""OpenAI's Batch API: a file of requests, a batch over it, and files of results and of errors.

https://developers.openai.com/api/docs/guides/batch, https://platform.openai.com/docs/api-reference/batch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import orjson

from protocols.concurrency.threads import in_thread
from protocols.model import Reply, Request
from protocols.providers.batches.service import Limits, Sent, Service, Standing, listed, number, table, text
from protocols.providers.openai import PATH, request_body, settled
from protocols.providers.responses.chat_reply import read_reply
from protocols.providers.responses.decoding import JsonObject
from protocols.providers.responses.failures import status_of
from protocols.providers.transport.http import Endpoint, Transport, encode
from protocols.providers.wire import Wire

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
TAG: Final = "promptflow"
"""The name of our tag in a batch's metadata, by which it is found again."""
NEVER_RUN: Final = frozenset({"batch_expired", "batch_cancelled"})
PAGE: Final = 100
SKEW: Final = 3600.0
"""Seconds that the provider's clock may be behind ours."""


class OpenAIBatches(Service):
    """A `BatchService` of `/files` and `/batches`."""

    limits = Limits(50_000, 200_000_000)
    cancelling = "https://platform.openai.com/batches, or POST /v1/batches/{id}/cancel, cancels it"

    def __init__(self, model: str, endpoint: Endpoint, transport: Transport, wire: Wire) -> None:
        super().__init__(f"openai/{model}", endpoint, transport)
        self._model, self._wire = model, replace(settled(wire, endpoint.base_url), stream=False)
        self._headers = endpoint.headers()

    def line(self, key: str, request: Request) -> bytes:
        """See `BatchService`."""
        body = request_body(request, self._model, self._wire)
        line: JsonObject = {"custom_id": key, "method": "POST", "url": f"/v1{PATH}", "body": body}
        return encode(line, self.name)

    async def submit(self, tag: str, lines: Sequence[bytes], requests: Sequence[Request]) -> Standing:
        """See `BatchService`. A file that no batch uses costs nothing."""
        data = await in_thread(multipart, tag, lines)
        headers = {**self._headers, "Content-Type": f"multipart/form-data; boundary={tag}"}
        file = text((await self._object("/files", headers, data)).get("id"))
        asked = {
            "input_file_id": file,
            "endpoint": f"/v1{PATH}",
            "completion_window": "24h",
            "metadata": {TAG: tag},
        }
        payload = await self._object("/batches", self._headers, orjson.dumps(asked))
        standing = standing_of(payload)
        if not standing.id:
            raise self._no_id(payload)
        return standing

    async def look(self, batch: str) -> Standing:
        """See `BatchService`."""
        return standing_of(await self._object(f"/batches/{batch}", self._headers))

    async def find(self, sent: Sent) -> Sequence[Standing]:
        """See `BatchService`. The tag in its metadata tells the batch from all others."""
        after = ""
        while True:
            page = await self._object(f"/batches?limit={PAGE}{after}", self._headers)
            known = list(listed(page, standing_of))
            for entry, standing in known:
                if table(entry.get("metadata")).get(TAG) == sent.tag:
                    return [standing]
            if not known or not page.get("has_more") or known[-1][1].created < sent.at - SKEW:
                return []
            after = f"&after={known[-1][1].id}"

    async def results(self, standing: Standing) -> Mapping[str, JsonObject]:
        """See `BatchService`."""
        found = dict[str, JsonObject]()
        for file in standing.files:
            for line in await self._lines(f"/files/{file}/content", self._headers):
                found[text(line.get("custom_id"))] = line
        return found

    def read(self, result: JsonObject, request: Request | None) -> Reply | None:
        """See `BatchService`."""
        error, response = table(result.get("error")), table(result.get("response"))
        if not response and error.get("code") in NEVER_RUN:
            return None
        if response:
            answer = self._answer(number(response.get("status_code")) or 200, response.get("body"))
        else:
            answer = self._answer(status_of(error.get("code")) or 500, {"error": error})
        return read_reply(answer, self.name, self._endpoint.key, request)


def standing_of(payload: JsonObject) -> Standing:
    """What a batch object says."""
    counts, state = table(payload.get("request_counts")), text(payload.get("status"))
    files = (text(payload.get(f"{kind}_file_id")) for kind in ("output", "error"))
    return Standing(
        text(payload.get("id")),
        state,
        ended=state in ENDED,
        cancelled=state == "cancelled",
        done=number(counts.get("completed")) + number(counts.get("failed")),
        total=number(counts.get("total")),
        created=number(payload.get("created_at")),
        files=tuple(filter(None, files)),
        reason="; ".join(reasons(table(payload.get("errors")).get("data"))),
    )


def reasons(errors: object) -> list[str]:
    """Why a batch failed as a whole; the first few reasons."""
    entries = errors[:3] if isinstance(errors, list) else []
    return [text(entry.get("message")) or text(entry.get("code")) for entry in entries if isinstance(entry, dict)]


def multipart(boundary: str, lines: Sequence[bytes]) -> bytes:
    """The form that uploads a file of these lines (RFC 7578)."""
    purpose = 'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch'
    file = (
        f'Content-Disposition: form-data; name="file"; filename="{boundary}.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    head = f"--{boundary}\r\n{purpose}\r\n--{boundary}\r\n{file}".encode()
    return b"".join([head, b"\n".join(lines), f"\n\r\n--{boundary}--\r\n".encode()])
