"""An embedder that asks an embedding model through the `ChatModel` interface."""

from __future__ import annotations

from base64 import b64decode

import anyio
import numpy as np

from protocols.embedding import Vector
from protocols.model import ChatMessage, ChatModel, Request


class ModelEmbedder:
    """Asks `model`, whose reply to a text is its vector (see `OpenAIEmbeddings`), so that all wrappers around models
    apply to embeddings, too. `name` identifies the model and its provider."""

    def __init__(self, model: ChatModel, name: str, dimension: int) -> None:
        self._model, self.name, self.dimension = model, name, dimension

    async def embed(self, texts: list[str]) -> Vector:
        """Shape (len(texts), dimension), rows of L2 norm 1; the row of a blank text is 0, without a call.

        :raises ModelError, BudgetExhausted: a call failed, or was refused.
        :raises ConfigError: the model's vectors have another dimension.
        """
        rows = np.zeros((len(texts), self.dimension), np.float32)

        async def ask(place: int, text: str) -> None:
            reply = await self._model.complete(Request((ChatMessage("user", text),), max_tokens=1))
            rows[place] = np.frombuffer(b64decode(reply.text), "<f4")

        try:
            async with anyio.create_task_group() as tasks:
                for place, text in enumerate(texts):
                    if text.strip():
                        tasks.start_soon(ask, place, text, name=f"embedding#{place}")
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        unit: Vector = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0, casting="same_kind")
        return unit
