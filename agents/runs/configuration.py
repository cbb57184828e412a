"""What a person may configure, read from TOML: every key, its default and its range."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from agents.ring.team import WIDEST
from protocols.data import Format
from protocols.errors import ConfigError
from protocols.providers.catalogue import EMBEDDED
from protocols.task import KindName

CONCURRENCY = 64
"""Calls in flight of one account where the configuration does not say."""
LEAST_WIDTH, MOST_WIDTH = 8, 256
NONE = "none"
"""In the place of an agent: nobody."""
Weight = Annotated[float, Field(gt=0)]


def _alone(metric: object) -> object:
    """A single name has all the weight."""
    return {metric: 1.0} if isinstance(metric, str) else metric


Role = Literal["task", "credit", "critic", "judge", "proposer"]


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("give the name of the environment variable that holds the key, not the key")
    return name


class Table(BaseModel):
    """A table of the configuration: unknown keys are errors, values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FieldsTable(Table):
    """`[task.fields]`: which column or key holds what; one inside an object is named with a dot (`answers.text`).

    `input`: column by input field; none: every column but target and id. `labels`: the names of the classes 0, 1, and
    so on, where targets are class numbers.
    """

    input: Mapping[str, str] = {}
    target: str | None = None
    id: str | None = None
    labels: tuple[str, ...] = ()


class CutTable(Table):
    """`[task.cut]`: the shares of the splits that `task.data` is cut into at random."""

    train: Annotated[float, Field(gt=0)] = 0.4
    validation: Annotated[float, Field(gt=0)] = 0.3
    test: Annotated[float, Field(gt=0)] = 0.3
    seed: Annotated[int, Field(ge=0)] = 0


class TaskTable(Table):
    """`[task]`: the examples (paths are relative to the configuration's file) and what counts as right.

    `train`, `validation`, `test`: a path or `hf:owner/name`; or else `data`, one of these, to be cut into the three.
    `format`: where the suffix does not say it.

    `kind` chooses the layout of the first prompt, the parser and the metric. `metric`: another one by its name, or
    `module:function`, or several with their weights; `parser`: another one, as `module:function`. `rubric`: the text
    that the metric judge grades by; `pattern`: the regular expression of the metric regex; `json_schema`: the file of
    the metric json_schema. `corpus`: a file or a folder of .txt, .md or .jsonl whose passages the operator rag may
    show.
    """

    name: str
    kind: KindName = "classification"
    metric: Annotated[Mapping[str, Weight], Field(min_length=1), BeforeValidator(_alone)] | None = None
    parser: str | None = None
    rubric: str | None = None
    pattern: str | None = None
    json_schema: Path | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    data: str | None = None
    cut: CutTable = CutTable()
    format: Format | None = None
    fields: FieldsTable = FieldsTable()
    corpus: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        missing = [name for name in ("train", "validation", "test") if not getattr(self, name)]
        if self.data and len(missing) < 3:
            raise ValueError("data is cut into train, validation and test: give either it or the three")
        if missing and not self.data:
            raise ValueError(f"{' and '.join(missing)} missing; give train, validation and test, or data to be cut")
        if self.cut != CutTable() and not self.data:
            raise ValueError("cut says how data is cut, and there is no data")
        return self


class PromptTable(Table):
    """`[prompt]`: the first prompt, from a file or as a text that is put into the default layout.

    `literal`: names that stand in braces in the prompt and are no placeholders.
    """

    file: Path | None = None
    text: str | None = None
    literal: tuple[str, ...] = ()


class ModelsTable(Table):
    """`[models]`: `provider/model` for each role; a role without one has the default's.

    `proposers`: a model for single operators, by the operator's name.
    """

    default: str = "embedded"
    task: str | None = None
    critic: str | None = None
    proposer: str | None = None
    judge: str | None = None
    proposers: Mapping[str, str] = {}

    def of(self, role: str) -> str:
        """The model of `task`, `critic`, `judge` or `proposer/<operator>`; of `credit`, which is the task's."""
        kind, _, operator = ("task" if role == "credit" else role).partition("/")
        named = self.proposers.get(operator) if operator else None
        return named or getattr(self, kind) or self.default


class PriceTable(Table):
    """Dollars per million tokens. `cached`: input read from the provider's cache; `written`: input written to it."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0)] | None = None
    written: Annotated[float, Field(ge=0)] | None = None


class ProviderTable(Table):
    """`[providers."provider/model"]` or `[providers.provider]`: where and how to reach it; a model's own wins.

    `client`: `module:function` that returns an SDK client. `timeout` in seconds, for one call. `deadline` in seconds,
    for a call with all its tries. `concurrency`, `requests_per_minute` and `tokens_per_minute` are limits of an
    account, for all of its models together: the least that is set for any of them holds. `warm_prefix`: of calls that
    share a prefix of so many tokens one goes ahead; 0: never.
    """

    base_url: str | None = None
    api_key_env: Annotated[str, AfterValidator(_variable)] | None = None
    client: str | None = None
    timeout: Annotated[float, Field(gt=0)] | None = None
    token_parameter: Literal["max_tokens", "max_completion_tokens"] | None = None
    deadline: Annotated[float, Field(gt=0)] | None = None
    concurrency: Annotated[int, Field(ge=1)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    warm_prefix: Annotated[int, Field(ge=0)] | None = None
    price: PriceTable | None = None


class AgentsTable(Table):
    """`[agents]`: agents of your own, each as `module:Class`, in the places of the ring's (docs/agents.md).

    `critic` may be `none`: then nobody criticises, and nothing is measured for it. `proposers`: by the operator's
    name. `observers` are shown every message.
    """

    critic: str | None = None
    evaluator: str | None = None
    proposers: Mapping[str, str] = {}
    observers: tuple[str, ...] = ()

    def of(self, address: str) -> str | None:
        """What takes the place of `critic`, `evaluator` or `proposer/<operator>`, if something does."""
        kind, _, operator = address.partition("/")
        return (
            self.proposers.get(operator) if operator else {"critic": self.critic, "evaluator": self.evaluator}[kind]
        )


class SearchTable(Table):
    """`[search]`: how to search.

    `width`: assignments in flight (None: see `Configuration.width`). `barrier`: no assignment before all others have
    ended, to compare with. `assignments`: edits tried in all. `alpha`: the chance, at most, that an edit survives
    which makes nothing better. `min_effect`: how much worse a shorter prompt may be. `critique`: training examples
    whose failures a critic reads. `concurrency`: one prompt's calls in flight at most (None: as many as the task's
    model may have). `max_unanswered`: the share of the run's examples that may be left unanswered. `credit_share`:
    calls that measure what sections are worth, at most so many for each that was made for the task; 0: none.
    `on_agent_error`: whether an exception of an agent (an operator of yours, say) fails the run or its assignment
    alone; then `agent_errors` such assignments in a row fail the run.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    width: Annotated[int, Field(ge=1, le=WIDEST)] | None = None
    barrier: bool = False
    assignments: Annotated[int, Field(ge=0)] = 100
    operators: tuple[str, ...] = ("few_shot", "self_reflection", "chain_of_thought", "short_instruction")
    selector: str = "msgd"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.3
    min_effect: Annotated[float, Field(ge=0, lt=1)] = 0.01
    critique: Annotated[int, Field(ge=1)] = 48
    concurrency: Annotated[int, Field(ge=1)] | None = None
    max_unanswered: Annotated[float, Field(ge=0, le=1)] = 0.05
    credit_share: Annotated[float, Field(ge=0)] = 0.1
    token_price: Annotated[float, Field(ge=0)] = 1e-5
    failure_reward: Annotated[float, Field(le=0)] = -0.05
    on_agent_error: Literal["fail", "skip"] = "fail"
    agent_errors: Annotated[int, Field(ge=1)] = 5


class CapsTable(Table):
    """`[budget.roles.<role>]` and `[budget.operators.<operator>]`: a cap that is not given is no cap."""

    calls: Annotated[int, Field(ge=1)] | None = None
    tokens: Annotated[int, Field(ge=1)] | None = None
    dollars: Annotated[float, Field(gt=0)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None


class BudgetTable(CapsTable):
    """`[budget]`: caps of the run, the held-out report included, and of its roles and operators.

    A critic whose budget is used up criticises no more, and an operator whose budget is used up is chosen no more;
    any other cap ends the search.
    """

    roles: Mapping[Role, CapsTable] = {}
    operators: Mapping[str, CapsTable] = {}


class CacheTable(Table):
    """`[cache]`: where replies are kept (None: in the run directory); runs, at once or not, may share a file.

    `megabytes`: what is stored beyond that pushes out what was stored first.
    """

    path: Path | None = None
    megabytes: Annotated[int, Field(ge=1)] = 1024


class MemoryTable(Table):
    """`[memory]`: where experiences are kept (None: in the run directory), whether they are recalled and added."""

    path: Path | None = None
    read: bool = True
    write: bool = True


class RunTable(Table):
    """`[run]`: the run directory, made if need be. `spans`: whether the run is exported as OpenTelemetry spans, which
    takes the extra `otel`; the variables OTEL_EXPORTER_OTLP_* say where to."""

    directory: Path | None = None
    spans: bool = False


class Configuration(Table):
    """The whole file. `origin` is the folder that its paths are relative to."""

    origin: Path = Path()
    task: TaskTable
    prompt: PromptTable = PromptTable()
    models: ModelsTable = ModelsTable()
    providers: Mapping[str, ProviderTable] = {}
    agents: AgentsTable = AgentsTable()
    search: SearchTable = SearchTable()
    budget: BudgetTable = BudgetTable()
    cache: CacheTable = CacheTable()
    memory: MemoryTable = MemoryTable()
    run: RunTable = RunTable()

    def path(self, path: Path | str) -> Path:
        """A path of the configuration, resolved against its folder."""
        return self.origin / path

    @property
    def allowed(self) -> int:
        """Calls that the task's model may have in flight, for all searches of its account together."""
        return self.provider(self.models.of("task")).concurrency or CONCURRENCY

    @property
    def at_once(self) -> int:
        """Calls of one prompt that may be in flight."""
        return self.search.concurrency or self.allowed

    @property
    def width(self) -> int:
        """Assignments in flight: as configured, or a quarter of the calls that the task's model may have in flight.

        An assignment that waits for its Proposer, its Critic or the last of its answers has few calls in flight, so
        that many must be under way for all calls to be used (docs/decisions/throughput.md); more would be chosen
        before the earlier ones have taught anything.
        """
        if self.search.width is not None or self.models.of("task") == EMBEDDED:
            return self.search.width or LEAST_WIDTH
        return min(MOST_WIDTH, max(LEAST_WIDTH, self.allowed // 4))

    def provider(self, model: str) -> ProviderTable:
        """The settings of one model: its own table over its provider's."""
        general = self.providers.get(model.partition("/")[0], ProviderTable())
        own = self.providers.get(model, ProviderTable())
        return general.model_copy(update=own.model_dump(exclude_none=True, exclude={"price"}) | _price(own, general))


def load(path: Path, settings: Sequence[str] = ()) -> Configuration:
    """Read the configuration at `path`, with `table.key=value` settings over it (values are TOML, or plain text).

    :raises ConfigError: with what is wrong and, for an unknown key, the nearest one that exists.
    """
    table = read(path)
    for setting in settings:
        override(table, setting)
    return build(table, path.parent, file=str(path))


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    :raises ConfigError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", file=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", file=str(path)) from None


def build(table: Mapping[str, Any], origin: Path, file: str | None = None) -> Configuration:
    """A configuration from its tables.

    :raises ConfigError: see `load`.
    """
    if "origin" in table:
        raise ConfigError("unknown key origin", file=file)
    try:
        return Configuration.model_validate({**table, "origin": origin})
    except ValidationError as error:
        raise ConfigError("; ".join(explain(detail, Configuration) for detail in error.errors()), file=file) from None


def override(table: dict[str, Any], setting: str) -> None:
    """Put `table.key=value` into `table`: a value that is not TOML is a text, to the letter.

    :raises ConfigError: it has no `=`, or what is before it is no TOML key.
    """
    key, equals, value = setting.partition("=")
    path = _key(key) if equals else []
    if not path:
        raise ConfigError(
            f"--set {setting}: expected table.key=value, with quotes around a part that is no plain word, "
            """such as --set 'providers."openai/gpt".concurrency=8'"""
        )
    for part in path[:-1]:
        inner = table.get(part)
        if not isinstance(inner, dict):
            table[part] = inner = {}
        table = inner
    table[path[-1]] = parsed(value)


def _key(key: str) -> list[str]:
    """The parts of a dotted TOML key; none if it is not one."""
    path: list[str] = []
    try:
        inner: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return path
    while isinstance(inner, dict) and len(inner) == 1:
        [(part, inner)] = inner.items()
        path.append(part)
    return path if inner == 0 else []


def parsed(value: str) -> Any:
    """A TOML value; what is none is a text, to the letter."""
    try:
        table = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    return table["value"] if len(table) == 1 else value


def _price(own: ProviderTable, general: ProviderTable) -> dict[str, PriceTable | None]:
    return {"price": own.price or general.price}


def explain(detail: ErrorDetails, root: type[Table]) -> str:
    """What pydantic found in a table of `root`, as a person would say it."""
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] != "extra_forbidden":
        reason = detail["msg"].removeprefix("Value error, ")
        return f"{key}: {reason[:1].lower()}{reason[1:]}"
    siblings = _keys(_table(location[:-1], root))
    nearest = difflib.get_close_matches(location[-1], siblings, 1)
    if nearest:
        return f"unknown key {key}; did you mean {'.'.join([*location[:-1], *nearest])}?"
    paths = sorted(_paths(root), key=len, reverse=True)  # of several keys of one name, the nearest to the top
    elsewhere = {path[-1]: ".".join(path) for path in paths}
    nearest = difflib.get_close_matches(location[-1], elsewhere, 1)
    if nearest:
        return f"unknown key {key}; did you mean {elsewhere[nearest[0]]}?"
    return f"unknown key {key}; there are {', '.join(siblings)}"


def _keys(model: type[Table]) -> list[str]:
    return [name for name in model.model_fields if name != "origin"]


def _table(location: Sequence[str], root: type[Table]) -> type[Table]:
    """The table at a place of the configuration; a mapping's keys are anything."""
    model = root
    for part in location:
        if part in model.model_fields:
            model = next(_tables(model.model_fields[part].annotation), model)
    return model


def _paths(model: type[Table]) -> Iterator[list[str]]:
    for name in _keys(model):
        annotation = model.model_fields[name].annotation
        yield [name]
        between = ["<name>"] if get_origin(annotation) is Mapping else []
        for inner in _tables(annotation):
            yield from ([name, *between, *path] for path in _paths(inner))


def _tables(annotation: object) -> Iterator[type[Table]]:
    """The tables that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for argument in get_args(annotation):
        yield from _tables(argument)
