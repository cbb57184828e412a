"""Inputs that a program passes as objects, not as files. They are written to the run directory, so that the run can
be resumed, replayed and shown like any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from agents.config.configuration import Configuration, build
from agents.config.reading import read
from agents.directory.run_directory import GIVEN, RECORD, named, next_directory, usable, write
from protocols.data.values.inputs import rooted
from protocols.errors import ConfigError, DataError, InputError, StorageFailed
from protocols.files import prompt_file
from protocols.prompt import Prompt

Settings = Mapping[str, object]
"""One table of the configuration, with the same keys as in TOML."""
Rows = Sequence[Mapping[str, object]]
"""Examples, each with the keys of a line in a JSONL file: `input`, `target` and, optionally, `id`."""
SPLITS = ("train", "validation", "test", "data")
PROMPT = "prompt.txt"


@dataclass(frozen=True, slots=True)
class InlineInputs:
    """The tables of a configuration, the folder of their paths, and `files`: by the path of a key, in which a number
    is a place in a list, the name and the content of a file to write."""

    tables: Mapping[str, Any]
    origin: Path
    files: Mapping[tuple[str | int, ...], tuple[str, bytes]]

    @contextmanager
    def kept(self, directory: Path | None) -> Iterator[tuple[Configuration, Path | None]]:
        """Write the files, and yield the configuration and the run directory; if none is given and there are files,
        it is the next free one. The files are removed again if no run begins.

        :raises InputError: a setting cannot be used, or the directory has other files in their place.
        :raises StorageFailed: a file cannot be written.
        """
        configuration = build(self.tables, self.origin)  # before anything is written
        place = named(configuration, directory)
        if not self.files:
            yield configuration, place
            return
        made: list[Path] = []
        if place is not None:
            usable(place)  # before anything is written
        else:
            made.append(place := next_directory(configuration.task.name))
        try:
            yield build(self._written(place, made), self.origin), place
        except InputError:
            if not (place / RECORD).exists():
                _take_away(made)
            raise

    def _written(self, place: Path, made: list[Path]) -> Mapping[str, Any]:
        """Write the files that are not there yet, and return the tables with the paths of all. New files and folders
        are added to `made`."""
        folder = place.absolute() / GIVEN
        tables = _copied(self.tables)
        try:
            made += [path for path in (place, folder) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            for key, (name, content) in self.files.items():
                if not (folder / name).exists():
                    write(folder / name, content)
                    made.append(folder / name)
                elif (folder / name).read_bytes() != content:
                    raise ConfigError(f"{place} keeps another {'.'.join(map(str, key))}; name another directory")
                table: Any = tables
                for part in key[:-1]:
                    table = table[part]
                table[key[-1]] = str(folder / name)
        except OSError as error:
            raise StorageFailed(f"cannot be written: {error.strerror}", file=str(folder)) from error
        return tables


def _copied(tables: Mapping[str, Any]) -> dict[str, Any]:
    """The tables, and the tables and lists in them; other values are the same objects."""
    copies: dict[str, Any] = {}
    for name, inner in tables.items():
        copies[name] = _copied(inner) if isinstance(inner, Mapping) else [*inner] if type(inner) is list else inner
    return copies


def _take_away(made: Sequence[Path]) -> None:
    """Remove files and folders, in reverse order; folders that contain other files are left."""
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def take(
    task: Settings | Path | str, prompt: Prompt | Path | str | None, settings: Mapping[str, Settings]
) -> InlineInputs:
    """Combine the inputs of a run. `task`: the path of a configuration, or the table `task`; `prompt` and `settings`
    override it, key by key.

    :raises InputError: a file cannot be read, or rows cannot be written as JSON.
    """
    if isinstance(task, Path | str):
        tables, origin = read(Path(task)), Path(task).parent
    else:
        tables, origin = {"task": dict(task)}, Path.cwd()
    tables = _laid_over(tables, settings)
    fields = tables.get("task", {}).get("fields")
    images = fields.get("images", ()) if isinstance(fields, Mapping) else ()
    files: dict[tuple[str | int, ...], tuple[str, bytes]] = {}
    for split in SPLITS:
        rows = tables.get("task", {}).get(split)
        if isinstance(rows, Path):
            tables["task"][split] = str(rows)
        elif rows is not None and not isinstance(rows, str):
            files["task", split] = f"{split}.jsonl", _lines(rows, split, origin, images)
            tables["task"][split] = f"{split}.jsonl"
    if isinstance(prompt, Prompt):
        files["prompt", "file"] = PROMPT, prompt_file.dumps(prompt).encode("utf-8")
    if prompt is not None:
        others = {key: value for key, value in tables.get("prompt", {}).items() if key not in ("text", "file")}
        named = (
            {"text": prompt} if isinstance(prompt, str) else {"file": prompt if isinstance(prompt, Path) else PROMPT}
        )
        tables["prompt"] = {**others, **named}
    if isinstance(tables.get("prompts"), Mapping):
        tables["prompts"] = {name: _one_prompt(name, given, files) for name, given in tables["prompts"].items()}
    return InlineInputs(tables, origin, files)


def _one_prompt(name: str, given: object, files: dict[tuple[str | int, ...], tuple[str, bytes]]) -> object:
    """The table of a program's prompt, which may be given as a text, as the path of its file, or as an object."""
    match given:
        case str():
            return {"text": given}
        case Path():
            return {"file": str(given)}
        case Prompt():
            file = f"prompt.{name}.txt"
            files["prompts", name, "file"] = file, prompt_file.dumps(given).encode("utf-8")
            return {"file": file}
        case _:
            return given


def _laid_over(tables: Mapping[str, Any], settings: Mapping[str, Settings]) -> dict[str, Any]:
    """:raises ConfigError: a value that has to be a table is not one."""
    both = dict(tables)
    for name in ("task", "prompt", *settings):
        for table in (tables.get(name, {}), settings.get(name, {})):
            if not isinstance(table, Mapping):
                raise ConfigError(f"{name} is a table, not {table!r}")
            both[name] = {**both[name], **table} if name in both else dict(table)
    return both


def _lines(rows: object, split: str, origin: Path, images: Sequence[str]) -> bytes:
    """The rows as JSON lines. Paths of images begin at `origin`; `images`: the fields that are said to hold some.

    :raises DataError: `rows` is not a sequence of rows that can be written as JSON.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, bytes):
        raise DataError(f"task.{split}: give a path, or a sequence of rows such as {{'input': ..., 'target': ...}}")
    lines = []
    for number, row in enumerate(rows, start=1):
        try:
            placed = rooted(row, origin, images) if isinstance(row, Mapping) else row
            lines.append(orjson.dumps(placed) + b"\n")
        except TypeError as error:
            raise DataError(f"task.{split}, row {number}: {error}") from None
    return b"".join(lines)
