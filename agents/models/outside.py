"""The task's model outside of a run, for `evaluate` and `doctor`; replies go only to the configured cache."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from agents.config.configuration import Configuration
from agents.config.loading import opponent_of
from agents.config.metrics import compares
from agents.directory.run_directory import CACHE, JOURNAL, LOCK, make_folder
from agents.models.accounts import Accounts
from agents.models.opponent import Replying
from agents.models.stack import Models
from agents.programs.workers import at_work
from agents.prompting.forward import Concurrency, Forward
from agents.prompting.retrieval_slots import RetrievalSlots
from memory.journals.journal import open_journal
from memory.journals.reading import read_notes
from memory.storage.cache import ReplyCache, open_cache
from memory.storage.sqlite import claimed
from protocols.budget.ledger import Ledger
from protocols.concurrency.threads import entered, in_thread
from protocols.errors import ConfigError
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
    :raises InputError: the prompt that all others are compared with cannot be used.
    :raises MemoryMismatch, StorageFailed: the reply cache cannot be used.
    """
    async with open_transport(environ) as transport, AsyncExitStack() as stack:
        models, cache = await in_thread(Models, configuration, environ, transport, ledger, accounts, patience), None
        if path := configuration.cache.path:
            cache = await stack.enter_async_context(_opened(configuration, configuration.path(path)))
        await models.look_up_windows()
        task = await stack.enter_async_context(at_work(slots.task, environ))
        model, at_once = models.of("task", cache), Concurrency(configuration.at_once)
        opponent = await _opponent(configuration, Forward(model, task, slots, at_once))
        task = await in_thread(models.judging, task, opponent, cache)
        yield Forward(model, task, slots, at_once, repeats)


@asynccontextmanager
async def open_batched(
    configuration: Configuration,
    environ: Mapping[str, str],
    ledger: Ledger,
    slots: RetrievalSlots,
    accounts: Accounts | None,
    patience: Patience | None,
    place: Path,
) -> AsyncIterator[Forward]:
    """The forward pass whose questions are all asked at once, in batches. The folder `place` holds what is known of
    these and, unless one is configured, a reply cache; a later process that opens it fetches what is left.

    :raises ConfigError: the model cannot be reached as configured, or another process uses the place.
    :raises MemoryMismatch, StorageFailed: a file cannot be used.
    """
    async with open_transport(environ) as transport, AsyncExitStack() as stack:
        models = await in_thread(Models, configuration, environ, transport, ledger, accounts, patience)
        await in_thread(make_folder, place)
        if not await stack.enter_async_context(entered(claimed(place / LOCK))):
            raise ConfigError(f"{place} is in use: another process evaluates this prompt in batches; wait for it")
        own = configuration.cache.path
        path = place / CACHE if own is None else configuration.path(own)
        cache = await stack.enter_async_context(_opened(configuration, path))
        journal = await stack.enter_async_context(open_journal(place / JOURNAL))
        notes = await in_thread(read_notes, place / JOURNAL)
        models.take_up(notes, ())
        await models.look_up_windows()
        model, at_once = models.in_batches(cache, journal, notes), Concurrency(configuration.at_once)
        opponent = await _opponent(configuration, Forward(model, slots.task, slots, at_once))
        task = await in_thread(models.judging, slots.task, opponent, cache)
        yield Forward(model, task, slots, at_once, configuration.search.repeats).at_once()


async def _opponent(configuration: Configuration, forward: Forward) -> Replying | None:
    """The prompt that all others are compared with, None if the metric compares none.

    :raises InputError: it cannot be used.
    """
    if not compares(configuration):
        return None
    prompt = await in_thread(opponent_of, configuration, forward.task)
    return Replying(forward, prompt, configuration.search.repeats)


def _opened(configuration: Configuration, path: Path) -> AbstractAsyncContextManager[ReplyCache]:
    return open_cache(path, configuration.cache.megabytes * 2**20)
