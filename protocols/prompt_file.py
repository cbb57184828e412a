"""A prompt as one text file that people can read, compare and edit by hand.

    === task (task) ===
    Decide which department answers the message.
    === message (task, frozen) ===
    Message: {text}

A header names a section, its kind and whether it is frozen; the lines up to the next header are its text, to the
letter. A line of a text that looks like a header is written with a backslash before it. Loading what was saved
gives the identical prompt.
"""

from __future__ import annotations

import re
from pathlib import Path

from protocols.errors import PromptError
from protocols.prompt import KINDS, Kind, Prompt, Section

HEADER = re.compile(r"=== (?P<name>\S+) \((?P<kind>[^,()]+)(?P<frozen>, frozen)?\) ===")
ESCAPED = re.compile(r"\\*===")


def dumps(prompt: Prompt) -> str:
    """The file's text; it ends with a newline."""
    return "".join(_dump_section(section) for section in prompt)


def loads(text: str, file: str | None = None) -> Prompt:
    """The prompt that `text` says; `file` is for the error message.

    A byte order mark is dropped, and line ends are made LF where the first header shows that something
    turned them into CRLF.

    :raises PromptError: with the line at fault.
    """
    text = text.removeprefix("\ufeff")
    if text.split("\n", 1)[0].endswith("\r"):
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    sections: list[Section] = []
    start: int | None = None
    for number, line in enumerate([*lines, "==="]):
        if line.startswith("==="):
            if start is not None:
                sections.append(_load_section(lines[start:number], start + 1, file))
            start = number
        elif start is None and line.strip():
            raise PromptError("text before the first header `=== name (kind) ===`", file=file, line=number + 1)
    try:
        return Prompt(tuple(sections))
    except PromptError as error:
        raise PromptError(error.reason, file=file) from None


def save(prompt: Prompt, path: Path) -> None:
    """Write the prompt to `path`."""
    path.write_bytes(dumps(prompt).encode("utf-8"))


def load(path: Path) -> Prompt:
    """Read the prompt at `path`.

    :raises PromptError: no such file, not UTF-8, or not a prompt.
    """
    try:
        return loads(path.read_bytes().decode("utf-8"), str(path))
    except OSError as error:
        raise PromptError(f"cannot read the prompt: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError as error:
        raise PromptError(f"not UTF-8 at byte {error.start}", file=str(path)) from None


def _dump_section(section: Section) -> str:
    header = f"=== {section.name} ({section.kind}{', frozen' if section.frozen else ''}) ===\n"
    if not section.text:
        return header
    lines = section.text.split("\n")
    return header + "".join(("\\" if ESCAPED.match(line) else "") + line + "\n" for line in lines)


def _load_section(lines: list[str], number: int, file: str | None) -> Section:
    header = HEADER.fullmatch(lines[0].rstrip())
    if header is None:
        raise PromptError("a header reads `=== name (kind) ===`", file=file, line=number)
    kind: Kind | None = next((k for k in KINDS if k == header["kind"]), None)
    if kind is None:
        raise PromptError(f"unknown kind {header['kind']!r}; kinds are {', '.join(KINDS)}", file=file, line=number)
    text = "\n".join(line[1:] if line.startswith("\\") and ESCAPED.match(line) else line for line in lines[1:])
    try:
        return Section(header["name"], kind, text, header["frozen"] is not None)
    except PromptError as error:
        raise PromptError(error.reason, file=file, line=number) from None
