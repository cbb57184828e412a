"""Settings for servers that deviate from their wire format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from protocols.errors import ConfigError
from protocols.model import ChatMessage, Request, as_one_turn, spoken

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

    def turns(self, request: Request, *, alternate: bool = False) -> Sequence[ChatMessage]:
        """The messages of a request, without system messages if `system` is `user`; see also `alternating`."""
        fold = self.system == "user"
        return alternating(request.messages, fold=fold) if fold or alternate else request.messages

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


def alternating(messages: Sequence[ChatMessage], *, fold: bool = False) -> Sequence[ChatMessage]:
    """The messages for a format in which system messages come first, and the turns of two speakers alternate. A later
    system message becomes the user's, after `System:`; consecutive turns of one speaker become one. `fold`: the first
    system messages become the user's, too, and where nothing is said, there is one empty turn of the user.
    """
    runs: list[list[ChatMessage]] = []
    begun = False
    for message in messages:
        turn = message
        if message.speaker != "system":
            begun = True
        elif begun:
            turn = spoken("user", ("System: ", *message.pieces))
        elif fold:
            turn = spoken("user", message.pieces)
        if runs and runs[-1][0].speaker == turn.speaker in ("user", "assistant"):
            runs[-1].append(turn)
        elif turn.text or begun or not fold:
            runs.append([turn])
    return [as_one_turn(run, BETWEEN) for run in runs] or [ChatMessage("user", "")] * fold
