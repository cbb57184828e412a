"""Texts embedded by a model: the rows, and what is asked."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.model_embedder import ModelEmbedder
from protocols.errors import BadRequest
from protocols.model import Reply, Request

pytestmark = pytest.mark.anyio


@dataclass
class Counting:
    """Embeds a text as its length and a half, once `together` texts are asked for; refuses `refused`."""

    together: int = 0
    refused: str = ""
    asked: list[str] = field(default_factory=list)
    name: str = "openai/counting"
    all_there: anyio.Event = field(default_factory=anyio.Event)

    async def complete(self, request: Request) -> Reply:
        [message] = request.messages
        self.asked.append(message.text)
        if len(self.asked) >= self.together:
            self.all_there.set()
        await self.all_there.wait()
        if message.text == self.refused:
            raise BadRequest("too long", model=self.name)
        return Reply(b64encode(np.array([len(message.text), 0.5], "<f4").tobytes()).decode())


@given(st.lists(st.text(max_size=6), max_size=8))
def test_unit_vectors_in_the_order_of_the_texts_and_blank_ones_are_not_asked(texts: list[str]) -> None:
    model = Counting()
    vectors = anyio.run(ModelEmbedder(model, "counting", 2).embed, texts)
    assert vectors.shape == (len(texts), 2)
    assert vectors.dtype == np.float32
    wanted = np.array([[len(text), 0.5] if text.strip() else [0, 0] for text in texts]).reshape(-1, 2)
    norms = np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 0.5)
    np.testing.assert_allclose(vectors, wanted / norms, rtol=1e-6)
    assert sorted(model.asked) == sorted(text for text in texts if text.strip())


async def test_all_texts_are_asked_for_at_once() -> None:
    texts = [f"text {number}" for number in range(9)]
    vectors = await ModelEmbedder(Counting(together=len(texts)), "counting", 2).embed(texts)
    assert vectors.all()


async def test_a_failed_call_is_that_failure() -> None:
    with pytest.raises(BadRequest, match="too long"):
        await ModelEmbedder(Counting(refused="b"), "counting", 2).embed(["a", "b"])
