"""The task's model in batches: what cannot be asked so, what it costs, and its parts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from agents.config.configuration import Configuration
from agents.config.roles import model_settings
from agents.config.tables.models import ProviderTable
from memory.journals.journal import Journal
from protocols.batches.batched import BatchedModel
from protocols.batches.counting import Counting
from protocols.batches.desk import Desk
from protocols.batches.sent_batch import sent_batches
from protocols.budget.ledger import Ledger
from protocols.budget.prices import batch_factors, in_batch
from protocols.errors import ConfigError
from protocols.model import ChatModel
from protocols.pacing.waiting import Patience
from protocols.providers.batches.anthropic_batches import AnthropicBatches
from protocols.providers.batches.openai_batches import OpenAIBatches
from protocols.providers.batches.service import BatchService
from protocols.providers.catalogue import PROVIDERS, is_theirs, resolve, split
from protocols.providers.transport.http import Transport

BATCH = "--batch (run.batch)"


def check_batch(configuration: Configuration) -> None:
    """:raises ConfigError: batches are wanted, and the task cannot be asked in them."""
    if not configuration.run.batch:
        return
    if configuration.task.program is not None:
        raise ConfigError(f"{BATCH} asks each example once, and a program asks as it goes on; leave it out")
    for name in configuration.models.each("task").values():
        _check_batch(name, configuration.provider(name))


def _check_batch(name: str, table: ProviderTable) -> None:
    if name.partition("/")[0] not in PROVIDERS:
        raise ConfigError(
            f"{BATCH} is for openai/… and anthropic/…, which sell batches, not for {name}; leave it out"
        )
    if table.client is not None:
        raise ConfigError(
            f"{BATCH} needs the address and the key of {name}, and its client keeps them; remove client"
        )
    if table.api == "completions":
        raise ConfigError(f"{BATCH} sends chats, and {name} is asked for completions of a text; leave it out")


def batch_factor(configuration: Configuration, environ: Mapping[str, str], name: str) -> float:
    """The price of calls of the model `name` in batches, relative to the usual one: the configuration's, or the
    published one at the provider's own address; 1 elsewhere."""
    table = configuration.provider(name)
    if table.price is not None and table.price.batch is not None:
        return table.price.batch
    if is_theirs(name, model_settings(table), environ):
        return batch_factors().get(name.partition("/")[0], 1.0)
    return 1.0


def open_service(
    configuration: Configuration, environ: Mapping[str, str], transport: Transport, name: str
) -> BatchService:
    """The provider's batches of the model `name`. Nothing is sent yet.

    :raises ConfigError: it cannot be reached as configured.
    """
    provider, model = split(name)
    settings = model_settings(configuration.provider(name))
    endpoint = resolve(name, settings, environ)
    form = OpenAIBatches if provider == "openai" else AnthropicBatches
    return form(model, endpoint, transport, settings.wire)


def batched(
    live: ChatModel,
    service: BatchService,
    scope: str,
    books: tuple[Ledger, Journal, Mapping[str, bytes]],
    patience: Patience,
) -> BatchedModel:
    """A model of the task in batches around `live`. `books`: the ledger, the journal, and its notes so far."""
    ledger, journal, notes = books
    counting = Counting(ledger, journal, "task", in_batch(live.name), time.time)
    return BatchedModel(live, Desk(service, counting, scope, sent_batches(notes, scope), patience), scope)
