"""Opens what is to be exported: the best prompt of a run, a prompt file, or a folder of the prompts of a program."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agents.config.loading import sources
from agents.directory.run_directory import BEST_FIELDS, BEST_PROMPT, BEST_PROMPTS, RECORD, read_configuration
from agents.exports.portable import Portable, one_of
from agents.prompting.retrieval_slots import slots_of
from agents.results.saved import SavedPrompt, load_prompt
from protocols.data import load_examples
from protocols.errors import ConfigError, InputError, PromptError, PromptFlowError
from protocols.files import prompt_folder
from protocols.prompt import names_in


def open_prompts(path: Path, fields: Sequence[str] = ()) -> tuple[list[Portable], list[str]]:
    """The prompts, several for a program, and remarks. `fields`: the input fields, if no run has stored them.

    :raises InputError: there is no such prompt, it has not been found yet, or `fields` contradict the run's.
    """
    folder = _run_of(path)
    if folder is None:
        return _of_file(path, fields)
    if not (folder / BEST_PROMPT).exists():
        if not (folder / RECORD).exists():
            raise ConfigError(f"{folder} is no run directory, and no folder of prompts")
        raise ConfigError(f"{folder} has no {BEST_PROMPT} yet: the search has not come to its end")
    saved = load_prompt(folder)
    known = saved.fields if saved.fields is not None else tuple(fields)
    if fields and saved.fields is not None and set(fields) != set(saved.fields):
        raise ConfigError(f"the input fields of this run are {', '.join(saved.fields)}; leave out --field")
    if not known:
        raise ConfigError(f"an earlier release has not stored the input fields in {folder}: name each with --field")
    task, texts = _task(folder)
    return [_portable(saved, name, task or folder.resolve().name, known, texts) for name in saved.names], []


def _run_of(path: Path) -> Path | None:
    """The folder with the best prompt and what it is filled from; None for any other prompt file or folder."""
    if path.name == BEST_PROMPT and path.is_file():
        return path.parent
    if path.name == BEST_PROMPTS and path.is_dir() and (path.parent / BEST_PROMPT).exists():
        return path.parent
    if path.is_dir() and not prompt_folder.is_folder(path):
        return path
    return path if (path / BEST_PROMPT).exists() else None


def _of_file(path: Path, fields: Sequence[str]) -> tuple[list[Portable], list[str]]:
    """:raises PromptError: as `prompt_folder.load`, or it is filled from files that only a run has."""
    prompt = prompt_folder.load(path)
    if slots := slots_of(prompt):
        raise PromptError(
            f"it shows {' and '.join(sorted(slots))} found for each input, which stand beside a run's "
            f"{BEST_PROMPT}: export the run",
            file=str(path),
        )
    if any(section.kind == "tool" for section in prompt):
        raise PromptError("it describes tools or a schema that a run stores: export the run", file=str(path))
    known = tuple(fields) or tuple(sorted(names_in(prompt)))
    saved = SavedPrompt(prompt, {}, known)
    remarks = []
    if not fields:
        shown = ", ".join(known) or "none"
        remarks = [f"{path}: taken as input fields: {shown} (name them with --field if braces are plain text)"]
    return [_portable(saved, name, path.stem, known, texts=True) for name in saved.names], remarks


def _portable(saved: SavedPrompt, name: str, called: str, fields: tuple[str, ...], texts: bool) -> Portable:
    one = one_of(saved, name)
    return Portable(f"{called}-{name}" if name else called, one, fields, texts)


def _task(folder: Path) -> tuple[str, bool]:
    """The name of the run's task, "" for a copy of its files, and whether all its inputs are known to be texts."""
    if not (folder / RECORD).exists():
        return "", not (folder / BEST_FIELDS).exists()
    configuration = read_configuration(folder)
    name = configuration.task.name
    with suppress(PromptFlowError, InputError, OSError):
        split, source = next(iter(sources(configuration).items()))
        examples = load_examples(source, split)
        return name, all(type(value) is str for example in examples for value in example.inputs.values())
    return name, False
