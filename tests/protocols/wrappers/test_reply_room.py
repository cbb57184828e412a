"""Room for models that think before they answer."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from protocols.model import ChatMessage, Reply, Request
from protocols.wrappers.reply_room import ROOM, MinReplyTokensModel

pytestmark = pytest.mark.anyio

ASKED = Request((ChatMessage("user", "Which label?"),), 0.0, 32)


@dataclass
class Thinks:
    """Thinks for 100 tokens, in the open or in a field that we are not shown, and then answers."""

    openly: bool
    limits: list[int] = field(default_factory=list)
    name: str = "openai/qwen3"

    async def complete(self, request: Request) -> Reply:
        self.limits.append(request.max_tokens)
        if request.max_tokens > 100:
            return Reply("<think>It is about money.</think>billing" if self.openly else "billing")
        if self.openly:
            return Reply("<think>It is about", finish="length")
        return Reply("", finish="length", instead="reasoning")


@pytest.mark.parametrize("openly", [True, False])
async def test_a_model_that_thinks_unasked_has_room_once_that_is_seen(openly: bool) -> None:
    model = Thinks(openly)
    roomy = MinReplyTokensModel(model, 1)
    replies = [await roomy.complete(ASKED) for _ in range(3)]
    assert all(reply.text.endswith("billing") for reply in replies)
    assert model.limits == [32, ROOM, ROOM, ROOM]


@dataclass
class Rambles:
    limits: list[int] = field(default_factory=list)
    name: str = "local/small"

    async def complete(self, request: Request) -> Reply:
        self.limits.append(request.max_tokens)
        return Reply("The task is to provide a list of", finish="length")


async def test_a_reply_that_is_only_long_has_no_more_room() -> None:
    model = Rambles()
    roomy = MinReplyTokensModel(model, 1)
    for _ in range(2):
        assert (await roomy.complete(ASKED)).finish == "length"
    assert model.limits == [32, 32]
