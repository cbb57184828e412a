"""Scores a prompt file on one split, with the forward pass of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path

import anyio
import orjson

from agents.config.configuration import Configuration
from agents.config.loading import doubts, given_prompt, load_corpus, load_task, remarks, unknown_placeholders
from agents.config.metrics import least_per_example
from agents.directory.run_directory import BATCHES, BEST_PROMPT, RECORD, RUNS, write
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger
from agents.models.outside import open_batched, open_forward
from agents.prompting.forward import Forward, Question
from agents.prompting.retrieval_slots import RetrievalSlots, open_slots
from agents.results.comparison import Answer, Score, answers, score_of
from agents.results.result import SpentOn, spent_on
from memory.journals.exchanges import Exchange, as_json
from protocols.budget.ledger import Ledger
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError, Interrupted, RunFailed
from protocols.files import prompt_file
from protocols.pacing.waiting import Patience
from protocols.prompt import Prompt
from protocols.task import Metric, SplitName, Task
from protocols.text import file_name


@dataclass(frozen=True, slots=True)
class Scored(Score):
    """The score of a prompt file, and its cost.

    `calls`: including failed attempts; `dollars` None: the price is unknown. `estimated`: calls whose `tokens` and
    `dollars` are an estimate. `plain`: names in braces in the prompt that are fields of no example, and are therefore
    plain text. `remarks`: see `agents.config.loading.remarks`. `first_error`: why the first of the
    unanswered examples has no answer, "" if all were answered. `stopped`: a person stopped it before all were asked.
    `spent`: on each of several models; {} of one.
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
    stopped: bool = False
    spent: Mapping[str, SpentOn] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt on a split of its task: an answer, or why there is none, for each example. `metric`: judged them."""

    prompt: Prompt
    task: Task
    metric: Metric
    results: Sequence[Answer]
    ledger: Ledger

    @property
    def stopped(self) -> bool:
        """Whether a person stopped it before all examples were asked."""
        return any(isinstance(result, Interrupted) for result in self.results)


@dataclass(frozen=True, slots=True)
class Scoring:
    """Runs the prompt at `path`, a file or a folder of files, on a split of the task.

    Replies are written to a configured reply cache, and to the file `rows`, one line of JSON for each question and
    its answer (`as_json`), also if the work fails half-way; nothing else is written, but for batches (`run.batch`)
    the folder `batches_of`. The caps of `[budget]` apply, except minutes; examples that a cap refuses, or that
    `patience` cuts off, count as unanswered, and all answers are kept. `accounts` track the calls in flight.

    A name in braces that no example has is plain text here: a trained prompt may quote one from an example.
    """

    configuration: Configuration
    environ: Mapping[str, str]
    path: Path
    split: SplitName
    accounts: Accounts | None = None
    patience: Patience | None = None
    rows: Path | None = None

    async def score(self) -> Scored:
        """The score of the prompt.

        :raises PromptFlowError: as `answered`.
        """
        given = await self.answered()
        task, ledger = given.task, given.ledger
        found = await in_thread(score_of, task.kind.name, given.metric, given.results)
        return Scored(
            **{each.name: getattr(found, each.name) for each in fields(found)},
            task=task.name,
            prompt=str(self.path),
            split=self.split,
            model=self.configuration.models.answering,
            calls=ledger.calls,
            tokens=ledger.tokens,
            estimated=ledger.estimated,
            dollars=ledger.dollars,
            seconds=ledger.seconds,
            plain=tuple(unknown_placeholders(given.prompt, task)),
            remarks=(*remarks(given.prompt, task), *await in_thread(doubts, self.configuration)),
            first_error=next((str(result) for result in given.results if isinstance(result, Exception)), ""),
            stopped=given.stopped,
            spent=spent_on(ledger, self.configuration.models.several),
        )

    async def answered(self) -> Answered:
        """The answers to all examples.

        :raises InputError: an input of the user cannot be used, or `rows` is a file that holds something else.
        :raises RunFailed: not one example was answered.
        :raises BudgetExhausted: a cap refused a call before any example was answered.
        :raises Interrupted: a person stopped it before any example was answered.
        :raises ModelError: a failure that would affect every other call, too.
        """
        prompt, slots, ledger = await in_thread(read_inputs, self.configuration, self.environ, self.path)
        examples = slots.task.split(self.split)
        least = least_per_example(self.configuration) * len(examples)
        if ledger.caps.calls is not None and ledger.caps.calls < least:
            raise ConfigError(
                f"budget.calls = {ledger.caps.calls} is too small: the {self.split} split takes {least}"
            )
        async with self._opened(prompt, slots, ledger) as forward:
            results = await _answers(forward, [(prompt, example) for example in examples], self.rows)
        if all(isinstance(result, Exception) for result in results):
            raise RunFailed(f"not one example was answered: {results[0]}")
        return Answered(prompt, slots.task, forward.task.metric, results, ledger)

    def _opened(self, prompt: Prompt, slots: RetrievalSlots, ledger: Ledger) -> AbstractAsyncContextManager[Forward]:
        """The forward pass, in batches if they are asked for."""
        given = self.configuration, self.environ, ledger, slots, self.accounts, self.patience
        if self.configuration.run.batch:
            return open_batched(*given, batches_of(self.configuration, prompt, self.split))
        return open_forward(*given, self.configuration.search.repeats)


def batches_of(configuration: Configuration, prompt: Prompt, split: SplitName) -> Path:
    """The folder for the batches of a prompt on a split. The same command finds them in it, whatever happened to the
    one before."""
    told = "\n".join((configuration.models.answering, split, prompt_file.dumps(prompt)))
    digest = hashlib.blake2b(told.encode("utf-8", "replace"), digest_size=6).hexdigest()
    return RUNS / BATCHES / f"{file_name(configuration.task.name)}-{digest}"


async def _answers(forward: Forward, questions: Sequence[Question], rows: Path | None) -> list[Answer]:
    """The answers to the questions, which are written to `rows` in the order of the questions."""
    if rows is None:
        return await answers(forward, questions)
    await in_thread(_begin, rows)  # a file that cannot be written is known before anything is paid for
    heard: list[Exchange] = []
    try:
        return await answers(forward.heard_by(lambda prompt, exchange: heard.append(exchange)), questions)
    finally:
        order = {example.id: place for place, (_, example) in enumerate(questions)}
        heard.sort(key=lambda exchange: (order[exchange.example], exchange.model))
        with anyio.CancelScope(shield=True):
            await in_thread(lambda: write(rows, b"".join(orjson.dumps(as_json(each)) + b"\n" for each in heard)))


def _begin(rows: Path) -> None:
    """Write an empty file.

    :raises ConfigError: it would replace something else than such rows, or a folder or a device.
    :raises StorageFailed: it cannot be written.
    """
    if rows.exists() and not (rows.is_file() and _holds_rows(rows)):
        raise ConfigError(f"{rows} is there already, and holds no rows of `evaluate`: name another file with --rows")
    write(rows, b"")


def _holds_rows(path: Path) -> bool:
    """Whether a file is empty, or begins with a line of `as_json`."""
    with path.open("rb") as file:
        line = file.readline()
    try:
        return not line or {"id", "messages", "finish"} <= orjson.loads(line).keys()
    except (orjson.JSONDecodeError, AttributeError):
        return False


def read_inputs(
    configuration: Configuration, environ: Mapping[str, str], path: Path
) -> tuple[Prompt, RetrievalSlots, Ledger]:
    """The prompt at `path`, the task with its slots, and the ledger.

    :raises InputError: one of them cannot be used.
    """
    task = load_task(configuration)
    if (path / RECORD).exists():
        path = path / BEST_PROMPT
    prompt = given_prompt(configuration, task, path)
    return prompt, open_slots(task, load_corpus(configuration)), open_ledger(configuration, environ)
