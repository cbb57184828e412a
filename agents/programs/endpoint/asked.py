"""A model call as a program sends it, whatever the wire format."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from protocols.errors import PromptFlowError
from protocols.model import ChatMessage, Finish, Reply, ToolCall
from protocols.program import SPEAKERS, Turn

JsonObject = dict[str, object]
PLAIN: Final = frozenset({"role", "content", "name", "type", "id", "status"})
"""Fields of a message that is text alone."""
TEXTS: Final = frozenset({"text", "input_text", "output_text"})
BETWEEN: Final = "\n"
"""Between the texts of a message in several parts, as in vLLM."""
UNTOLD: Final = frozenset(
    {
        *("metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store"),
        *("stream", "stream_options", "user", "messages", "model", "temperature", "prompt", "self", "betas"),
    }
)
"""Fields that are not passed on as parameters: they are read elsewhere, or do not change the reply and would only
keep the reply cache from finding it again."""


class Unusable(PromptFlowError):
    """A request that is answered with 400; `str()` tells the author of the program why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `messages`: those of text alone are `ChatMessage`s, others as the program sent them. `parameters`:
    further fields, by their names in its format. `stream`: the reply is to be a stream of events; `counted`: with its
    usage."""

    model: str
    messages: tuple[Turn, ...]
    temperature: float | None = None
    max_tokens: int | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    stream: bool = False
    counted: bool = False


class Format(Protocol):
    """A wire format, from the provider's side."""

    def read(self, body: JsonObject) -> Asked:
        """The request in this body.

        :raises Unusable: it is none, or needs what the endpoint cannot do.
        """

    def document(self, asked: Asked, reply: Reply) -> JsonObject:
        """The reply as one document."""

    def events(self, asked: Asked, reply: Reply) -> bytes:
        """The reply as the body of a stream of events."""

    def error(self, kind: str, message: str, code: str | None = None) -> JsonObject:
        """An error. `kind`: such as `invalid_request_error`."""


def asked_for(
    body: Mapping[str, object], messages: Sequence[Turn], limits: Collection[str], parameters: Mapping[str, object]
) -> Asked:
    """The request with these messages. `limits`: names of the reply's token limit; `parameters`: the fields that may
    be parameters.

    :raises Unusable: there is no message, or a number is none.
    """
    if not messages:
        raise Unusable("the request holds no message")
    options = body.get("stream_options")
    limit = next((body[name] for name in limits if body.get(name) is not None), None)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Unusable(f"the token limit of a reply is a whole number from 1 on, not {limit!r}")
    temperature = body.get("temperature")
    if temperature is not None and not is_number(temperature):
        raise Unusable(f"temperature is a number, not {temperature!r}")
    left = {name: value for name, value in parameters.items() if value is not None and name not in UNTOLD}
    return Asked(
        str(body.get("model") or ""),
        tuple(messages),
        temperature,  # type: ignore[arg-type]  # just checked
        limit,
        {name: value for name, value in left.items() if name not in limits},
        bool(body.get("stream")),
        isinstance(options, Mapping) and bool(options.get("include_usage")),
    )


def calls_of(asked: Asked, reply: Reply) -> list[ToolCall]:
    """The calls of tools in a reply. One without an id gets one that no other call of the conversation has, and that
    is the same when the same is asked again."""
    return [
        call if call.id else replace(call, id=f"call_{len(asked.messages)}_{number}")
        for number, call in enumerate(reply.calls)
    ]


def finish_of(reply: Reply, known: Mapping[Finish, str], calling: str) -> str:
    """Why the reply has ended, in the words of a format: `calling` if it calls tools and was not cut short."""
    return calling if reply.calls and reply.finish in ("stop", "other") else known[reply.finish]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def turn_of(message: object) -> Turn:
    """A message: a `ChatMessage` if it is text alone, else what it says, without what it leaves empty.

    :raises Unusable: it is none.
    """
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise Unusable("each message is an object with a role and a content")
    said = {name: value for name, value in message.items() if value is not None and value != []}
    speaker, text = SPEAKERS.get(said["role"]), text_of(said.get("content", ""))
    if speaker is not None and text is not None and said.keys() <= PLAIN:
        return ChatMessage(speaker, text)
    if "content" in said and text is not None:
        said["content"] = text
    return said


def text_of(content: object) -> str | None:
    """The text of a content that is text or several parts of text; None if it is something else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [part["text"] for part in content if is_text(part)]
    return BETWEEN.join(texts) if len(texts) == len(content) else None


def is_text(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in TEXTS and isinstance(part.get("text"), str)
