"""Servers that speak a wire format otherwise than its owner: where the system message goes, the key's header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ConfigError, ModelError
from protocols.files.named import Named
from protocols.model import ChatMessage, Request
from protocols.providers.anthropic import AnthropicModel
from protocols.providers.catalogue import ModelSettings, open_model
from protocols.providers.openai import OpenAIModel
from protocols.providers.transport.http import Endpoint
from protocols.providers.wire import BETWEEN, Wire, alternating
from tests.protocols.providers.conftest import KEY, WAYS, Lab
from tests.wire.formats import error_body
from tests.wire_server import Fault

pytestmark = pytest.mark.anyio

TURNS = (
    ChatMessage("system", "Be {brief}."),
    ChatMessage("system", "And kind. 中文🙂"),
    ChatMessage("user", "a"),
    ChatMessage("assistant", "b"),
    ChatMessage("user", "c"),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
systems = st.lists(st.builds(ChatMessage, st.just("system"), texts), max_size=2)
others = st.lists(st.builds(ChatMessage, st.sampled_from(["user", "assistant"]), texts), max_size=5)


@pytest.mark.parametrize("way", WAYS)
async def test_a_folded_system_message_stands_before_the_first_input(lab: Lab, way: str) -> None:
    await lab.model(way, wire=Wire(system="user")).complete(Request(TURNS))
    body = lab.server.received[-1].body
    assert "system" not in body
    assert body["messages"] == [
        {"role": "user", "content": "Be {brief}.\n\nAnd kind. 中文🙂\n\na"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]


@given(systems, others)
def test_folding_loses_nothing_and_leaves_no_system_message(
    system: list[ChatMessage], rest: list[ChatMessage]
) -> None:
    turns = list(alternating([*system, *rest], fold=True))
    assert turns
    assert all(turn.speaker != "system" for turn in turns)
    after = list(alternating(rest))
    said = [message.text for message in system if message.text]
    if not said:
        assert turns == (after or [ChatMessage("user", "")])
        return
    prefix = BETWEEN.join(said)
    assert turns[0].speaker == "user"
    assert turns[0].text.startswith(prefix)
    if after and after[0].speaker == "user":
        assert turns[0].text.removeprefix(prefix).removeprefix(BETWEEN) == after[0].text
        assert turns[1:] == after[1:]
    else:
        assert turns[0].text == prefix
        assert turns[1:] == after


@given(systems, others, others)
def test_what_all_inputs_share_is_still_the_prefix(
    system: list[ChatMessage], one: list[ChatMessage], two: list[ChatMessage]
) -> None:
    """So that a provider's cache finds it, and one call goes ahead of those that share it."""
    prefix = BETWEEN.join(message.text for message in system if message.text)
    for rest in (one, two):
        assert alternating([*system, ChatMessage("user", "x"), *rest], fold=True)[0].text.startswith(prefix)


@pytest.mark.parametrize("way", ["anthropic", "anthropic-sdk"])
async def test_a_system_message_as_plain_text(lab: Lab, way: str) -> None:
    model = lab.model(way, wire=Wire(system="text"))
    await model.complete(Request(TURNS))
    assert lab.server.received[-1].body["system"] == "Be {brief}.\n\nAnd kind. 中文🙂"
    await model.complete(Request(TURNS[2:]))
    assert "system" not in lab.server.received[-1].body


@pytest.mark.parametrize("way", ["openai", "anthropic"])
async def test_the_key_in_a_header_of_its_own(lab: Lab, way: str) -> None:
    """And in no other, and in no error."""
    endpoint = Endpoint(lab.server.openai_url if way == "openai" else lab.server.url, KEY, 10.0, "x-api-key")
    make = OpenAIModel if way == "openai" else AnthropicModel
    model = make("m-1", endpoint, lab.transport)
    await model.complete(Request(TURNS))
    headers = lab.server.received[-1].headers
    assert (headers.find("x-api-key"), headers.find("authorization")) == (KEY, "")
    lab.server.faults.append(Fault(status=401, body=error_body("authentication_error", f"wrong key: {KEY}")))
    with pytest.raises(ModelError) as caught:
        await model.complete(Request(TURNS))
    assert KEY not in f"{caught.value} {endpoint!r}"


@pytest.mark.parametrize(
    ("name", "wire", "says"),
    [
        ("openai/m", Wire(version="2023-06-01"), "version"),
        ("openai/m", Wire(system="text"), "system"),
        ("anthropic/m", Wire(token_parameter="max_tokens"), "token_parameter"),
        ("anthropic/m", Wire(version="1\r\nx: y"), "version"),
    ],
)
async def test_what_a_format_has_not_is_refused(lab: Lab, name: str, wire: Wire, says: str) -> None:
    url = lab.server.url
    with pytest.raises(ConfigError, match=says) as caught:
        open_model(name, ModelSettings(base_url=url, wire=wire), {}, lab.transport)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", ["", "a b", "x:y", "x\r\ny", "schlüssel"])
def test_a_header_that_cannot_be_is_refused(header: str) -> None:
    with pytest.raises(ConfigError, match="x-api-key"):
        ModelSettings(key_header=header)


def test_a_client_has_its_own_key() -> None:
    with pytest.raises(ConfigError, match="key_header"):
        ModelSettings(client=Named("a:b"), key_header="x-api-key")


NO_SYSTEM = [
    (400, "System role not supported"),
    (400, "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
    (400, "Developer instruction is not enabled for models/gemma-3-27b-it"),
    (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (500, "Jinja Exception: System role not supported"),
    (422, "system messages are not allowed for this model"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "said"), NO_SYSTEM)
async def test_a_refused_system_message_names_the_setting(lab: Lab, way: str, status: int, said: str) -> None:
    lab.server.faults.append(Fault(status=status, body=error_body("invalid_request_error", said)))
    with pytest.raises(ModelError) as caught:
        await lab.model(way).complete(Request(TURNS))
    name = f"{way.removesuffix('-sdk')}/m-1"
    assert f'set system = "user" under [providers."{name}"]' in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "said", ["The system is overloaded", "Invalid value for 'temperature'", "Unknown parameter: 'seed'"]
)
async def test_no_other_refusal_names_it(lab: Lab, said: str) -> None:
    lab.server.faults.append(Fault(status=400, body=error_body("invalid_request_error", said)))
    with pytest.raises(ModelError) as caught:
        await lab.model("openai").complete(Request(TURNS))
    assert "system =" not in str(caught.value)
