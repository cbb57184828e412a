"""A run whose best prompt is in use, and the tables of a search that begins with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.config.configuration import Configuration
from agents.config.loading import load_task, unknown_placeholders
from agents.directory.begun_with import as_begun
from agents.directory.inline_inputs import PROMPT
from agents.directory.resume_fingerprint import check_examples
from agents.directory.run_directory import BEST_PROMPT, FIRST_PROMPT, read_configuration, read_record
from protocols.errors import ConfigError
from protocols.files import prompt_file
from protocols.prompt import Prompt, names_in, without_addresses
from protocols.task import Task

Files = dict[tuple[str | int, ...], tuple[str, bytes]]
"""See `agents.directory.inline_inputs.InlineInputs`."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A run, with the prompt that it began with (`first`) and its best prompt. `task`: with the labels as they are
    corrected now."""

    directory: Path
    configuration: Configuration
    task: Task
    first: Prompt
    best: Prompt

    def begun(self) -> tuple[dict[str, Any], Files]:
        """The tables and files of a search that begins with the best prompt, in a run directory of its own."""
        tables: dict[str, Any] = self.configuration.model_dump(mode="json")
        del tables["origin"]
        tables["run"]["directory"] = None
        files: Files = {}
        self._begin_with_best(tables, files)
        return tables, files

    def _begin_with_best(self, tables: dict[str, Any], files: Files) -> None:
        """Names in braces of the best prompt that no example has are plain text: a trained prompt may quote some."""
        if self.task.program is None:
            literal = sorted(unknown_placeholders(self.best, self.task))
            tables["prompt"] |= {"text": None, "file": PROMPT, "literal": literal}
            files["prompt", "file"] = PROMPT, _bytes(self.best)
            return
        for name, part in self.task.program.parts(self.best).items():
            file, literal = f"prompt.{name}.txt", sorted(names_in(part) - {*self.task.placeholders})
            tables["prompts"][name] |= {"text": None, "file": file, "literal": literal}
            files["prompts", name, "file"] = file, _bytes(without_addresses(part))


def read_deployed(directory: Path) -> Deployed:
    """:raises ConfigError: it is no run directory, has no best prompt yet, or the examples have changed since.
    :raises InputError: an input of the run cannot be read any more.
    :raises StorageFailed: a file of the run is damaged.
    """
    record, configuration = read_record(directory), read_configuration(directory)
    if not (directory / BEST_PROMPT).exists():
        raise ConfigError(f"{directory} has no best prompt yet; the same search command with --out resumes it")
    check_examples(record.meaning, load_task(as_begun(configuration, directory)), directory)
    task = load_task(configuration)
    first, best = (prompt_file.load(directory / name) for name in (FIRST_PROMPT, BEST_PROMPT))
    return Deployed(directory, configuration, task, first, best)


def _bytes(prompt: Prompt) -> bytes:
    return prompt_file.dumps(prompt).encode("utf-8")
