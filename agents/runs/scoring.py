"""Scoring a prompt file on one split, with the forward pass of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from agents.prompting.forward import AtOnce, Forward
from agents.prompting.shelves import open_shelves
from agents.runs.budget import open_ledger
from agents.runs.comparison import Score, score_of
from agents.runs.configuration import Configuration
from agents.runs.loading import check_input, load_corpus, load_task, unknown_placeholders
from agents.runs.models import Models, connections
from protocols import prompt_file
from protocols.errors import RunFailed
from protocols.providers.http import open_transport
from protocols.task import SplitName


@dataclass(frozen=True, slots=True)
class Scored(Score):
    """The score of a prompt's file, and what it cost.

    `calls` counts every attempt; `dollars` None: the price is unknown. `plain`: names in braces in the prompt that
    no example has, and that are therefore plain text.
    """

    task: str
    prompt: str
    split: SplitName
    model: str
    calls: int
    tokens: int
    dollars: float | None
    seconds: float
    plain: tuple[str, ...]


async def score(configuration: Configuration, environ: Mapping[str, str], path: Path, split: SplitName) -> Scored:
    """Run the prompt at `path` on a split of the task; nothing is written. The caps of `[budget]` hold.

    A name in braces that no example has is plain text here: a trained prompt may quote one from an example.

    :raises InputError: something that a person wrote cannot be used.
    :raises RunFailed: not one example was answered.
    :raises BudgetExhausted, ModelError: a cap; a failure that every other call would meet as well.
    """
    task = load_task(configuration)
    prompt = prompt_file.load(path)
    check_input(prompt, task, str(path))
    shelves = open_shelves(task, load_corpus(configuration))
    ledger = open_ledger(configuration, environ)
    async with open_transport(connections(configuration)) as transport:
        models = Models(configuration, environ, transport, ledger)
        model = models.of("task")
        task = models.judging(task)
        forward = Forward(model, task, shelves, AtOnce(configuration.at_once))
        results = await forward(prompt, task.split(split))
    found = score_of(task.metric, results)
    if not found.n:
        raise RunFailed(f"not one example was answered: {results[0]}")
    return Scored(
        **asdict(found),
        task=task.name,
        prompt=str(path),
        split=split,
        model=model.name,
        calls=ledger.calls,
        tokens=ledger.tokens,
        dollars=ledger.dollars,
        seconds=ledger.seconds,
        plain=tuple(unknown_placeholders(prompt, task)),
    )
