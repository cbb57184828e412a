"""Texts embedded by a model that is asked like any other."""

from __future__ import annotations

from base64 import b64decode

import anyio
import numpy as np

from protocols.embedding import Vector
from protocols.model import ChatMessage, ChatModel, Request


class ModelEmbedder:
    """Asks `model`, whose reply to a text is its vector (see `OpenAIEmbeddings`), so that whatever stands around a
    model stands around this one. `name` says which model it is and where."""

    def __init__(self, model: ChatModel, name: str, dimension: int) -> None:
        self._model, self.name, self.dimension = model, name, dimension

    async def embed(self, texts: list[str]) -> Vector:
        """Shape (len(texts), dimension), rows of L2 norm 1; a blank text has row 0, and nobody is asked.

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
