"""Checks that the models of a configuration can be reached: opens them as configured, and calls each once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import anyio

from agents.check.findings import Finding, Findings
from agents.config.configuration import Configuration
from agents.config.metrics import asks_judge
from agents.config.roles import EMBEDDER, model_settings, open_adapter
from agents.models.accounts import Accounts
from agents.models.asking import alike, check_asked, described
from protocols.errors import (
    AuthenticationFailed,
    CallTimeout,
    ConfigError,
    ConnectionFailed,
    ModelError,
    ModelNotFound,
    QuotaExhausted,
    RateLimited,
    UnreadableReply,
)
from protocols.model import ChatMessage, ChatModel, Reply, Request
from protocols.pacing.limits import Limits
from protocols.providers.catalogue import EMBEDDED, Account, is_local, open_embeddings
from protocols.providers.local_model import LocalModel, in_words
from protocols.providers.transport.http import Transport
from protocols.thought import without_thought
from protocols.wrappers.asking import AskingModel
from protocols.wrappers.limited import LimitedModel
from protocols.wrappers.reply_room import MinReplyTokensModel

SMALL: Final = Request((ChatMessage("user", "Reply with the word OK."),))
"""The test call. It leaves room to think, since some models refuse to answer without."""
ADVICE: Final[Mapping[type[Exception], str]] = {
    AuthenticationFailed: "check the key, and that it may use this model",
    ModelNotFound: "check the model's name and base_url",
    QuotaExhausted: "add credit, or use another account",
    RateLimited: "wait, or lower concurrency",
    ConnectionFailed: "check base_url and the network",
    CallTimeout: "try again, or raise timeout",
}


def open_models(
    found: Findings,
    configuration: Configuration,
    environ: Mapping[str, str],
    transport: Transport,
    operators: Iterable[str] | None,
    silent: Collection[str] = (),
) -> list[tuple[ChatModel, Sequence[str]]]:
    """Open each distinct model of the configuration, without calling it; returns those that could be opened, with
    their roles. None are opened if their parameters cannot be sent. `silent`: roles that ask no model; they are named
    only where nobody else uses the model that is set for them."""
    tables = configuration.models
    proposers = tables.proposers if operators is None else operators
    try:
        check_asked(configuration, proposers)
    except ConfigError:
        found.skip("models", "their parameters must be put right first")
        return []
    roles: dict[str, list[str]] = {}
    critic = ["critic"] if configuration.agents.criticises else []
    judge = ["judge"] if asks_judge(configuration) else []
    prompts = [f"task/{name}" for name in tables.prompts]
    others = (*prompts, *critic, *judge, *(f"proposer/{name}" for name in proposers))
    for role, model in (tables.each("task") | {role: tables.of(role) for role in others}).items():
        roles.setdefault(model, []).append(role)

    def attempt(name: str, said: str, dimension: int | None = None) -> ChatModel | None:
        def open_it() -> ChatModel:
            if dimension is not None:
                settings = model_settings(configuration.provider(name))
                return open_embeddings(name, settings, environ, transport, dimension)
            return open_adapter(configuration, name, environ, transport)

        called = roles.get(name, ())
        if called and all(role in silent for role in called):
            said = f"it is not called: {' and '.join(called)} need{'s' * (len(called) == 1)} no model"
        plain = "no language model: models.default names one; " if name == EMBEDDED and "task" in called else ""
        return found.attempt(f"model {name}", open_it, lambda _: plain + said)

    roles = {name: [role for role in called if role not in silent] or called for name, called in roles.items()}
    models = [(attempt(name, described(alike(configuration, called))), called) for name, called in roles.items()]
    if embedder := configuration.memory.embedder:
        models.append((attempt(embedder, EMBEDDER, configuration.memory.dimension), [EMBEDDER]))
    return [(model, called) for model, called in models if model is not None]


def to_call(
    configuration: Configuration, models: Iterable[tuple[ChatModel, Sequence[str]]]
) -> list[tuple[str, ChatModel]]:
    """The test calls with their names: one for each model and each distinct set of parameters."""
    calls: list[tuple[str, ChatModel]] = []
    for model, called in models:
        groups = alike(configuration, called)
        room = MinReplyTokensModel(model, configuration.provider(model.name).reply_tokens or 1)
        for parameters, those in groups.items():
            what = f"call to {model.name}" + (f" as {', '.join(those)}" if len(groups) > 1 else "")
            calls.append((what, AskingModel(room, parameters.fields) if parameters.fields else room))
    return calls


async def check_memory_of(found: Findings, model: LocalModel, offline: bool) -> None:
    """Check the memory that a local model needs on this machine, if its weights are downloaded or may be."""
    if offline and not await model.is_here():
        found.skip("memory", f"the weights of {model.name} are not downloaded yet")
        return
    try:
        plan, weights = await model.plan()
    except ConfigError as error:
        found.all.append(Finding("memory", "failed", str(error)))
    else:
        found.all.append(Finding("memory", "ok", in_words(plan, weights)))


async def call_each(
    found: Findings, models: Sequence[tuple[str, ChatModel]], accounts: Accounts, rooms: Mapping[str, int | None]
) -> None:
    """Make one small call to each model, all at once and without retries. `rooms`: most tokens of a model's replies,
    None if not known."""
    results: list[Finding | None] = [None] * len(models)

    async def one(index: int, what: str, model: ChatModel) -> None:
        try:
            limiter = accounts.limiter(Account(model.name), Limits())
            reply = await LimitedModel(model, limiter, urgent=True).complete(SMALL)
        except (ModelError, ConfigError) as error:
            advice = ADVICE.get(type(error))
            results[index] = Finding(what, "failed", f"{error}; {advice}" if advice else str(error), call=True)
        else:
            how = ", estimated: the server does not count them" if reply.usage.estimated else ""
            spent = f"{reply.usage.input} + {reply.usage.output} tokens{how}"
            room = rooms.get(model.name)
            long = room is not None and reply.usage.output > room and may_have_thought(reply, model.name)
            more = (
                f"; a reply of the task may have {room}: if the model thinks before it answers, give it room with "
                f'reply_tokens under [providers."{model.name}"]'
            )
            said = f"answered in {reply.latency:.2f} s, {spent}{more * long}"
            results[index] = Finding(what, "warning" if long else "ok", said, call=True)

    async with anyio.create_task_group() as tasks:
        for index, (what, model) in enumerate(models):
            tasks.start_soon(one, index, what, model, name=what)
    found.all += [result for result in results if result is not None]


def may_have_thought(reply: Reply, model: str) -> bool:
    """Whether a thought may be what made a reply long: one is seen in it, or the model is a provider's,
    which may keep its thought to itself. All that a model on this machine writes is in its text."""
    try:
        if without_thought(reply.text, reply.finish) != reply.text:
            return True
    except UnreadableReply:
        return True
    return not is_local(model) and model != EMBEDDED
