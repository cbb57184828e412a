"""Compares two prompts: their sections, and their scores if a run has measured them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any, Literal

from agents.directory.run_directory import BEST_PROMPT, BEST_PROMPTS, FIRST_PROMPT, RESULT, read_configuration
from agents.results.finished import read_result
from protocols.files import prompt_file, prompt_folder
from protocols.prompt import Prompt, Section

Change = Literal["same", "changed", "moved", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the prompts. `tokens`: as it is sent if a run has measured that, else of its text. `validation` and
    `test`: scores in [0, 1]; None if not measured."""

    path: str
    tokens: int
    validation: float | None
    test: float | None


@dataclass(frozen=True, slots=True)
class SectionChange:
    """The change of one section. `lines`: a unified diff without headers. A changed section may have moved, too."""

    section: str
    change: Change
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two prompts, and the changes of sections in the order of the second prompt, then of those that it lacks."""

    a: Side
    b: Side
    sections: Sequence[SectionChange]


def compare_prompts(a: Path, b: Path) -> Comparison:
    """Compare two prompt files, folders of prompt files, or the best prompts of two run directories.

    :raises PromptError: one is not a prompt file.
    :raises ConfigError: one is a directory and no run directory.
    """
    (before, one), (after, other) = _open(a), _open(b)
    return Comparison(one, other, changes_of(before, after))


def changes_of(before: Prompt, after: Prompt) -> Sequence[SectionChange]:
    """The changes of sections from one prompt to another, in the order of the second, then of those that it lacks."""
    after = prompt_folder.in_order(after, before.names)  # a folder has the order of its file names
    names = [s.name for s in after] + [s.name for s in before if s not in after]
    kept = [s.name for s in before if s.name in {t.name for t in after}]
    order = [s.name for s in after if s.name in kept]
    moved = {name for name, was in zip(order, kept, strict=True) if name != was}
    return [_change(name, _section(before, name), _section(after, name), moved) for name in dict.fromkeys(names)]


def _open(path: Path) -> tuple[Prompt, Side]:
    result: Mapping[str, Any] | None = None
    file, which = path, {BEST_PROMPT: "best", FIRST_PROMPT: "first"}.get(path.name)
    folder = prompt_folder.is_folder(path)
    if path.name == BEST_PROMPTS and folder:
        which = "best"
    elif path.is_dir() and not folder:
        read_configuration(path)
        file, which = path / BEST_PROMPT, "best"
        if not file.exists():
            file, which = path / FIRST_PROMPT, "first"
    if which is not None:
        result = read_result(file.parent / RESULT)
    prompt = prompt_folder.load(file)
    validation = result[which]["value"] if result and which else None
    test = result["test"][which] if result and which and result["test"] else None
    length = result.get("length") if result else None
    tokens = length[which] if length else prompt.tokens
    return prompt, Side(str(path), tokens, validation, test)


def _section(prompt: Prompt, name: str) -> Section | None:
    return next((section for section in prompt if section.name == name), None)


def _change(name: str, before: Section | None, after: Section | None, moved: set[str]) -> SectionChange:
    if before == after:
        return SectionChange(name, "moved" if name in moved else "same", ())
    kind: Change = "added" if before is None else "removed" if after is None else "changed"
    lines = list(unified_diff(_lines(before), _lines(after), n=1, lineterm=""))[2:]
    return SectionChange(name, kind, lines)


def _lines(section: Section | None) -> list[str]:
    """The section's lines in a prompt file, with the header, since its kind may differ, too."""
    return [] if section is None else prompt_file.dumps(Prompt((section,))).split("\n")[:-1]
