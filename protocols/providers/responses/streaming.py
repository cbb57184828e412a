"""Joins a reply's stream of events into the body that the server would have sent at once.

https://html.spec.whatwg.org/multipage/server-sent-events.html, and the events of both providers:
https://developers.openai.com/api/reference, https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import orjson

from protocols.errors import ConnectionFailed
from protocols.providers.responses.failures import Answer
from protocols.providers.responses.figures import read_json

LINE: Final = re.compile(rb"\r\n|\r|\n")
BEGINNING: Final = re.compile(rb"(\xef\xbb\xbf)?\s*(:|(data|event|id|retry)\s*:)")
DONE: Final = b"[DONE]"
THOUGHTS: Final = ("reasoning_content", "reasoning")
"""The fields of a delta in which servers send thoughts as text."""
Join = Callable[[Iterator[object]], tuple[dict[str, object], bool]]
"""Joins the JSON of all events into the body of one answer; also returns whether the answer was complete."""


def is_stream(body: bytes) -> bool:
    """Whether a body is a stream of events."""
    return BEGINNING.match(body) is not None


def holds_events(body: bytes) -> bool:
    """Whether a body is a stream with at least one event; comments, which begin with a colon, do not count."""
    return is_stream(body) and next(events(body), None) is not None


def unstreamed(answer: Answer, join: Join, model: str) -> Answer:
    """The answer with its events joined into one body by `join`; unchanged if it is not a stream. If an event is an
    error, it becomes the body, with the usage up to then.

    :raises ConnectionFailed: the stream broke off.
    """
    if not 200 <= answer.status < 300 or not is_stream(answer.body):
        return answer
    ended = False

    def told() -> Iterator[object]:
        nonlocal ended
        for data in events(answer.body):
            ended = ended or data.strip() == DONE
            try:
                yield read_json(data)
            except ValueError:
                continue  # the end mark, or a line of a proxy

    body, whole = join(told())
    if not (whole or ended or "error" in body):
        raise ConnectionFailed("the stream broke off before its end", model=model)
    return replace(answer, body=orjson.dumps(body))


def events(body: bytes) -> Iterator[bytes]:
    """The data of each event; comments, which keep a connection open, and other fields are dropped. The last event
    need not end with an empty line, which several servers omit."""
    data: list[bytes] = []
    for line in LINE.split(body.removeprefix(b"\xef\xbb\xbf")):
        field, _, value = line.partition(b":")
        if not line and data:
            yield b"\n".join(data)
            data = []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
    if data:
        yield b"\n".join(data)


def joined_chat(told: Iterator[object]) -> tuple[dict[str, object], bool]:
    """Join the chunks of a chat completion. Only the first choice is read, as in an answer without a stream."""
    body: dict[str, object] = {"choices": []}
    texts: dict[str, list[str]] = {}
    message: dict[str, object] = {}
    calls: dict[object, dict[str, object]] = {}
    choice: dict[str, object] | None = None
    for chunk in told:
        if not isinstance(chunk, dict):
            continue
        body |= {name: chunk[name] for name in ("model", "usage", "error") if chunk.get(name)}
        if chunk.get("error") or chunk.get("object") == "error":
            return body | {"error": chunk.get("error") or chunk}, True
        choices = chunk.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(first, dict) or (first.get("index") or 0) != 0:
            continue
        choice = choice or {"message": message}
        choice |= {name: first[name] for name in ("finish_reason", "error") if first.get(name)}
        delta = first.get("delta") or first.get("message")
        for name, value in delta.items() if isinstance(delta, dict) else ():
            if name == "tool_calls" and isinstance(value, list):
                join_calls(calls, value)
            elif name in ("content", "refusal", *THOUGHTS):
                texts.setdefault(name, []).append(text_of(value))
            elif value:
                message[name] = value
    if choice is not None:
        message |= {"content": ""} | {name: "".join(parts) for name, parts in texts.items()}
        message |= {"tool_calls": list(calls.values())} if calls else {}
        body["choices"] = [choice]
    return body, choice is not None and "finish_reason" in choice


def join_calls(calls: dict[object, dict[str, object]], pieces: list[object]) -> None:
    """Add the pieces of tool calls to the `calls` by index. The first piece of a call has its id and name, and each a
    part of the arguments; a server that sends whole calls may leave out the index, and then every piece is a call."""
    for piece in pieces:
        if not isinstance(piece, dict):
            continue
        told = piece.get("function")
        function = told if isinstance(told, dict) else {}
        index = piece.get("index")
        call = calls.setdefault(len(calls) if index is None else str(index), {"function": {}})
        if piece.get("id"):
            call["id"] = piece["id"]
        joined = call["function"]
        assert isinstance(joined, dict)
        if function.get("name"):
            joined["name"] = function["name"]
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            joined["arguments"] = f"{joined.get('arguments') or ''}{arguments}"
        elif arguments is not None:
            joined["arguments"] = arguments


def text_of(content: object) -> str:
    """The text in a piece of content."""
    if isinstance(content, list):
        return "".join(text_of(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def joined_message(told: Iterator[object]) -> tuple[dict[str, object], bool]:
    """Join the events of a message in Anthropic's format."""
    body: dict[str, object] = {}
    usage: dict[str, object] = {}
    blocks: dict[str, dict[str, object]] = {}
    ended = False
    for event in told:
        match event:
            case {"type": "error", **said}:
                return {"type": "error", "error": said.get("error", {}), "usage": usage}, True
            case {"type": "message_start", "message": dict(message)}:
                body["model"] = message.get("model")
                usage |= counted(message.get("usage"))
            case {"type": "content_block_start", "content_block": dict(block), **rest}:
                blocks[str(rest.get("index"))] = {**block}
            case {"type": "content_block_delta", "delta": dict(delta), **rest}:
                add(blocks.setdefault(str(rest.get("index")), {"type": "text", "text": ""}), delta)
            case {"type": "message_delta", **rest}:
                match rest.get("delta"):
                    case {"stop_reason": str(reason)}:
                        body["stop_reason"] = reason
                usage |= counted(rest.get("usage"))
            case {"type": "message_stop"}:
                ended = True
    if blocks or ended:
        body["content"] = list(blocks.values())
    return body | {"usage": usage}, ended


def counted(usage: object) -> dict[str, object]:
    """The reported counts of a usage: later events repeat the known ones, and may omit others."""
    return {name: value for name, value in usage.items() if value is not None} if isinstance(usage, dict) else {}


def add(block: dict[str, object], delta: dict[str, object]) -> None:
    """Append the texts of a delta to those of its block."""
    for name, value in delta.items():
        if name != "type" and isinstance(value, str):
            block[name] = f"{block.get(name) or ''}{value}"
