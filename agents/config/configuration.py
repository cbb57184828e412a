"""The configuration of a run, read from TOML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError

from agents.archive.guard import Guard
from agents.config.reading import explain, misfits, override, read
from agents.config.tables.models import ModelsTable, PriceTable, ProviderTable
from agents.config.tables.program import ProgramPromptTable
from agents.config.tables.search import AgentsTable, BudgetTable, OperatorTable, SearchTable
from agents.config.tables.storage import CacheTable, MemoryTable, RunTable
from agents.config.tables.task import PromptTable, TaskTable
from agents.config.tables.values import Table
from protocols.errors import ConfigError
from protocols.files.named import Named
from protocols.pacing.limits import MOST
from protocols.providers.catalogue import EMBEDDED, LOCAL, is_local
from protocols.providers.local.weights import HUB
from protocols.providers.local_model import SLOTS, TIMEOUT
from protocols.providers.parameters import merged

LEAST_WIDTH, MOST_WIDTH = 8, 256
LEAST_CRITIQUE, MOST_CRITIQUE = 8, 48
OPERATORS = ("describe", "few_shot", "self_reflection", "contract")
"""Operators that take part unless configured."""
REASONING = ("chain_of_thought",)
"""Further ones, of the kind reasoning."""


class Configuration(Table):
    """All tables of a configuration. `origin`: the folder that its paths are relative to."""

    origin: Path = Path()
    task: TaskTable
    prompt: PromptTable = PromptTable()
    prompts: Mapping[str, ProgramPromptTable] = {}
    models: ModelsTable = Field({}, validate_default=True)
    providers: Mapping[str, ProviderTable] = {}
    agents: AgentsTable = AgentsTable()
    critic: OperatorTable = OperatorTable()
    operators: Mapping[str, OperatorTable] = {}
    search: SearchTable = SearchTable()
    budget: BudgetTable = BudgetTable()
    cache: CacheTable = CacheTable()
    memory: MemoryTable = MemoryTable()
    run: RunTable = RunTable()
    _width: int | None = PrivateAttr(None)

    def path(self, path: Path | str) -> Path:
        """Resolve a path of the configuration relative to its folder."""
        return self.origin / path

    @property
    def offering(self) -> dict[str, tuple[str, PromptTable | ProgramPromptTable]]:
        """The prompts that offer tools or ask for JSON by a schema: by the keys of their tables, the role that each
        asks and the table."""
        tables: dict[str, tuple[str, PromptTable | ProgramPromptTable]] = {"prompt": ("task", self.prompt)}
        tables |= {f"prompts.{name}": (f"task/{name}", table) for name, table in self.prompts.items()}
        return {key: (role, table) for key, (role, table) in tables.items() if table.tools or table.response_schema}

    @property
    def allowed(self) -> int:
        """Maximum number of calls in flight to the task's model, by all searches with the same account together; of
        several models, the least."""
        return min(self.provider(name).concurrency or MOST for name in self.models.each("task").values())

    @property
    def at_once(self) -> int:
        """Maximum number of calls in flight for one prompt."""
        return self.search.concurrency or self.allowed

    @property
    def width(self) -> int:
        """Assignments in flight: as configured, or a quarter of the calls that the task's model may have in flight;
        if these are few, half, since assignments chosen at the same time do not learn from each other.

        An assignment that waits for its Proposer, its Critic or its last answers has few calls in flight, so many
        assignments are needed to use all calls (docs/decisions/throughput.md); with even more, too many would be
        chosen before the earlier ones have taught anything.
        """
        if (width := self.settled_width) is not None:
            return width
        least = min(LEAST_WIDTH, max(2, self.allowed // 2))
        return min(MOST_WIDTH, max(least, self.allowed // 4))

    @property
    def settled_width(self) -> int | None:
        """The width as configured, or else that of the run, or of the simulator; None: it follows from other
        settings."""
        simulated = LEAST_WIDTH if self.models.answering == EMBEDDED else None
        return self.search.width or self._width or simulated

    def with_width(self, width: int | None) -> Configuration:
        """This configuration in a run whose width is known, if none is configured. It is not written anywhere."""
        made = self.model_copy()
        made._width = width
        return made

    @property
    def search_operators(self) -> tuple[Named, ...]:
        """The operators that take part: as configured, or by the task's kind. Steps of reasoning have earned nothing
        on kinds other than reasoning (benchmarks/results/operators.md)."""
        if self.search.operators is not None:
            return self.search.operators
        return tuple(map(Named, OPERATORS + REASONING * (self.task.kind == "reasoning")))

    @property
    def guard(self) -> Guard | None:
        """What the result must not lose; None: nothing."""
        return Guard(self.search.guard, self.search.alpha) if self.search.guard else None

    def minibatch(self, validation: int) -> int:
        """Training examples that a survivor is run on for the Critic: as configured, or half the number of validation
        examples, from 8 to 48. With 40 validation examples, always taking 48 made up more than half of all calls."""
        return self.search.critique or min(MOST_CRITIQUE, max(LEAST_CRITIQUE, validation // 2))

    def provider(self, model: str) -> ProviderTable:
        """The settings of one model: its own table, over its provider's. A local model gets the defaults of local
        models, and not the provider's `path`, which applies only to the model named `local`."""
        general = self.providers.get(model.partition("/")[0], ProviderTable())
        if is_local(model) and model != LOCAL:
            general = general.model_copy(update={"path": None})
        own = self.providers.get(model, ProviderTable())
        given = own.model_dump(exclude_none=True, exclude={"price", "parameters"})
        update = {name: getattr(own, name) for name in given}
        parameters = merged(general.parameters, own.parameters)
        table = general.model_copy(update=update | _price(own, general) | {"parameters": parameters})
        return self._on_this_machine(table) if is_local(model) else table

    def _on_this_machine(self, table: ProviderTable) -> ProviderTable:
        path = table.path if table.path is None or table.path.startswith(HUB) else str(self.path(table.path))
        concurrency = table.concurrency or table.slots or SLOTS
        update = {"path": path, "concurrency": concurrency, "timeout": table.timeout or TIMEOUT}
        return table.model_copy(update=update)

    def shares_replies_of(self, model: str) -> bool:
        """Whether other runs may be given the replies of this model: not if it is an object without a name, which a
        shared file could not tell from another."""
        made = self.models.own(model) or self.provider(model).client
        return not (self.cache.path and made is not None and made.nameless)

    def judged_as_usual(self) -> Configuration:
        """The same configuration, without a metric or parser that exists only in the process of the search."""
        own = [key for key in ("metric", "parser") for _, one in named_in(getattr(self.task, key)) if one.nameless]
        return self.model_copy(update={"task": self.task.model_copy(update=dict.fromkeys(own))})

    def asked(self, role: str, model: str = "") -> dict[str, object]:
        """The parameters of a role's calls: the role's override the model's, which override the provider's. `model`:
        the one that answers, if it is not the role's."""
        tables = self.models.parameters.of(role).values()
        return reduce(merged, tables, dict(self.provider(model or self.models.of(role)).parameters))


def named_in(value: object, key: str = "") -> Iterator[tuple[str, Named]]:
    """All code named in a configuration or a part of it, with its key."""
    match value:
        case Named():
            yield key, value
        case Table():
            for name in type(value).model_fields:
                yield from named_in(getattr(value, name), f"{key}.{name}".lstrip("."))
        case Mapping():
            for name, inner in value.items():
                yield from named_in(name, key)
                yield from named_in(inner, f"{key}.{name}")
        case tuple():
            for inner in value:
                yield from named_in(inner, key)


def load(path: Path, settings: Sequence[str] = ()) -> Configuration:
    """Read the configuration at `path`, overridden by `table.key=value` settings (values are TOML, or plain text).

    :raises ConfigError: it is not valid; for an unknown key, the message names the nearest one that exists.
    """
    table = read(path)
    for setting in settings:
        override(table, setting)
    return build(table, path.parent, file=str(path))


def build(table: Mapping[str, Any], origin: Path, file: str | None = None) -> Configuration:
    """A configuration from its tables.

    :raises ConfigError: see `load`.
    """
    if "origin" in table:
        raise ConfigError("unknown key origin", file=file)
    for misfit in misfits(table):
        raise ConfigError(misfit, file=file)
    try:
        configuration = Configuration.model_validate({**table, "origin": origin})
    except ValidationError as error:
        raise ConfigError("; ".join(explain(detail, Configuration) for detail in error.errors()), file=file) from None
    _check_several(configuration, file)
    return configuration


def _check_several(configuration: Configuration, file: str | None) -> None:
    """:raises ConfigError: the task has several models, and something that knows of one alone; or it has one, and a
    setting that is for several."""
    several, across = configuration.models.several, configuration.search.across_models
    if not several and across != SearchTable().across_models:
        raise ConfigError(
            f'search.across_models = "{across}" combines the scores of several models, and models.task is '
            f"{configuration.models.answering} alone: name several in a list, or leave out search.across_models",
            file=file,
        )
    alone = {
        "task.program": configuration.task.program,
        "models.prompts": configuration.models.prompts,
        "agents.evaluator": configuration.agents.evaluator,
        "the metric preference": any(named.use == "preference" for named in configuration.task.metric or ()),
    }
    if several and (key := next((key for key, given in alone.items() if given), None)):
        raise ConfigError(
            f"models.task names {len(several)} models, and {key} works with one alone: name one model, or leave out "
            f"{key}",
            file=file,
        )


def _price(own: ProviderTable, general: ProviderTable) -> dict[str, PriceTable | None]:
    return {"price": own.price or general.price}
