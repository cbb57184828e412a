"""Takes the best prompt of a run to another model, and tells whether to keep it there or to train it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from pydantic import TypeAdapter, ValidationError

from agents.config.metrics import compares
from agents.config.reading import override, parsed
from agents.directory.inline_inputs import InlineInputs
from agents.directory.run_directory import RESULT, TRANSFER, read_document, write
from agents.moving.advice import Advice, Differences, advise
from agents.moving.deployed import Deployed, read_deployed
from agents.prompting.retrieval_slots import measured
from agents.results.comparison import Answer, answers, change, score_of, used, used_by
from agents.results.finished import read_result
from agents.results.pareto import Taken, paid, taken
from agents.run.search import Run
from protocols.concurrency.threads import in_thread
from protocols.errors import StorageFailed
from protocols.messages import Outcome
from protocols.metrics.bootstrap import Interval


@dataclass(frozen=True, slots=True)
class OnTest:
    """A prompt on the test split: the metric over the `n` examples that were answered, with its 95 % `interval`, and
    the number of `errors` in place of answers. `tokens`: its estimated length as sent, without the input. `thousand`:
    what 1,000 answers take, None if nothing was metered."""

    value: float
    interval: Interval
    n: int
    errors: int
    tokens: int
    thousand: Taken | None


@dataclass(frozen=True, slots=True)
class Transferred:
    """The content of `transfer.json`, in the run directory `directory`. `run`: the run whose best prompt was taken to
    `model`; `earlier`: that run's model, and `before`: the value of its best prompt there on the same test examples,
    None if it was not measured. `first`: the prompt that the run began with; `best`: its best prompt;
    `retrained`: the result of a short search that began with it. `sentence`: the advice in words."""

    run: str
    directory: str
    task: str
    earlier: str
    model: str
    before: float | None
    first: OnTest
    best: OnTest
    retrained: OnTest
    differences: Differences
    advice: Advice
    sentence: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """`inputs`: of the search on the other model."""

    deployed: Deployed
    inputs: InlineInputs

    async def begin(self, run: Run) -> None:
        """Ask the prompt that the earlier run began with. It is asked before the search, which could leave no budget
        for it, and affects nothing in it.

        :raises PromptFlowError: as `answers`.
        """
        await answers(run.forward, [(self.deployed.first, example) for example in run.task.test])

    async def end(self, run: Run) -> Transferred:
        """Compare all three prompts after the search; their answers come from the reply cache. Writes `TRANSFER`.

        :raises PromptFlowError: as `answers`.
        :raises StorageFailed: the file cannot be written.
        """
        prompts = (self.deployed.first, run.first, run.controller.archive.best().prompt)
        came = await answers(run.forward, [(prompt, example) for example in run.task.test for prompt in prompts])
        sides = [came[place :: len(prompts)] for place in range(len(prompts))]
        tokens = [await measured(run.slots.tokens, prompt) for prompt in prompts]
        return await in_thread(self._compared, run, sides, tokens)

    def _compared(self, run: Run, sides: Sequence[Sequence[Answer]], tokens: Sequence[int]) -> Transferred:
        metric, (first, best, retrained) = run.task.metric, sides
        found = Differences(
            change(metric, first, best), change(metric, best, retrained), change(metric, first, retrained)
        )
        earlier, model = self.deployed.configuration.models.answering, run.configuration.models.answering
        test = (read_result(self.deployed.directory / RESULT) or {}).get("test")
        if compares(self.deployed.configuration):
            test = None  # there, answers were compared with those of the earlier model
        name = str(self.deployed.directory)
        advice, sentence = advise(found, name, model, tokens)
        on_first, on_best, on_retrained = (_on_test(run, *each) for each in zip(sides, tokens, strict=True))
        transferred = Transferred(
            name,
            str(run.directory),
            run.task.name,
            earlier,
            model,
            test["best"] if test else None,
            on_first,
            on_best,
            on_retrained,
            found,
            advice,
            sentence,
        )
        write(run.directory / TRANSFER, orjson.dumps(transferred, option=orjson.OPT_INDENT_2) + b"\n")
        return transferred


def transfer_to(models: Sequence[str], directory: Path, assignments: int, settings: Sequence[str] = ()) -> Transfer:
    """A short search on another model, or on several at once, that begins with the best prompt of the run in
    `directory`. All prompts of a program are asked of that model; a judge, the critic and the proposers stay those of
    the run. Each of `models` is a name, or a list of names in TOML.

    :raises InputError: an input cannot be used.
    :raises StorageFailed: a file of the run is damaged.
    """
    deployed = read_deployed(directory)
    tables, files = deployed.begun()
    named = [one for given in models for one in _listed(given)]
    tables["models"] |= {"task": named, "prompts": {}}
    tables["search"] |= {"assignments": assignments, "guard": 0}
    if len(named) == 1:
        del tables["search"]["across_models"]
    for setting in settings:
        override(tables, setting)
    return Transfer(deployed, InlineInputs(tables, deployed.configuration.origin, files))


def _listed(given: str) -> list[str]:
    value = parsed(given)
    return value if isinstance(value, list) else [given]


def read_transferred(directory: Path) -> Transferred | None:
    """The comparison in a run directory, None before there is one.

    :raises StorageFailed: it cannot be read.
    """
    path = directory / TRANSFER
    document = read_document(path)
    if document is None:
        return None
    try:
        return TypeAdapter(Transferred).validate_python(document)
    except ValidationError as error:
        reason = "no comparison that this release can read; move it away, and the same command makes it anew"
        raise StorageFailed(reason, file=str(path)) from error


def _on_test(run: Run, side: Sequence[Answer], tokens: int) -> OnTest:
    score = score_of(run.task.kind.name, run.task.metric, side)
    answered = [answer for answer in side if isinstance(answer, Outcome)]
    cost = paid(run.ledger.prices, run.configuration.models.answering)
    thousand = taken(used(answered), used_by(answered), score.n, cost, "test")
    return OnTest(score.value, score.interval, score.n, score.errors, tokens, thousand)
