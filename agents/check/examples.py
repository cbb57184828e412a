"""Checks the examples of a configuration, and the task that they make."""

from __future__ import annotations

from agents.check.findings import Finding, Findings
from agents.config.configuration import Configuration
from agents.config.labels import known_labels
from agents.config.loading import corrections, in_splits, make_task, overlay_file, sources
from protocols.data import Source, doubt_of_header, load_examples
from protocols.data.checks import FITTING, Splits, label_problems, split_problems
from protocols.errors import DataError
from protocols.kinds.kinds import generation
from protocols.metrics.match import Exact
from protocols.task import Example, Task
from protocols.text import how_many
from protocols.turns import Conversation, images_of


def look_at_examples(found: Findings, configuration: Configuration) -> tuple[Task | None, Task | None]:
    """A task for checking the prompt, for which the examples of one split suffice, and the real task; None for those
    that cannot be made."""
    places = sources(configuration)
    loaded = {name: _file(found, name, source) for name, source in places.items()}
    there = {name: examples for name, examples in loaded.items() if examples is not None}
    whole = len(there) == len(places)
    try:
        splits = in_splits(configuration, there, corrected=whole)
        corrected = _overlaid(configuration) if whole else ""
    except DataError as problem:
        found.none_of("splits", [problem], "")
        return None, None
    if not splits:
        return None, None
    if corrected:
        found.all.append(Finding("corrections", "ok", corrected))
    fine = found.none_of("splits", split_problems(splits), "no id and no input is in two of them")
    if configuration.task.kind in FITTING and "train" in splits:
        fine &= _labels(found, configuration, splits)
    task: Task | None = None
    if fine and whole:
        task = found.attempt("task", lambda: make_task(configuration, splits), _describe)
    else:
        found.skip("task", "the examples must be put right first")
    some = next((examples for examples in splits.values() if examples), ())
    if task is not None or not some:
        return task, task
    kind = generation({})  # any kind will do, since only placeholders are checked
    return Task(configuration.task.name, some, (), (), Exact(kind), tuple(sorted(some[0].inputs)), kind), None


def _overlaid(configuration: Configuration) -> str:
    """How many gold answers a person has corrected; "" if none."""
    told = corrections(configuration).values()
    out = sum(correction.wrong for correction in told)
    where = overlay_file(configuration)
    corrected, left = how_many(len(told) - out, "gold answer"), how_many(out, "example")
    return f"{corrected} corrected and {left} left out by {where}" if told else ""


def _labels(found: Findings, configuration: Configuration, splits: Splits) -> bool:
    """Whether all targets are labels of the task."""
    kind = configuration.task.kind
    if configuration.task.labels is None:
        return found.none_of("labels", label_problems(splits, kind), "train has every label")
    labels = found.attempt("task.labels", lambda: known_labels(configuration), lambda all: f"{len(all):,} labels")
    problems = label_problems(splits, kind, labels) if labels else ()
    return bool(labels) and found.none_of("labels", problems, "task.labels has every label")


def _file(found: Findings, name: str, source: Source) -> tuple[Example, ...] | None:
    def describe(examples: tuple[Example, ...]) -> str:
        return f"{len(examples):,} in {source.location}"

    examples = found.attempt(f"{name} examples", lambda: load_examples(source, name), describe)
    if examples is not None and (doubt := doubt_of_header(source)):
        found.warn(f"{name} header", str(doubt))
    return examples


def _describe(task: Task) -> str:
    return f"{task.kind.name}; input fields {', '.join(_field(task, name) for name in task.fields)}"


def _field(task: Task, name: str) -> str:
    """An input field, with what it holds in training if that is not text alone."""
    values = [example.inputs[name] for example in task.train]
    tokens = [image.tokens for value in values for image in images_of(value)]
    held = ["conversations"] if any(isinstance(value, Conversation) for value in values) else []
    held += [f"images of about {sum(tokens) // len(tokens):,} tokens"] if tokens else []
    return f"{name} ({' with '.join(held)})" if held else name
