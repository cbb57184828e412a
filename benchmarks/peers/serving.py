"""The model that all programs ask: one on this machine, or one behind a base URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from benchmarks.peers.endpoint import Upstream
from protocols.errors import ConfigError
from protocols.providers.catalogue import is_local
from protocols.providers.local.processes import LocalModels
from protocols.providers.local.weights import check_installed
from protocols.providers.local_model import LocalSettings, in_words, plan_of


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which model, and how it is reached: `local/…`, or any name with a base URL that ends in `/v1`. `key`: the
    environment variable that has its key. `slots`, `threads`: of a model on this machine."""

    model: str
    base_url: str | None
    key: str
    slots: int
    threads: int | None


@asynccontextmanager
async def upstream(chosen: Chosen, environ: Mapping[str, str]) -> AsyncIterator[Upstream]:
    """The model, loaded while the block runs.

    :raises ConfigError: it cannot be.
    """
    if chosen.base_url is not None:
        yield Upstream(chosen.base_url.rstrip("/"), chosen.model, environ.get(chosen.key, "none"))
        return
    if not is_local(chosen.model):
        raise ConfigError(f"{chosen.model} is no model on this machine; say where it is with --base-url")
    check_installed(chosen.model)
    local = LocalModels(environ)
    try:
        weights = await local.weights(chosen.model, None)
        plan = plan_of(chosen.model, weights, LocalSettings(slots=chosen.slots, threads=chosen.threads))
        print(in_words(plan, weights), flush=True)
        found = await local.serve(plan, weights)
        yield Upstream(f"{found.address}/v1", plan.name, found.key)
    finally:
        await local.aclose()
