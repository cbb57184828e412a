"""The tables of a configuration: every key, its default and its range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    model_validator,
)

from agents.archive.front import Prefer
from agents.config.program_tables import Program
from agents.config.values import MOST, Count, Model, Models, Own, Table, Weight, Weights, variable
from agents.ring.team import WIDEST
from protocols.data import Format
from protocols.data.mapping import NO_TARGET
from protocols.files.named import Named
from protocols.metrics.weighted import Across
from protocols.providers.own_model import own_name
from protocols.task import KindName

LEAST_WIDTH, MOST_WIDTH = 8, 256
LEAST_CRITIQUE, MOST_CRITIQUE = 8, 48
NONE = "none"
"""Name that switches an agent off."""
MOST_CALLS, LONGEST_VECTOR, MOST_REPEATS, MOST_SHRINKS = 2**16, 2**16, 1000, 1000
Positive = Annotated[float, Field(gt=0, le=MOST)]
Amount = Annotated[float, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0)]


Role = Literal["task", "credit", "critic", "judge", "proposer", "embedder"]


class FieldsTable(Table):
    """`[task.fields]`: the columns or keys of the data; a key inside an object is named with a dot (`answers.text`).

    `input`: column by input field; empty: every column except target and id. `labels`: the names of the classes 0, 1,
    and so on, if targets are class numbers. `conversations`, `images`: the input fields whose texts are conversations
    in JSON, or names of images. `separator`: stands between the labels of a target that is a text with several.
    """

    input: Mapping[str, str] = {}
    target: str | None = None
    id: str | None = None
    labels: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    separator: Annotated[str, Field(min_length=1)] | None = None


class CutTable(Table):
    """`[task.cut]`: the shares of the splits into which `task.data` is randomly cut."""

    train: Weight = 0.4
    validation: Weight = 0.3
    test: Weight = 0.3
    seed: Seed = 0


class TaskTable(Table):
    """`[task]`: the examples (paths are relative to the configuration's file) and how replies are scored.

    `train`, `validation`, `test`: each a path or `hf:owner/name`; or else `data`, a single path or name, which is cut
    into the three. `format`: of the files, if their suffix does not show it.

    `description`: the input and the wanted answer in words, for the models that write prompts; it is not part of the
    prompt. `kind` sets the default layout of the first prompt, the parser and the metric. `labels`: all labels,
    levels of a scale (the lowest first) or types of entities, or a file with one a line (None: those of train).
    `metric`: another metric by its name, or as `module:function`, or several with weights; `parser`: another parser,
    as `module:function`.
    `rubric`: the text by which the metric judge grades; `pattern`: the regular expression of the metric regex;
    `json_schema`: the file of the metric json_schema. `corpus`: a file or a folder of .txt, .md or .jsonl files whose
    passages the operator rag may show. `more`: files of examples that came later, in the form of the others; each is
    cut in the proportions of the splits and put behind them, without the examples that are known. `overlay`: a file
    with corrections of gold answers (None: the one that `label` writes, if it is there).

    `program`: the user's code that answers the examples with the prompts of
    `[prompts]`; `program_timeout`: seconds that it may spend on an example without calling a model. `reply_tokens`:
    maximum number of tokens of a reply (None: as many as answers of the kind need, see
    `protocols.metrics.reply_limits`).
    """

    name: str
    description: str | None = None
    kind: KindName = "classification"
    labels: tuple[str | int, ...] | str | None = None
    program: Program | None = None
    program_timeout: Positive = 300.0
    metric: Weights = None
    parser: Own | None = None
    rubric: str | None = None
    pattern: str | None = None
    json_schema: Path | None = None
    reply_tokens: Count | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    data: str | None = None
    cut: CutTable = CutTable()
    more: tuple[str, ...] = ()
    format: Format | None = None
    fields: FieldsTable = FieldsTable()
    corpus: Path | None = None
    overlay: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        missing = [name for name in ("train", "validation", "test") if not getattr(self, name)]
        if self.data and len(missing) < 3:
            raise ValueError("data is cut into train, validation and test: give either it or the three")
        if missing and not self.data:
            raise ValueError(f"{' and '.join(missing)} missing; give train, validation and test, or data to be cut")
        if self.cut != CutTable() and not self.data:
            raise ValueError("cut says how data is cut, and there is no data")
        if self.fields.target == NO_TARGET and self.kind != "generation":
            raise ValueError(
                f'fields.target = "{NO_TARGET}" says that there are no targets, and answers of the kind {self.kind} '
                'are compared with them; for answers that are judged by themselves set kind = "generation"'
            )
        return self


class PromptTable(Table):
    """`[prompt]`: the first prompt, from a file or as a text that is put into the default layout.

    `tools`: a file with the definitions of tools that a reply may call; `response_schema`: a file with the JSON
    schema of replies; their descriptions are sections of the prompt (docs/tools.md). `literal`: names in braces in
    the prompt that are plain text, not placeholders. `max_tokens`: maximum number of
    estimated tokens of a prompt as sent, without the input, but with the examples and passages filled in for it
    (None: no limit).
    """

    file: Path | None = None
    text: str | None = None
    tools: Path | None = None
    response_schema: Path | None = None
    literal: tuple[str, ...] = ()
    max_tokens: Count | None = None


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


class AgentsTable(Table):
    """`[agents]`: a user's own agents, each as `module:Class`, in place of the ring's (docs/agents.md).

    `critic` may be `none`: then there are no critiques, and section credit is not measured. `proposers`: by the
    operator's name. `observers` see every message.
    """

    critic: Own | None = None
    evaluator: Own | None = None
    proposers: Mapping[str, Own] = {}
    observers: tuple[Own, ...] = ()

    @property
    def criticises(self) -> bool:
        """Whether there is a critic."""
        return self.critic is None or self.critic.use != NONE

    def of(self, address: str) -> Named | None:
        """The class that replaces `critic`, `evaluator` or `proposer/<operator>`, None if none does."""
        kind, _, operator = address.partition("/")
        return (
            self.proposers.get(operator) if operator else {"critic": self.critic, "evaluator": self.evaluator}[kind]
        )


class OperatorTable(Table):
    """`[operators.<name>]`, `[critic]`. `instruction`: a file with the user's instruction, in place of the built-in
    one."""

    instruction: Path | None = None


class SearchTable(Table):
    """`[search]`: how to search.

    `width`: assignments in flight (None: see `Configuration.width`). `barrier`: issue no assignment before all others
    have ended; only for comparison. `assignments`: edits tried in all. `alpha`: maximum probability that an edit
    survives that improves nothing. `min_effect`: how much worse a shorter prompt may be. `critique`: training
    examples whose failures a critic reads (None: see `Configuration.minibatch`). `repeats`: how often each example is
    asked; its score is the mean. `across_models`: whether the score of several models of the task is the mean or the
    lowest of theirs. `concurrency`: maximum number of calls in flight for one prompt (None: the limit of
    the task's model). `max_unanswered`: the share of the run's examples that may be left unanswered. `credit_share`:
    maximum number of calls for section credit per call for the task; 0: none. `on_agent_error`: whether an exception
    of an agent (a user's own operator, for example) fails the run, or only its assignment; in the latter case,
    `agent_errors` such assignments in a row fail the run. `prefer`: which candidate is the result, see
    `agents.archive.front.preferred`. `shrink`: maximum number of races to make the result shorter at the end; 0:
    none. `headroom`: whether a search measures headroom first, if that is cheap. `guard`: the number of
    first validation examples on which the result must be no worse than the first prompt, see `agents.archive.guard`.
    `review`: whether an edit that has won its race waits until a person accepts or rejects it (docs/steering.md).
    """

    seed: Seed = 0
    width: Annotated[int, Field(ge=1, le=WIDEST)] | None = None
    barrier: bool = False
    assignments: Annotated[int, Field(ge=0, le=int(MOST))] = 100
    operators: tuple[Own, ...] = tuple(
        map(Named, ("describe", "few_shot", "self_reflection", "chain_of_thought", "contract"))
    )
    selector: Own = Named("msgd_rl")
    prefer: Prefer = "short"
    shrink: Annotated[int, Field(ge=0, le=MOST_SHRINKS)] = 12
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.3
    min_effect: Annotated[float, Field(ge=0, lt=1)] = 0.01
    critique: Count | None = None
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS)] = 1
    across_models: Across = "mean"
    concurrency: Annotated[int, Field(ge=1, le=MOST_CALLS)] | None = None
    max_unanswered: Annotated[float, Field(ge=0, le=1)] = 0.05
    credit_share: Annotated[float, Field(ge=0, le=1000)] = 0.1
    token_price: Annotated[float, Field(ge=0, le=1)] = 1e-5
    failure_reward: Annotated[float, Field(ge=-1, le=0)] = -0.05
    on_agent_error: Literal["fail", "skip"] = "fail"
    agent_errors: Count = 5
    headroom: bool = True
    guard: Annotated[int, Field(ge=0, le=int(MOST))] = 0
    review: bool = False


class CapsTable(Table):
    """`[budget.roles.<role>]` and `[budget.operators.<operator>]`. None: no cap."""

    calls: Count | None = None
    tokens: Count | None = None
    dollars: Positive | None = None
    minutes: Positive | None = None


class BudgetTable(CapsTable):
    """`[budget]`: caps of the run, including the held-out report, and of its roles and operators.

    When a cap of the critic is used up, there are no more critiques; when an operator's is, the operator is no longer
    chosen; any other cap ends the search. So does reaching `target`, a value on validation that is good enough, or
    `patience`, a number of assignments in a row without a better best value.
    """

    target: Annotated[float, Field(ge=0, le=1)] | None = None
    patience: Count | None = None

    roles: Mapping[Role, CapsTable] = {}
    operators: Mapping[str, CapsTable] = {}


class CacheTable(Table):
    """`[cache]`: the file of the reply cache (None: in the run directory); runs may share it, even at the same time.

    `megabytes`: size beyond which the oldest replies are removed.
    """

    path: Path | None = None
    megabytes: Count = 1024


class MemoryTable(Table):
    """`[memory]`: the folder of the experiences (None: in the run directory), and whether a run reads and adds any.

    `embedder`: the embedding model, `openai/…` or `local/…`, with vectors of `dimension` numbers (None: hashed
    n-grams, without any call).
    """

    path: Path | None = None
    read: bool = True
    write: bool = True
    embedder: str | None = None
    dimension: Annotated[int, Field(ge=1, le=LONGEST_VECTOR)] | None = None

    @model_validator(mode="after")
    def _embeds(self) -> Self:
        if self.embedder and self.embedder.partition("/")[0] not in ("openai", "local"):
            raise ValueError(f"embedder = {self.embedder!r} cannot embed; name a model openai/… or local/…")
        if (self.embedder is None) != (self.dimension is None):
            raise ValueError("embedder and dimension go together; give both or neither")
        return self


class RunTable(Table):
    """`[run]`: the run directory, created if needed. `spans`: whether to export the run as OpenTelemetry spans; this
    needs the extra `otel`, and the variables OTEL_EXPORTER_OTLP_* set the destination. `spans_texts`: whether these
    hold prompts and replies. `exchanges`: whether the journal keeps what was asked and answered. `batch`: whether the
    first prompt's evaluation, the held-out report and `evaluate` are asked in batches, at a lower price."""

    directory: Path | None = None
    spans: bool = False
    spans_texts: bool = False
    exchanges: bool = True
    batch: bool = False
