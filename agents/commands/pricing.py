"""The command that lists prices: prices."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from agents.commands.console import emit, environment, exit_codes, say, stdout
from agents.commands.options import AsJson, Settings
from agents.config.configuration import Configuration, load
from agents.config.roles import roles
from agents.models.budget import prices as known_prices
from protocols.budget.prices import WRITING, Price, published
from protocols.errors import ConfigError
from protocols.text import one_line, printable


def prices(
    config: Annotated[
        Path | None, typer.Argument(metavar="[CONFIG.toml]", help="Show what its models cost, by role.")
    ] = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """List the known prices of models, in dollars per million tokens, with their date and source.

    With a configuration: the price of the model of each role, as its budget counts it.

    \b
    Examples:
      promptflow prices
      promptflow prices examples/tickets.toml --set models.default=openai/<model>
    """
    with exit_codes(as_json):
        if config is None and settings:
            raise ConfigError("--set changes a configuration; name it, too")
        if config is not None:
            _of_roles(load(config, settings or []), as_json)
        elif as_json:
            emit({"unit": "dollars per million tokens", "lists": [asdict(each) for each in published()]})
        else:
            _of_providers()


def _of_providers() -> None:
    table = _table("model")
    for each in published():
        for model, price in each.models.items():
            table.add_row(Text(f"{each.provider}/{model}"), *_figures(price))
    stdout().print(table)
    say("Dollars per million tokens: fresh input, input read from and written to the provider's cache, and output.")
    for each in published():
        say(f"{each.provider}: read in {each.date} from {each.source}")
    say('Prices change: set yours with providers."<provider>/<model>".price (docs/providers.md).')


def _of_roles(configuration: Configuration, as_json: bool) -> None:
    known, named = known_prices(configuration, environment()), roles(configuration)
    dates = {f"{each.provider}/{model}": each.date for each in published() for model in each.models}
    if as_json:
        rows: dict[str, Any] = {
            role: {"model": printable(model), "price": asdict(known[model]) if model in known else None}
            for role, model in named.items()
        }
        emit({"unit": "dollars per million tokens", "roles": rows})
        return
    table = _table("role", "model")
    for role, model in named.items():
        figures = _figures(known[model]) if model in known else ["unknown", "", "", ""]
        table.add_row(Text(one_line(role)), Text(one_line(model)), *figures)
    stdout().print(table)
    for model in dict.fromkeys(named.values()):
        if model not in known:
            say(f'{model}: no price is known; set providers."{model}".price = {{ input = ..., output = ... }}')
        elif configuration.provider(model).price:
            say(f"{model}: the configuration's own price")
        elif model in dates:
            say(f"{model}: the published price, read in {dates[model]}")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name)
    for name in ("input", "cached", "written", "output"):
        table.add_column(name, justify="right")
    return table


def _figures(price: Price) -> list[str]:
    cached = price.input if price.cached is None else price.cached
    written = price.input * WRITING if price.written is None else price.written
    return [f"{amount:g}" for amount in (price.input, cached, written, price.output)]
