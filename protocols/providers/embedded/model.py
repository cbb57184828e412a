"""The embedded model as a ChatModel."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict

import anyio
import anyio.lowlevel
import numpy as np

from protocols.concurrency.threads import in_thread
from protocols.model import Finish, Reply, Request, Usage
from protocols.providers.embedded.answering import Question, Reading, ask, read, split
from protocols.providers.embedded.material import gather
from protocols.providers.embedded.replying import reply
from protocols.providers.embedded.writing import write

WRITING = 0.7
_KEPT = 32  # number of last used prompts whose readings are cached


class EmbeddedModel:
    """Answers and rewrites deterministically, only from the text of the messages: no weights, no network, no key.

    A `temperature` of None means 0 for an answer and `WRITING` for a written text. Above 0, noise is added from a
    generator seeded by a hash of the whole request, so that samples differ and the same request always has the same
    reply. A token is up to four bytes of UTF-8.
    """

    name = "embedded"

    def __init__(self) -> None:
        self._readings: OrderedDict[tuple[object, ...], Reading] = OrderedDict()
        self._reading = anyio.Lock(fast_acquire=True)

    async def complete(self, request: Request) -> Reply:
        """Answer one request; never fails."""
        await anyio.lowlevel.checkpoint()
        begun = time.perf_counter()
        text, finish = _cut(await self._reply(request), request.max_tokens)
        usage = Usage(sum(tokens(message.text) for message in request.messages), tokens(text))
        return Reply(text, usage, finish, time.perf_counter() - begun, self.name)

    async def _reply(self, request: Request) -> str:
        material = gather(request.messages)
        usual = 0.0 if material is None else WRITING
        temperature = usual if request.temperature is None else request.temperature
        rng = np.random.default_rng(_seed(request)) if temperature > 0 else None
        if material is not None:
            return await in_thread(write, material, temperature, rng)
        context, text = split(request.messages)
        question = ask(text)
        return reply(await self._read(tuple(context), question), question, temperature, rng)

    async def _read(self, context: tuple[str, ...], question: Question) -> Reading:
        key = (context, question.cue, question.keys)
        if key not in self._readings:
            async with self._reading:  # of all that ask by one prompt, the first reads it
                if key not in self._readings:
                    self._readings[key] = await in_thread(read, context, question)
                    if len(self._readings) > _KEPT:
                        self._readings.popitem(last=False)
        self._readings.move_to_end(key)
        return self._readings[key]


def tokens(text: str) -> int:
    """Number of tokens: a quarter of the length in bytes, rounded up."""
    return -(-len(text.encode("utf-8", "replace")) // 4)


def _cut(text: str, most: int) -> tuple[str, Finish]:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= 4 * most:
        return text, "stop"
    return encoded[: 4 * most].decode("utf-8", "ignore"), "length"


def _seed(request: Request) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for message in request.messages:
        for part in (message.speaker, message.text):
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    digest.update(repr((request.temperature, request.sample)).encode())
    return int.from_bytes(digest.digest(), "big")
