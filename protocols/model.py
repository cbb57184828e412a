"""The interface of a language model: one async method from a request to a reply."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

import orjson

from protocols.images.image import Image

Speaker = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "length", "refusal", "other"]
Instead = Literal["tool calls", "reasoning", "nothing"]
"""The content of a reply without a text: calls of tools that were not offered, only reasoning, or nothing."""

FRAME = 16
"""Upper bound of the tokens that a chat template adds around one turn; published templates add 3 to 10."""
TURN = 5
"""Tokens that most published templates add around one turn (ChatML, Llama 3, Gemma)."""
BYTES = 4
"""The most bytes of a text that one token usually stands for; a token of an image counts as so many."""
EXACT = 2**53
"""Below this a float represents every whole number exactly; above it JSON readers may round integers."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a tool. `arguments`: a JSON object as the model wrote it, so it may be unreadable. `id`: the
    name of the call in the tool's result; "" if the provider gave none."""

    name: str
    arguments: str = "{}"
    id: str = ""

    @property
    def value(self) -> object:
        """The arguments as JSON; the text itself if they are none."""
        try:
            return orjson.loads(self.arguments) if self.arguments.strip() else {}
        except orjson.JSONDecodeError:
            return self.arguments


def show_calls(calls: Sequence[ToolCall]) -> str:
    """Calls as one line of JSON: `[{"name": ..., "arguments": {...}}]`."""
    listed = [{"name": call.name, "arguments": call.value} for call in calls]
    return json.dumps(listed, ensure_ascii=False)


def with_calls(text: str, calls: Sequence[ToolCall]) -> str:
    """The text, and after it the calls as `show_calls` writes them."""
    if not calls:
        return text
    return f"{text.rstrip()}\n{show_calls(calls)}" if text.strip() else show_calls(calls)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation. `parts`: its texts and images in order, which together are `text`, where an image
    is its label; () without images. `calls`: the assistant's calls of tools; in a turn of the speaker `tool`, the one
    call whose result the text is."""

    speaker: Speaker
    text: str
    parts: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()

    @property
    def images(self) -> tuple[Image, ...]:
        """The images in it."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def pieces(self) -> tuple[str, ...]:
        """Its texts and images, also if it is one text."""
        return self.parts or (self.text,)


def spoken(speaker: Speaker, parts: Iterable[str]) -> ChatMessage:
    """A turn of these texts and images."""
    whole = joined(parts)
    images = any(isinstance(part, Image) for part in whole)
    return ChatMessage(speaker, "".join(whole), whole if images else ())


def as_one_turn(turns: Sequence[ChatMessage], between: str) -> ChatMessage:
    """One turn of several of its speaker, with `between` wherever a text follows another."""
    if len(turns) == 1:
        return turns[0]
    parts: list[str] = []
    for turn in turns:
        if turn.text and any(parts):
            parts.append(between)
        parts += turn.pieces
    calls = tuple(call for turn in turns for call in turn.calls)
    return replace(spoken(turns[0].speaker, parts), calls=calls)


def joined(parts: Iterable[str]) -> tuple[str, ...]:
    """The same parts with neighbouring texts put together, and without empty ones."""
    whole: list[str] = []
    for part in parts:
        if whole and not isinstance(part, Image) and not isinstance(whole[-1], Image):
            whole[-1] += part
        elif part:
            whole.append(part if isinstance(part, Image) else str(part))
    return tuple(whole)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Fields of a call's body that the user sets, by their names in the wire format; never those that we set.

    Two are equal if they are the same JSON, whatever the order of the names; 1 equals 1.0.
    """

    fields: Mapping[str, object] = field(default_factory=dict, compare=False)
    key: str = field(default="", init=False)

    def __post_init__(self) -> None:
        if self.fields:
            key = orjson.dumps(_plain(self.fields), option=orjson.OPT_SORT_KEYS).decode()
            object.__setattr__(self, "key", key)


def _plain(value: object) -> object:
    """The same JSON with floats that are whole numbers below `EXACT` as integers."""
    match value:
        case float():
            return int(value) if value.is_integer() and abs(value) < EXACT else value
        case Mapping():
            return {name: _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
    return value


NOTHING_SET: Final = Parameters()


@dataclass(frozen=True, slots=True)
class Offer:
    """What a reply may be besides free text: calls of tools, and JSON that is valid by a schema.

    `openai`, `anthropic`: the fields of a call's body in each wire format; never changed. `names`: the tools. `key`:
    all of it as JSON, by which two are equal: tools in another order are another offer.
    """

    openai: Mapping[str, object] = field(compare=False, repr=False)
    anthropic: Mapping[str, object] = field(compare=False, repr=False)
    names: tuple[str, ...] = field(default=(), compare=False)
    key: str = field(default="", init=False, repr=False)
    size: int = field(default=0, init=False, compare=False)
    """Bytes of the definitions as JSON."""

    def __post_init__(self) -> None:
        key = orjson.dumps([self.openai, self.anthropic])
        object.__setattr__(self, "key", key.decode())
        object.__setattr__(self, "size", len(orjson.dumps(self.openai)))


@dataclass(frozen=True, slots=True)
class Request:
    """One call. Everything here that changes the answer is part of the reply cache's key.

    `messages`: at least one; system messages come first and are the prefix that providers may cache.
    `temperature`: None leaves it to the provider. `max_tokens`: at most so many tokens of reply (>= 1).
    `parameters`: what the user has set beside these; they win. `sample`: tells apart several draws of one request (0,
    1, ...); adapters add it to a `seed` among the parameters, and else do not send it.
    `offer`: the tools that the reply may call, and its schema; None: neither.
    `fixed`: messages at the beginning, if more than the system messages, that are the same in other requests.
    `assignment`: the one that it is made for; `left_out`: examples that did not fit; `sending`: functions that are
    applied once all waiting is over, the last first, each of which returns the request to go on with; `prompt`: the
    prompt of a program that it asks, "" for none. These four are for wrappers: adapters do not send them, and the
    cache ignores them.
    """

    messages: tuple[ChatMessage, ...]
    temperature: float | None = None
    max_tokens: int = 1024
    sample: int = 0
    assignment: int | None = None
    left_out: int = 0
    sending: tuple[Callable[[Request], Request], ...] = field(default=(), compare=False, repr=False)
    fixed: int = field(default=0, compare=False, repr=False)
    parameters: Parameters = NOTHING_SET
    offer: Offer | None = None
    prompt: str = field(default="", compare=False)
    _size: int = field(default=-1, init=False, compare=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes of all texts as UTF-8, `BYTES` for each token of an image, and the calls and the offer. Measured
        once, because several wrappers read it at every call."""
        if self._size < 0:
            size = self.offer.size if self.offer else 0
            for message in self.messages:
                size += len(message.text.encode("utf-8", "replace"))
                if message.parts:
                    size += BYTES * sum(image.tokens for image in message.images)
                for call in message.calls:
                    size += len(f"{call.name}{call.arguments}".encode("utf-8", "replace"))
            object.__setattr__(self, "_size", size)
        return self._size

    @property
    def has_images(self) -> bool:
        """Whether a message has an image."""
        return any(message.parts for message in self.messages)

    def sent_by(self, look: Callable[[Request], Request]) -> Request:
        """The same request with one more function in `sending`; several times as fast as `replace`."""
        copy = Request(
            self.messages,
            self.temperature,
            self.max_tokens,
            self.sample,
            self.assignment,
            self.left_out,
            (*self.sending, look),
            self.fixed,
            self.parameters,
            self.offer,
            self.prompt,
        )
        object.__setattr__(copy, "_size", self._size)
        return copy

    @property
    def prefix(self) -> tuple[ChatMessage, ...]:
        """The leading messages that other requests share and providers may cache: the `fixed` ones, or the system
        messages if these are more."""
        systems = next((n for n, said in enumerate(self.messages) if said.speaker != "system"), len(self.messages))
        return self.messages[: max(self.fixed, systems)]

    @property
    def most_input(self) -> int:
        """Upper bound of the input tokens: one per byte, because tokenisers join bytes, and each turn's frame."""
        return self.size + FRAME * (len(self.messages) + 1)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply, or of several together, as the provider counts them.

    Of the `input`, `cached` were read from the provider's cache and `written` were written to it. `estimated`: number
    of replies whose counts are at least partly our estimate, because the provider did not report them all.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    estimated: int = 0

    @property
    def total(self) -> int:
        """Input and output."""
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.written + other.written,
            self.estimated + other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """An account's rate limits per minute, as the provider reports them with every answer; None: not reported.

    `wait`: seconds until an exhausted limit has room again; None while no limit is exhausted.
    """

    requests: int | None = None
    tokens: int | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's reply. `latency`: in seconds. `model`: the provider's name for it. `from_cache`: read from our reply
    cache, so free. `instead`: what came in place of a text; None if there is a text, or the model refused, or it
    called a tool that was offered. `calls`: those calls."""

    text: str
    usage: Usage = field(default_factory=Usage)
    finish: Finish = "stop"
    latency: float = 0.0
    model: str = ""
    from_cache: bool = False
    allowance: Allowance | None = None
    instead: Instead | None = None
    calls: tuple[ToolCall, ...] = ()

    @property
    def said(self) -> str:
        """The text, and after it the calls as `show_calls` writes them."""
        return with_calls(self.text, self.calls)


class ChatModel(Protocol):
    """The interface of a model and of every wrapper around one (cache, retry, limiter, ledger)."""

    @property
    def name(self) -> str:
        """`provider/model`, for logs, errors and reports."""

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        :raises ModelError: the call failed; the class says how.
        :raises BudgetExhausted: a wrapper refused the call before anything was sent.
        """
