"""The list of settings has every key of every table with its default, and nothing else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import get_args, get_origin

import pytest

from agents.config.configuration import Configuration
from agents.config.tables.search import CapsTable
from agents.config.tables.values import Table
from agents.study.grid import SweepTable
from agents.study.study import StudyTable
from protocols.files.named import Named
from tests.pages import page

PAGE = page("docs/settings.md")
INNER = {"roles": "ROLE", "operators": "OPERATOR"}
"""What stands for the keys of an inner table that are names."""
REQUIRED = "required"


def tables(annotation: object) -> list[type[Table]]:
    """The tables that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return [annotation]
    return [table for argument in get_args(annotation) for table in tables(argument)]


def names_code(annotation: object) -> bool:
    """Whether the value may also be code of the user's."""
    return annotation is Named or any(map(names_code, get_args(annotation)))


def keys(table: type[Table], before: str = "") -> Iterator[tuple[str, object]]:
    """The keys of a table and of its inner ones, with their defaults."""
    for name, field in table.model_fields.items():
        inner = tables(field.annotation)
        if get_origin(field.annotation) is Mapping and inner == [CapsTable]:
            yield f"{before}{name}.{INNER[name]}.CAP", None
        elif inner:
            if names_code(field.annotation):
                yield before + name, field.default
            yield from keys(inner[0], f"{before}{name}.")
        else:
            yield before + name, REQUIRED if field.is_required() else field.default


def known() -> dict[str, type[Table]]:
    """The tables by their headings."""
    fields = {name: field for name, field in Configuration.model_fields.items() if name != "origin"}
    named = {name for name, field in fields.items() if get_origin(field.annotation) is Mapping}
    made = {f"{n}.NAME" if n in named else n: tables(f.annotation)[0] for n, f in fields.items()}
    return {**made, "study": StudyTable, "sweep": SweepTable}


def rows(heading: str) -> list[tuple[str, str]]:
    [part] = [part for part in PAGE.split("\n## ") if part.startswith(f"[{heading}]\n")]
    return re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", part, re.MULTILINE)


def read(cell: str) -> object:
    if cell in ("–", REQUIRED):
        return None if cell == "–" else REQUIRED
    return tomllib.loads(f"value = {cell.strip('`')}")["value"]


def plain(default: object) -> object:
    """A default as a person would write it: nothing for an empty table, and so many from 0 as a number."""
    if default == {}:
        return None
    if isinstance(default, tuple):
        return len(default) if default == tuple(range(10)) else list(map(plain, default))
    if isinstance(default, Named):
        return default.dumped()
    return default


def test_every_table_has_its_heading() -> None:
    assert re.findall(r"^## \[(.*)\]$", PAGE, re.MULTILINE) == list(known())


@pytest.mark.parametrize(("heading", "table"), known().items())
def test_every_key_is_there_with_its_default(heading: str, table: type[Table]) -> None:
    said = {key: read(cell) for key, cell in rows(heading)}
    assert said == {key: plain(default) for key, default in keys(table)}
    assert len(rows(heading)) == len(said) == PAGE.split(f"## [{heading}]\n")[1].split("\n## ")[0].count("\n| `")
