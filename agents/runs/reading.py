"""TOML as people write it: tables, settings over them, and what is wrong with either."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic_core import ErrorDetails

from agents.runs.tables import Table
from protocols.errors import ConfigError


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    :raises ConfigError: it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}", file=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", file=str(path)) from None


def override(table: dict[str, Any], setting: str) -> None:
    """Put `table.key=value` into `table`: a value that is not TOML is a text, to the letter.

    :raises ConfigError: it has no `=`, or what is before it is no TOML key.
    """
    key, equals, value = setting.partition("=")
    path = _key(key) if equals else []
    if not path:
        raise ConfigError(
            f"--set {setting}: expected table.key=value, with quotes around a part that is no plain word, "
            """such as --set 'providers."openai/gpt".concurrency=8'"""
        )
    for part in path[:-1]:
        inner = table.get(part)
        if not isinstance(inner, dict):
            table[part] = inner = {}
        table = inner
    table[path[-1]] = parsed(value)


def _key(key: str) -> list[str]:
    """The parts of a dotted TOML key; none if it is not one."""
    path: list[str] = []
    try:
        inner: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError:
        return path
    while isinstance(inner, dict) and len(inner) == 1:
        [(part, inner)] = inner.items()
        path.append(part)
    return path if inner == 0 else []


def parsed(value: str) -> Any:
    """A TOML value; what is none is a text, to the letter."""
    try:
        table = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    return table["value"] if len(table) == 1 else value


def explain(detail: ErrorDetails, root: type[Table]) -> str:
    """What pydantic found in a table of `root`, as a person would say it."""
    location = [str(part) for part in detail["loc"]]
    key = ".".join(location)
    if detail["type"] != "extra_forbidden":
        reason = detail["msg"].removeprefix("Value error, ")
        return f"{key}: {reason[:1].lower()}{reason[1:]}"
    siblings = _keys(_table(location[:-1], root))
    nearest = difflib.get_close_matches(location[-1], siblings, 1)
    if nearest:
        return f"unknown key {key}; did you mean {'.'.join([*location[:-1], *nearest])}?"
    paths = sorted(_paths(root), key=len, reverse=True)  # of several keys of one name, the nearest to the top
    elsewhere = {path[-1]: ".".join(path) for path in paths}
    nearest = difflib.get_close_matches(location[-1], elsewhere, 1)
    if nearest:
        return f"unknown key {key}; did you mean {elsewhere[nearest[0]]}?"
    return f"unknown key {key}; there are {', '.join(siblings)}"


def _keys(model: type[Table]) -> list[str]:
    return [name for name in model.model_fields if name != "origin"]


def _table(location: Sequence[str], root: type[Table]) -> type[Table]:
    """The table at a place of the configuration; a mapping's keys are anything."""
    model = root
    for part in location:
        if part in model.model_fields:
            model = next(_tables(model.model_fields[part].annotation), model)
    return model


def _paths(model: type[Table]) -> Iterator[list[str]]:
    for name in _keys(model):
        annotation = model.model_fields[name].annotation
        yield [name]
        between = ["<name>"] if get_origin(annotation) is Mapping else []
        for inner in _tables(annotation):
            yield from ([name, *between, *path] for path in _paths(inner))


def _tables(annotation: object) -> Iterator[type[Table]]:
    """The tables that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        yield annotation
    for argument in get_args(annotation):
        yield from _tables(argument)
