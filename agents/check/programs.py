"""Checks a program by running it on a few training examples."""

from __future__ import annotations

from collections.abc import Mapping

from agents.check.findings import Finding, Findings, Sent
from agents.config.configuration import Configuration
from agents.config.loading import load_corpus
from agents.forecast.least import check_caps, role_of
from agents.forecast.trial import TRIED, Tried, try_program
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger
from agents.models.outside import open_forward
from agents.programs.trial import Trial
from agents.programs.watched import HELD_UP
from agents.prompting.retrieval_slots import open_slots
from protocols.concurrency.threads import in_thread
from protocols.errors import BudgetExhausted, InputError, ModelError
from protocols.prompt import Prompt
from protocols.task import Task
from protocols.text import how_many, one_line


async def run_on_a_few(
    found: Findings,
    configuration: Configuration,
    environ: Mapping[str, str],
    task: Task,
    first: Prompt,
    accounts: Accounts,
) -> Tried | None:
    """Run the program on the first training examples with the first prompts, and add what it did to the findings;
    None if no example could be tried."""
    try:
        slots = await in_thread(lambda: open_slots(task, load_corpus(configuration)))
        ledger = await in_thread(open_ledger, configuration, environ)
        async with open_forward(configuration, environ, ledger, slots, accounts) as forward:
            tried = await try_program(forward, first, task.train[:TRIED])
    except (ModelError, BudgetExhausted) as error:
        found.all.append(Finding("program", "failed", str(error), call=True))
        return None
    look(found, tried.trial)
    if tried.trial.stands:
        try:
            await in_thread(check_caps, configuration, task, first, ledger.prices, tried.trial)
        except InputError as error:
            found.all.append(Finding("budget", "failed", str(error)))
    return tried


def look(found: Findings, trial: Trial) -> None:
    """The findings of a trial: the answers, the use of each prompt, and the program's notes."""
    count, answered = len(trial.examples), sum(answer is not None for answer in trial.answers)
    said = next((answer for answer in trial.answers if answer is not None), "")
    if answered:
        first = trial.examples[trial.answers.index(said)]
        what = (
            f"answered {answered} of {count} training examples; {first}: {one_line(said, 100) or '(an empty text)'}"
        )
        found.all.append(Finding("program", "ok" if trial.stands else "warning", what))
    if trial.errors:
        others = f"; {len(trial.errors) - 1} more of {count} examples failed, too" if len(trial.errors) > 1 else ""
        found.all.append(Finding("program", "warning" if answered else "failed", f"{trial.errors[0]}{others}"))
    unused = trial.stands and not trial.calls
    if unused:
        found.warn(
            "prompts",
            f"the program called none of its prompts on {how_many(count, 'example')}: no edit of a prompt can change "
            "its answers; have it call one",
        )
    for name, use in trial.prompts.items():
        if not use.total:
            if not unused:
                found.warn("prompts", f"the prompt {name} was never called on {count} examples")
            continue
        failed = f", {use.failed} of them failed" if use.failed else ""
        sent, replied = use.mean(use.usage.input), use.mean(use.usage.output)
        each = f"{sent:,.0f} + {replied:,.0f} tokens and {use.mean(use.seconds):.2f} s each"
        times = f"{min(use.calls)} to {max(use.calls)}" if len({*use.calls}) > 1 else f"{use.calls[0]}"
        found.note("prompts", f"{name}: {use.total} calls on {count} examples ({times} an example{failed}), {each}")
    for note in trial.notes:
        found.all.append(Finding("note", "warning" if HELD_UP in note else "ok", note))


def first_requests(task: Task, tried: Tried) -> tuple[Sent, ...]:
    """The first request to each prompt, as it was made."""
    expected = {example.id: task.kind.show(example.target) for example in task.train}
    return tuple(
        Sent(role_of(request.prompt), example, request.messages, expected.get(example, ""))
        for example, request in tried.requests
    )
