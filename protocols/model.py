"""What a language model is to us: one async method from a request to a reply."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

Speaker = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "refusal", "other"]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation, plain text."""

    speaker: Speaker
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One call. Everything here that changes the answer is part of the reply cache's key.

    `messages`: at least one; system messages come first and are the prefix that providers may cache.
    `temperature`: None leaves it to the provider. `max_tokens`: at most so many tokens of reply (>= 1).
    `sample`: tells apart several draws of one request (0, 1, ...); adapters do not send it.
    """

    messages: tuple[ChatMessage, ...]
    temperature: float | None = None
    max_tokens: int = 1024
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply as the provider counts them; `cached` of the `input` came from its cache."""

    input: int = 0
    output: int = 0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.output + other.output, self.cached + other.cached)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. `latency` in seconds; `model` as the provider names it; `from_cache`: ours, so free."""

    text: str
    usage: Usage = field(default_factory=Usage)
    finish: Finish = "stop"
    latency: float = 0.0
    model: str = ""
    from_cache: bool = False


class ChatModel(Protocol):
    """A model, or a wrapper around one (cache, retry, limiter, ledger): all have this one interface."""

    @property
    def name(self) -> str:
        """`provider/model`, for logs, errors and reports."""

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        :raises ModelError: the call failed; its class says how.
        :raises BudgetExhausted: a wrapper refused it before anything was sent.
        """
