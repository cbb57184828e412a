"""The task's model outside of a run, for `evaluate` and `doctor`; replies go only to the configured cache."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from agents.config.configuration import Configuration
from agents.models.accounts import Accounts
from agents.models.stack import Models
from agents.programs.workers import at_work
from agents.prompting.forward import Concurrency, Forward
from agents.prompting.retrieval_slots import RetrievalSlots
from memory.storage.cache import open_cache
from protocols.budget.ledger import Ledger
from protocols.concurrency.threads import in_thread
from protocols.pacing.waiting import Patience
from protocols.providers.transport.http import open_transport


@asynccontextmanager
async def open_forward(
    configuration: Configuration,
    environ: Mapping[str, str],
    ledger: Ledger,
    slots: RetrievalSlots,
    accounts: Accounts | None,
    patience: Patience | None = None,
    repeats: int = 1,
) -> AsyncIterator[Forward]:
    """The forward pass of the slots' task, within the caps of the ledger.

    :raises ConfigError: the model cannot be reached as configured.
    :raises MemoryMismatch, StorageFailed: the reply cache cannot be used.
    """
    async with open_transport(environ) as transport, AsyncExitStack() as stack:
        models, cache = await in_thread(Models, configuration, environ, transport, ledger, accounts, patience), None
        if path := configuration.cache.path:
            opened = open_cache(configuration.path(path), configuration.cache.megabytes * 2**20)
            cache = await stack.enter_async_context(opened)
        await models.look_up_windows()
        task = await in_thread(models.judging, slots.task, cache)
        task = await stack.enter_async_context(at_work(task, environ))
        yield Forward(models.of("task", cache), task, slots, Concurrency(configuration.at_once), repeats)
