"""Writes the configuration of a new task as commented TOML."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from protocols.task import KindName
from protocols.text import one_line, toml_key, toml_string

OTHER_METRICS: Mapping[KindName, str] = {
    "classification": 'metric = "macro_f1"     # rare labels count as much as frequent ones; usual: "accuracy"',
    "multilabel": 'metric = "macro_f1"     # rare labels count as much as frequent ones; usual: "micro_f1"',
    "ordinal": 'metric = "quadratic_kappa"   # agreement beyond chance; usual: "mae", how far off answers are',
    "ner": 'metric = "entity_f1"    # the usual one; or "module:function" of your own',
    "reading": 'metric = "squad_em"     # only exact matches count; usual: "squad_f1"',
    "reasoning": 'metric = "exact"        # usual: "numeric" for numbers, "accuracy" for a few recurring answers',
    "generation": 'metric = "judge"        # a model grades by: rubric = "..."; usual: "token_f1", shared words',
}
"""A line of `[task]` for a comment."""
CHOSEN: Mapping[str, str] = {
    "macro_f1": "the rare labels count as much",
    "json_f1": 'the fields with the right values; "exact": all of them or nothing',
}
"""Why a metric is not the usual one of its kind."""
KINDS = ", ".join(get_args(KindName))


@dataclass(frozen=True, slots=True)
class Answers:
    """The kind of a task, the reason for it in words, and its metric, None for the usual one. `labels`: all, and
    whether train has an example of each; empty if it has one of every label."""

    kind: KindName
    why: str
    metric: str | None
    labels: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """`made_from`: names of the files that were given. `files`: by the keys of `[task]`. `published`: their format,
    if it is that of a published data set. `shares`: of train, validation and test, with their sizes; None: three
    files."""

    made_from: str
    files: Mapping[str, str]
    published: str | None
    shares: Mapping[str, tuple[float, int]] | None


@dataclass(frozen=True, slots=True)
class Columns:
    """The content of `[task.fields]`. `inputs`: the column of each input field; None: the rows name their own, and
    `target` and `id` as well. `others`: columns that are not used. `class_numbers`: labels that are numbers of
    classes without names."""

    inputs: Mapping[str, str] | None = None
    target: str = ""
    id: str | None = None
    separator: str | None = None
    others: Sequence[str] = ()
    class_numbers: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class FirstPrompt:
    """The file of the first prompt. `literal`: names in braces that are plain text."""

    file: str
    literal: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """`model`: that answers. `cap`: of `[budget]`, with its value. `alone`: the model cannot write edits, so that
    only the operator that needs nobody is used."""

    model: str
    cap: tuple[str, float]
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What a configuration says."""

    name: str
    answers: Answers
    data: Data
    columns: Columns
    prompt: FirstPrompt
    search: Search


def toml(draft: Draft) -> str:
    """The text of the configuration's file."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    yield f"# Made by `init` from {one_line(draft.data.made_from, 100)}. Every line may be changed by hand:"
    yield "# docs/settings.md names every setting, and `doctor` checks this file after each change."
    yield ""
    yield "[task]"
    yield f"name = {toml_string(draft.name)}"
    yield from _task(draft.answers, draft.data)
    yield from _fields(draft.columns)
    yield ""
    yield "[prompt]"
    yield f"file = {toml_string(draft.prompt.file)}   # the first prompt: read it, and say there what only you know"
    if draft.prompt.literal:
        yield f"literal = [{', '.join(map(toml_string, draft.prompt.literal))}]   # names in braces, plain text"
    yield ""
    yield from _search(draft.search)


def _task(answers: Answers, data: Data) -> Iterator[str]:
    """The rest of the table `[task]`."""
    yield f"kind = {toml_string(answers.kind)}   # a guess: {one_line(answers.why, 120)}; there are {KINDS}"
    for key, file in data.files.items():
        yield f"{key} = {toml_string(file)}"
    if answers.labels:
        lacking = one_line(", ".join(label for label, learnt in answers.labels.items() if not learnt), 80)
        yield f"labels = [{', '.join(map(toml_string, answers.labels))}]   # all: train has no example of {lacking}"
    if data.published:
        yield f"format = {toml_string(data.published)}   # as this data set is published; its fields are known"
    if data.shares:
        shares = ", ".join(f"{name} = {share:g}" for name, (share, _) in data.shares.items())
        sizes = ", ".join(f"{size:,} {name}" for name, (_, size) in data.shares.items())
        yield f"cut = {{ {shares}, seed = 0 }}   # the file is cut at random: {sizes}"
    metric = answers.metric
    yield (f"metric = {toml_string(metric)}   # {CHOSEN[metric]}" if metric else (f"# {OTHER_METRICS[answers.kind]}"))
    yield '# description = "..."     # what comes in and what should come out, for the models that write prompts'


def _fields(columns: Columns) -> Iterator[str]:
    """The table `[task.fields]`, if the rows do not say all themselves."""
    if columns.inputs is None:
        if columns.separator:
            yield from ("", "[task.fields]", _separator(columns.separator))
        elif columns.class_numbers:
            yield from ("", "# [task.fields]", _names(columns))
        return
    yield ""
    yield "[task.fields]            # a guess; on the left what the prompt calls a field, on the right its column"
    fields = ", ".join(f"{toml_key(name)} = {toml_string(column)}" for name, column in columns.inputs.items())
    yield f"input = {{ {fields} }}"
    yield f"target = {toml_string(columns.target)}"
    yield f"id = {toml_string(columns.id or 'none')}"
    if columns.separator:
        yield _separator(columns.separator)
    if columns.class_numbers:
        yield _names(columns)
    if columns.others:
        yield f"# not used: {one_line(', '.join(columns.others), 200)}"


def _separator(separator: str) -> str:
    return f"separator = {toml_string(separator)}   # stands between the labels of an answer; an empty cell has none"


def _names(columns: Columns) -> str:
    quoted = ", ".join('"..."' for _ in columns.class_numbers)
    return f"# labels = [{quoted}]   # names of the classes 0, 1, ...: they tell a model more than numbers"


def _search(search: Search) -> Iterator[str]:
    """The tables about models, caps and edits."""
    yield "[models]"
    yield f"default = {toml_string(search.model)}   # or openai/<model>, anthropic/<model>, local/smollm2-135m"
    yield '# critic = "anthropic/claude-sonnet-4-5"     # a stronger model reads the mistakes, and'
    yield '# proposer = "anthropic/claude-sonnet-4-5"   # writes the edits: few calls beside those of `default`'
    if search.alone:
        yield ""
        yield "[agents]"
        yield 'critic = "none"   # a model of this size writes nothing that helps; delete it with a critic above'
    yield ""
    yield "[budget]"
    cap, value = search.cap
    yield f"{cap} = {value:g}   # the search ends here, with a result; there are calls, tokens, dollars, minutes"
    yield ""
    yield "[search]"
    if search.alone:
        yield 'operators = ["few_shot"]   # it asks nobody; with a proposer above, delete this line for all operators'
        yield "critique = 8   # training examples that few_shot looks at: every answer takes time here"
        yield "shrink = 0     # the result is not cut any more, which takes more races than there is time for"
    yield "# assignments = 100      # edits to try, at most"
