"""Opens a run: all inputs are read and checked before anything is written or any model is called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.archive.choices import open_actions
from agents.config.catalogue import check_targets, open_operators
from agents.config.configuration import Configuration
from agents.config.extensions import check_agents
from agents.config.loading import load_corpus, load_first_prompt, load_task
from agents.config.own_instructions import critic_instruction, own_instructions
from agents.config.roles import model_settings, roles
from agents.directory.begun_with import as_begun
from agents.directory.intact import check_intact
from agents.directory.resume_fingerprint import resume_fingerprint
from agents.directory.run_directory import (
    CACHE,
    JOURNAL,
    MEMORY,
    claim,
    find,
    named,
)
from agents.directory.shared_caps import keep_shared_caps
from agents.directory.watching import Watcher
from agents.forecast.least import check_caps, check_length
from agents.forecast.rounds import narrowed
from agents.history.controllers import new_selector
from agents.models.accounts import Accounts
from agents.models.budget import keep_prices, open_ledger
from agents.models.stack import Models
from agents.operators.operator import Operator
from agents.programs.workers import at_work
from agents.run.search import Run
from agents.run.steering import Hearing, said_so_far
from memory.journals.journal import Replica, open_journal
from memory.opening import LocalStores, Stores
from memory.store import Memory
from protocols.budget.ledger import Ledger
from protocols.budget.shared_budget import Share, SharedBudget
from protocols.concurrency.threads import entered, in_thread
from protocols.errors import BudgetExhausted, ConfigError
from protocols.prompt import Prompt
from protocols.providers.catalogue import import_for
from protocols.providers.transport.http import Transport, open_transport
from protocols.task import Task
from protocols.wrappers.cached import Replies


@dataclass(frozen=True, slots=True)
class Shared:
    """Resources that the searches of one process share. `cache` and `memory` None: each search has its own, in its
    run directory. A cache or memory named in a configuration takes precedence; a memory whose embedder is a model is
    not shared. `budget`: caps over all searches. `stores` opens what is not shared."""

    transport: Transport
    accounts: Accounts = field(default_factory=Accounts)
    watcher: Watcher = field(default_factory=Watcher)
    cache: Replies | None = None
    memory: Memory | None = None
    stores: Stores = field(default_factory=LocalStores)
    budget: SharedBudget | None = None


@asynccontextmanager
async def open_run(
    configuration: Configuration, environ: Mapping[str, str], directory: Path | None, accounts: Accounts | None = None
) -> AsyncIterator[Run]:
    """A run that shares nothing but its accounts, see `open_run_in`."""
    async with (
        open_transport(environ) as transport,
        open_run_in(Shared(transport, accounts or Accounts()), configuration, environ, directory) as run,
    ):
        yield run


@asynccontextmanager
async def open_run_in(
    shared: Shared,
    configuration: Configuration,
    environ: Mapping[str, str],
    directory: Path | None,
    replica: Replica | None = None,
) -> AsyncIterator[Run]:
    """Read and check all inputs, then create the run directory and assemble the run; or resume the run in the
    directory.

    `directory` None: the configuration's, or else the next free `runs/<task>-<n>`. `replica`: a second place of its
    journal, as `Journal` takes it.

    :raises InputError: an input of the user cannot be used; nothing was written.
    :raises StorageFailed: the run directory cannot be used.
    :raises ReplayDiffers: the run cannot be resumed, because this release makes other decisions than its journal has.
    :raises BudgetExhausted: too little is left of the shared budget to begin the run; nothing was written.
    """
    asked = named(configuration, directory)
    async with AsyncExitStack() as stack:
        share = None if shared.budget is None else stack.enter_context(closing(shared.budget.open()))
        prepared = await in_thread(_prepared, configuration, environ, asked, share)
        configuration, given, ledger = prepared.configuration, prepared.inputs, prepared.ledger
        transport = await stack.enter_async_context(shared.transport.lent())
        models = await in_thread(Models, configuration, environ, transport, ledger, shared.accounts)
        await models.look_at_weights()
        stores, memory = shared.stores, None if configuration.memory.embedder else shared.memory
        if path := configuration.memory.path:
            memory = await stack.enter_async_context(stores.memory(configuration.path(path), models.embedder()))
        cache, table = shared.cache, configuration.cache
        if table.path:
            cache = await stack.enter_async_context(stores.cache(configuration.path(table.path), table.megabytes))
        claim_it = entered(claim(asked, configuration, given.first, prepared.counts))
        claimed, record = await stack.enter_async_context(claim_it)
        await in_thread(check_intact, claimed, record.run)
        opened = open_journal(claimed / JOURNAL, lambda: ledger.seconds, replica)
        journal = await stack.enter_async_context(opened)
        if cache is None:
            cache = await stack.enter_async_context(stores.cache(claimed / CACHE, table.megabytes, alone=True))
        if memory is None:
            memory = await stack.enter_async_context(stores.memory(claimed / MEMORY, models.embedder()))
        if configuration.memory.embedder:
            memory = memory.through(models.embedder(cache, journal))
        memory = memory.measured_with(configuration.models.answering)
        await models.look_up_windows()
        hearing = Hearing(shared.watcher, prepared.heard)
        task = await stack.enter_async_context(at_work(given.task, environ))
        run = await in_thread(Run, configuration, claimed, record, task, given.first, ledger, hearing)
        stack.callback(run.bus.close)
        await run.assemble(models, cache, journal, memory, given.operators)
        await in_thread(keep_prices, claimed, ledger.prices)
        await in_thread(keep_shared_caps, claimed, share.budget.caps if share else None)
        yield run


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs that a configuration names, read and checked."""

    task: Task
    first: Prompt
    operators: Mapping[str, Operator]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run is opened with. `configuration`: with the width that the run has. `counts`: what its decisions
    depend on, see `resume_fingerprint`; `heard`: how much a person has said so far."""

    configuration: Configuration
    inputs: Inputs
    ledger: Ledger
    counts: Mapping[str, Any]
    heard: int


def _prepared(
    configuration: Configuration, environ: Mapping[str, str], directory: Path | None, share: Share | None
) -> Prepared:
    begun = as_begun(configuration, directory)
    given, ledger = read_inputs(begun), open_ledger(configuration, environ, share)
    shared = share.budget if share else None
    takes = check_caps(configuration, given.task, given.first, ledger.prices, shared=shared)
    if shared and directory and find(directory) is None and (cap := shared.lacks(takes)):
        shared.refuse(cap)
        raise BudgetExhausted(cap, shared.limit_of(cap), shared.name)
    configuration = configuration.with_width(narrowed(begun, given.task, takes).settled_width)
    counts = resume_fingerprint(configuration, given.task, load_corpus(configuration), given.first)
    for name in {*roles(configuration).values()}:
        import_for(name, model_settings(configuration.provider(name)))
    return Prepared(configuration, given, ledger, counts, said_so_far(directory))


def read_inputs(configuration: Configuration) -> Inputs:
    """:raises InputError: an input of the user cannot be used."""
    task = load_task(configuration)
    first = load_first_prompt(configuration, task)
    operators = open_operators(configuration.search_operators, own_instructions(configuration))
    critic_instruction(configuration)
    new_selector(configuration)
    check_agents(configuration.agents)
    check_editable(first, operators, task)
    check_length(configuration, task, first)
    return Inputs(task, first, operators)


async def check(
    configuration: Configuration,
    environ: Mapping[str, str],
    transport: Transport,
    budget: SharedBudget | None = None,
) -> None:
    """Check that a run can be opened, and that the caps of a shared budget could be kept; nothing is written.

    :raises InputError: it cannot.
    """
    with ExitStack() as stack:
        share = stack.enter_context(closing(budget.open())) if budget else None
        prepared = await in_thread(_prepared, configuration, environ, None, share)
    Models(configuration, environ, transport, prepared.ledger)


def check_editable(first: Prompt, operators: Mapping[str, Operator], task: Task) -> None:
    """:raises ConfigError: no operator can edit a section of the first prompt, or `targets` of an operator fails."""
    check_targets(first, operators, task)
    if not open_actions(first, operators, task):
        raise ConfigError(
            f"no section of the prompt may be edited by any of the operators {', '.join(operators)}; "
            "unfreeze a section, or add one of another kind"
        )
