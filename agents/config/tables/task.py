"""The tables of a task and of its first prompt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from agents.config.tables.program import Program
from agents.config.tables.values import Count, Own, Positive, Seed, Table, Weight, Weights
from protocols.data import Format
from protocols.data.mapping import NO_TARGET
from protocols.task import KindName


class FieldsTable(Table):
    """`[task.fields]`: the columns or keys of the data; a key inside an object is named with a dot (`answers.text`).

    `input`: column by input field; empty: every column except target and id. `labels`: the names of the classes 0, 1,
    and so on, if targets are class numbers. `conversations`, `images`: the input fields whose texts are conversations
    in JSON, or names of images. `separator`: stands between the labels of a target that is a text with several.
    """

    input: Mapping[str, str] = {}
    target: str | None = None
    id: str | None = None
    labels: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    separator: Annotated[str, Field(min_length=1)] | None = None


class CutTable(Table):
    """`[task.cut]`: the shares of the splits into which `task.data` is randomly cut."""

    train: Weight = 0.4
    validation: Weight = 0.3
    test: Weight = 0.3
    seed: Seed = 0


class TaskTable(Table):
    """`[task]`: the examples (paths are relative to the configuration's file) and how replies are scored.

    `train`, `validation`, `test`: each a path or `hf:owner/name`; or else `data`, a single path or name, which is cut
    into the three. `format`: of the files, if their suffix does not show it.

    `description`: the input and the wanted answer in words, for the models that write prompts; it is not part of the
    prompt. `kind` sets the default layout of the first prompt, the parser and the metric. `labels`: all labels,
    levels of a scale (the lowest first) or types of entities, or a file with one a line (None: those of train).
    `metric`: another metric by its name, or as `module:function`, or several with weights; `parser`: another parser,
    as `module:function`.
    `rubric`: the text by which the metric judge grades; `pattern`: the regular expression of the metric regex;
    `json_schema`: the file of the metric json_schema. `corpus`: a file or a folder of .txt, .md or .jsonl files whose
    passages the operator rag may show. `more`: files of examples that came later, in the form of the others; each is
    cut in the proportions of the splits and put behind them, without the examples that are known. `overlay`: a file
    with corrections of gold answers (None: the one that `label` writes, if it is there).

    `program`: the user's code that answers the examples with the prompts of
    `[prompts]`; `program_timeout`: seconds that it may spend on an example without calling a model. `reply_tokens`:
    maximum number of tokens of a reply (None: as many as answers of the kind need, see
    `protocols.metrics.reply_limits`).
    """

    name: str
    description: str | None = None
    kind: KindName = "classification"
    labels: tuple[str | int, ...] | str | None = None
    program: Program | None = None
    program_timeout: Positive = 300.0
    metric: Weights = None
    parser: Own | None = None
    rubric: str | None = None
    pattern: str | None = None
    json_schema: Path | None = None
    reply_tokens: Count | None = None
    train: str | None = None
    validation: str | None = None
    test: str | None = None
    data: str | None = None
    cut: CutTable = CutTable()
    more: tuple[str, ...] = ()
    format: Format | None = None
    fields: FieldsTable = FieldsTable()
    corpus: Path | None = None
    overlay: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        missing = [name for name in ("train", "validation", "test") if not getattr(self, name)]
        if self.data and len(missing) < 3:
            raise ValueError("data is cut into train, validation and test: give either it or the three")
        if missing and not self.data:
            raise ValueError(f"{' and '.join(missing)} missing; give train, validation and test, or data to be cut")
        if self.cut != CutTable() and not self.data:
            raise ValueError("cut says how data is cut, and there is no data")
        if self.fields.target == NO_TARGET and self.kind != "generation":
            raise ValueError(
                f'fields.target = "{NO_TARGET}" says that there are no targets, and answers of the kind {self.kind} '
                'are compared with them; for answers that are judged by themselves set kind = "generation"'
            )
        return self


class PromptTable(Table):
    """`[prompt]`: the first prompt, from a file or as a text that is put into the default layout.

    `tools`: a file with the definitions of tools that a reply may call; `response_schema`: a file with the JSON
    schema of replies; their descriptions are sections of the prompt (docs/tools.md). `literal`: names in braces in
    the prompt that are plain text, not placeholders. `max_tokens`: maximum number of
    estimated tokens of a prompt as sent, without the input, but with the examples and passages filled in for it
    (None: no limit).
    """

    file: Path | None = None
    text: str | None = None
    tools: Path | None = None
    response_schema: Path | None = None
    literal: tuple[str, ...] = ()
    max_tokens: Count | None = None
