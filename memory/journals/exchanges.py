"""What was asked and answered, packed for the journal: few bytes for many questions that share most of their text."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import orjson

from memory.journals.message_codec import read_step
from protocols.errors import StorageFailed
from protocols.messages import Outcome
from protocols.model import ChatMessage, Speaker, Usage, with_calls
from protocols.program import Step

TEXT = 100_000
"""Most characters kept of each text, from both ends."""
MOST_BYTES = 2**28
"""Most bytes of packed exchanges that a run keeps; later ones are not kept."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question to a model and its answer.

    `example`: the id of the example that was asked for; "" for a request of a critic or an operator. `messages`:
    (speaker, text) of each turn as it was sent; images are their labels, calls of tools are text; () if a program
    answered, whose `steps` tell what it asked. `seconds`: until the reply; 0 if the reply cache had it (`cached`).
    `error`: why there is no reply, "" if there is one. `model`: of several that answer a task, the one that was
    asked; "" if there is one.

    `target`, `answer`, `score`, `feedback`, `inputs`: the example and the judgement, as in
    `protocols.messages.Outcome`; not set for a request of a critic or an operator.
    """

    example: str
    messages: tuple[tuple[Speaker, str], ...]
    reply: str
    finish: str = "stop"
    instead: str | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    cached: bool = False
    target: str = ""
    answer: str | None = None
    score: float = 0.0
    feedback: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    error: str = ""
    model: str = ""


LEVEL = 1
"""Of zlib: half the time of the usual 6, for 3 to 8 % more bytes."""
AnyReply = TypeVar("AnyReply", Exchange, Outcome)
Keep = Callable[[int, str, Sequence[Exchange]], Awaitable[None]]
"""Keeps what was asked and answered for an assignment, on a split or by a role."""


def worst(replies: Iterable[AnyReply]) -> AnyReply:
    """Of several replies to one example, the first of those with the lowest score, and of these one that holds no
    answer, if there is one."""
    return min(replies, key=lambda reply: (reply.score, reply.answer is not None))


def told(messages: Iterable[ChatMessage]) -> tuple[tuple[Speaker, str], ...]:
    """The turns of a request as an exchange has them."""
    return tuple((message.speaker, with_calls(message.text, message.calls)) for message in messages)


def pack(exchanges: Sequence[Exchange]) -> bytes:
    """The exchanges as compressed JSON, in which every text stands once."""
    texts: dict[str, int] = {}
    rows = [
        {
            **{name: getattr(each, name) for name in PLAIN},
            "messages": [(speaker, texts.setdefault(cut(text), len(texts))) for speaker, text in each.messages],
            "reply": cut(each.reply),
            **({"model": each.model} if each.model else {}),
        }
        for each in exchanges
    ]
    return zlib.compress(orjson.dumps({"texts": [*texts], "rows": rows}), LEVEL)


PLAIN = tuple(each.name for each in fields(Exchange) if each.name not in ("messages", "reply", "model"))
"""The fields that are packed as they are, empty or not."""


def as_json(exchange: Exchange) -> dict[str, Any]:
    """An exchange as JSON for people and other programs: messages as role and content, and tokens by kind."""
    usage = exchange.usage
    return {
        "id": exchange.example,
        "inputs": exchange.inputs,
        "messages": [{"role": speaker, "content": text} for speaker, text in exchange.messages],
        "reply": exchange.reply,
        "target": exchange.target,
        "answer": exchange.answer,
        "score": exchange.score,
        "feedback": exchange.feedback,
        "finish": exchange.finish,
        "tokens": {"input": usage.input, "output": usage.output},
        "seconds": exchange.seconds,
        "cached": exchange.cached,
        **({"model": exchange.model} if exchange.model else {}),
        **({"steps": exchange.steps} if exchange.steps else {}),
        **({"error": exchange.error, "score": None} if exchange.error else {}),
    }


def unpack(content: bytes, path: str) -> Iterator[Exchange]:
    """The exchanges that `pack` packed, from the journal at `path`.

    :raises StorageFailed: it was another content.
    """
    try:
        document = orjson.loads(zlib.decompress(content))
        texts = document["texts"]
        for row in document["rows"]:
            yield _exchange(row, texts)
    except (zlib.error, orjson.JSONDecodeError, KeyError, TypeError, IndexError) as error:
        raise StorageFailed(f"exchanges cannot be read: {error!r}", file=path) from error


def _exchange(row: dict[str, Any], texts: Sequence[str]) -> Exchange:
    return Exchange(
        **{
            **row,
            "messages": tuple((speaker, texts[number]) for speaker, number in row["messages"]),
            "usage": Usage(**row["usage"]),
            "steps": tuple(map(read_step, row["steps"])),
        }
    )


def cut(text: str) -> str:
    """At most `TEXT` characters of a text, from both ends."""
    if len(text) <= TEXT:
        return text
    half = TEXT // 2
    return f"{text[:half]}\n(… {len(text) - 2 * half:,} characters …)\n{text[-half:]}"
