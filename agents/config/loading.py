"""Loads the task and the first prompt of a configuration, and refuses inputs that would waste a run."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TypeVar, get_args

from agents.config.configuration import Configuration
from agents.config.metrics import against, check_targets, json_as_words, open_kind, open_metric, scored
from agents.config.programs import completed, first_prompts, layout, open_program
from agents.prompting.retrieval_slots import EXAMPLES, places
from memory.retrieval import read_corpus
from protocols.data import (
    Added,
    Fields,
    Source,
    add,
    check_cut,
    check_splits,
    cut,
    doubt_of_header,
    load_examples,
    told_apart,
)
from protocols.data.huggingface import SCHEME
from protocols.data.overlay import Correction, overlaid, read_overlay
from protocols.errors import ConfigError, DataError, PromptError
from protocols.files import prompt_file, prompt_folder
from protocols.prompt import Prompt, Section, braced, placeholders
from protocols.providers.catalogue import is_local
from protocols.task import Example, SplitName, Task
from protocols.text import file_name, one_line
from protocols.turns import images_of

Examples = tuple[Example, ...]
Name = TypeVar("Name", bound=str)
SPLITS = get_args(SplitName)
MORE = "more"
DOUBLED = re.compile(r"\{\{[^{}]+\}\}")


def load_task(configuration: Configuration) -> Task:
    """The task with its three splits.

    :raises DataError: a file cannot be read, or the splits would make a score meaningless.
    """
    return load_added(configuration)[0]


def load_added(configuration: Configuration) -> tuple[Task, Added | None]:
    """The task, and what the last file of `more` adds to it, None without one.

    :raises DataError: see `load_task`.
    """
    loaded = {name: load_examples(source, name) for name, source in sources(configuration).items()}
    splits = _first_splits(configuration, loaded)
    added = additions(configuration, splits, loaded)
    whole = added[-1].splits if added else splits
    task = make_task(configuration, overlaid(whole, corrections(configuration)))
    if not added:
        return task, None
    return replace(task, new=frozenset(one.id for new in added[-1].new.values() for one in new)), added[-1]


def sources(configuration: Configuration) -> dict[str, Source]:
    """The source of each split, or of `data`, if one source is cut into all three; then the files of `more`, by
    `more-1` and so on."""
    table = configuration.task
    fields = Fields(**dict(table.fields))
    named = {name: getattr(table, name) for name in ("data", "train", "validation", "test")}
    named |= {f"{MORE}-{number}": place for number, place in enumerate(table.more, start=1)}
    return {
        name: Source(place if place.startswith(SCHEME) else str(configuration.path(place)), table.format, fields)
        for name, place in named.items()
        if place
    }


def doubts(configuration: Configuration) -> list[str]:
    """What to do about tables whose first row looks like an example, which is lost, one line each.

    :raises DataError: a file cannot be read.
    """
    return [str(doubt) for source in sources(configuration).values() if (doubt := doubt_of_header(source))]


def overlay_file(configuration: Configuration) -> Path:
    """The file with corrections of the task's gold answers, which need not be there: `task.overlay`, or one beside
    the data, or beside the configuration if the data is on the hub."""
    table = configuration.task
    if table.overlay is not None:
        return configuration.path(table.overlay)
    place = table.data or table.train or ""
    beside = configuration.origin if place.startswith(SCHEME) else configuration.path(place).parent
    return beside / f"{file_name(table.name)}.labels.jsonl"


def corrections(configuration: Configuration) -> Mapping[str, Correction]:
    """The corrections of gold answers by the ids of their examples; none if there is no such file.

    :raises DataError: it cannot be read, or `task.overlay` names it and it is not there.
    """
    path = overlay_file(configuration)
    return read_overlay(path) if configuration.task.overlay is not None or path.exists() else {}


def in_splits(
    configuration: Configuration, loaded: Mapping[str, Examples], corrected: bool = True
) -> Mapping[str, Examples]:
    """The three splits: as loaded, with numbered ids made unique, or cut from `data`; with the examples of `more`;
    then `corrected` by a person. Fewer splits are corrected only if all of the examples of a correction are there.

    :raises DataError: there are too few examples to cut, or there are corrections of other examples.
    """
    splits = _first_splits(configuration, loaded)
    for addition in additions(configuration, splits, loaded):
        splits = addition.splits
    return overlaid(splits, corrections(configuration)) if corrected else splits


def additions(
    configuration: Configuration, splits: Mapping[str, Examples], loaded: Mapping[str, Examples]
) -> Sequence[Added]:
    """What each file of `more` adds to the three splits and to what the files before it have added; nothing if one
    of the splits is not there.

    :raises DataError: examples of a file have other input fields.
    """
    made: list[Added] = []
    for name in (name for name in loaded if name.startswith(f"{MORE}-") and len(splits) == len(SPLITS)):
        _check_fields(configuration, splits["train"], name, loaded[name])
        rng = Random(f"{configuration.task.cut.seed}/{name}")
        made.append(add(splits, loaded[name], name, rng, configuration.task.kind))
        splits = made[-1].splits
    return made


def _check_fields(configuration: Configuration, train: Examples, name: str, more: Examples) -> None:
    usual, other = (", ".join(sorted(examples[0].inputs)) for examples in (train, more))
    if usual != other:
        place = sources(configuration)[name].location
        raise DataError(f"its examples have the fields {other}, and those of the task {usual}", file=place)


def _first_splits(configuration: Configuration, loaded: Mapping[str, Examples]) -> Mapping[str, Examples]:
    if "data" not in loaded:
        return told_apart({name: loaded[name] for name in SPLITS if name in loaded})
    table = configuration.task.cut
    shares = {"train": table.train, "validation": table.validation, "test": table.test}
    splits = cut(loaded["data"], shares, Random(f"{table.seed}/cut"), configuration.task.kind)
    check_cut(splits, shares, configuration.task.kind)
    return splits


def found_in(splits: Mapping[Name, Examples], identity: str) -> tuple[Name, Example]:
    """The first example of this id, and its split.

    :raises ConfigError: there is none.
    """
    ids: dict[str, tuple[Name, Example]] = {}
    for split, examples in splits.items():
        for each in examples:
            ids.setdefault(each.id, (split, each))
    if identity not in ids:
        near = difflib.get_close_matches(identity, ids, 1)
        known = f"did you mean {near[0]!r}?" if near else f"there are {', '.join([*ids][:3])}, … ({len(ids)} in all)"
        raise ConfigError(f"no example has the id {identity!r}; {known}")
    return ids[identity]


def make_task(configuration: Configuration, splits: Mapping[str, Examples]) -> Task:
    """The task with these three splits.

    :raises DataError: the splits would make a score meaningless.
    :raises ConfigError: they hold images, and the model that answers reads text alone.
    """
    table = configuration.task
    check_targets(configuration)
    check_splits(splits)
    check_images(configuration, splits)
    train = splits["train"]
    fields = tuple(sorted(train[0].inputs))
    kind = open_kind(configuration, splits)
    metric = open_metric(configuration, kind, None)
    program = open_program(configuration, fields)
    return Task(
        table.name,
        train,
        splits["validation"],
        splits["test"],
        metric,
        fields,
        kind,
        (table.description or "").strip(),
        scored(configuration, kind),
        configuration.models.answering,
        program,
    )


def check_images(configuration: Configuration, splits: Mapping[str, Examples]) -> None:
    """:raises ConfigError: the examples have images, and a model that answers them reads text alone. A program may
    show them to another, and hears of it by its calls."""
    models = configuration.models.each("task").values()
    blind = [name for name in models if is_local(name) or configuration.provider(name).api == "completions"]
    examples = (example for split in splits.values() for example in split) if blind else ()
    seen = (name for example in examples for name, value in example.inputs.items() if images_of(value))
    if configuration.task.program is None and (field := next(seen, None)) is not None:
        raise ConfigError(
            f"the input field {field} holds images, and {blind[0]} reads text alone; set models.task to a model "
            "that sees, or leave the field out with [task.fields]"
        )


def load_corpus(configuration: Configuration) -> list[str]:
    """The passages of the task's corpus; none if it has no corpus.

    :raises DataError: it cannot be read, or contains no passage.
    """
    corpus = configuration.task.corpus
    return read_corpus(configuration.path(corpus)) if corpus else []


def load_first_prompt(configuration: Configuration, task: Task) -> Prompt:
    """The prompt that the search begins with.

    :raises PromptError: it shows no input, has a placeholder that is a field of no example, or describes a tool that
        is not there.
    :raises ConfigError: its tools, or the schema of its replies, cannot be read.
    """
    table = configuration.prompt
    if table.file and table.text is not None:
        raise ConfigError("prompt.file and prompt.text exclude each other")
    if task.program is not None:
        return first_prompts(configuration, task)
    prompt = prompt_file.load(configuration.path(table.file)) if table.file else layout(table.text, task)
    prompt = completed(configuration, prompt)
    ours = Prompt((Section("format", "format", task.kind.format),))  # labels and schemas may have braces in them
    literal = {*table.literal, *(() if table.file else unknown_placeholders(ours, task))}
    check_prompt(prompt, task, literal, str(table.file) if table.file else None)
    return prompt


def given_prompt(configuration: Configuration, task: Task, path: Path) -> Prompt:
    """The prompt at `path`, a file or a folder of files. A name in braces that no example has is plain text, since a
    trained prompt may quote one.

    :raises PromptError: it cannot be read, shows no input, or has other names than the prompts of the task.
    :raises ConfigError: its tools, or the schema of its replies, cannot be read.
    """
    prompt = completed(configuration, prompt_folder.load(path), str(path))
    check_names(prompt, task, str(path))
    prompt = prompt_folder.in_order(prompt, tuple(task.program.prompts) if task.program else ())
    check_input(prompt, task, str(path))
    return prompt


def opponent_of(configuration: Configuration, task: Task, first: Prompt | None = None) -> Prompt:
    """The prompt that the metric preference compares others with: the one that it names, or the `first` prompt of a
    search; None: that of the configuration.

    :raises PromptError: it cannot be used.
    """
    path = against(configuration)
    if path is None:
        return first or load_first_prompt(configuration, task)
    prompt = given_prompt(configuration, task, path)
    check_shots(prompt, task, str(path))
    return prompt


def check_shots(prompt: Prompt, task: Task, file: str | None = None) -> None:
    """:raises PromptError: the prompt shows training examples with their targets, and they have none."""
    for section in prompt:
        if not task.has_targets and any(place.startswith(f"{EXAMPLES}:") for place in places(section.filled)):
            raise PromptError(
                f"section {section.name} shows training examples with their targets, and there are none", file=file
            )


def check_prompt(prompt: Prompt, task: Task, literal: set[str], file: str | None = None) -> None:
    """:raises PromptError: see `load_first_prompt`."""
    unknown = {name: at for name, at in unknown_placeholders(prompt, task).items() if name not in literal}
    if unknown:
        named = " and ".join(f"section {section} has the placeholder {{{name}}}" for name, section in unknown.items())
        quoted = ", ".join(f'"{name}"' for name in unknown)
        raise PromptError(
            f"{named}, but examples have only {', '.join(task.fields)}; if it is plain text, say so: "
            f"literal = [{quoted}] under [prompt]",
            file=file,
        )
    check_input(prompt, task, file)
    check_shots(prompt, task, file)


def check_input(prompt: Prompt, task: Task, file: str | None = None) -> None:
    """:raises PromptError: the prompt is the same for every example."""
    if task.program is None and not any(placeholders(section.filled, task.fields) for section in prompt):
        raise PromptError(f"the prompt shows no input; put {{{task.fields[0]}}} where it belongs", file=file)


def check_names(prompt: Prompt, task: Task, file: str | None = None) -> None:
    """:raises PromptError: the prompt has other names than the prompts of the task's program."""
    names = tuple(task.program.prompts) if task.program else ()
    wanted, there = set(names if len(names) > 1 else ("",)), set(prompt.names)
    if wanted == there:
        return
    if wanted == {""}:
        raise PromptError(f"it has the prompts {', '.join(sorted(there))}, and the task has one prompt", file=file)
    missing = [name for name in names if name not in there]
    strange = [name for name in prompt.names if name and name not in wanted]
    said = [f"no section belongs to the prompt {name}" for name in missing]
    said += [f"the program has no prompt {name}" for name in strange]
    if "" in there:
        plain = next(section.name for section in prompt if not section.prompt)
        said.append(f"the section {plain} belongs to no prompt; write {names[0]}.{plain}")
    raise PromptError("; ".join(said), file=file)


def remarks(prompt: Prompt, task: Task) -> list[str]:
    """Warnings about a prompt and how its answers are scored, one line each."""
    return [
        said for said in (task.kind.names.warning(prompt), doubled_braces(prompt, task), json_as_words(task)) if said
    ]


def doubled_braces(prompt: Prompt, task: Task) -> str:
    """A warning about doubled braces, which the templates of other programs need; "" for none."""
    doubled = {pair[0]: section.name for section in prompt for pair in DOUBLED.finditer(section.filled)}
    if not doubled:
        return ""
    shown, section = next(iter(doubled.items()))
    meant = [braced([field]) for field in task.fields if any(field == pair[2:-2].strip() for pair in doubled)]
    instead = f"; write {' and '.join(meant)} for the input alone" if meant else ""
    return (
        f"section {section} has {one_line(shown, 60)}: braces are sent as they stand, doubled ones too, but for one "
        f"pair around a field{instead}"
    )


def unknown_placeholders(prompt: Prompt, task: Task) -> dict[str, str]:
    """Names in braces that no example has, each with the first section that holds it."""
    unknown: dict[str, str] = {}
    for section in prompt:
        for name in re.findall(r"\{([A-Za-z_]\w*)\}", section.filled):
            if name not in task.placeholders:
                unknown.setdefault(name, section.name)
    return unknown
