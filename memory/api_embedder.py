"""An embedding model behind an API: POST {base_url}/embeddings, the wire format of OpenAI that others speak too.

https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp
import numpy as np
import orjson

from protocols.embedding import Vector
from protocols.errors import (
    AuthenticationFailed,
    BadReply,
    BadRequest,
    CallTimeout,
    ConfigError,
    ConnectionFailed,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
)

BATCH = 256
"""Texts of one call; the API takes up to 2,048."""


class ApiEmbedder:
    """Asks `model` at `base_url` for vectors of `dimension`, through a session that the caller owns."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        model: str,
        dimension: int,
        api_key: str = "",
        timeout: float = 60.0,
    ) -> None:
        self._session, self._model, self.dimension = session, model, dimension
        self._url = f"{base_url.rstrip('/')}/embeddings"
        self._headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {api_key}"} if api_key else {}
        )
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        parts = urlsplit(base_url)
        self._key = api_key
        self.name = f"{model} at {parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"

    async def embed(self, texts: list[str]) -> Vector:
        """Shape (len(texts), dimension), rows of L2 norm 1, in the order of `texts`; a blank text has row 0.

        :raises ModelError: a call failed; its class says how.
        :raises ConfigError: the model's vectors have another dimension.
        """
        rows = np.zeros((len(texts), self.dimension), np.float32)
        asked = [place for place, text in enumerate(texts) if text.strip()]  # the API refuses an empty text
        for start in range(0, len(asked), BATCH):
            places = asked[start : start + BATCH]
            rows[places] = self._vectors(await self._post([texts[place] for place in places]), len(places))
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        unit: Vector = np.divide(rows, norms, out=rows, where=norms > 0)
        return unit

    async def _post(self, texts: list[str]) -> bytes:
        body = orjson.dumps({"model": self._model, "input": texts, "encoding_format": "float"})
        try:
            async with self._session.post(
                self._url, data=body, headers=self._headers, timeout=self._timeout
            ) as response:
                content = await response.read()
        except TimeoutError as error:
            raise CallTimeout(f"no reply in {self._timeout.total:g} s", model=self._model) from error
        except aiohttp.ClientError as error:
            raise ConnectionFailed(str(error) or type(error).__name__, model=self._model) from error
        if response.status != 200:
            raise self._failure(response.status, content, response.headers.get("retry-after", ""))
        return content

    def _vectors(self, content: bytes, count: int) -> Vector:
        try:
            items = {item["index"]: item["embedding"] for item in orjson.loads(content)["data"]}
            with np.errstate(over="ignore"):  # infinite, and seen below
                vectors: Vector = np.array([items[place] for place in range(count)], dtype=np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise BadReply(f"not a list of {count} embeddings", model=self._model) from error
        if vectors.shape != (count, self.dimension):
            raise ConfigError(
                f"{self._model} gives vectors of {vectors.shape[-1]}: set dimension = {vectors.shape[-1]}"
            )
        if not np.isfinite(vectors).all():
            raise BadReply("an embedding is not finite", model=self._model)
        return vectors

    def _failure(self, status: int, content: bytes, retry_after: str) -> ModelError:
        kinds: dict[int, type[ModelError]] = {
            401: AuthenticationFailed,
            403: AuthenticationFailed,
            404: ModelNotFound,
            408: ServerFailed,
            429: QuotaExhausted if b"insufficient_quota" in content else RateLimited,
        }
        kind = kinds.get(status, ServerFailed if status >= 500 else BadRequest)
        reason = " ".join(content[:300].decode(errors="replace").split()) or "no reason given"
        if self._key:
            reason = reason.replace(self._key, "***")
        wait = float(retry_after) if retry_after.isdecimal() else None
        return kind(reason, model=self._model, status=status, retry_after=wait)
