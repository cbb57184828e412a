"""The tables of models: which role asks which, and how each is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from agents.config.tables.values import MOST, MOST_CALLS, Amount, Count, Model, Models, Own, Positive, Table, variable
from protocols.files.named import Named
from protocols.providers.own_model import own_name


class ParametersTable(Table):
    """`[models.parameters]`: parameters of each role's calls, fields of a call's body by the names of the wire format
    (see protocols/providers/parameters.py). They override those of the provider's table. `proposers`: for single
    operators, by the operator's name; these override the proposer's."""

    task: Mapping[str, Any] = {}
    critic: Mapping[str, Any] = {}
    proposer: Mapping[str, Any] = {}
    judge: Mapping[str, Any] = {}
    proposers: Mapping[str, Mapping[str, Any]] = {}

    def of(self, role: str) -> Mapping[str, Mapping[str, Any]]:
        """The tables of a role by their keys, the more specific last; credit has the task's."""
        kind, operator = _kind(role)
        own = {f"proposers.{operator}": self.proposers[operator]} if operator in self.proposers else {}
        return {kind: getattr(self, kind)} | own


class ModelsTable(Table):
    """`[models]`: `provider/model` for each role; other roles use `default`.

    `task`: one model, or several, all of which answer each example (`search.across_models`). `proposers`: a model for
    single operators, by the operator's name; `prompts`: for single prompts of a program, by the prompt's name. A
    user's own model is a table `{ use = "module:Class" }`, or, from Python, an object. `default` is required, since a
    score depends on the model.
    """

    default: Model
    task: Models | None = None
    critic: Model | None = None
    proposer: Model | None = None
    judge: Model | None = None
    proposers: Mapping[str, Model] = {}
    prompts: Mapping[str, Model] = {}
    parameters: ParametersTable = ParametersTable()

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        for one in self._own():
            if (other := self.own(own_name(one))) and other.given is not one.given:
                raise ValueError(f"two models are called {own_name(one)}; give each a `name` of its own")
        return self

    def _own(self) -> Iterator[Named]:
        several = self.task if isinstance(self.task, tuple) else (self.task,)
        named = (
            *several,
            self.default,
            self.critic,
            self.proposer,
            self.judge,
            *self.proposers.values(),
            *self.prompts.values(),
        )
        yield from (one for one in named if isinstance(one, Named))

    def own(self, name: str) -> Named | None:
        """The user's own model of that name; None if it is not a user's own."""
        return next((one for one in self._own() if own_name(one) == name), None)

    @property
    def several(self) -> tuple[str, ...]:
        """The models of the task, if it has several; () if it has one."""
        return tuple(map(_name, self.task)) if isinstance(self.task, tuple) else ()

    @property
    def answering(self) -> str:
        """The model that answers the task, or all that do, in one text for people and files."""
        return " + ".join(self.several) or self.of("task")

    def each(self, role: str) -> dict[str, str]:
        """The models of a role by their own roles: `task/<model>` for each of several of the task, and likewise for
        credit, which has the task's; else one, as from `of`."""
        several = self.several if role in ("task", "credit") else ()
        return {f"{role}/{name}": name for name in several} or {role: self.of(role)}

    def of(self, role: str) -> str:
        """The model of the role `task`, `task/<prompt>`, `task/<model>`, `critic`, `judge` or `proposer/<operator>`;
        credit has the task's, and several models of the task have no role in common."""
        kind, single = _kind(role)
        if kind == "task" and (several := self.several):
            assert single in several, f"{role} has several models"
            return single
        named = (self.prompts if kind == "task" else self.proposers).get(single)
        model: str | Named = named or getattr(self, kind) or self.default
        return _name(model)


def _kind(role: str) -> tuple[str, str]:
    """The kind of a role, and the single one of that kind that it is for, "" for none."""
    kind, _, single = role.partition("/")
    return "task" if kind == "credit" else kind, single


def _name(model: str | Named) -> str:
    return model if isinstance(model, str) else own_name(model)


class PriceTable(Table):
    """`price`: dollars per million tokens. `cached`: input read from the provider's cache; `written`: input written
    to it. `batch`: what a call in a batch costs, relative to these (None: see `agents.models.batching`)."""

    input: Amount
    output: Amount
    cached: Amount | None = None
    written: Amount | None = None
    batch: Annotated[float, Field(gt=0, le=1)] | None = None


class ProviderTable(Table):
    """`[providers."provider/model"]` or `[providers.provider]`: how to reach a model; the model's own table wins.

    For local models: `path`, the GGUF file or `hf:owner/repository/file.gguf`; `slots`, the calls that it answers at
    the same time; `context`, the tokens of each slot; and `threads`. `api`: the form of a request. `key_header`: the
    header that carries the key. `client`: `module:function` that returns an SDK client. `timeout`: seconds for one
    call. `deadline`: seconds for a call with all its retries. `parameters`: of all calls. `system`, `stream`,
    `version`: see `protocols.providers.wire.Wire`. `reply_tokens`: least token limit of a reply, including thinking;
    smaller limits of a role are raised to it (None: see `min_reply_tokens`). `context_tokens`: the model's window
    for request and reply together (None: as the server reports or refuses). `concurrency`, `requests_per_minute` and
    `tokens_per_minute` are limits of an account, for all of its models together; the smallest value set for any of
    them applies. `warm_prefix`: of calls that share a prefix of at least this many tokens, one is sent first, to fill
    the provider's cache; 0: never.
    """

    path: str | None = None
    context: Annotated[int, Field(ge=64, le=2**24)] | None = None
    slots: Annotated[int, Field(ge=1, le=256)] | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    api: Literal["chat", "completions"] | None = None
    base_url: str | None = None
    api_key_env: Annotated[str, AfterValidator(variable)] | None = None
    key_header: str | None = None
    version: str | None = None
    client: Own | None = None
    timeout: Positive | None = None
    token_parameter: Literal["max_tokens", "max_completion_tokens"] | None = None
    parameters: Mapping[str, Any] = {}
    system: Literal["message", "user", "text"] | None = None
    stream: bool | None = None
    reply_tokens: Count | None = None
    context_tokens: Count | None = None
    deadline: Positive | None = None
    concurrency: Annotated[int, Field(ge=1, le=MOST_CALLS)] | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    warm_prefix: Annotated[int, Field(ge=0, le=int(MOST))] | None = None
    price: PriceTable | None = None
