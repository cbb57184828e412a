"""Images and odd conversations over the wire, in both formats, directly and by SDK; what cannot see refuses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocols.errors import BadRequest
from protocols.images.image import Image
from protocols.model import BYTES, ChatMessage, Request, spoken
from protocols.providers.completions import CompletionsModel
from protocols.providers.embedded.model import EmbeddedModel
from protocols.providers.local_model import LocalModel, LocalSettings
from protocols.providers.responses.figures import about
from protocols.providers.transport.http import Endpoint
from protocols.providers.wire import Wire
from protocols.wrappers.cached import request_key
from protocols.wrappers.window import Window, estimated
from tests.pictures import image
from tests.protocols.providers.conftest import WAYS, Lab

pytestmark = pytest.mark.anyio
RECEIPT = image("receipt.png", 1000, 700)
FAR = Image("cat.png", "https://example.org/cat.png", "0123456789abcdef", detail="low")
ASKED = Request((ChatMessage("system", "Look."), spoken("user", ("What is ", RECEIPT, " and\n", FAR, "?"))))
OPENAI = [
    {"type": "text", "text": "What is "},
    {"type": "image_url", "image_url": {"url": RECEIPT.url}},
    {"type": "text", "text": " and\n"},
    {"type": "image_url", "image_url": {"url": FAR.url, "detail": "low"}},
    {"type": "text", "text": "?"},
]
ANTHROPIC = [
    {"type": "text", "text": "What is "},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": RECEIPT.data}},
    {"type": "text", "text": " and\n"},
    {"type": "image", "source": {"type": "url", "url": FAR.url}},
    {"type": "text", "text": "?"},
]


@pytest.mark.parametrize("way", WAYS)
async def test_images_are_parts_of_their_message(lab: Lab, way: str) -> None:
    reply = await lab.model(way).complete(ASKED)
    body: Any = lab.server.received[-1].body
    assert body["messages"][-1] == {"role": "user", "content": OPENAI if "openai" in way else ANTHROPIC}
    assert reply.text == "What is <image> and\n<image>?"[::-1]


@pytest.mark.parametrize("way", WAYS)
async def test_a_large_image_is_sent_whole(lab: Lab, way: str) -> None:
    """Over the size from which aiohttp warns of a body in one piece; a warning is an error here."""
    large = Image("a.png", "data:image/png;base64," + "A" * 3_000_000, "0", media="image/png", size=(9, 9))
    await lab.model(way).complete(Request((spoken("user", (large,)),)))
    assert large.data.encode() in lab.server.received[-1].raw


@pytest.mark.parametrize("way", ["anthropic", "anthropic-sdk"])
async def test_anthropic_gets_turns_that_alternate(lab: Lab, way: str) -> None:
    said = (
        ChatMessage("system", "Be brief."),
        spoken("user", ("See ", RECEIPT)),
        spoken("user", (FAR, "Hi")),
        ChatMessage("system", "Now be kind."),
        ChatMessage("assistant", "a"),
        ChatMessage("assistant", "b"),
        ChatMessage("user", "c"),
    )
    await lab.model(way).complete(Request(said))
    body: Any = lab.server.received[-1].body
    assert [block["text"] for block in body["system"]] == ["Be brief."]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block.get("text") for block in body["messages"][0]["content"]] == [
        "See ",
        None,
        None,
        "Hi\n\nSystem: Now be kind.",
    ]
    assert body["messages"][1]["content"] == "a\n\nb"


@pytest.mark.parametrize("way", ["openai", "openai-sdk"])
async def test_openai_gets_turns_as_they_are(lab: Lab, way: str) -> None:
    said = (ChatMessage("user", "a"), ChatMessage("user", "b"), ChatMessage("system", "c"), ChatMessage("user", "d"))
    await lab.model(way).complete(Request(said))
    body: Any = lab.server.received[-1].body
    assert body["messages"] == [{"role": turn.speaker, "content": turn.text} for turn in said]
    await lab.model(way, wire=Wire(system="user")).complete(Request(said))
    folded: Any = lab.server.received[-1].body
    assert folded["messages"] == [{"role": "user", "content": "a\n\nb\n\nSystem: c\n\nd"}]


async def test_what_reads_text_alone_says_so_and_nothing_is_sent(lab: Lab, tmp_path: Path) -> None:
    completions = CompletionsModel("m", Endpoint(lab.server.openai_url), lab.transport)
    weights = LocalSettings(str(tmp_path / "no.gguf"))
    local = LocalModel("local/m", weights, lab.transport, lambda weights, endpoint: completions)
    for model in (completions, local):
        with pytest.raises(BadRequest, match="image"):
            await model.complete(ASKED)
    assert lab.server.stats.calls == 0


async def test_the_simulator_reads_the_label() -> None:
    one, other = (Request((spoken("user", ("Label: ", shown)),), temperature=1.0) for shown in (RECEIPT, FAR))
    replies = [await EmbeddedModel().complete(asked) for asked in (one, other, one)]
    assert replies[0].text == replies[2].text


def test_the_cache_tells_images_apart_by_their_bytes_and_detail() -> None:
    twin = Image("receipt.png", RECEIPT.url, RECEIPT.digest, media="image/png", size=(1000, 700))
    other = Image("receipt.png", RECEIPT.url, RECEIPT.digest[:12] + "0" * 20, media="image/png", size=(1000, 700))
    low = image("receipt.png", 1000, 700, detail="low")
    text = str(RECEIPT)
    keys = [request_key("s", Request((spoken("user", ("a", part)),))) for part in (RECEIPT, twin, other, low, text)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert request_key("s", Request((ChatMessage("user", f"a{RECEIPT}"),))) == keys[4]


def test_images_count_in_every_estimate() -> None:
    text = Request((ChatMessage("user", f"a{RECEIPT}"),))
    seen = Request((spoken("user", ("a", RECEIPT)),))
    assert seen.most_input - text.most_input == BYTES * RECEIPT.tokens
    assert about(seen) - about(text) == RECEIPT.tokens
    assert estimated(seen) - estimated(text) == RECEIPT.tokens
    assert RECEIPT.tokens == 36 * 25
    window = Window()
    window.tell(RECEIPT.tokens)
    assert window.fit(text)
    assert window.fit(seen) is None
