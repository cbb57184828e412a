"""The run directory: what its files are called, how one is claimed and how a file is written to it."""

from __future__ import annotations

import re
from pathlib import Path

import orjson

from agents.runs.configuration import Configuration
from protocols import prompt_file
from protocols.errors import ConfigError, StorageFailed
from protocols.prompt import Prompt

CONFIGURATION, JOURNAL, CACHE, MEMORY = "configuration.json", "journal.sqlite", "cache.sqlite", "memory.sqlite"
FIRST_PROMPT, BEST_PROMPT, RESULT, LOG = "first_prompt.txt", "best_prompt.txt", "result.json", "log.jsonl"
BEST_EXAMPLES, BEST_PASSAGES = "best_prompt.examples.jsonl", "best_prompt.passages.jsonl"
FILES = (CONFIGURATION, JOURNAL, CACHE, MEMORY, FIRST_PROMPT, BEST_PROMPT, BEST_EXAMPLES, BEST_PASSAGES, RESULT, LOG)
RUNS = Path("runs")


def check_free(directory: Path) -> None:
    """:raises ConfigError: it holds a run already, or is no directory."""
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is not a directory; name another with --out")
    if any((directory / name).exists() for name in FILES):
        raise ConfigError(f"{directory} already holds a run; name another with --out")


def make_directory(directory: Path | None, configuration: Configuration, first: Prompt) -> Path:
    """Claim `directory`, or the next free `runs/<task>-<n>`, and write what the run begins with.

    :raises ConfigError: it holds a run already (another process may have been first), or cannot be made.
    """
    try:
        if directory is None:
            directory = _claim_next(configuration.task.name)
        else:
            directory.mkdir(parents=True, exist_ok=True)
        with (directory / CONFIGURATION).open("xb") as file:
            file.write(orjson.dumps(configuration.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n")
        prompt_file.save(first, directory / FIRST_PROMPT)
    except FileExistsError:
        raise ConfigError(f"{directory} already holds a run; name another with --out") from None
    except OSError as error:
        raise ConfigError(f"cannot write the run directory {directory or RUNS}: {error.strerror}") from None
    return directory


def write(path: Path, content: bytes) -> None:
    """Write one file of the run directory.

    :raises StorageFailed: it cannot be written.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageFailed(f"cannot be written ({error.strerror}); make room for it", file=str(path)) from error


def _claim_next(task: str) -> Path:
    """Of two processes that want the same name, one gets the next."""
    RUNS.mkdir(exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", task).strip(".-")[:80] or "run"
    number = 1
    while True:
        directory = RUNS / f"{name}-{number}"
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
        else:
            return directory
