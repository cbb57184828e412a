"""Checks a configuration, and everything that it names, before a run."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from agents.check.examples import look_at_examples
from agents.check.findings import Diagnosis, Finding, Findings, Sent
from agents.check.programs import first_requests, run_on_a_few
from agents.check.reaching import call_each, check_memory_of, open_models, to_call
from agents.config.catalogue import open_operators, open_selector
from agents.config.configuration import Configuration, load
from agents.config.extensions import check_agents
from agents.config.loading import (
    doubled_braces,
    load_corpus,
    load_first_prompt,
    opponent_of,
)
from agents.config.metrics import PREFERENCE, against, compares, grades, json_as_words
from agents.config.own_instructions import critic_instruction, own_instructions
from agents.config.roles import embedder_of
from agents.config.tables.search import AgentsTable
from agents.directory.run_directory import usable
from agents.forecast.composed import composed
from agents.forecast.estimate import Estimate, estimate
from agents.forecast.headroom import measure
from agents.forecast.least import check_caps, check_length, reply_room, role_of
from agents.forecast.past import read_past
from agents.forecast.trial import Tried
from agents.headroom.found import Headroom
from agents.headroom.probe import Tell
from agents.models.accounts import Accounts
from agents.models.asking import check_asked
from agents.models.budget import open_ledger, prices
from agents.models.known_names import check_names
from agents.operators.operator import Operator
from agents.programs.trial import Trial
from agents.prompting.asking import likely_requests, program_limit
from agents.prompting.retrieval_slots import open_slots, slots_of, unfilled
from agents.run.opening import check_editable
from memory import upkeep
from protocols.concurrency.threads import in_thread
from protocols.errors import (
    BudgetExhausted,
    ConfigError,
    InputError,
    MemoryMismatch,
    ModelError,
)
from protocols.metrics.judge import ModelJudge, Preference
from protocols.model import ChatMessage
from protocols.prompt import Prompt, braced, holds_placeholder
from protocols.providers.local_model import LocalModel
from protocols.providers.transport.http import open_transport
from protocols.task import Task


async def diagnose(
    path: Path,
    settings: Sequence[str],
    environ: Mapping[str, str],
    offline: bool,
    accounts: Accounts | None = None,
    headroom: Tell | None = None,
) -> Diagnosis:
    """Check everything, make one small call to each model and run a program on a few training examples, unless
    `offline`, and estimate the cost of a search, for which no key is needed.

    Writes only replies, to a configured reply cache. `accounts` track the calls in flight. `headroom`: if given and
    all checks pass, headroom is measured, too, and each result is passed to it.
    """
    found = Findings()
    load_it = partial(found.attempt, "configuration", lambda: load(path, settings), lambda _: str(path))
    configuration = await in_thread(load_it)
    if configuration is None:
        found.skip("estimate", "the configuration must be put right first")
        return Diagnosis(tuple(found.all), None)
    operators, task, prompt = await in_thread(_looked_at, found, configuration, environ)
    silent = {f"proposer/{name}" for name, each in (operators or {}).items() if getattr(each, "silent", False)}
    async with open_transport(environ) as transport:
        models = await in_thread(open_models, found, configuration, environ, transport, operators, silent)
        for model, _ in models:
            if isinstance(model, LocalModel):
                await check_memory_of(found, model, offline)
        if offline:
            found.skip("model calls", "--offline")
        else:
            rooms = _rooms(configuration, task, prompt) if task and prompt else {}
            called = [(model, roles) for model, roles in models if not silent.issuperset(roles)]
            await call_each(found, to_call(configuration, called), accounts or Accounts(), rooms)
    sent = _sent(configuration, task, prompt) if task and prompt else ()
    tried: Tried | None = None
    if task and prompt and task.program and operators:
        if offline or Diagnosis(tuple(found.all), None).exit_code:
            why = "--offline" if offline else "the rest must be put right first"
            found.skip("program", f"{why}; the estimate takes each prompt to be called once for an example")
        else:
            tried = await run_on_a_few(found, configuration, environ, task, prompt, accounts or Accounts())
    sent = first_requests(task, tried) if task and tried and tried.requests else sent
    seen = tried.trial if tried else None
    blocking = found.blocking
    if blocking or not (operators and task and prompt):
        found.skip("estimate", f"to be put right first: {', '.join(blocking) or 'the examples'}")
        return Diagnosis(tuple(found.all), None, sent)
    expected = await _estimated(configuration, environ, task, prompt, operators, seen)
    diagnosis = Diagnosis(tuple(found.all), expected, sent)
    if headroom is None or offline or diagnosis.exit_code:
        return diagnosis
    if compares(configuration):
        why = f"the metric {PREFERENCE} compares answers, and the first prompt has a half by definition"
        return replace(diagnosis, findings=(*diagnosis.findings, Finding("headroom", "not checked", why)))
    measuring = measure(configuration, environ, task, prompt, headroom, accounts or Accounts(), seen)
    return await _with_headroom(diagnosis, measuring)


async def _estimated(
    configuration: Configuration,
    environ: Mapping[str, str],
    task: Task,
    prompt: Prompt,
    operators: Mapping[str, Operator],
    seen: Trial | None,
) -> Estimate:
    """The search that is to be expected. `seen`: what the program of a task did on a few examples."""
    slots = await in_thread(lambda: open_slots(task, load_corpus(configuration)))
    asked = await composed(slots, prompt, operators, configuration.minibatch(len(task.validation)))
    past = await in_thread(read_past, configuration)
    known = await in_thread(prices, configuration, environ)
    return estimate(configuration, known, task, prompt, asked, past, seen)


async def _with_headroom(diagnosis: Diagnosis, measuring: Awaitable[Headroom]) -> Diagnosis:
    try:
        return replace(diagnosis, headroom=await measuring)
    except (ModelError, BudgetExhausted) as error:
        failed = Finding("headroom", "failed", str(error), call=True)
        return replace(diagnosis, findings=(*diagnosis.findings, failed))


def _looked_at(
    found: Findings, configuration: Configuration, environ: Mapping[str, str]
) -> tuple[Mapping[str, Operator] | None, Task | None, Prompt | None]:
    """The operators, the task and the first prompt, each None if it cannot be used; all that is wrong is `found`."""
    operators = _operators(found, configuration)
    likely, task = look_at_examples(found, configuration)
    prompt = _prompt(found, configuration, likely, operators)
    if task and prompt:
        found.warn("answers", task.kind.names.warning(prompt))
        found.warn("input", "" if task.program else _unshown(prompt, task))
        found.warn("braces", doubled_braces(prompt, task))
        found.warn("metric", json_as_words(task))
        found.note("replies", _replies(configuration, task, prompt))
        if path := against(configuration):
            compare = partial(opponent_of, configuration, task)
            found.attempt("opponent", compare, lambda _: f"answers are compared with those of {path}")
        if most := configuration.prompt.max_tokens:
            check = partial(check_length, configuration, task, prompt)
            found.attempt("length", check, lambda _: f"the first prompt keeps to {most:,} tokens")
    _budget(found, configuration, environ, task, prompt, operators)
    _paths(found, configuration, environ)
    return operators, task, prompt


def _operators(found: Findings, configuration: Configuration) -> Mapping[str, Operator] | None:
    search = configuration.search
    named, instructions = configuration.search_operators, partial(own_instructions, configuration)
    operators = found.attempt("operators", lambda: open_operators(named, instructions()), ", ".join)
    if configuration.critic.instruction is not None:
        found.attempt("critic", lambda: critic_instruction(configuration), lambda _: "it has your instruction")
    found.attempt("selector", lambda: open_selector(search.selector, Random(0)), lambda _: str(search.selector))
    if configuration.agents.criticises and configuration.agents != AgentsTable():
        found.attempt("agents", lambda: check_agents(configuration.agents), lambda _: "your own agents were found")
    elif not configuration.agents.criticises:
        found.attempt("agents", lambda: check_agents(configuration.agents), lambda _: 'no critic (critic = "none")')
    if operators is not None:
        known = "every name of an operator or a provider is known"
        found.attempt("names", lambda: check_names(configuration), lambda _: known)
        known = "the models' wire formats have them all"
        found.attempt("parameters", lambda: check_asked(configuration), lambda _: known)
    return operators


def _prompt(
    found: Findings, configuration: Configuration, likely: Task | None, operators: Mapping[str, Operator] | None
) -> Prompt | None:
    if likely is None:
        found.skip("prompt", "its placeholders are the fields of the examples, and there are none")
        return None

    def describe(prompt: Prompt) -> str:
        size = f"{len(prompt.sections)} sections, about {prompt.tokens:,} tokens"
        if likely.program is not None:
            return f"{', '.join(likely.program.prompts)}: {size} together"
        tools = [section.name for section in prompt if section.kind == "tool"]
        beside = f"; sent beside the messages: {', '.join(tools)}" if tools else ""
        return f"{size}; the placeholders are input fields{beside}"

    prompt = found.attempt("prompt", lambda: load_first_prompt(configuration, likely), describe)
    if prompt is not None and operators is not None:
        found.attempt("sections", lambda: check_editable(prompt, operators, likely), lambda _: "some can be edited")
    return prompt


def _unshown(prompt: Prompt, task: Task) -> str:
    """A warning about input fields that no section shows; "" if there are none."""
    left = [f for f in task.fields if not any(holds_placeholder(section.filled, (f,)) for section in prompt)]
    return f"no section shows {braced(left)}: the model does not see it" if left else ""


def _rooms(configuration: Configuration, task: Task, prompt: Prompt) -> dict[str, int | None]:
    """Most tokens of a reply by each model that answers the task, the least of its prompts."""
    parts = task.program.parts(prompt) if task.program else {"": prompt}
    rooms: dict[str, int | None] = {}
    for name, part in parts.items():
        for role, model in configuration.models.each(role_of(name)).items():
            room = reply_room(configuration, program_limit(task, name, part), role)
            rooms[model] = min(room, rooms.get(model) or room)
    return rooms


def _replies(configuration: Configuration, task: Task, prompt: Prompt) -> str:
    """The limit of reply tokens, its reason, and the number of replies per example, in words."""
    repeats = configuration.search.repeats
    models = len(configuration.models.several)
    asked = f"; each example is asked {repeats} times" if repeats > 1 else ""
    asked += f"; {models} models answer each" if models else ""
    if task.program is not None and len(task.program.prompts) > 1:
        parts = task.program.parts(prompt).items()
        rooms = [(n, reply_room(configuration, program_limit(task, n, part), role_of(n))) for n, part in parts]
        each = ", ".join(f"{room:,} of {name}" for name, room in rooms)
        return f"tokens at most: {each} (prompts.NAME.reply_tokens sets another limit){asked}"
    [(name, part)] = (task.program.parts(prompt) if task.program else {"": prompt}).items()
    limit = program_limit(task, name, part)
    room = reply_room(configuration, limit, role_of(name))
    if room > limit:
        why = "what the model needs, which may think first"
    elif configuration.task.reply_tokens:
        why = "task.reply_tokens"
    elif name and configuration.prompts[name].reply_tokens:
        why = f"prompts.{name}.reply_tokens"
    elif limit > task.kind.limit:
        why = f"{task.kind.limit} for an answer of this kind, {task.kind.thought} to think first, as the prompt asks"
    else:
        why = "for an answer of this kind; task.reply_tokens sets another limit"
    return f"of {room:,} tokens at most ({why}){asked}"


def _sent(configuration: Configuration, task: Task, prompt: Prompt) -> tuple[Sent, ...]:
    """The first training example as it is sent to the task model, and, with its expected answer as the reply, to a
    judge. Of a program, each prompt with the names of the values that it computes."""
    example, fill = task.train[0], unfilled
    if slots_of(prompt):
        try:
            corpus = load_corpus(configuration)
        except InputError:
            return ()  # the corpus has its own finding
        fill = open_slots(task, corpus).inputs
    expected = task.kind.show(example.target)
    likely = likely_requests(task, prompt, example.inputs, fill)
    sent = [Sent(role_of(request.prompt), example.id, request.messages, expected) for request in likely]
    rubric, answer = configuration.task.rubric or "", expected or "..."
    if grades(configuration):
        question = ModelJudge(task.kind, rubric, None).question(example, answer)
        sent.append(Sent("judge", example.id, (ChatMessage("user", question),), expected))
    if compares(configuration):
        question = Preference(task.kind, rubric, None, None).question(example, answer, "...")
        sent.append(Sent("judge", example.id, (ChatMessage("user", question),), expected))
    return tuple(sent)


def _budget(
    found: Findings,
    configuration: Configuration,
    environ: Mapping[str, str],
    task: Task | None,
    prompt: Prompt | None,
    operators: Mapping[str, Operator] | None,
) -> None:
    """Check that the caps can be kept, and leave room for a search."""

    def check() -> None:
        ledger = open_ledger(configuration, environ)
        if task is not None and prompt is not None:
            check_caps(configuration, task, prompt, ledger.prices)

    if operators is None:
        found.skip("budget", "the operators must be put right first")
    else:
        found.attempt("budget", check, lambda _: "its caps can be kept")


def _paths(found: Findings, configuration: Configuration, environ: Mapping[str, str]) -> None:
    """Check the files and folders that a configuration names besides the examples and the prompt."""
    if configuration.task.corpus:
        found.attempt("corpus", lambda: load_corpus(configuration), lambda passages: f"{len(passages):,} passages")
    if memory := configuration.memory.path:
        path = configuration.path(memory)
        found.attempt("memory", lambda: check_memory(path, embedder_of(configuration, environ)), str)
    if directory := configuration.run.directory:
        there = f"{directory} holds a run that a search resumes"
        found.attempt(
            "run directory",
            lambda: usable(configuration.path(directory)),
            lambda run: there if run else str(directory),
        )


def check_memory(path: Path, ours: tuple[str, int]) -> str:
    """The state of a memory's path, in words. `ours`: name and dimension of the embedder.

    :raises ConfigError, MemoryMismatch, StorageFailed: a run could not use it.
    """
    if not path.exists():
        if not path.parent.is_dir():
            raise ConfigError("there is no such folder; make it", file=str(path.parent))
        return f"{path} will be made"
    there = upkeep.stats(path)
    if there.embedder is not None and (there.embedder, there.dimension) != ours:
        raise MemoryMismatch(
            f"made with the embedder {there.embedder} (dimension {there.dimension}); set that embedder, or give "
            "another path",
            file=str(path),
        )
    return f"{path}: {there.count:,} experiences"
