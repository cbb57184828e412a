"""Writes the configuration of a new task as commented TOML."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
KINDS = ", ".join(get_args(KindName))


@dataclass(frozen=True, slots=True)
class Draft:
    """What a configuration says. `files`: by the keys of `[task]`. `fields`: the column of each input field; None:
    the rows name their own. `shares`: of train, validation and test, with their sizes; None: three files. `literal`:
    names in braces that are plain text. `cap`: of `[budget]`, with its value."""

    made_from: str
    name: str
    kind: KindName
    why: str
    metric: str | None
    files: Mapping[str, str]
    published: str | None
    fields: Mapping[str, str] | None
    target: str
    id: str | None
    others: Sequence[str]
    class_numbers: Collection[str]
    shares: Mapping[str, tuple[float, int]] | None
    prompt: str
    literal: Sequence[str]
    model: str
    cap: tuple[str, float]


def toml(draft: Draft) -> str:
    """The text of the configuration's file."""
    return "\n".join(_lines(draft)) + "\n"


def _lines(draft: Draft) -> Iterator[str]:
    yield f"# Made by `init` from {one_line(draft.made_from, 100)}. Every line may be changed by hand:"
    yield "# docs/settings.md names every setting, and `doctor` checks this file after each change."
    yield ""
    yield "[task]"
    yield f"name = {toml_string(draft.name)}"
    yield f"kind = {toml_string(draft.kind)}   # a guess: {one_line(draft.why, 120)}; there are {KINDS}"
    for key, file in draft.files.items():
        yield f"{key} = {toml_string(file)}"
    if draft.published:
        yield f"format = {toml_string(draft.published)}   # as this data set is published; its fields are known"
    if draft.shares:
        shares = ", ".join(f"{name} = {share:g}" for name, (share, _) in draft.shares.items())
        sizes = ", ".join(f"{size:,} {name}" for name, (_, size) in draft.shares.items())
        yield f"cut = {{ {shares}, seed = 0 }}   # the file is cut at random: {sizes}"
    other = OTHER_METRICS[draft.kind]
    yield f"metric = {toml_string(draft.metric)}   # the rare labels count as much" if draft.metric else f"# {other}"
    yield '# description = "..."     # what comes in and what should come out, for the models that write prompts'
    yield from _fields(draft)
    yield ""
    yield "[prompt]"
    yield f"file = {toml_string(draft.prompt)}   # the first prompt: read it, and say there what only you know"
    if draft.literal:
        yield f"literal = [{', '.join(map(toml_string, draft.literal))}]   # names in braces that are plain text"
    yield ""
    yield "[models]"
    yield f"default = {toml_string(draft.model)}   # or openai/<model>, anthropic/<model>, local/smollm2-135m"
    yield '# critic = "anthropic/claude-sonnet-4-5"     # a stronger model reads the mistakes, and'
    yield '# proposer = "anthropic/claude-sonnet-4-5"   # writes the edits: few calls beside those of `default`'
    yield ""
    yield "[budget]"
    cap, value = draft.cap
    yield f"{cap} = {value:g}   # the search ends here, with a result; there are calls, tokens, dollars, minutes"
    yield ""
    yield "[search]"
    yield "# assignments = 100      # edits to try, at most"


def _fields(draft: Draft) -> Iterator[str]:
    """The table `[task.fields]`, if the rows do not name their own fields."""
    if draft.fields is None:
        if draft.class_numbers:
            yield from ("", "# [task.fields]", _names(draft))
        return
    yield ""
    yield "[task.fields]            # a guess; on the left what the prompt calls a field, on the right its column"
    fields = ", ".join(f"{toml_key(name)} = {toml_string(column)}" for name, column in draft.fields.items())
    yield f"input = {{ {fields} }}"
    yield f"target = {toml_string(draft.target)}"
    yield f"id = {toml_string(draft.id or 'none')}"
    if draft.class_numbers:
        yield _names(draft)
    if draft.others:
        yield f"# not used: {one_line(', '.join(draft.others), 200)}"


def _names(draft: Draft) -> str:
    quoted = ", ".join('"..."' for _ in draft.class_numbers)
    return f"# labels = [{quoted}]   # names of the classes 0, 1, ...: they tell a model more than numbers"
