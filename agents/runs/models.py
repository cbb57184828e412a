"""The models of a run: one stack of wrappers for each role, one limiter for each account."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from random import Random

from agents.runs.catalogue import open_operators
from agents.runs.configuration import CONCURRENCY, Configuration, ProviderTable
from agents.runs.metrics import asks_judge, open_metric
from memory.cache import CachedModel, ReplyCache
from protocols.errors import ConfigError
from protocols.model import ChatModel
from protocols.providers.catalogue import EMBEDDED, PROVIDERS, Account, ModelSettings, identify, open_model
from protocols.providers.http import Transport
from protocols.task import Task
from protocols.wrappers.ledger import Caps, Ledger, MeteredModel, Price
from protocols.wrappers.limiter import LimitedModel, Limiter
from protocols.wrappers.retry import RetryingModel, RetryPolicy


class Models:
    """Builds what a role calls: reply cache, retry, limiter, ledger, adapter, in this order.

    The embedded model costs nothing and answers faster than a cache would: it stands in the ledger alone.
    """

    def __init__(
        self,
        configuration: Configuration,
        environ: Mapping[str, str],
        transport: Transport,
        ledger: Ledger,
        limiters: dict[Account, Limiter] | None = None,
    ) -> None:
        """Open the model of every role; nothing is sent and nothing is written. `limiters` may be shared with other
        searches.

        :raises ConfigError: one cannot be reached as it is configured.
        """
        self._configuration, self._environ, self._ledger = configuration, environ, ledger
        self._limiters = {} if limiters is None else limiters
        self._adapters: dict[str, ChatModel] = {}
        check_names(configuration)
        for name in sorted({configuration.models.of(role) for role in roles(configuration)}):
            settings = model_settings(configuration.provider(name))
            self._adapters[name] = open_model(name, settings, environ, transport)

    def of(self, role: str, cache: ReplyCache | None) -> ChatModel:
        """The model of `task`, `credit`, `critic`, `judge` or `proposer/<operator>`, and what stands around it."""
        name = self._configuration.models.of(role)
        table = self._configuration.provider(name)
        metered = MeteredModel(self._adapters[name], self._ledger, role)
        if name == EMBEDDED:
            return metered
        account = identify(name, model_settings(table), self._environ)
        limiter = self._limiters.setdefault(account, Limiter(table.concurrency or CONCURRENCY))
        rng = Random(f"{self._configuration.search.seed}/retry/{role}")
        retrying = RetryingModel(LimitedModel(metered, limiter), RetryPolicy(), rng)
        if cache is None:
            return retrying
        return CachedModel(retrying, cache, f"{account.provider} {account.address} {name}", self._ledger.saved)

    def judging(self, task: Task, cache: ReplyCache | None) -> Task:
        """The task, with the judge's model in its metric if that asks one."""
        if not asks_judge(self._configuration):
            return task
        return replace(task, metric=open_metric(self._configuration, task.kind, self.of("judge", cache)))


def check_names(configuration: Configuration) -> None:
    """:raises ConfigError: a table names an operator that is not used, or a provider that does not exist."""
    operators = open_operators(configuration.search.operators)
    for name in configuration.models.proposers:
        if name not in operators:
            raise ConfigError(
                f"models.proposers.{name}: no such operator in search.operators ({', '.join(operators)})"
            )
    for name in configuration.providers:
        provider = name.partition("/")[0]
        if provider not in (*PROVIDERS, EMBEDDED):
            raise ConfigError(f"providers.{name}: unknown provider; there are {', '.join((*PROVIDERS, EMBEDDED))}")


def secrets(configuration: Configuration, environ: Mapping[str, str]) -> frozenset[str]:
    """Every key that the environment holds for a provider, used or not: what must never be written anywhere."""
    variables = {provider.key_variable for provider in PROVIDERS.values()}
    variables |= {table.api_key_env for table in configuration.providers.values() if table.api_key_env}
    return frozenset(key for variable in variables if (key := environ.get(variable, "").strip()))


def roles(configuration: Configuration) -> list[str]:
    """Every role that calls a model."""
    judge = ["judge"] if asks_judge(configuration) else []
    return [
        "task",
        "critic",
        *judge,
        *(f"proposer/{name}" for name in open_operators(configuration.search.operators)),
    ]


def connections(configuration: Configuration) -> int:
    """Connections that all limiters together may need."""
    names = {configuration.models.of(role) for role in roles(configuration)}
    return sum(configuration.provider(name).concurrency or CONCURRENCY for name in names)


def model_settings(table: ProviderTable) -> ModelSettings:
    """What the catalogue needs of a provider's table."""
    given = table.model_dump(include={"base_url", "api_key_env", "client", "timeout", "token_parameter"})
    return ModelSettings(**{key: value for key, value in given.items() if value is not None})


def open_ledger(configuration: Configuration) -> Ledger:
    """The ledger with the caps of `[budget]`.

    :raises ConfigError: dollars are capped, and what a model costs is not known.
    """
    budget, known = configuration.budget, prices(configuration)
    if budget.dollars is not None:
        names = {configuration.models.of(role) for role in roles(configuration)}
        for name in sorted(names - known.keys()):
            raise ConfigError(
                f"budget.dollars cannot be kept: the price of {name} is not known; "
                f'set providers."{name}".price = {{ input = ..., output = ... }} in dollars per million tokens'
            )
    return Ledger(Caps(budget.calls, budget.tokens, budget.dollars, budget.minutes), known, time.monotonic)


def prices(configuration: Configuration) -> dict[str, Price]:
    """The known prices, by model."""
    known = {EMBEDDED: Price(0.0, 0.0, 0.0)}
    for name in {configuration.models.of(role) for role in roles(configuration)}:
        if price := configuration.provider(name).price:
            known[name] = Price(price.input, price.output, price.cached)
    return known
