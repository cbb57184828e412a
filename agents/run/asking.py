"""Asks one example of a task, and shows what was asked and answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from agents.config.configuration import Configuration
from agents.config.loading import found_in
from agents.models.accounts import Accounts
from agents.models.outside import open_forward
from agents.prompting.asking import TEMPERATURE
from agents.prompting.retrieval_slots import RetrievalSlots
from agents.run.scoring import read_inputs
from memory.journals.exchanges import Exchange, told
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError, RunFailed
from protocols.prompt import Prompt
from protocols.task import Example, SplitName


@dataclass(frozen=True, slots=True)
class Asked:
    """One example of `split`, and what was asked and answered: `exchange`, with the first of several models, and the
    `others` in their order. `dollars` None: nothing was called, or the price is unknown."""

    split: SplitName
    exchange: Exchange
    dollars: float | None
    others: tuple[Exchange, ...] = ()


async def ask(
    configuration: Configuration,
    environ: Mapping[str, str],
    path: Path,
    example: str,
    accounts: Accounts | None = None,
    offline: bool = False,
) -> Asked:
    """Ask one example of the task with the prompt at `path`. `offline`: only the messages are made, and no model is
    opened, so that none needs a key.

    :raises InputError: an input of the user cannot be used, or no example has this id.
    :raises RunFailed: the example was not answered.
    :raises ConfigError: `offline`, and a program makes the messages.
    """
    prompt, slots, ledger = await in_thread(read_inputs, configuration, environ, path)
    split, found = found_in({name: slots.task.split(name) for name in get_args(SplitName)}, example)
    if offline and slots.task.program is not None:
        raise ConfigError("task.program makes the messages while it works: ask without --offline")
    heard: list[Exchange] = []
    if offline:
        return Asked(split, await in_thread(_unasked, slots, prompt, found), None)
    async with open_forward(configuration, environ, ledger, slots, accounts) as forward:
        once = forward.drawn(0, TEMPERATURE).heard_by(lambda prompt, exchange: heard.append(exchange))
        await once(prompt, [found])
    if failed := next((each for each in heard if each.error), None):
        by = f" by {failed.model}" if failed.model else ""
        raise RunFailed(f"{example} was not answered{by}: {failed.error}")
    several = configuration.models.several
    first, *others = sorted(heard, key=lambda each: several.index(each.model) if several else 0)
    return Asked(split, first, ledger.dollars, tuple(others))


def _unasked(slots: RetrievalSlots, prompt: Prompt, example: Example) -> Exchange:
    """The messages for an example, not sent; for a task without a program."""
    messages = prompt.render(slots.inputs(prompt, example.inputs))
    return Exchange(
        example.id, told(messages), "", target=slots.task.kind.show(example.target), inputs=example.inputs
    )
