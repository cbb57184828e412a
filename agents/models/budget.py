"""The ledger of a run: its caps and the known prices."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import orjson

from agents.config.configuration import Configuration
from agents.config.roles import EMBEDDER, measures_credit, model_settings, roles
from agents.config.tables.search import CapsTable
from agents.directory.run_directory import PRICES, read_document, write
from agents.models.batching import batch_factor
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.budget.prices import Price, default_prices, in_batch, is_plain, undated
from protocols.budget.shared_budget import Share
from protocols.errors import ConfigError, StorageFailed
from protocols.providers.catalogue import EMBEDDED, is_local, is_theirs
from protocols.providers.parameters import asked

FREE = Price(0.0, 0.0, 0.0, 0.0)
"""The price of a local model."""


def open_ledger(configuration: Configuration, environ: Mapping[str, str], share: Share | None = None) -> Ledger:
    """The ledger with the caps of `[budget]`, and with its `share` of a budget of several runs.

    :raises ConfigError: dollars are capped, and the price of a model is not known.
    """
    budget, known = configuration.budget, prices(configuration, environ)
    scopes: dict[str, CapsTable] = {str(role): table for role, table in budget.roles.items()}
    scopes |= {f"proposer/{name}": table for name, table in budget.operators.items()}
    for scope, table in {"": budget, **scopes}.items():
        if table.dollars is not None:
            check_priced(configuration, scope, known)
    if share is not None and share.budget.caps.dollars is not None:
        check_priced(configuration, "", known)
    capped = {scope: caps(table) for scope, table in scopes.items()}
    return Ledger(caps(budget), known, time.monotonic, capped, share)


def caps(table: CapsTable) -> Caps:
    """The caps of one table."""
    return Caps(table.calls, table.tokens, table.dollars, table.minutes)


def check_priced(configuration: Configuration, scope: str, known: Mapping[str, Price]) -> None:
    """:raises ConfigError: a model called under the dollar cap of `scope` has no known price."""
    credit = configuration.models.each("credit") if measures_credit(configuration) else {}
    models = roles(configuration) | credit
    called = {model for role, model in models.items() if scope in ("", role, role.partition("/")[0])}
    unusual = unusual_prices(configuration)
    for name in sorted(called - known.keys()):
        reason = ", for its parameters ask for another than the usual" if name in unusual else ""
        raise ConfigError(
            f"a budget of dollars cannot be kept: the price of {name} is not known{reason}; "
            f'set providers."{name}".price = {{ input = ..., output = ... }} in dollars per million tokens'
        )


def prices(configuration: Configuration, environ: Mapping[str, str]) -> dict[str, Price]:
    """The known prices, by model: the configuration's, or the published ones if a model is called at its provider's
    own address, and no role's parameters ask for something with another price."""
    known, published, unusual = {EMBEDDED: FREE}, default_prices(), unusual_prices(configuration)
    for name in set(roles(configuration).values()):
        table = configuration.provider(name)
        if price := table.price:
            known[name] = Price(price.input, price.output, price.cached, price.written)
        elif is_local(name):
            known[name] = FREE
        elif name not in unusual and undated(name) in published and is_theirs(name, model_settings(table), environ):
            known[name] = published[undated(name)]
    for name in known.keys() & {*configuration.models.each("task").values()} if configuration.run.batch else ():
        known[in_batch(name)] = known[name].times(batch_factor(configuration, environ, name))
    return known


def unusual_prices(configuration: Configuration) -> set[str]:
    """The models for which a role's parameters ask for something with another price than the published one."""
    models = {role: name for role, name in roles(configuration).items() if role != EMBEDDER and name != EMBEDDED}
    return {name for role, name in models.items() if not is_plain(asked(configuration.asked(role)))}


def keep_prices(directory: Path, known: Mapping[str, Price]) -> None:
    """Write the prices of a run to its directory, because they depend on the environment, which may differ later.

    :raises StorageFailed: they cannot be written.
    """
    document = {name: asdict(price) for name, price in known.items()}
    write(directory / PRICES, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")


def kept_prices(directory: Path, configuration: Configuration) -> dict[str, Price]:
    """The prices with which the run in a directory was last opened, by model; if there is no file of prices, those
    that follow from the configuration only.

    :raises StorageFailed: they are damaged.
    """
    kept = read_document(directory / PRICES)
    if kept is None:
        return prices(configuration, {})
    try:
        return {name: Price(**price) for name, price in kept.items()}
    except (AttributeError, TypeError) as error:
        raise StorageFailed(f"no prices ({error}); it was changed", file=str(directory / PRICES)) from error
