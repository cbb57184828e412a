"""Asks the judge of a task about answers that people have graded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio

from agents.config.configuration import Configuration
from agents.config.loading import load_task, sources
from agents.config.metrics import JUDGE, PREFERENCE, compares, grades
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger
from agents.models.stack import Models
from agents.results.agreement import LEAST, Agreement, agreement
from memory.storage.cache import open_cache
from protocols.budget.ledger import Ledger
from protocols.concurrency.threads import in_thread
from protocols.data import Source
from protocols.data.grades import Graded, load_grades
from protocols.errors import ConfigError, DataError, ModelError
from protocols.metrics.judge import ModelJudge
from protocols.providers.transport.http import open_transport
from protocols.task import Judgement, Task


@dataclass(frozen=True, slots=True)
class JudgeChecked(Agreement):
    """The agreement of the judge `model` with the grades in the file `grades`, and its cost, as of `Scored`.
    `first_error`: why the first of the ungraded answers has no grade, "" if all have one."""

    model: str
    grades: str
    calls: int
    tokens: int
    estimated: int
    dollars: float | None
    seconds: float
    first_error: str = ""


async def check_judge(
    configuration: Configuration, environ: Mapping[str, str], path: Path, accounts: Accounts | None = None
) -> JudgeChecked:
    """Let the judge grade the answers in a file that people have graded, and compare. Only replies are written, to a
    configured reply cache. An answer without a readable verdict is left out, and counted.

    :raises InputError: the metric is no judge, or the grades cannot be used: too few, or all the same.
    :raises BudgetExhausted: a cap refused a call.
    :raises ModelError: a failure that would affect every other call, too, or no answer was graded.
    """
    if compares(configuration) and not grades(configuration):
        raise ConfigError(
            f"the metric {PREFERENCE} compares answers and gives no grades; --set task.metric={JUDGE} checks whether "
            "the same model is right by the same rubric where it grades them one by one"
        )
    if not grades(configuration):
        raise ConfigError('no judge to check: task.metric names none; set metric = "judge" and a rubric under [task]')
    task, graded, ledger = await in_thread(_read, configuration, environ, path)
    async with open_transport(environ) as transport, AsyncExitStack() as stack:
        models, cache = await in_thread(Models, configuration, environ, transport, ledger, accounts), None
        if file := configuration.cache.path:
            opened = open_cache(configuration.path(file), configuration.cache.megabytes * 2**20)
            cache = await stack.enter_async_context(opened)
        await models.look_up_windows()
        metric = ModelJudge(task.kind, configuration.task.rubric or "", models.of("judge", cache))
        verdicts = await _verdicts(metric, graded, configuration.at_once)
    judged = [verdict if isinstance(verdict, Judgement) else None for verdict in verdicts]
    errors = [verdict for verdict in verdicts if isinstance(verdict, ModelError)]
    if len(errors) == len(graded):
        raise errors[0]
    found = await in_thread(agreement, graded, judged)
    return JudgeChecked(
        **{name: getattr(found, name) for name in asdict(found)},
        model=configuration.models.of("judge"),
        grades=str(path),
        calls=ledger.calls,
        tokens=ledger.tokens,
        estimated=ledger.estimated,
        dollars=ledger.dollars,
        seconds=ledger.seconds,
        first_error=str(errors[0]) if errors else "",
    )


async def _verdicts(
    metric: ModelJudge, graded: Sequence[Graded], at_once: int
) -> Sequence[Judgement | ModelError | None]:
    """The judge's verdict on each answer, or the error that left it without one."""
    verdicts: list[Judgement | ModelError | None] = [None] * len(graded)
    limit = anyio.CapacityLimiter(at_once)

    async def ask(place: int, one: Graded) -> None:
        async with limit:
            try:
                verdicts[place] = await metric.judge(one.example, one.answer)
            except ModelError as error:
                if error.fatal:
                    raise
                verdicts[place] = error

    async with anyio.create_task_group() as group:
        for place, one in enumerate(graded):
            group.start_soon(ask, place, one, name=f"judge {one.example.id}")
    return verdicts


def _read(
    configuration: Configuration, environ: Mapping[str, str], path: Path
) -> tuple[Task, tuple[Graded, ...], Ledger]:
    task = load_task(configuration)
    source = next(iter(sources(configuration).values()))
    graded = load_grades(Source(str(path), fields=source.fields))
    if len(graded) < LEAST:
        raise DataError(
            f"{len(graded)} graded answers tell too little of a judge: give {LEAST} to 100, good ones and bad ones",
            file=str(path),
        )
    if odd := [one for one in graded if tuple(sorted(one.example.inputs)) != task.fields]:
        there, wanted = ", ".join(sorted(odd[0].example.inputs)), ", ".join(task.fields)
        raise DataError(f"{odd[0].example.id} has the input fields {there}, and the task {wanted}", file=str(path))
    if len({one.grade for one in graded}) < 2:
        raise DataError("all grades are the same, so that nothing can agree with them", file=str(path))
    return task, graded, open_ledger(configuration, environ)
