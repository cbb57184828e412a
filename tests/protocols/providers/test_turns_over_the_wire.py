"""What a server receives of a prompt with turns is what `render` says, in both wire formats, directly and by SDK."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.model import ChatMessage, Request
from protocols.prompt import Prompt, Section
from protocols.providers.anthropic import request_body
from protocols.providers.wire import STANDARD
from protocols.turns import dump_turns
from tests.protocols.providers.conftest import WAYS, Lab
from tests.strategies import FIELDS, Near, conversations, sections, texts

pytestmark = pytest.mark.anyio
FRAME = Section("the_input", "task", "Text: {text}\nLabel:", frozen=True)
drawn_prompts = st.lists(sections, max_size=5, unique_by=lambda section: section.name).map(
    lambda drawn: Prompt((*drawn, FRAME))
)


def requested(prompt: Prompt, text: str) -> Request:
    inputs = Near(dict.fromkeys(FIELDS, text))
    template = prompt.template(inputs)
    return Request(template.render(inputs), fixed=len(template.fixed))


def plain(content: Any) -> str:
    """A content as text, whatever of it is marked for the cache."""
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


def received(body: Any) -> list[ChatMessage]:
    """The messages of a body in either format."""
    system = [ChatMessage("system", plain(body["system"]))] if body.get("system") else []
    return system + [ChatMessage(turn["role"], plain(turn["content"])) for turn in body["messages"]]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=drawn_prompts, text=texts)
async def test_a_server_receives_what_render_says(lab: Lab, way: str, prompt: Prompt, text: str) -> None:
    request = requested(prompt, text)
    await lab.model(way).complete(request)
    assert received(lab.server.received[-1].body) == list(request.messages)
    first, *others = [message for message in request.messages if message.speaker != "system"]
    assert first.speaker == "user"
    for before, after in zip([first, *others], others, strict=False):
        assert {before.speaker, after.speaker} == {"user", "assistant"}
    assert all(turn.text.strip() for turn in [first, *others])


@given(conversations, st.booleans(), st.booleans())
def test_anthropic_caches_what_is_the_same_for_all_inputs(
    said: tuple[ChatMessage, ...], instructed: bool, near: bool
) -> None:
    prompt = Prompt(
        (
            Section("rule", "task", "Decide." if instructed else ""),
            Section("near", "examples", "{examples:1}" if near else "", form="turns"),
            Section("shots", "examples", dump_turns(said), form="turns"),
            FRAME,
        )
    )
    body: Any = request_body(requested(prompt, "a"), "m", STANDARD)
    marked = [number for number, turn in enumerate(body["messages"]) if not isinstance(turn["content"], str)]
    assert marked == [len(said) - 1] * bool(said)
    assert all("cache_control" in body["messages"][number]["content"][0] for number in marked)
    assert [block["text"] for block in body.get("system", [])] == ["Decide."] * instructed
