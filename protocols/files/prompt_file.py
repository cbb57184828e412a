"""A prompt as one text file that people can read, compare and edit by hand.

    === task (task) ===
    Decide which department answers the message.
    === message (task, frozen) ===
    Message: {text}

A header names a section, its kind, its form if that is not `system`, and whether it is frozen:
`=== examples (examples, turns, frozen) ===`; the lines up to the next header are its text, verbatim. A line of a text
that looks like a header is written with a backslash before it. Loading a saved prompt gives the identical prompt. A
file without headers is the text of one section called `task`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from protocols.errors import PromptError
from protocols.files.text_files import BOM, read_text
from protocols.prompt import FORMS, KINDS, Form, Kind, Prompt, Section

HEADER = re.compile(r"=== (?P<name>\S+) \((?P<kind>[^,()]+)(?P<words>(?:, [^,()]+)*)\) ===")
NEARLY = re.compile(rf"=+ *\S+ *\(({'|'.join(KINDS)})(, *[a-z]+)*\) *=*")
"""A near miss of a header, with other signs around it."""
PLAIN: Final = "task"
"""The name and the kind of the section of a file without headers."""
ESCAPED = re.compile(r"\\*===")


def dumps(prompt: Prompt) -> str:
    """The file's text; it ends with a newline."""
    return "".join(_dump_section(section) for section in prompt)


def loads(text: str, file: str | None = None) -> Prompt:
    """Parse the text of a prompt file; `file` is for the error message.

    A byte order mark is dropped, and CRLF becomes LF if the first line ends with CRLF.

    :raises PromptError: the text is not a prompt; with the line at fault.
    """
    text = text.removeprefix(BOM)
    if text.split("\n", 1)[0].endswith("\r"):
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not text.strip():
        raise PromptError(
            "the file is empty; write what the model is told, with the input fields in braces", file=file
        )
    headed = [number for number, line in enumerate(lines) if line.startswith("===")]
    if all(set(lines[number].rstrip()) == {"="} for number in headed):  # none, or underlined titles
        return _plain(lines, file)
    for number, line in enumerate(lines[: headed[0]], start=1):
        if line.strip():
            raise PromptError("text before the first header `=== name (kind) ===`", file=file, line=number)
    ends = [*headed[1:], len(lines)]
    sections = [_load_section(lines[start:end], start + 1, file) for start, end in zip(headed, ends, strict=True)]
    try:
        return Prompt(tuple(sections))
    except PromptError as error:
        raise PromptError(error.reason, file=file) from None


def _plain(lines: list[str], file: str | None) -> Prompt:
    """The prompt of a file without headers.

    :raises PromptError: a line is a near miss of a header, and would be sent as text.
    """
    for number, line in enumerate(lines, start=1):
        if NEARLY.fullmatch(line.strip()):
            raise PromptError("a header reads `=== name (kind) ===`, with three `=`", file=file, line=number)
    try:
        return Prompt((Section(PLAIN, PLAIN, "\n".join(lines)),))
    except PromptError as error:
        raise PromptError(error.reason, file=file) from None


def save(prompt: Prompt, path: Path) -> None:
    """Write the prompt to `path`."""
    path.write_bytes(dumps(prompt).encode("utf-8"))


def load(path: Path) -> Prompt:
    """Read the prompt at `path`.

    :raises PromptError: the file does not exist, is not UTF-8, or is not a prompt.
    """
    return loads(read_text(path, PromptError, "the prompt"), str(path))


def _dump_section(section: Section) -> str:
    form = "" if section.form == "system" else f", {section.form}"
    header = f"=== {section.name} ({section.kind}{form}{', frozen' if section.frozen else ''}) ===\n"
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
    form, frozen = _words(header["words"].split(", ")[1:], number, file)
    text = "\n".join(line[1:] if line.startswith("\\") and ESCAPED.match(line) else line for line in lines[1:])
    try:
        return Section(header["name"], kind, text, frozen, form)
    except PromptError as error:
        raise PromptError(error.reason, file=file, line=number + (error.line or 0)) from None


def _words(words: list[str], number: int, file: str | None) -> tuple[Form, bool]:
    """The form of a section and whether it is frozen, from the words after the kind in its header.

    :raises PromptError: there is an unknown word, a repeated one, or two forms.
    """
    forms: list[Form] = [form for form in FORMS if form in words]
    if len(set(words)) < len(words) or len(forms) > 1 or not {*FORMS, "frozen"}.issuperset(words):
        reason = f"not {', '.join(words)}: a form ({', '.join(FORMS)}), frozen, or both may follow the kind"
        raise PromptError(reason, file=file, line=number)
    return forms[0] if forms else "system", "frozen" in words


def saved_section(section: Section) -> str:
    """A section's text with its form: the bare text for the form `system`, else the section as in a prompt file."""
    bare = section.form == "system" and read_section(section.text) == ("system", section.text)
    return section.text if bare else _dump_section(section)


def readable(section: Section) -> str:
    """The section for display: its text, under its header if the form is not `system`."""
    return section.text if section.form == "system" else _dump_section(section).removesuffix("\n")


def read_section(text: str) -> tuple[Form, str]:
    """The form and the text that `saved_section` wrote."""
    if text.startswith("==="):
        try:
            sections = loads(text).sections
        except PromptError:
            return "system", text
        if len(sections) == 1 and HEADER.fullmatch(text.split("\n", 1)[0].rstrip()):
            return sections[0].form, sections[0].text
    return "system", text
