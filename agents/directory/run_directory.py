"""The run directory: the names of its files, its claim by a process, and writing files to it."""

from __future__ import annotations

import difflib
import errno
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from agents.config.configuration import Configuration
from agents.config.loading import overlay_file
from agents.directory.resume_fingerprint import BEFORE, check_findable, check_fingerprint
from memory.storage.sqlite import claimed
from protocols.errors import NO_ROOM, ConfigError, MemoryMismatch, StorageFailed
from protocols.files import prompt_file
from protocols.files.prompt_folder import OFFER
from protocols.prompt import Prompt
from protocols.text import file_name

VERSION = 2
"""Version of run directories. Those of version 1 have no record and cannot be resumed."""
RECORD, LOCK = "run.json", "lock"
CONFIGURATION, JOURNAL, CACHE, MEMORY = (
    "configuration.json",
    "journal.sqlite",
    "cache.sqlite",
    "memory.sqlite",
)
FIRST_PROMPT, BEST_PROMPT, RESULT, LOG = "first_prompt.txt", "best_prompt.txt", "result.json", "log.jsonl"
COMMANDS, GIVEN, PRICES, SHARED_CAPS = "commands.jsonl", "given", "prices.json", "shared_caps.json"
LABELS = "labels.jsonl"
"""The corrections of gold answers with which the run began."""
REPORT, PARETO, TEST_SCORES = "report.html", "pareto.json", "test_scores.json"
TRANSFER = "transfer.json"
"""The comparison of prompts on another model, see `agents/moving`."""
INCARNATION = ".incarnation"
"""How often machines have taken over a run that works on a copy elsewhere, see `agents/books`."""
BEST_EXAMPLES, BEST_PASSAGES = "best_prompt.examples.jsonl", "best_prompt.passages.jsonl"
BEST_FIELDS = "best_prompt.fields.json"
BEST_OFFER = "best_prompt.offer.json"
BEST_PROMPTS = "best_prompts"
"""The folder of the best prompts of a program with several, a file for each."""
BEST = (BEST_PROMPT, BEST_PROMPTS, BEST_EXAMPLES, BEST_PASSAGES, BEST_FIELDS, BEST_OFFER)
KEPT = (JOURNAL, CACHE, MEMORY, *BEST, RESULT, PARETO, TEST_SCORES, LOG)
"""Files that are written only after the record. Commands are not among them, since they may be sent too early."""
BEGINNINGS = (LOCK, f"{LOCK}-journal", GIVEN, CONFIGURATION, LABELS, FIRST_PROMPT, COMMANDS)
"""Files that may be written before the record, and be left over by a process that was killed."""
RUNS = Path("runs")
BATCHES = "batches"
"""The folder among the run directories for what is known of batches that belong to no run."""


@dataclass(frozen=True, slots=True)
class Record:
    """The identity of a run. `run`: a unique id; `begun`: in Unix seconds; `meaning`: the settings and inputs that
    its decisions depend on, see `agents.directory.resume_fingerprint`."""

    run: str
    begun: float
    meaning: Mapping[str, Any]
    version: int = VERSION


def offer_file(prompt: str) -> str:
    """The file with what the best prompt offers; of a program with several, that of the prompt of this name."""
    return f"{BEST_PROMPTS}/{prompt}{OFFER}" if prompt else BEST_OFFER


def named(configuration: Configuration, directory: Path | None) -> Path | None:
    """The given run directory, or the configuration's; None: use the next free one."""
    own = configuration.run.directory
    return configuration.path(own) if directory is None and own is not None else directory


def find(directory: Path) -> Record | None:
    """The record of the run in a directory; None if there is no run.

    :raises ConfigError: it is not a directory.
    :raises MemoryMismatch: it has files of a run but no record, or another release wrote it.
    :raises StorageFailed: the record is damaged.
    """
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory; name another with --out")
    if (directory / RECORD).exists():
        return _read(directory / RECORD)
    if any((directory / name).exists() for name in KEPT):
        raise MemoryMismatch(
            f"{directory} holds files of a run but no {RECORD}: put it back from a copy, or name another directory "
            f"with --out; a run of version 1 had none, and this release goes on with version {VERSION}"
        )
    return None


def usable(directory: Path) -> Record | None:
    """The record of the run in a directory that a search is to use; None if it can begin a run there.

    :raises ConfigError, MemoryMismatch, StorageFailed: as `find`, or the directory has other files and no run.
    """
    if (record := find(directory)) is not None:
        return record
    try:
        there = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    except OSError as error:
        raise ConfigError(f"cannot read the run directory {directory}: {error.strerror}") from None
    others = [name for name in there if name not in BEGINNINGS and not name.startswith(".")]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        raise ConfigError(
            f"{directory} holds what is no run's ({', '.join(others[:3])}{more}); name a new directory, or an empty "
            "one, with --out"
        )
    return None


def read_record(directory: Path) -> Record:
    """The record of the run in a directory.

    :raises ConfigError: there is no run.
    :raises MemoryMismatch, StorageFailed: as `find`.
    """
    record = None if directory.is_file() else find(directory)
    if record is None:
        raise no_run(directory)
    return record


def no_run(directory: Path) -> ConfigError:
    """The error for a path that is no run directory, with the runs that may be meant."""
    why = ""
    if not directory.exists():
        beside = [path.name for path in runs_in(directory.parent)]
        near = difflib.get_close_matches(directory.name, beside, 1)
        why = ": there is no such folder" + (f"; did you mean {directory.with_name(near[0])}?" if near else "")
    elif held := next(runs_in(directory), None):
        why = f": it holds runs, such as {held}; runs {directory} lists them"
    return ConfigError(f"{directory} is not a run directory{why}")


def runs_in(folder: Path) -> Iterator[Path]:
    """The run directories in a folder; none if it cannot be read."""
    with suppress(OSError):
        yield from sorted(path for path in folder.iterdir() if (path / RECORD).is_file())


def read_configuration(directory: Path) -> Configuration:
    """The configuration with which the run in a directory was last begun or resumed.

    :raises ConfigError: it is not a run directory.
    :raises MemoryMismatch, StorageFailed: another release wrote it, or it is damaged.
    """
    read_record(directory)
    path = directory / CONFIGURATION
    try:
        return Configuration.model_validate_json(orjson.dumps(_completed(orjson.loads(path.read_bytes()))))
    except FileNotFoundError:
        raise StorageFailed(f"is gone, and {RECORD} is there: put it back from a copy", file=str(path)) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        remedy = "it was changed, or another release wrote it: use that"
        raise StorageFailed(f"not the configuration of a run ({reason}); {remedy}", file=str(path)) from error


def _completed(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration, perhaps of an earlier release, with the settings that it lacks set to that release's
    behaviour."""
    tables = {name: dict(table) if isinstance(table, dict) else table for name, table in document.items()}
    for setting, value in BEFORE.items():
        name, _, key = setting.partition(".")
        tables[name].setdefault(key, value)
    return tables


def read_document(path: Path) -> Mapping[str, Any] | None:
    """The content of a JSON file of a run directory; None if there is no such file.

    :raises StorageFailed: it cannot be read.
    """
    try:
        document: Mapping[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise StorageFailed(f"cannot be read ({error}); it was changed or cut short", file=str(path)) from error
    return document


@contextmanager
def claim(
    directory: Path | None, configuration: Configuration, first: Prompt, meaning: Mapping[str, Any]
) -> Iterator[tuple[Path, Record]]:
    """Claim `directory`, or the next free `runs/<task>-<n>`, for this process, and write the first files if there is
    no run yet.

    :raises ConfigError: another process uses it, it cannot be created, or has a run with another `meaning`.
    :raises MemoryMismatch, StorageFailed: as `find`.
    """
    try:
        if directory is None:
            directory = next_directory(configuration.task.name)
        elif usable(directory) is None:
            directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write the run directory {directory}: {error.strerror}") from None
    with claimed(directory / LOCK) as mine:
        if not mine:
            raise ConfigError(f"{directory} is in use by another process; wait for it, or name another with --out")
        record = find(directory)
        if record is not None:
            check_fingerprint(record.meaning, meaning, directory)
            check_findable(configuration, directory)
        if record is None:
            write_configuration(directory, configuration)
            record = Record(uuid4().hex, time.time(), meaning)
            path = overlay_file(configuration)
            write(directory / LABELS, path.read_bytes() if path.exists() else b"")
            write(directory / FIRST_PROMPT, prompt_file.dumps(first).encode("utf-8"))
            write(directory / RECORD, orjson.dumps(asdict(record), option=orjson.OPT_INDENT_2) + b"\n")
        yield directory, record


def write_configuration(directory: Path, configuration: Configuration) -> None:
    """Write all settings, including defaults.

    :raises StorageFailed: the file cannot be written.
    """
    document = configuration.model_dump(mode="json") | {"origin": str(configuration.origin.absolute())}
    write(directory / CONFIGURATION, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")


def write(path: Path, content: bytes) -> None:
    """Write one file of the run directory atomically.

    :raises StorageFailed: it cannot be written, or a folder or a device is in its place.
    """
    with _beside(path) as made:
        with made.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)


def check_writable(path: Path) -> None:
    """Check that a file can be written, before what it is to hold is paid for.

    :raises StorageFailed: as `write`.
    """
    with _beside(path) as made:
        made.touch(exist_ok=False)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """The path of a file beside another, which is removed at the end.

    :raises StorageFailed: it cannot be written, or a folder or a device is in the place of the other.
    """
    if path.exists() and not path.is_file():
        raise StorageFailed("is no file that can be written; name another", file=str(path))
    made = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        try:
            yield made
        finally:
            made.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(error, path) from error


def make_folder(path: Path) -> None:
    """Make a folder of the run directory, or one beside the run directories, unless it is there.

    :raises StorageFailed: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(error, path) from error


def remove(path: Path) -> None:
    """Remove a file of the run directory, if it is there.

    :raises StorageFailed: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(error, path) from error


def not_written(error: OSError, path: Path) -> StorageFailed:
    """The error with the operating system's message and a remedy."""
    remedy = "make room for it" if error.errno in NO_ROOM else "check the disk and who may write there"
    remedy = "make its folder first" if error.errno == errno.ENOENT else remedy
    return StorageFailed(f"cannot be written ({error.strerror}); {remedy}", file=str(path))


def _read(path: Path) -> Record:
    try:
        table = orjson.loads(path.read_bytes())
        version = table["version"]
        if version == VERSION:
            return Record(**{**table, "meaning": dict(table["meaning"])})
    except OSError as error:
        raise StorageFailed(f"cannot be read: {error.strerror}", file=str(path)) from error
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise StorageFailed(f"not the record of a run ({error}); restore a copy", file=str(path)) from error
    raise MemoryMismatch(
        f"a run of version {version}, and this release goes on with version {VERSION}; use the release that wrote it",
        file=str(path),
    )


def next_directory(task: str) -> Path:
    """Create the next free run directory of a task. If two processes want the same one, one of them gets the next.

    :raises ConfigError: it cannot be created.
    """
    name, number = file_name(task), 1
    while True:
        directory = RUNS / f"{name}-{number}"
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise ConfigError(f"cannot write the run directory {directory}: {error.strerror}") from None
        else:
            return directory
