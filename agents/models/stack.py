"""The models of a run: one stack of wrappers for each role, one limiter for each account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

import anyio

from agents.config.configuration import Configuration
from agents.config.metrics import asks_judge, open_metric
from agents.config.roles import EMBEDDER, embedder_of, model_settings, open_adapter, roles
from agents.config.tables.models import ProviderTable
from agents.models.accounts import Accounts
from agents.models.asking import check_asked
from agents.models.batching import batched, check_batch, open_service
from agents.models.kept import KeptModel
from agents.models.known_names import check_names
from memory.journals.journal import Journal
from memory.model_embedder import ModelEmbedder
from protocols.budget.ledger import Account as Spent
from protocols.budget.ledger import Ledger
from protocols.concurrency.threads import in_thread
from protocols.embedding import Embedder, HashedNgrams
from protocols.errors import ConfigError
from protocols.metrics.judge import Opponent
from protocols.model import ChatModel, Parameters, Reply
from protocols.pacing.breaker import Breaker
from protocols.pacing.limits import Limits
from protocols.pacing.waiting import Patience
from protocols.providers.catalogue import (
    EMBEDDED,
    LOCAL,
    Account,
    ModelSettings,
    identify,
    is_local,
    is_theirs,
    open_embeddings,
    resolve,
    scope,
    split,
)
from protocols.providers.listing import SECONDS, listed_window
from protocols.providers.local.weights import identity
from protocols.providers.local_model import CONTEXT, LocalModel, in_words
from protocols.providers.own_model import OWN
from protocols.providers.parameters import asked
from protocols.providers.transport.http import Transport
from protocols.task import Task
from protocols.wrappers.asking import AskingModel, settles_temperature
from protocols.wrappers.cached import CachedModel, Replies
from protocols.wrappers.limited import LimitedModel
from protocols.wrappers.loading import LoadingModel
from protocols.wrappers.metered import MeteredModel
from protocols.wrappers.recorded import RecordedModel
from protocols.wrappers.reply_room import MinReplyTokensModel, min_reply_tokens
from protocols.wrappers.retry import DEADLINE, RetryingModel
from protocols.wrappers.routed import Panel, RoutedModel
from protocols.wrappers.temperature import FIXED, Temperature, TemperatureModel
from protocols.wrappers.warming import WarmingModel, shortest_prefix
from protocols.wrappers.window import Window, WindowedModel

BULK = frozenset({"task", "credit", "judge"})
"""Roles that make a call for each example; calls of other roles have priority."""
Layer = tuple[str, Callable[[ChatModel], ChatModel]]
"""A wrapper's name in the docs, and the wrapper with all its options, but without the model inside it."""


class Models:
    """Builds the model of each role: an adapter and the wrappers around it, see `layers`.

    `accounts` may be shared with other searches of the process; `patience` is the search's own. Limits are released,
    and clients closed, when `transport` is closed: see `Transport.lent`. The embedded model costs nothing and answers
    faster than a cache would, so it has only the wrappers of the ledger and the journal.
    """

    def __init__(
        self,
        configuration: Configuration,
        environ: Mapping[str, str],
        transport: Transport,
        ledger: Ledger,
        accounts: Accounts | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Open the model of every role; nothing is sent and nothing is written.

        :raises ConfigError: a model cannot be reached as configured.
        """
        self._configuration, self._environ, self._ledger = configuration, environ, ledger
        self.accounts, self._transport = accounts or Accounts(), transport
        self.patience = patience or Patience(self.accounts.calls)
        self.adapters: dict[str, ChatModel] = {}
        self._embeddings: ChatModel | None = None
        self._embedder: tuple[str, int] | None = None
        self._scopes: dict[str, str] = {}
        self._local: dict[str, str] = {}
        self.loads: tuple[str, ...] = ()
        check_names(configuration)
        check_asked(configuration)
        check_batch(configuration)
        models = roles(configuration)
        embedder, dimension = models.pop(EMBEDDER, None), configuration.memory.dimension
        for name in sorted({*models.values()}):
            self.adapters[name] = open_adapter(configuration, name, environ, transport)
        if embedder and dimension:
            settings = model_settings(configuration.provider(embedder))
            self._embeddings = open_embeddings(embedder, settings, environ, transport, dimension)

    def of(self, role: str, cache: Replies | None = None, journal: Journal | None = None) -> ChatModel:
        """The model of `task`, `credit`, `critic`, `judge` or `proposer/<operator>`, with its wrappers; a `Panel` of
        several of the task."""

        def stack(name: str) -> ChatModel:
            shared = cache if self._configuration.shares_replies_of(name) else None
            return self._stack(self.adapters[name], role, shared, journal)

        models = self._configuration.models
        if len(each := models.each(role)) > 1:
            return Panel([stack(name) for name in each.values()])
        model = stack(models.of(role))
        if not models.prompts or role not in ("task", "credit"):
            return model
        return RoutedModel(model, {prompt: stack(models.of(f"task/{prompt}")) for prompt in models.prompts})

    def in_batches(self, cache: Replies, journal: Journal, notes: Mapping[str, bytes]) -> ChatModel:
        """The task's model, whose calls are gathered and sent as batches, also those that an earlier process sent and
        noted in the journal. It has the wrappers of `layers`, but those around single calls are around the few that
        batches left unanswered; what the others are refused for is learned outside of the batches, too. A `Panel` of
        several, each with its own batches."""
        each = [self._in_batches(n, cache, journal, notes) for n in self._configuration.models.each("task").values()]
        return each[0] if len(each) == 1 else Panel(each)

    def _in_batches(self, name: str, cache: Replies, journal: Journal, notes: Mapping[str, bytes]) -> ChatModel:
        layers = [*self.layers(self.adapters[name], "task", cache, journal)]
        place = next(index for index, (layer, _) in enumerate(layers) if layer == "retry")
        live = wrapped(self.adapters[name], layers[place:])
        service = open_service(self._configuration, self._environ, self._transport, name)
        books = self._ledger, journal, notes
        model = batched(live, service, self._scope(name, "task"), books, self.patience)
        learning = [layer for layer in layers if layer[0] in ("temperature", "window")]
        return wrapped(model, [*layers[:place], *learning])

    def _stack(self, model: ChatModel, role: str, cache: Replies | None, journal: Journal | None) -> ChatModel:
        return wrapped(model, [*self.layers(model, role, cache, journal)])

    def layers(
        self, adapter: ChatModel, role: str, cache: Replies | None, journal: Journal | None
    ) -> Iterator[Layer]:
        """The wrappers around an adapter, from the caller inwards. Only this method sets their order."""
        name = adapter.name
        if journal is not None and role not in {*BULK, EMBEDDER} and self._configuration.run.exchanges:
            yield "exchanges", partial(KeptModel, role=role, keep=journal.exchanged)
        if name != EMBEDDED:
            yield from self._before_the_budget(adapter, role, cache, journal)
        yield "ledger", partial(MeteredModel, ledger=self._ledger, role=role, queued=name != EMBEDDED)
        if name != EMBEDDED:
            keep = partial(self._keep, journal, self._note("window", name))
            yield "window", partial(WindowedModel, window=self._window(name), keep=keep)
            table = self._configuration.provider(name)
            limits = Limits(table.concurrency, table.requests_per_minute, table.tokens_per_minute)
            limiter = self.accounts.limiter(self._account(name), limits, self._transport.closing)
            limited = partial(LimitedModel, patience=self.patience, timeout=model_settings(table).timeout)
            yield "limiter", partial(limited, limiter=limiter, urgent=role not in BULK)
        if journal is not None:
            yield "journal", partial(RecordedModel, record=journal, role=role, clock=time.time)

    def _before_the_budget(
        self, adapter: ChatModel, role: str, cache: Replies | None, journal: Journal | None
    ) -> Iterator[Layer]:
        name, asks = adapter.name, asked(self._configuration.asked(role, adapter.name)) if role != EMBEDDER else {}
        table = self._configuration.provider(name)
        if asks:
            yield "parameters", partial(AskingModel, asked=asks)
        if role != EMBEDDER:
            tokens = table.reply_tokens or min_reply_tokens(name) or 1
            yield "room", partial(MinReplyTokensModel, tokens=tokens, window=self._window(name))
        if cache is not None:
            saved = partial(self._saved, role, name)
            yield "reply cache", partial(CachedModel, cache=cache, scope=self._scope(name, role), saved=saved)
        if isinstance(adapter, LocalModel):
            yield "loading", partial(LoadingModel, load=adapter.load, loading=self.accounts.calls.loading)
        deadline = DEADLINE if table.deadline is None else table.deadline
        rng = Random(f"{self._configuration.search.seed}/retry/{role}")
        breaker, patience = self._breaker(name, role), self.patience
        yield "retry", partial(RetryingModel, rng=rng, breaker=breaker, deadline=deadline, patience=patience)
        if least := self._warm_prefix(name, table):
            prefixes = self.accounts.prefixes(self._account(name), self._which(name))
            yield "warming", partial(WarmingModel, prefixes=prefixes, least=least)
        if role != EMBEDDER and not settles_temperature(asks):
            keep = partial(self._keep, journal, self._temperature_note(name, role))
            yield "temperature", partial(TemperatureModel, temperature=self._temperature(name, role), keep=keep)

    async def look_up_windows(self) -> None:
        """Ask the user's own servers for windows that are not configured, once per process, all at the same time and
        for at most `SECONDS`, and read those of local models. The time does not count towards a cap on minutes.

        :raises ConfigError: a local model's weights cannot be used.
        """
        self._ledger.pause()
        await self.look_at_weights()
        await self._look_at_local()
        with anyio.move_on_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for name in self.adapters:
                    settings = model_settings(self._configuration.provider(name))
                    theirs = settings.client or is_theirs(name, settings, self._environ) or split(name)[0] == OWN
                    if name != EMBEDDED and not is_local(name) and not theirs:
                        tasks.start_soon(self._look_up_window, name, settings)
        self._ledger.go_on()

    async def look_at_weights(self) -> None:
        """Read the identity of each local model's weights, so that no later call has to read a file."""
        for name in [*self.adapters, *([self._embeddings.name] if self._embeddings else [])]:
            await in_thread(self._which, name)
            self._scopes[name] = await in_thread(self._answers, name)
        self._embedder = await in_thread(embedder_of, self._configuration, self._environ)

    async def _look_at_local(self) -> None:
        for model in (*self.adapters.values(), self._embeddings):
            if isinstance(model, LocalModel):
                plan, weights = await model.plan()
                self._check_chats(model.name, weights.header.chats)
                self._window(model.name).tell(plan.context)
                self.loads = (*self.loads, in_words(plan, weights))

    def _check_chats(self, name: str, chats: bool) -> None:
        """:raises ConfigError: tools or a schema are to be offered to weights that only complete a text."""
        for key, (role, prompt) in self._configuration.offering.items():
            if not chats and name in self._configuration.models.each(role).values():
                key = f"{key}.{'tools' if prompt.tools else 'response_schema'}"
                raise ConfigError(f"{key}: {name} has no chat template; it completes text without tools and schemas")

    async def _look_up_window(self, name: str, settings: ModelSettings) -> None:
        window = self._window(name)
        if window.tokens is None and not window.looked_up:
            window.looked_up = True
            endpoint, (provider, model) = resolve(name, settings, self._environ), split(name)
            if (tokens := await listed_window(self._transport, endpoint, provider, model)) is not None:
                window.tell(tokens)

    def take_up(self, notes: Mapping[str, bytes], accounts: Sequence[Spent]) -> None:
        """Restore the facts about models in a resumed run's journal: windows, refused temperatures, and which models
        have answered which roles."""
        for name in self.adapters:
            if name != EMBEDDED and (packed := notes.get(self._note("window", name))) is not None:
                self._window(name).take_up(packed)
        for role, name in roles(self._configuration).items():
            if role != EMBEDDER and name != EMBEDDED and self._temperature_note(name, role) in notes:
                self._temperature(name, role).refused = True
        for spent in accounts:
            if spent.calls > spent.failed and spent.model in self.adapters and spent.model != EMBEDDED:
                self._breaker(spent.model, spent.role).worked()

    def _account(self, name: str) -> Account:
        return identify(name, model_settings(self._configuration.provider(name)), self._environ)

    def _which(self, name: str) -> str:
        """The identity of a model within its account: the name of a local model may stand for other weights, or for
        slots of another size, in another search of the process."""
        if is_local(name) and name not in self._local:
            table = self._configuration.provider(name)
            self._local[name] = f"{name} {identity(name, table.path)} {table.context or CONTEXT}"
        return self._local.get(name, name)

    def _window(self, name: str) -> Window:
        window = self.accounts.window(self._account(name), self._which(name))
        if tokens := self._configuration.provider(name).context_tokens:
            window.tell(tokens)
        return window

    def _temperature(self, name: str, role: str) -> Temperature:
        which = self._which(name)
        temperature = self.accounts.temperature(self._account(name), which, self._asked(role, name))
        if FIXED.match(name) and is_theirs(name, model_settings(self._configuration.provider(name)), self._environ):
            temperature.refused = True
        return temperature

    def _temperature_note(self, name: str, role: str) -> str:
        return " ".join(filter(None, (self._note("temperature", name), self._asked(role, name))))

    def _asked(self, role: str, name: str) -> str:
        return Parameters(asked(self._configuration.asked(role, name))).key

    def _note(self, what: str, name: str) -> str:
        account = self._account(name)
        size = self._configuration.provider(name).context if account.provider == LOCAL else None
        return f"{what} {account.provider} {account.address or size or ''} {name}"

    def _breaker(self, name: str, role: str) -> Breaker:
        """The circuit breaker of a role's model; credit shares that of the task, since both make the same calls."""
        return self.accounts.breaker(self._account(name), self._which(name), "task" if role == "credit" else role)

    def embedder(self, cache: Replies | None = None, journal: Journal | None = None) -> Embedder:
        """The memory's embedder; if it is a model, it has the same wrappers as others."""
        name, dimension = self._embedder or embedder_of(self._configuration, self._environ)
        if self._embeddings is None:
            return HashedNgrams()
        return ModelEmbedder(self._stack(self._embeddings, EMBEDDER, cache, journal), name, dimension)

    def _scope(self, name: str, role: str) -> str:
        """The scope in the reply cache: everything besides a request that changes the answer."""
        who = self._scopes.get(name) or self._answers(name)
        if role == EMBEDDER:
            return f"{who} in {self._configuration.memory.dimension}"
        return f"{who} without system messages" if self._configuration.provider(name).system == "user" else who

    def _answers(self, name: str) -> str:
        """The server and the model, or the weights, that answer."""
        return scope(name, model_settings(self._configuration.provider(name)), self._environ)

    def _saved(self, role: str, name: str, reply: Reply) -> None:
        self._ledger.save(role, name, reply.usage)

    async def _keep(self, journal: Journal | None, note: str, window: Window | None = None) -> None:
        """Store a note in the journal. `window` None: the model has refused a temperature."""
        if journal is not None:
            await journal.learned(note, window.pack() if window else b"refused")

    def _warm_prefix(self, name: str, table: ProviderTable) -> int:
        if table.warm_prefix is not None:
            return table.warm_prefix
        if split(name)[0] == "anthropic" and table.system in ("user", "text"):
            return 0  # without the cache mark, Anthropic caches nothing
        return shortest_prefix(name) if is_theirs(name, model_settings(table), self._environ) else 0

    def judging(
        self,
        task: Task,
        opponent: Opponent | None,
        cache: Replies | None = None,
        journal: Journal | None = None,
    ) -> Task:
        """The task; its metric is given the judge's model and the opponent if it needs them."""
        if not asks_judge(self._configuration):
            return task
        judge = self.of("judge", cache, journal)
        return replace(task, metric=open_metric(self._configuration, task.kind, judge, opponent))


def wrapped(model: ChatModel, layers: Sequence[Layer]) -> ChatModel:
    """The model within the wrappers, of which the first is the outermost."""
    for _, wrapper in reversed(layers):
        model = wrapper(model)
    return model
