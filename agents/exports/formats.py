"""The formats of `export`, and what is written for each prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from agents.exports import documents, jinja, programs
from agents.exports.portable import Portable
from agents.exports.python_file import python_file

Format = Literal["messages-json", "python", "jinja", "promptfoo", "dspy", "mlflow", "langfuse", "langsmith", "openai"]
FORMATS: tuple[Format, ...] = get_args(Format)
TEMPLATES: Mapping[str, tuple[str, Callable[[Portable, bool], documents.Exported]]] = {
    "messages-json": (".json", documents.messages_json),
    "jinja": (".json.jinja", jinja.jinja),
    "mlflow": (".json", documents.mlflow),
    "langfuse": (".json", documents.langfuse),
    "langsmith": (".json", documents.langsmith),
    "openai": (".json", documents.openai),
}
"""The formats that are templates, which cannot find examples for each input, with the suffixes of their files."""


@dataclass(frozen=True, slots=True)
class Export:
    """The texts of files by their names, and lines that a person should read."""

    files: Mapping[str, str]
    remarks: list[str]


def write_as(form: Format, portable: Portable, stem: str, fixed_examples: bool = False) -> Export:
    """One prompt in one format. `stem`: the name of its files without the suffix. `fixed_examples`: a template shows
    the same examples to all inputs, where the prompt finds them for each.

    :raises PromptError: the format cannot hold this prompt.
    """
    if form in TEMPLATES:
        suffix, write = TEMPLATES[form]
        text, remarks = write(portable, fixed_examples)
        if portable.saved.slots:
            remarks = ["the examples are the same for all inputs here; no run has scored this prompt", *remarks]
        return Export({stem + suffix: text}, remarks)
    if form == "promptfoo":
        return Export(*programs.promptfoo(portable, stem))
    if form == "dspy":
        text, remarks = programs.dspy(portable)
        return Export({f"{stem}.py": text}, remarks)
    return Export({f"{stem}.py": python_file(portable)}, [])
