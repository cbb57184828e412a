"""A model on this machine as a `ChatModel`: loaded on first use, then called like any server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from anyio import to_thread

from protocols.concurrency.threads import in_thread
from protocols.errors import BadRequest, ConfigError, ConnectionFailed, ServerFailed
from protocols.model import ChatModel, Reply, Request
from protocols.providers.local.processes import Plan, Served, why
from protocols.providers.local.weights import Weights, is_here
from protocols.providers.transport.http import Endpoint, Transport
from protocols.text import how_many

Api = Literal["chat", "completions"]

CONTEXT: Final = 4096
"""Default tokens of a slot."""
SLOTS: Final = 4
TIMEOUT: Final = 600.0
"""Default timeout of a call in seconds; a CPU needs minutes to read a long request."""
OVERHEAD: Final = 250 * 2**20
"""Approximate bytes besides weights and slots: the program, its buffers, and its cache of prompts."""
NO_IMAGES: Final = "models on this machine read text alone, and the request has an image"


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """The user's settings of a local model; None: the default for this machine."""

    path: str | None = None
    context: int | None = None
    slots: int | None = None
    threads: int | None = None


def plan_of(name: str, weights: Weights, settings: LocalSettings, *, embeds: bool = False) -> Plan:
    """How the model is loaded, with slots no longer than it was trained for."""
    context = settings.context or CONTEXT
    return Plan(
        path=str(weights.file),
        name=name,
        slots=settings.slots or SLOTS,
        context=min(context, weights.header.context or context),
        threads=settings.threads or cores(),
        embeds=embeds,
    )


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_of(plan: Plan, weights: Weights) -> int:
    """Approximate bytes of memory of the loaded model."""
    return weights.header.size + plan.slots * plan.context * weights.header.token_bytes + OVERHEAD


def in_words(plan: Plan, weights: Weights) -> str:
    """One line on the resources that a model uses on this machine."""
    gigabytes = memory_of(plan, weights) / 2**30
    what = "embeds" if plan.embeds else "chats" if weights.header.chats else "completes text, having no chat template"
    slots, threads = f"{how_many(plan.slots, 'slot')} of {plan.context:,} tokens", how_many(plan.threads, "thread")
    return f"{plan.name} runs on this machine and {what}: about {gigabytes:.1f} GB of memory, {slots}, {threads}"


class Open(Protocol):
    """Opens the adapter of a wire format at the address of a process."""

    def __call__(self, weights: Weights, endpoint: Endpoint) -> ChatModel: ...


class LocalModel:
    """Loads the model that `settings` describe at its first call, see `LocalModels`; `opened` makes the adapter to
    its process. `dimension`: length of the vectors of a model that embeds; None: it generates text."""

    def __init__(
        self,
        name: str,
        settings: LocalSettings,
        transport: Transport,
        opened: Open,
        timeout: float = TIMEOUT,
        dimension: int | None = None,
    ) -> None:
        self.name, self._settings, self._local = name, settings, transport.local
        self._opened, self._timeout, self._dimension = opened, timeout, dimension
        self._served: Served | None = None
        self._inner: ChatModel | None = None

    async def complete(self, request: Request) -> Reply:
        """See `ChatModel`.

        :raises ConfigError: the model cannot be loaded.
        :raises BadRequest: the request has an image.
        """
        if request.has_images:
            raise BadRequest(NO_IMAGES, model=self.name)
        inner, served = await self._ready()
        try:
            return await inner.complete(request)
        except ConnectionFailed:
            await served.settle()
            if not served.ended:
                raise
        reason = await in_thread(why, served)
        raise ServerFailed(f"{reason}; it is loaded again", model=self.name)

    async def load(self) -> None:
        """Load the model now, if it is not loaded yet.

        :raises ConfigError: the model cannot be loaded.
        """
        await self._ready()

    async def is_here(self) -> bool:
        """Whether the weights need no download."""
        return await to_thread.run_sync(is_here, self._settings.path)

    async def plan(self) -> tuple[Plan, Weights]:
        """How the model is loaded, and its weights; nothing is loaded yet.

        :raises ConfigError: the weights are missing, or cannot be used.
        """
        weights = await self._local.weights(self.name, self._settings.path)
        dimension, theirs = self._dimension, weights.header.embedding
        if dimension and theirs and dimension != theirs:
            raise ConfigError(f"{self.name} gives vectors of {theirs} numbers: set memory.dimension = {theirs}")
        return plan_of(self.name, weights, self._settings, embeds=bool(dimension)), weights

    async def _ready(self) -> tuple[ChatModel, Served]:
        plan, weights = await self.plan()
        served = await self._local.serve(plan, weights)
        if self._inner is None or served is not self._served:
            endpoint = Endpoint(f"{served.address}/v1", served.key, self._timeout)
            self._inner, self._served = self._opened(weights, endpoint), served
        return self._inner, served
