"""Prices of models. The defaults are in prices.toml beside this file, with their date and sources."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from protocols.model import Usage
from protocols.providers.parameters import UNSET

WRITING = 1.25
"""Price of writing to a provider's cache, relative to input, at Anthropic and, since gpt-5.6, at OpenAI."""
BATCH: Final = "batch"
SNAPSHOT = re.compile(r"-(?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
PLAIN: Final[Mapping[str, tuple[str, ...]]] = {
    "service_tier": ("auto", "default", "standard_only"),
    "speed": ("standard",),
    "inference_geo": ("global",),
    "web_search_options": (),
}
"""Parameters that change the cost of a call, each with its values that do not."""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens: fresh input, output, and input read from the provider's cache or written to it.

    `cached` None: equal to `input`. `written` None: `WRITING` times `input`.
    """

    input: float
    output: float
    cached: float | None = None
    written: float | None = None

    def of(self, usage: Usage) -> float:
        """Dollars for one reply."""
        cached = self.input if self.cached is None else self.cached
        written = self.input * WRITING if self.written is None else self.written
        fresh = usage.input - usage.cached - usage.written
        spent = fresh * self.input + usage.cached * cached + usage.written * written + usage.output * self.output
        return spent / 1e6

    def times(self, factor: float) -> Price:
        """All of these prices multiplied by a factor."""
        parts = (self.input, self.output, self.cached, self.written)
        return Price(*(part if part is None else factor * part for part in parts))  # type: ignore[arg-type]

    def most(self, tokens_in: int, tokens_out: int) -> float:
        """Upper bound in dollars of a call with this many input tokens and at most this many output tokens."""
        return max(self.of(Usage(tokens_in, tokens_out, *part)) for part in ((0, 0), (tokens_in, 0), (0, tokens_in)))


@dataclass(frozen=True, slots=True)
class PriceList:
    """The published prices of a provider, by model: read from `source` in the month `date` (2026-11). `batch`: the
    price of a call in a batch, relative to these."""

    provider: str
    date: str
    source: str
    models: Mapping[str, Price]
    batch: float


def published() -> list[PriceList]:
    """The known price lists."""
    tables = tomllib.loads(resources.files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))
    return [
        PriceList(
            name,
            table["date"],
            table["source"],
            {model: Price(**price) for model, price in table["models"].items()},
            table["batch"],
        )
        for name, table in tables.items()
    ]


def default_prices() -> dict[str, Price]:
    """The known published prices, by `provider/model`."""
    return {f"{each.provider}/{model}": price for each in published() for model, price in each.models.items()}


def batch_factors() -> dict[str, float]:
    """The published price of a call in a batch, relative to the usual one, by provider."""
    return {each.provider: each.batch for each in published()}


def in_batch(name: str) -> str:
    """The name under which calls of a model in batches are counted, since they have a price of their own."""
    return f"{name} ({BATCH})"


def is_plain(asked: Mapping[str, object]) -> bool:
    """Whether a call with these fields has the published price: its tier, region and services are the usual ones."""
    match asked.get("cache_control"):
        case {"ttl": kept} if kept != "5m":
            return False
    return all(asked.get(name, UNSET) in (UNSET, *values) for name, values in PLAIN.items())


def undated(name: str) -> str:
    """A model's name without the date of its snapshot; snapshots cost the same."""
    return SNAPSHOT.sub("", name)
