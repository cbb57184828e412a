"""Scores a prompt file on one split, with the forward pass of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from agents.config.configuration import Configuration
from agents.config.loading import check_input, check_names, load_corpus, load_task, remarks, unknown_placeholders
from agents.config.metrics import least_per_example
from agents.config.programs import completed
from agents.directory.run_directory import BEST_PROMPT, RECORD
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger
from agents.models.outside import open_forward
from agents.prompting.retrieval_slots import RetrievalSlots, open_slots
from agents.results.comparison import Score, answers, score_of
from protocols.budget.ledger import Ledger
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError, RunFailed
from protocols.files import prompt_folder
from protocols.pacing.waiting import Patience
from protocols.prompt import Prompt
from protocols.task import SplitName


@dataclass(frozen=True, slots=True)
class Scored(Score):
    """The score of a prompt file, and its cost.

    `calls`: including failed attempts; `dollars` None: the price is unknown. `estimated`: calls whose `tokens` and
    `dollars` are an estimate. `plain`: names in braces in the prompt that are fields of no example, and are therefore
    plain text. `remarks`: see `agents.config.loading.remarks`. `first_error`: why the first of the
    unanswered examples has no answer, "" if all were answered.
    """

    task: str
    prompt: str
    split: SplitName
    model: str
    calls: int
    tokens: int
    estimated: int
    dollars: float | None
    seconds: float
    plain: tuple[str, ...]
    remarks: tuple[str, ...]
    first_error: str = ""


async def score(
    configuration: Configuration,
    environ: Mapping[str, str],
    path: Path,
    split: SplitName,
    accounts: Accounts | None = None,
    patience: Patience | None = None,
) -> Scored:
    """Run the prompt at `path`, a file or a folder of files, on a split of the task. Only replies are written, to a
    configured reply cache. The caps of `[budget]` apply, except minutes; examples that a cap refuses, or that
    `patience` cuts off, count as unanswered, and all answers are kept.

    A name in braces that no example has is plain text here: a trained prompt may quote one from an example.

    :raises InputError: an input of the user cannot be used.
    :raises RunFailed: not one example was answered.
    :raises BudgetExhausted: a cap refused a call before any example was answered.
    :raises Interrupted: a person stopped it before any example was answered.
    :raises ModelError: a failure that would affect every other call, too.
    """
    prompt, slots, ledger = await in_thread(_read, configuration, environ, path)
    task, examples = slots.task, slots.task.split(split)
    least = least_per_example(configuration) * len(examples)
    if ledger.caps.calls is not None and ledger.caps.calls < least:
        raise ConfigError(f"budget.calls = {ledger.caps.calls} is too small: the {split} split takes {least}")
    repeats = configuration.search.repeats
    async with open_forward(configuration, environ, ledger, slots, accounts, patience, repeats) as forward:
        results = await answers(forward, [(prompt, example) for example in examples])
    found = await in_thread(score_of, forward.task.metric, results)
    if not found.n:
        raise RunFailed(f"not one example was answered: {results[0]}")
    return Scored(
        **asdict(found),
        task=task.name,
        prompt=str(path),
        split=split,
        model=configuration.models.of("task"),
        calls=ledger.calls,
        tokens=ledger.tokens,
        estimated=ledger.estimated,
        dollars=ledger.dollars,
        seconds=ledger.seconds,
        plain=tuple(unknown_placeholders(prompt, task)),
        remarks=tuple(remarks(prompt, task)),
        first_error=next((str(result) for result in results if isinstance(result, Exception)), ""),
    )


def _read(
    configuration: Configuration, environ: Mapping[str, str], path: Path
) -> tuple[Prompt, RetrievalSlots, Ledger]:
    task = load_task(configuration)
    if (path / RECORD).exists():
        path = path / BEST_PROMPT
    prompt = completed(configuration, prompt_folder.load(path), str(path))
    check_names(prompt, task, str(path))
    prompt = prompt_folder.in_order(prompt, tuple(task.program.prompts) if task.program else ())
    check_input(prompt, task, str(path))
    return prompt, open_slots(task, load_corpus(configuration)), open_ledger(configuration, environ)
