"""Begins a task: from a data file to a configuration and a first prompt that a search runs as they stand."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.beginning.columns import Column
from agents.beginning.draft import Answers, Columns, Data, Draft, FirstPrompt, Search, toml
from agents.beginning.guess import Guess, Wishes, guess
from agents.beginning.rows import Copied, copied, spellings_of, unique_ids
from agents.beginning.sources import Source
from agents.config.catalogue import open_operators
from agents.config.configuration import build
from agents.config.loading import check_prompt, in_splits, make_task, remarks, unknown_placeholders
from agents.config.loading import sources as given
from agents.config.programs import layout
from agents.config.reading import toml as parsed
from agents.directory.run_directory import write
from agents.forecast.least import check_caps
from agents.models.budget import prices
from agents.run.opening import check_editable
from protocols.budget.prices import Price
from protocols.data import Format, all_labels, load_examples
from protocols.data.mapping import NO_ID
from protocols.errors import ConfigError, DataError
from protocols.files import prompt_file
from protocols.prompt import Prompt
from protocols.providers.local.weights import PACKAGES
from protocols.task import KindName, Task
from protocols.text import file_name, one_line

ENOUGH = {"validation": 200, "test": 300}
"""Most examples of a split that is cut from a file: beyond these, each candidate costs more than it tells."""
USUAL = {"train": 0.4, "validation": 0.3, "test": 0.3}
DOLLARS = (2.0, 5.0, 10.0, 25.0, 100.0, 1000.0)
"""Caps to try: the first that pays for the first prompt and for the report."""
CALLS, TIMES = 3_000, 8
"""The cap on calls where no price is known, at least this many times the calls of the report."""
LOCAL = "local/"
MINUTES, MINUTES_OF_SMALL = 30, 15
"""The cap where a model on this machine answers, which costs time alone; for one of a few hundred MB, which learns
from examples and little else (docs/decisions/forms.md)."""
KINDS_OF_PUBLISHED: Mapping[Format, KindName] = {
    "cluener": "ner",
    "squad": "reading",
    "thucnews": "classification",
}


@dataclass(frozen=True, slots=True)
class Said:
    """What the person has said beside their wishes about columns. None: usual. `instruction`: what the model should
    do; `folder`: where files are written; `name`: of the task and its files."""

    instruction: str | None = None
    model: str | None = None
    name: str | None = None
    folder: Path = Path()


@dataclass(frozen=True, slots=True)
class Begun:
    """The files to write, by their paths, the configuration's first; what was found, and what the person should know
    of it."""

    files: Mapping[Path, bytes]
    task: Task
    guess: Guess | None
    remarks: tuple[str, ...]

    @property
    def configuration(self) -> Path:
        """The file of the configuration."""
        return next(iter(self.files))


@dataclass(frozen=True, slots=True)
class Material:
    """What the files hold. `found`: what their columns are, None for a published form. `fields`: the input field of
    each column. `copies`: the rows of each file, checked and put right."""

    found: Guess | None
    fields: Mapping[str, str]
    copies: Mapping[str, Copied]

    @property
    def used(self) -> Mapping[str, Copied]:
        """The copies that stand in the place of the files: all, if one of them is needed."""
        return self.copies if any(copy.needed for copy in self.copies.values()) else {}


def begin(source: Source, wishes: Wishes, said: Said, environ: Mapping[str, str]) -> Begun:
    """Make a configuration and a first prompt, and check that a search would take them. Nothing is written.

    :raises InputError: the data cannot be used, or the wishes do not fit it.
    """
    check_header(source, wishes)
    name = said.name or _name(source.files)
    material = _read(source, wishes)
    draft = _draft(name, source, material, wishes.kind, said, environ)
    task, draft = _load(draft, source.files, material.used)
    prompt = layout(said.instruction, task)
    draft = _finished(draft, task, prompt, said.folder, environ)
    return Begun(
        files={
            said.folder / f"{file_name(name)}.toml": toml(draft).encode("utf-8"),
            said.folder / draft.prompt.file: prompt_file.dumps(prompt).encode("utf-8"),
            **{said.folder / draft.data.files[key]: b"".join(copy.lines) for key, copy in material.used.items()},
        },
        task=task,
        guess=material.found,
        remarks=(
            *_remarks(material.found, material.copies, source),
            *_unlearnt(draft.answers),
            *remarks(prompt, task),
        ),
    )


def check_header(source: Source, wishes: Wishes) -> None:
    """:raises DataError: the first row looks like an example, and the person has named no column by it."""
    if source.doubt and not (wishes.target or wishes.inputs):
        raise source.doubt


def write_all(begun: Begun, overwrite: bool) -> None:
    """Write the files.

    :raises ConfigError: one is there already, and `overwrite` is not set; nothing was written.
    :raises StorageFailed: one cannot be written.
    """
    if not overwrite and (there := [path for path in begun.files if path.exists()]):
        raise ConfigError(f"{there[0]} is there already; overwrite it with --force, or take another --name")
    for path in begun.files:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the folder {path.parent}: {error.strerror}") from None
    for path, content in begun.files.items():
        write(path, content)


def usual_model(environ: Mapping[str, str]) -> str:
    """The model to name where the person names none: of the provider whose key is there."""
    ours = environ.get("ANTHROPIC_API_KEY") and not environ.get("OPENAI_API_KEY")
    return "anthropic/claude-haiku-4-5" if ours else "openai/gpt-5-mini"


def _read(source: Source, wishes: Wishes) -> Material:
    """What the files hold, and what their columns are guessed to be.

    :raises InputError: the wishes do not fit the columns, or a file cannot be read.
    """
    if source.published:
        return Material(None, {}, {})
    found = guess(source.columns, wishes, next(iter(source.files.values())))
    if found.id and not all(unique_ids(path, found.id) for path in source.files.values()):
        found = replace(found, id=NO_ID)
    fields = _field_names(found.inputs)
    spellings = spellings_of(source.files.values(), found)
    return Material(
        found, fields, {key: copied(path, found, fields, spellings) for key, path in source.files.items()}
    )


def _draft(
    name: str, source: Source, material: Material, kind: KindName | None, said: Said, environ: Mapping[str, str]
) -> Draft:
    """What the configuration says before the task is loaded. `kind`: the person's."""
    found, used, stem = material.found, material.used, file_name(name)
    rows = sum(copy.rows for copy in material.copies.values())
    return Draft(
        name=name,
        answers=_answers(source, found, kind),
        data=Data(
            made_from=", ".join(path.name for path in source.files.values()),
            files={
                key: f"{stem}.{key}.jsonl" if used else _relative(path, said.folder)
                for key, path in source.files.items()
            },
            published=source.published,
            shares=_shares(rows) if "data" in source.files and found else None,
        ),
        columns=_columns(found, None if used or source.native else material.fields) if found else Columns(),
        prompt=FirstPrompt(f"{stem}.prompt.txt"),
        search=_search(said.model or usual_model(environ)),
    )


def _answers(source: Source, found: Guess | None, kind: KindName | None) -> Answers:
    if found:
        return Answers(found.kind, found.why, found.metric)
    assert source.published is not None
    return Answers(kind or KINDS_OF_PUBLISHED[source.published], f"the file has the form of {source.published}", None)


def _columns(found: Guess, inputs: Mapping[str, str] | None) -> Columns:
    """`inputs`: the input field of each column; None: the rows name their fields."""
    return Columns(
        inputs=None if inputs is None else {inputs[column.name]: column.name for column in found.inputs},
        target=found.target.name,
        id=found.id,
        separator=found.separator,
        others=found.others,
        class_numbers=_class_numbers(found),
    )


def _search(model: str) -> Search:
    """A cap that suits the model: time where that is all it costs."""
    if not model.startswith(LOCAL):
        return Search(model, ("calls", CALLS))
    small = model.removeprefix(LOCAL) in PACKAGES
    return Search(model, ("minutes", MINUTES_OF_SMALL if small else MINUTES), alone=small)


def _finished(draft: Draft, task: Task, prompt: Prompt, folder: Path, environ: Mapping[str, str]) -> Draft:
    """The draft with the sizes of the splits, plain names in braces, and a cap that pays for a search.

    :raises InputError: a search would not take it.
    """
    if shares := draft.data.shares:
        sizes = {"train": task.train, "validation": task.validation, "test": task.test}
        with_sizes = {name: (share, len(sizes[name])) for name, (share, _) in shares.items()}
        draft = replace(draft, data=replace(draft.data, shares=with_sizes))
    draft = replace(draft, prompt=replace(draft.prompt, literal=tuple(unknown_placeholders(prompt, task))))
    check_prompt(prompt, task, set(draft.prompt.literal))
    configuration = build(parsed(toml(draft)), folder)
    check_editable(prompt, open_operators(configuration.search_operators), task)
    if draft.search.cap[0] == "minutes":
        return draft
    known = prices(configuration, environ)
    price = known.get(configuration.models.of("task"))
    if price is None or not price.input:
        return _capped(draft, "calls", max(CALLS, TIMES * (len(task.validation) + 2 * len(task.test))))
    return _capped(draft, "dollars", _dollars(draft, task, prompt, folder, known))


def _capped(draft: Draft, cap: str, limit: float) -> Draft:
    return replace(draft, search=replace(draft.search, cap=(cap, limit)))


def _dollars(draft: Draft, task: Task, prompt: Prompt, folder: Path, known: Mapping[str, Price]) -> float:
    """The first of `DOLLARS` that pays for more than the report."""
    for dollars in DOLLARS:
        try:
            check_caps(build(parsed(toml(_capped(draft, "dollars", dollars / 2))), folder), task, prompt, known)
        except ConfigError:
            continue
        return dollars
    model, most = draft.search.model, DOLLARS[-1]
    raise ConfigError(f"{model} would cost over {most:,.0f} dollars on these examples; give fewer")


def _load(draft: Draft, sources: Mapping[str, Path], copies: Mapping[str, Copied]) -> tuple[Task, Draft]:
    """The task, with the copies in the place of the files if there are any; and the draft, with all labels if the
    train split lacks some.

    :raises DataError: it cannot be loaded, or has too few examples.
    """
    with TemporaryDirectory() as temporary:
        tables = parsed(toml(draft))
        for key, path in sources.items():
            tables["task"][key] = str(path.absolute())
            if key in copies:
                kept = Path(temporary) / f"{key}.jsonl"
                kept.write_bytes(b"".join(copies[key].lines))
                tables["task"][key] = str(kept)
        try:
            configuration = build(tables, Path())
            splits = in_splits(configuration, {n: load_examples(s, n) for n, s in given(configuration).items()})
            if labels := all_labels(splits, draft.answers.kind):
                draft = replace(draft, answers=replace(draft.answers, labels=labels))
                configuration = build({**tables, "task": {**tables["task"], "labels": [*labels]}}, Path())
            return make_task(configuration, splits), draft
        except DataError as error:
            file = None if error.file and error.file.startswith(temporary) else error.file
            raise DataError(error.reason, file=file or draft.data.made_from, line=error.line) from None


def _name(files: Mapping[str, Path]) -> str:
    """The name of a task: of its one file, or of the folder of the three."""
    if "data" in files:
        return files["data"].name.partition(".")[0] or "task"
    return files["train"].absolute().parent.name or "task"


def _relative(path: Path, folder: Path) -> str:
    """The path as a configuration in `folder` names it; the whole one if they have little of it in common."""
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return str(path.absolute())
    return str(path.absolute()) if relative.startswith("../../") else relative


def _field_names(columns: Sequence[Column]) -> dict[str, str]:
    """The input field of each column: its name, as a word that can be a placeholder."""
    names: dict[str, str] = {}
    for column in columns:
        last = column.name.rpartition(".")[2]
        word = re.sub(r"\W+", "_", last).strip("_") or "text"
        while word in names.values():
            word += "_2"
        names[column.name] = word
    return names


def _shares(rows: int) -> dict[str, tuple[float, int]]:
    """The shares of a cut, with sizes to be filled in: the usual ones, but no more than `ENOUGH` to validate and
    test."""
    shares = {name: min(USUAL[name], most / max(1, rows)) for name, most in ENOUGH.items()}
    if shares == {name: USUAL[name] for name in ENOUGH}:
        return {name: (share, 0) for name, share in USUAL.items()}
    rounded = {name: max(0.001, round(share, 3)) for name, share in shares.items()}
    return {
        "train": (round(1 - sum(rounded.values()), 3), 0),
        **{name: (share, 0) for name, share in rounded.items()},
    }


def _class_numbers(found: Guess) -> Sequence[str]:
    """The labels, if they are the numbers of classes from 0 on without names."""
    if found.kind != "classification":
        return ()
    labels = sorted(found.target.distinct, key=lambda label: (len(label), label))
    return labels if labels == [str(number) for number in range(len(labels))] else ()


def _unlearnt(answers: Answers) -> Sequence[str]:
    if not answers.labels:
        return ()
    lacking = [label for label, learnt in answers.labels.items() if not learnt]
    said = f"train has no example of {', '.join(lacking)}: `labels` names all, so that replies can be read as such"
    return (one_line(f"{said}; take out what is a typing mistake, and put the data right", 400),)


def _remarks(found: Guess | None, copies: Mapping[str, Copied], source: Source) -> Sequence[str]:
    """What the person should know, one line each."""
    said = [source.doubt.reason] if source.doubt else []
    if found is not None and not found.sure:
        said.append(f"nothing says that {found.target.name} holds the answer; if it does not, name it with --target")
    if found is not None and found.rivals:
        said.append(f"the answer could be in {' or '.join(found.rivals)} as well: --target")
    for key, copy in copies.items():
        file = source.files[key].name
        said += [f"{file}: {count:,} of {copy.rows + copy.left_out.total():,} rows left out, with {reason}"
                 for reason, count in copy.left_out.items()]  # fmt: skip
        said += [f"{file}: the copy has {change}" for change in copy.changed]
    return [one_line(line, 300) for line in said]
