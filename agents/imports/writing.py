"""Writes an imported task: a folder with its data, its prompt, and a configuration that `search` runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from agents.directory.run_directory import make_folder, write
from agents.imports.chats import chat_log
from agents.imports.draft import Draft, Row
from agents.imports.openai_files import evals, finetune
from agents.imports.promptfoo import promptfoo
from agents.imports.reading import Remark, summed_up
from agents.imports.traces import langfuse, mlflow
from protocols.errors import ConfigError, DataError
from protocols.files import prompt_file
from protocols.prompt import names_in
from protocols.text import toml_string

Origin = Literal["promptfoo", "openai-evals", "openai-finetune", "chat-log", "langfuse", "mlflow"]
ORIGINS: Mapping[Origin, Callable[[Sequence[Path]], Draft]] = {
    "promptfoo": promptfoo,
    "openai-evals": evals,
    "openai-finetune": finetune,
    "chat-log": chat_log,
    "langfuse": langfuse,
    "mlflow": mlflow,
}
DATA, PROMPT = "data.jsonl", "prompt.txt"
LEAST = 12
"""Fewer examples than this cannot be cut into three splits with three for validation and test."""
CONFIGURATION = """\
# {source}, imported by `promptflow import --from {origin}`. Name a model, then:
#   promptflow doctor {toml} --offline
#   promptflow search {toml}

[task]
name = {name}
kind = {kind}  # guessed; docs/metrics.md has the others
metric = {metric}
{settings}data = "{data}"  # cut at random; or name train, validation and test
cut = {{ train = 0.4, validation = 0.3, test = 0.3, seed = 0 }}

[prompt]
file = "{prompt}"  # empty sections are for the search to fill
{literal}
[models]
{model}

[search]
assignments = 20

[budget]
calls = 3000
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was written: the configuration, the number of examples, and what could not be carried over, by line."""

    configuration: str
    examples: int
    remarks: Sequence[str]


def import_to(origin: Origin, paths: Sequence[Path], out: Path | None) -> Imported:
    """Make the task's folder, by default one in the current folder with the name of the first file.

    :raises InputError: a file cannot be used, with its line, or the folder is there already; nothing is written.
    :raises StorageFailed: a file cannot be written.
    """
    if origin == "promptfoo" and len(paths) > 1:
        raise ConfigError("one configuration of promptfoo at a time; the files that it names are found beside it")
    draft = ORIGINS[origin](paths)
    name = (
        re.sub(r"[^\w-]+", "-", (out or paths[0]).resolve().name.partition(".")[0]).strip("-_").lower() or "imported"
    )
    folder = out or Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is there already: name another folder with --out")
    files = dict(_files(draft, name, origin, paths[0]))
    make_folder(folder)
    for file, content in files.items():
        write(folder / file, content)
    made, said = draft.rows, draft.remarks
    if len(made) < LEAST:
        few = f"{len(made)} examples; a search needs {LEAST} at the least, better 100"
        said.append(Remark(str(folder / DATA), few))
    if not any(_tells(section.text) for section in draft.prompts[0] if section.name in ("task", "input")):
        said.append(Remark(str(folder / PROMPT), "the section task is empty: write what the model is to do"))
    return Imported(str(folder / f"{name}.toml"), len(made), summed_up(said))


def _tells(text: str) -> bool:
    """Whether a text is more than names and values of fields."""
    return bool(re.sub(r"^(\w+: )?\{\w+\}$", "", text, flags=re.MULTILINE).strip())


def _files(draft: Draft, name: str, origin: str, source: Path) -> Iterator[tuple[str, bytes]]:
    yield DATA, b"".join(orjson.dumps(_row(row)) + b"\n" for row in _distinct(draft, source))
    for number, prompt in enumerate(draft.prompts, start=1):
        file = PROMPT if number == 1 else f"prompt-{number}.txt"
        yield file, prompt_file.dumps(prompt).encode("utf-8")
    yield from draft.beside.items()
    yield f"{name}.toml", _configuration(draft, name, origin, source).encode("utf-8")


def _row(row: Row) -> dict[str, object]:
    return {"input": row.input, "target": row.target}


def _distinct(draft: Draft, source: Path) -> list[Row]:
    """The rows without copies of earlier ones.

    :raises DataError: there is none.
    """
    seen = dict[bytes, Row]()
    for row in draft.rows:
        seen.setdefault(orjson.dumps([row.input, row.target]), row)
    if copies := len(draft.rows) - len(seen):
        draft.remarks.append(Remark(str(source), f"{copies} examples are copies of others, and are left out"))
    draft.rows = list(seen.values())
    if not draft.rows:
        raise DataError("no example could be carried over", file=str(source))
    return draft.rows


def _configuration(draft: Draft, name: str, origin: str, source: Path) -> str:
    literal = sorted(names_in(draft.prompts[0]) - draft.rows[0].input.keys())
    model = (
        f"default = {toml_string(draft.model)}"
        if draft.model
        else '# default = "openai/gpt-5-mini"  # what is missing'
    )
    return CONFIGURATION.format(
        source=source.name.replace("\n", " "),
        origin=origin,
        toml=f"{name}.toml",
        name=toml_string(name),
        kind=toml_string(draft.kind),
        metric=toml_string(draft.metric),
        settings="".join(f"{key} = {toml_string(value)}\n" for key, value in draft.settings.items()),
        data=DATA,
        prompt=PROMPT,
        literal=f"literal = {json.dumps(literal)}  # plain text in braces\n" if literal else "",
        model=model,
    )
