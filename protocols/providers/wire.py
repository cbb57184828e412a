"""Settings for servers that deviate from their wire format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from protocols.errors import ConfigError
from protocols.model import ChatMessage, Request, spoken
from protocols.providers.parameters import UNSET
from protocols.turns import parts_of

TokenParameter = Literal["max_tokens", "max_completion_tokens"]
System = Literal["message", "user", "text"]

HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
VERSION = re.compile(r"[A-Za-z0-9._-]+")
BETWEEN = "\n\n"
"""Separates system texts that are sent as one text, and these from the user's text."""


@dataclass(frozen=True, slots=True)
class Wire:
    """A server's deviations from its wire format.

    `token_parameter`: the name of a reply's token limit in OpenAI's format; None: chosen by the address. `system`:
    where system messages are sent: `message` as usual in the format, `user` in front of the first user message,
    `text` (Anthropic's format) as one plain text without cache marks. `stream`: request the reply as a stream of
    events. `version`: the header anthropic-version; None: see `anthropic.api_version`.
    """

    token_parameter: TokenParameter | None = None
    system: System = "message"
    stream: bool = False
    version: str | None = None

    def turns(self, request: Request) -> Sequence[ChatMessage]:
        """The messages of a request, with system messages `folded` if `system` is `user`."""
        return folded(alternating(request.messages)) if self.system == "user" else request.messages

    def check(self, wire_format: str) -> None:
        """:raises ConfigError: a setting does not belong to this wire format, `openai` or `anthropic`."""
        if self.version is not None and not VERSION.fullmatch(self.version):
            raise ConfigError(f"version = {self.version!r} is no version; write one such as 2023-06-01")
        theirs = [("version", self.version), ("system", self.system == "text"), ("token_parameter", False)]
        if wire_format == "anthropic":
            theirs = [("token_parameter", self.token_parameter)]
        for name, there in theirs:
            if there:
                value = getattr(self, name)
                raise ConfigError(f'{name} = "{value}" does not belong to the {wire_format}/… format; remove it')

    def check_completions(self) -> None:
        """:raises ConfigError: a setting is for chats, and has no effect on completions."""
        if self.stream:
            raise ConfigError("a completion is read whole and not as a stream; remove stream beside api")
        if self.system != "message":
            raise ConfigError("the request of a completion is one text without turns; remove system beside api")
        if self.token_parameter is not None:
            raise ConfigError("the limit on a completion is always max_tokens; remove token_parameter beside api")


STANDARD: Final = Wire()


def folded(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """The turns without system messages: their text is put in front of the first turn if that is the user's, else
    into a user message before it."""
    system = BETWEEN.join(message.text for message in messages if message.speaker == "system" and message.text)
    turns = [message for message in messages if message.speaker != "system"]
    if not system:
        return turns or [ChatMessage("user", "")]
    if turns and turns[0].speaker == "user":
        return [_both(ChatMessage("user", system), turns[0]), *turns[1:]]
    return [ChatMessage("user", system), *turns]


def alternating(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    """The messages for a format in which system messages come first, and the turns of two speakers alternate. A later
    system message becomes the user's, after `System:`; consecutive turns of one speaker become one."""
    before = "system"
    for message in messages:
        if message.speaker == before != "system" or (message.speaker == "system" != before):
            break
        before = message.speaker
    else:
        return messages
    turns: list[ChatMessage] = []
    for message in messages:
        late = message.speaker == "system" and any(turn.speaker != "system" for turn in turns)
        turn = spoken("user", ("System: ", *parts_of(message))) if late else message
        if turns and turns[-1].speaker == turn.speaker != "system":
            turns[-1] = _both(turns[-1], turn)
        else:
            turns.append(turn)
    return turns


def _both(first: ChatMessage, then: ChatMessage) -> ChatMessage:
    """Two turns of one speaker as one."""
    between = [BETWEEN] if first.text and then.text else []
    return spoken(first.speaker, (*parts_of(first), *between, *parts_of(then)))


def with_parameters(body: dict[str, object], request: Request) -> dict[str, object]:
    """The body with the user's parameters, and without `UNSET` ones. Each further draw of one request has the next
    seed, because with the same seed all draws would be equal."""
    body |= request.parameters.fields
    for name in [name for name, value in request.parameters.fields.items() if value == UNSET]:
        del body[name]
    seed = body.get("seed")
    if request.sample and isinstance(seed, int):
        body["seed"] = seed + request.sample if seed < 2**63 else seed - request.sample  # JSON: below 2^64
    return body
