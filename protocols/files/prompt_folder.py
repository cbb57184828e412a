"""The prompts of a program as a folder of prompt files, one for each, named after its prompt: `extract.txt`."""

from __future__ import annotations

from pathlib import Path

from protocols.errors import PromptError
from protocols.files import prompt_file
from protocols.prompt import WORD_NAME, Prompt, Section, with_addresses, without_addresses

SUFFIX = ".txt"
OFFER = ".offer.json"
"""Ends the names of files with the tools and the schema that a prompt offers."""


def dumps(prompt: Prompt) -> dict[str, str]:
    """The text of each file by its name. The names of its sections are bare; those of a prompt that stands alone are
    written to `prompt.txt`."""
    return {
        f"{name or 'prompt'}{SUFFIX}": prompt_file.dumps(without_addresses(prompt.of(name))) for name in prompt.names
    }


def load(path: Path) -> Prompt:
    """Read the prompts in a folder, in the order of their names, or all of them from one file. A single prompt in a
    folder stands alone.

    :raises PromptError: there is none, or one cannot be read.
    """
    if not path.is_dir():
        return prompt_file.load(path)
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == SUFFIX)
    except OSError as error:
        raise PromptError(f"cannot read the prompts: {error.strerror}", file=str(path)) from None
    if not files:
        raise PromptError(f"the folder holds no prompt; there is to be one NAME{SUFFIX} for each", file=str(path))
    if len(files) == 1:
        return prompt_file.load(files[0])
    sections: list[Section] = []
    for file in files:
        if not WORD_NAME.fullmatch(file.stem):
            raise PromptError(f"{file.stem!r} names no prompt: use a-z, 0-9, _ and -", file=str(file))
        given = prompt_file.load(file)
        if given.names != ("",):
            raise PromptError("a section's name has no dot here: the prompt is named by the file", file=str(file))
        sections += with_addresses(given, file.stem)
    return Prompt(tuple(sections))


def is_folder(path: Path) -> bool:
    """Whether the path is a folder that holds prompt files and nothing else but what they offer."""
    names = [file.name for file in path.iterdir()] if path.is_dir() else []
    return any(name.endswith(SUFFIX) for name in names) and all(name.endswith((SUFFIX, OFFER)) for name in names)


def in_order(prompt: Prompt, names: tuple[str, ...]) -> Prompt:
    """The prompt with the prompts of these names first, in this order."""
    order = [*(name for name in names if name in prompt.names), *(name for name in prompt.names if name not in names)]
    return Prompt(tuple(section for name in order for section in prompt.of(name)))
