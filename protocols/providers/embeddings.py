"""The OpenAI embeddings wire format, which vLLM, Ollama, llama.cpp and most gateways support too.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

import numpy as np

from protocols.embedding import Vector
from protocols.errors import ConfigError
from protocols.model import Reply, Request, Usage
from protocols.providers.responses.chat_reply import read_usage
from protocols.providers.responses.decoding import JsonObject, decode, unusable
from protocols.providers.responses.failures import Answer
from protocols.providers.responses.figures import name_of, used
from protocols.providers.responses.rate_headers import read_allowance
from protocols.providers.transport.http import Endpoint, Transport, post

PATH: Final = "/embeddings"


class OpenAIEmbeddings:
    """A `ChatModel` whose reply to a single message is the vector of its text: `dimension` float32, little-endian, in
    base64. So every wrapper of models can wrap it."""

    def __init__(self, model: str, endpoint: Endpoint, transport: Transport, dimension: int) -> None:
        self._model, self._endpoint, self._transport, self._dimension = model, endpoint, transport, dimension
        self.name = f"openai/{model}"
        self._headers = endpoint.headers()

    async def complete(self, request: Request) -> Reply:
        """The vector of the request's only message; nothing else of the request is sent.

        :raises ModelError: the call failed; the class says how.
        :raises ConfigError: the model's vectors have another dimension.
        """
        [message] = request.messages
        body: JsonObject = {"model": self._model, "input": [message.text], "encoding_format": "base64"}
        answer = await post(self._transport, self._endpoint, PATH, self._headers, body, self.name)
        reply, size = read_reply(answer, self.name, self._endpoint.key, request)
        if size != self._dimension:
            raise ConfigError(f"{self.name} gives vectors of {size} numbers: set memory.dimension = {size}")
        return reply


def read_reply(answer: Answer, name: str, key: str | None, request: Request | None = None) -> tuple[Reply, int]:
    """The embedding in an answer, and its length. Some servers send a list of numbers although base64 was requested.

    :raises ModelError: see `decode`; also BadReply if there is no embedding of finite numbers.
    """

    def counted(told: object) -> Usage:
        return used(read_usage({**told, "completion_tokens": 0} if isinstance(told, dict) else None), request, "")

    payload = decode(answer, name, key, counted)
    usage = counted(payload.get("usage"))
    match payload:
        case {"data": [{"embedding": str() | list() as embedding}]}:
            vector = read_vector(embedding)
        case _:
            vector = None
    if vector is None:
        raise unusable("has no data[0].embedding of finite numbers", answer, name, key, usage)
    text, model = b64encode(vector.tobytes()).decode(), name_of(payload.get("model"))
    allowance = read_allowance(answer.headers, usage)
    return Reply(text, usage, "stop", answer.latency, model, allowance=allowance), len(vector)


def read_vector(embedding: str | list[object]) -> Vector | None:
    """The vector of shape (n,), n >= 1, with finite numbers; None if it is not one."""
    try:
        if isinstance(embedding, str):
            vector = np.frombuffer(b64decode(embedding, validate=True), "<f4")
        else:
            if not all(type(part) in (int, float) for part in embedding):  # numpy would read texts and booleans
                return None
            with np.errstate(over="ignore"):  # becomes infinite, which is refused below
                vector = np.array(embedding, dtype="<f4")
    except (ValueError, TypeError, OverflowError):
        return None
    return vector if vector.ndim == 1 and vector.size and np.isfinite(vector).all() else None
