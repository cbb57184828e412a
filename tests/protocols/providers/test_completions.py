"""The completion form: how a conversation is laid out, what is sent, and what comes of each answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import openai
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import BadReply, ConfigError
from protocols.files.named import Named
from protocols.model import ChatMessage, Parameters, Reply, Request, Usage
from protocols.providers.catalogue import ModelSettings, open_model, scope
from protocols.providers.completions import laid_out
from protocols.providers.parameters import UNSET
from protocols.providers.transport.http import open_transport
from protocols.providers.wire import Wire
from protocols.wrappers.asking import AskingModel

pytestmark = pytest.mark.anyio
CHAT = [
    ChatMessage("system", "Sort the mail.\n\nLabels: a, b"),
    ChatMessage("user", "Text: one\nLabel:"),
    ChatMessage("assistant", "a"),
    ChatMessage("user", "Is it two?"),
    ChatMessage("assistant", "b"),
]


def test_turns_are_apart_and_answers_follow_their_questions() -> None:
    assert laid_out(CHAT) == "Sort the mail.\n\nLabels: a, b\n\nText: one\nLabel: a\n\nIs it two?\nb"
    assert laid_out(CHAT[:2]).endswith("Text: one\nLabel:")
    assert laid_out(CHAT[:4]).endswith("Is it two?\n")


messages = st.lists(
    st.builds(ChatMessage, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=20)), min_size=1
)


@given(messages)
def test_nothing_of_a_conversation_is_lost_or_changed(turns: Sequence[ChatMessage]) -> None:
    text, at = laid_out(turns), 0
    for turn in turns:
        at = text.index(turn.text.strip(), at) + len(turn.text.strip())
    assert "".join(text.split()) == "".join("".join(turn.text.split()) for turn in turns)


@asynccontextmanager
async def answering(answer: object) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """The base URL of a server, and the bodies that it is sent."""
    bodies: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        bodies.append(orjson.loads(await request.read()))
        return web.Response(body=orjson.dumps(answer))

    app = web.Application()
    app.router.add_post("/v1/completions", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("/v1")), bodies


async def ask(answer: object) -> tuple[Reply, list[dict[str, Any]]]:
    async with answering(answer) as (url, bodies), open_transport({}) as transport:
        model = open_model("openai/base", ModelSettings(base_url=url, api="completions"), {}, transport)
        reply = await model.complete(Request(tuple(CHAT[:2]), temperature=0, max_tokens=9))
        async with openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=0) as client:
            prompt = laid_out(CHAT[:2])
            await client.completions.create(model="base", prompt=prompt, max_tokens=9, temperature=0, stop=["\n\n"])
    return reply, bodies


async def test_what_is_sent_is_the_sdks_and_the_reply_is_counted() -> None:
    usage = {"prompt_tokens": 12, "completion_tokens": 2}
    reply, [ours, theirs] = await ask({"choices": [{"text": " b", "finish_reason": "stop"}], "usage": usage})
    assert ours == theirs
    assert (reply.text, reply.finish, reply.usage, reply.instead) == ("b", "stop", Usage(12, 2), None)


@pytest.mark.parametrize(
    ("text", "reason", "said", "finish"),
    [
        ("\n\nb\n\nText: three", "stop", "b", "stop"),
        ("b and", "length", "b and", "length"),
        (" b\n\nText: three\nLab", "length", "b", "stop"),
        ("b\n\n", "length", "b", "stop"),
        ("\n\nb", "length", "b", "length"),
        ("b\n\nText", "content_filter", "b", "refusal"),
        (" \n", "stop", "", "stop"),
    ],
)
async def test_a_reply_ends_before_its_first_blank_line(text: str, reason: str, said: str, finish: str) -> None:
    reply, _ = await ask({"choices": [{"text": text, "finish_reason": reason}]})
    assert (reply.text, reply.finish, reply.usage.estimated) == (said, finish, 1)
    assert reply.instead == (None if said else "nothing")


async def test_an_answer_without_a_text_is_a_bad_reply() -> None:
    with pytest.raises(BadReply, match=r"choices\[0\]\.text"):
        await ask({"choices": [{"message": {"content": "b"}}]})


async def test_a_client_has_the_form_of_its_sdk() -> None:
    with pytest.raises(ConfigError, match="remove api"):
        ModelSettings(client=Named("a:b"), api="completions")


def test_replies_of_both_forms_are_cached_apart() -> None:
    environ = {"OPENAI_API_KEY": "k"}
    assert scope("openai/x", ModelSettings(), environ) != scope("openai/x", ModelSettings(api="completions"), environ)


async def test_an_end_that_the_user_has_set_is_sent_in_the_place_of_ours_and_holds() -> None:
    answer = {"choices": [{"text": " b\n\nfor it says so", "finish_reason": "stop"}]}
    async with answering(answer) as (url, bodies), open_transport({}) as transport:
        model = open_model("openai/base", ModelSettings(base_url=url, api="completions"), {}, transport)
        parameters = Parameters({"stop": ["###"], "top_p": 0.5})
        reply = await model.complete(Request(tuple(CHAT[:2]), max_tokens=9, parameters=parameters))
    assert reply.text == "b\n\nfor it says so"
    assert [(body["stop"], body["top_p"]) for body in bodies] == [(["###"], 0.5)]


async def test_our_end_can_be_taken_away() -> None:
    answer = {"choices": [{"text": " b\n\nfor it says so", "finish_reason": "length"}]}
    async with answering(answer) as (url, bodies), open_transport({}) as transport:
        model = open_model("openai/base", ModelSettings(base_url=url, api="completions"), {}, transport)
        reply = await AskingModel(model, {"stop": UNSET}).complete(Request(tuple(CHAT[:2]), max_tokens=9))
    assert (reply.text, reply.finish) == ("b\n\nfor it says so", "length")
    assert ["stop" in body for body in bodies] == [False]


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (Wire(stream=True), "stream"),
        (Wire(system="user"), "system"),
        (Wire(token_parameter="max_completion_tokens"), "token_parameter"),
    ],
)
def test_a_completion_has_nothing_of_a_chat(wire: Wire, name: str) -> None:
    with pytest.raises(ConfigError, match=f"remove {name} beside api"):
        ModelSettings(api="completions", wire=wire)
