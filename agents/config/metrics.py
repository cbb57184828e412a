"""The kind of task, the parser and the metric of a configuration: built-in ones, and a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from agents.config.configuration import Configuration
from agents.config.labels import make_kind
from agents.config.tables.program import ProgramPromptTable
from agents.config.tables.task import PromptTable
from agents.programs.trial import Trial
from protocols.answers.json_objects import is_structured
from protocols.data.checks import Splits
from protocols.data.mapping import NO_TARGET
from protocols.errors import ConfigError
from protocols.files.named import Named
from protocols.files.own_code import where
from protocols.files.text_files import read_text
from protocols.metrics.entities import EntityF1
from protocols.metrics.formats import JsonF1, JsonSchema, Pattern
from protocols.metrics.judge import ModelJudge, Opponent, Preference
from protocols.metrics.match import Accuracy, Contains, Exact, MacroF1, Numeric
from protocols.metrics.overlap import Overlap, SquadEM, SquadF1, TokenF1
from protocols.metrics.own import Own
from protocols.metrics.scales import MeanAbsoluteError, QuadraticKappa
from protocols.metrics.sets import Jaccard, MacroF1OfSets, MicroF1, SameSet
from protocols.metrics.tool_calls import OrderedToolCalls, ToolCalls, calling
from protocols.metrics.weighted import OverModels, Weighted
from protocols.model import ChatModel, Finish
from protocols.naming import closed, schema_names
from protocols.providers.catalogue import EMBEDDED
from protocols.task import GENEROUS, KindName, Metric, Parser, Task, TaskKind
from protocols.thought import without_thought
from protocols.tools.definitions import NO_DEFINITIONS, Definitions, read_schema, read_tools

ENTITY, FIELDS, JUDGE, PREFERENCE = "entity_f1", "json_f1", "judge", "preference"
AGAINST = "against"
"""The parameter of the metric preference that names the prompt which others are compared with."""


def _of_sets(
    of_sets: Callable[[TaskKind], Metric], of_one: Callable[[TaskKind], Metric]
) -> Callable[[TaskKind], Metric]:
    """A metric for the kind multilabel, and one of the same name for the other kinds."""
    return lambda kind: (of_sets if kind.name == "multilabel" else of_one)(kind)


PLAIN: Mapping[str, Callable[[TaskKind], Metric]] = {
    "accuracy": Accuracy,
    "macro_f1": _of_sets(MacroF1OfSets, MacroF1),
    ENTITY: EntityF1,
    "micro_f1": MicroF1,
    "jaccard": Jaccard,
    "mae": MeanAbsoluteError,
    "quadratic_kappa": QuadraticKappa,
    "squad_em": SquadEM,
    "squad_f1": SquadF1,
    "token_f1": TokenF1,
    "exact": _of_sets(SameSet, Exact),
    "contains": Contains,
    "numeric": Numeric,
    FIELDS: JsonF1,
    "tool_calls": ToolCalls,
    "tool_calls_in_order": OrderedToolCalls,
}
CALLS = frozenset({"tool_calls", "tool_calls_in_order"})
"""Metrics of the kind generation that read calls of tools."""
OF_LISTS = frozenset({"micro_f1", "jaccard", "exact", "macro_f1"})
"""Metrics of lists of labels."""
ONLY: Mapping[str, frozenset[str]] = {
    ENTITY: frozenset({"ner"}),
    "micro_f1": frozenset({"multilabel"}),
    "jaccard": frozenset({"multilabel"}),
    "mae": frozenset({"ordinal"}),
    "quadratic_kappa": frozenset({"ordinal"}),
    **dict.fromkeys((FIELDS, *CALLS), frozenset({"generation"})),
}
"""The kinds of task that a metric is only for."""
SET_UP = {"regex": "pattern", "json_schema": "json_schema", JUDGE: "rubric", PREFERENCE: "rubric"}
"""Metrics that need another key of `[task]`, and that key."""
METRICS = (*PLAIN, *SET_UP)
SCORED: Mapping[str, str] = {
    "accuracy": "accuracy, the share of answers that are the expected one",
    "macro_f1": "macro F1, the mean over all labels of how well each is found: rare ones count as much as others",
    "micro_f1": "micro F1 of labels: missed and invented ones cost alike",
    "jaccard": "the share of the labels of the answer and of the expected ones that both have",
    "mae": "how near the rating is to the expected one: 1 less the distance as a share of the scale's length",
    "quadratic_kappa": "quadratic weighted kappa: ratings far from the expected one cost most",
    ENTITY: "micro F1 of entities: both the type and the words must be right; missed and invented ones cost alike",
    "squad_em": "exact match with one of the expected answers, but for case, articles and punctuation",
    "squad_f1": "F1 of the words that the answer shares with an expected one, but for case, articles and punctuation",
    "token_f1": "F1 of the words or characters that the answer shares with an expected one",
    "exact": "exact match with an expected answer, but for case and punctuation",
    "contains": "an expected answer must be somewhere in the answer",
    "numeric": "the number must be the expected one, however it is written",
    FIELDS: "F1 of the fields of the JSON: their values must be right; missing, wrong and invented ones cost",
    **dict.fromkeys(CALLS, "F1 of the expected calls of tools: the tool must be right, and each of its arguments"),
    "regex": "the answer must match a pattern",
    "json_schema": "the answer must be JSON that is valid by a schema",
}
"""A description of each metric for the models that write prompts."""
SAME_LABELS = "1 if the labels are exactly the expected ones, else 0"
"""The description of `exact` for lists of labels."""


def suits(metric: str, kind: KindName) -> bool:
    """Whether a metric of ours that compares answers with targets can score this kind of task."""
    if kind == "ner":
        return metric == ENTITY
    if kind == "multilabel":
        return metric in OF_LISTS
    return kind in ONLY.get(metric, {kind})


def open_kind(configuration: Configuration, splits: Splits) -> TaskKind:
    """The configuration's kind of task, with its parser and its limit on replies, if set. For a generation task with
    a JSON schema, the format section asks for JSON that is valid by the schema; where calls of tools are scored, they
    are what is read.

    :raises DataError: a target does not fit this kind.
    :raises ConfigError: there is no such parser, or a JSON schema or the tools cannot be read.
    """
    kind, own = make_kind(configuration, splits), configuration.task.parser
    definitions = open_definitions(configuration, configuration.prompt)
    if kind.name == "generation" and any(named.use in CALLS for named in configuration.task.metric or ()):
        of_program = [open_definitions(configuration, table) for table in configuration.prompts.values()]
        kind = calling(kind, splits, [tool.name for each in (definitions, *of_program) for tool in each.tools])
    if any(named.use == FIELDS for named in configuration.task.metric or ()):
        kind = replace(kind, reads="the object or list of JSON in it")
    if definitions.tools or definitions.schema:
        kind = replace(kind, offer=definitions.offer, limit=max(kind.limit, GENEROUS))
    if configuration.task.json_schema and kind.name == "generation":
        schema, _ = _schema(configuration)
        shape = orjson.dumps(schema).decode("utf-8")
        form = f"Reply with JSON that is valid by this schema, and with nothing else.\n{shape}"
        kind = replace(kind, format=form, names=closed(schema_names(schema), ("JSON",)))
    kind = _limited(kind, configuration)
    if not own:
        return kind
    parse: Parser = _plain(own.function("task.parser", "reply"), own)
    reads = "what a function of the user's finds in it" if own.nameless else f"what the function {own} finds in it"
    return replace(kind, parse=_after_thought(parse, "stop"), parse_cut=_after_thought(parse, "length"), reads=reads)


def _limited(kind: TaskKind, configuration: Configuration) -> TaskKind:
    """The kind with the configured limit on replies. The kind's own limit is computed from the targets, and is kept
    only if replies are parsed by the kind and compared with the targets: a function, a judge, a pattern, a schema, or
    a target that may be anywhere may need replies of any length."""
    table = configuration.task
    if table.reply_tokens is not None:
        return replace(kind, limit=table.reply_tokens, thought=0)
    if table.parser is None and all(named.use in PLAIN and named.use != "contains" for named in table.metric or ()):
        return kind
    return replace(kind, limit=max(kind.limit, GENEROUS), thought=0)


def _after_thought(parse: Parser, finish: Finish) -> Parser:
    """The parser, applied to replies without their thinking."""
    return lambda reply: parse(without_thought(reply, finish))


def open_metric(
    configuration: Configuration, kind: TaskKind, judge: ChatModel | None, opponent: Opponent | None = None
) -> Metric:
    """The configured metric, or else that of the kind; one over the models of the task, if it has several.

    `judge` or `opponent` None: a metric that needs it can then only compute corpus values.

    :raises ConfigError: there is no such metric, it does not suit the kind, or a key that it needs is missing.
    """
    table = configuration.task
    weights = table.metric or {Named(kind.metric): 1.0}
    for key in dict.fromkeys(SET_UP.values()):
        names = [name for name, needed in SET_UP.items() if needed == key]
        used = [named.use for named in weights if named.use in names]
        if (getattr(table, key) is None) == bool(used):
            of = " or ".join(used or names)
            raise ConfigError(f"the metric {of} and task.{key} go together: give both or neither")
    if sum(named.use == PREFERENCE for named in weights) > 1:
        raise ConfigError(f"task.metric names {PREFERENCE} twice: there is one prompt that others are compared with")
    asked = judge, opponent
    parts = [(str(named), weight, _open(configuration, kind, named, *asked)) for named, weight in weights.items()]
    metric: Metric = parts[0][2] if len(parts) == 1 else Weighted(parts)
    several = configuration.models.several
    return OverModels(metric, several, configuration.search.across_models) if several else metric


def scored(configuration: Configuration, kind: TaskKind) -> str:
    """A description of the configured metric, or else the kind's, for the models that write prompts."""
    if not configuration.models.several:
        return _scored(configuration, kind)
    how = "the mean over" if configuration.search.across_models == "mean" else "the lowest of"
    return f"{_scored(configuration, kind)}; it is {how} all models that answer"


def _scored(configuration: Configuration, kind: TaskKind) -> str:

    def words(named: Named) -> str:
        if named.use == JUDGE:
            return f"a grade that a model gives by this rubric: {configuration.task.rubric}"
        if named.use == PREFERENCE:
            other = "another prompt" if named.parameters.fields else "the prompt that the search began with"
            return (
                f"1 if a model prefers the answer to that of {other}, 0 if it prefers the other one, 0.5 if neither; "
                f"by this rubric: {configuration.task.rubric}"
            )
        if kind.name == "multilabel" and named.use == "exact":
            return SAME_LABELS
        return "a function of the user's" if named.nameless else SCORED.get(named.use, f"the function {named}")

    weights = configuration.task.metric or {Named(kind.metric): 1.0}
    if len(weights) == 1:
        return words(next(iter(weights)))
    return "; ".join(f"{weight:g} × {words(named)}" for named, weight in weights.items())


def json_as_words(task: Task) -> str:
    """A warning about a metric that compares the words of targets that are objects; "" if there is none."""
    if task.kind.name != "generation" or not task.train or not all(is_structured(one.target) for one in task.train):
        return ""
    metric = task.metric.metric if isinstance(task.metric, OverModels) else task.metric
    every = metric.metrics if isinstance(metric, Weighted) else [metric]
    used = [name for name, make in PLAIN.items() for one in every if isinstance(one, Overlap) and make is type(one)]
    if not used:
        return ""
    return (
        f"the targets are JSON, and {' and '.join(used)} compares their words, so that an answer whose values "
        f'are all wrong still scores for its keys; metric = "{FIELDS}" under [task] compares the fields by value'
    )


def check_targets(configuration: Configuration) -> None:
    """:raises ConfigError: there are no targets, and the metric compares answers with them."""
    table = configuration.task
    needed = [named.use for named in table.metric or {Named("token_f1"): 1.0} if named.use in PLAIN]
    if table.fields.target == NO_TARGET and needed:
        raise ConfigError(
            f'task.metric: {needed[0]} compares answers with targets, and fields.target = "{NO_TARGET}" says that '
            f"there are none; without targets there are {', '.join(SET_UP)}, or module:function for your own"
        )


def grades(configuration: Configuration) -> bool:
    """Whether a model grades every answer."""
    return any(named.use == JUDGE for named in configuration.task.metric or ())


def compares(configuration: Configuration) -> bool:
    """Whether a model compares every answer with that of a fixed prompt."""
    return any(named.use == PREFERENCE for named in configuration.task.metric or ())


def against(configuration: Configuration) -> Path | None:
    """The prompt that all others are compared with, a file or a folder; None: the first prompt of the search, or
    nothing is compared."""
    named = (named.parameters.fields for named in configuration.task.metric or () if named.use == PREFERENCE)
    return next((configuration.path(str(fields[AGAINST])) for fields in named if fields), None)


def verdicts(configuration: Configuration) -> int:
    """Calls of the judge's model for an answer."""
    return grades(configuration) + 2 * compares(configuration)


def asks_judge(configuration: Configuration) -> bool:
    """Whether a model judges answers."""
    return verdicts(configuration) > 0


def calls_per_example(configuration: Configuration, seen: Trial | None = None, first: bool = False) -> float:
    """Model calls per example: its answers, by all models of the task, and a judge's verdicts on each. A program
    makes as many calls as were `seen`; None: one for each of its prompts. `first`: with the first prompt, which is
    not compared with itself; but if another prompt is the opponent, its answer is asked for at the same time."""
    answer = max(1, len(configuration.prompts)) if seen is None else seen.calls
    if first and against(configuration):
        answer *= 2
    return _times(configuration) * answer + verdicts_per_example(configuration, first)


def verdicts_per_example(configuration: Configuration, first: bool = False) -> int:
    """Those of the calls per example that a judge makes."""
    compared = not first or against(configuration)
    return _times(configuration) * (verdicts(configuration) if compared else int(grades(configuration)))


def _times(configuration: Configuration) -> int:
    """How often an example is answered."""
    return configuration.search.repeats * len(configuration.models.each("task"))


def least_per_example(configuration: Configuration) -> int:
    """The fewest model calls per example: a program may leave prompts out, but is taken to make one call, and nobody
    is asked to compare equal answers."""
    return _times(configuration) * (1 + grades(configuration))


def _open(
    configuration: Configuration, kind: TaskKind, named: Named, judge: ChatModel | None, opponent: Opponent | None
) -> Metric:
    table, name = configuration.task, named.use
    if name == PREFERENCE:
        _check_against(named)
        if configuration.models.of("judge") == EMBEDDED:
            raise ConfigError(f"the metric {PREFERENCE} needs a language model as models.judge, and embedded is none")
        return Preference(kind, table.rubric or "", judge, opponent)
    if name in METRICS and named.parameters.fields:
        raise ConfigError(f"task.metric: {name} takes no parameters; one of your own does: module:function")
    if name in PLAIN:
        if not suits(name, kind.name):
            needed = " or ".join(sorted(ONLY.get(name, ()))) or "another task.kind"
            fitting = ", ".join(one for one in PLAIN if suits(one, kind.name))
            raise ConfigError(
                f"task.metric: {name} does not suit task.kind = {kind.name!r}, but {needed}; there are {fitting}"
            )
        return PLAIN[name](kind)
    if name == "regex":
        return Pattern(kind, table.pattern or "")
    if name == JUDGE:
        return ModelJudge(kind, table.rubric or "", judge)
    if name == "json_schema":
        return JsonSchema(kind, *_schema(configuration))
    if ":" not in name and not named.nameless:
        known = ", ".join(METRICS)
        raise ConfigError(f"unknown task.metric {name!r}; there are {known}, or module:function for your own")
    return Own(kind, named.function("task.metric", "example", "answer"), str(named))


def _check_against(named: Named) -> None:
    """:raises ConfigError: the metric has other parameters than the path of a prompt."""
    given = named.parameters.fields
    if given and not (given.keys() == {AGAINST} and isinstance(given[AGAINST], str) and given[AGAINST]):
        raise ConfigError(
            f"task.metric: {PREFERENCE} takes one parameter, {AGAINST}, the path of the prompt that others are "
            f'compared with: {{ use = "{PREFERENCE}", {AGAINST} = "prompt.txt" }}'
        )


def _plain(parse: Parser, named: Named) -> Parser:
    """:raises ConfigError: it is async."""
    if inspect.iscoroutinefunction(parse) or inspect.iscoroutinefunction(getattr(parse, "__call__", None)):  # noqa: B004
        raise ConfigError(f"task.parser {named.use!r} must be a plain def, not async", **where(parse))
    return parse


def open_definitions(configuration: Configuration, table: PromptTable | ProgramPromptTable) -> Definitions:
    """The tools of the prompt of this table, and the schema of its replies.

    :raises ConfigError: a file cannot be read, or holds something else.
    """
    tools, schema = table.tools, table.response_schema
    if tools is None and schema is None:
        return NO_DEFINITIONS
    return Definitions(
        read_tools(*_json(configuration, tools, "the tools")) if tools else (),
        read_schema(*_json(configuration, schema, "the schema of replies")) if schema else None,
    )


def _json(configuration: Configuration, file: Path, what: str) -> tuple[object, str]:
    """The JSON of a file, and its path.

    :raises ConfigError: it cannot be read, or is not JSON.
    """
    path = configuration.path(file)
    try:
        return orjson.loads(read_text(path, ConfigError, what)), str(path)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error.msg}", file=str(path), line=error.lineno) from None


def _schema(configuration: Configuration) -> tuple[dict[str, object], str]:
    schema, path = _json(configuration, configuration.task.json_schema or Path(), "the JSON schema")
    if not isinstance(schema, dict):
        raise ConfigError("a JSON schema is an object", file=path)
    return schema, path
