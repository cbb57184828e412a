"""Reads TOML and `--set` settings, and explains their errors."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic_core import ErrorDetails

from agents.config.tables.values import Table
from protocols.errors import ConfigError
from protocols.files.text_files import read_text

AT_LINE = re.compile(r" \(at line (\d+), column \d+\)")
AT_END = "(at end of document)"
DIGITS = re.compile(r"[\d_]{1000,}")
TOO_LONG = "a number has too many digits"
WHOLE = 2**63
DEEPEST = 32
"""Maximum number of levels of nested tables and arrays."""
TOO_DEEP = f"nested more than {DEEPEST} levels deep"
OF_A_KEY = "[key]"
"""Pydantic's mark for an error in a key, not in its value."""
WANTED: Mapping[str, str] = {
    "path_type": "give a path, in quotes",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
}
"""Replacements for pydantic's messages, by type of error."""
NO_MODEL = (
    "no model is named: write default under [models]: openai/<model>, anthropic/<model>, or local/smollm2-135m for "
    "one on this machine"
)
NOT_A_TABLE = frozenset({"model_type", "model_attributes_type"})


def read(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    :raises ConfigError: it cannot be read, or is not TOML; with the line, if known.
    """
    text = read_text(path, ConfigError, "the configuration")
    try:
        return toml(text.replace("\r\n", "\n"))
    except ValueError as error:
        reason, line = _placed(str(error), text)
        raise ConfigError(f"not TOML: {reason}", file=str(path), line=line) from None


def _placed(reason: str, text: str) -> tuple[str, int | None]:
    """The reason without the position in it, and the line, None if not known."""
    if at := AT_LINE.search(reason):
        return AT_LINE.sub("", reason), int(at[1])
    if reason.endswith(AT_END):
        return reason, max(1, len(text.splitlines()))
    digits = DIGITS.search(text) if reason == TOO_LONG else None
    return reason, text.count("\n", 0, digits.start()) + 1 if digits else None


def toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text.

    :raises ValueError: it is not TOML, is nested too deep, or has a number with too many digits.
    """
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's limit on digits
        raise ValueError(TOO_LONG) from None
    _check_depth(tables, DEEPEST)
    return tables


def _check_depth(value: object, left: int) -> None:
    """:raises ValueError: the value has more than `left` levels."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    if inner and not left:
        raise ValueError(TOO_DEEP)
    for one in inner:
        _check_depth(one, left - 1)


def override(table: dict[str, Any], setting: str) -> None:
    """Apply the setting `table.key=value` to `table`; a value that is not TOML is taken as a text, unchanged.

    :raises ConfigError: there is no `=`, the part before it is not a TOML key, or the setting is not valid Unicode.
    """
    key, equals, value = setting.partition("=")
    path = _key(key) if equals else []
    if not path:
        raise ConfigError(
            f"--set {shown(setting)}: expected table.key=value, with quotes around a part that is no plain word, "
            """such as --set 'providers."openai/gpt".concurrency=8'"""
        )
    for part in path[:-1]:
        inner = table.get(part)
        if not isinstance(inner, dict):
            table[part] = inner = {}
        table = inner
    table[path[-1]] = parsed(value)


def _key(key: str) -> list[str]:
    """The parts of a dotted TOML key; empty if it is not one."""
    path: list[str] = []
    try:
        inner: Any = toml(f"{key} = 0")
    except ValueError:
        return path
    while isinstance(inner, dict) and len(inner) == 1:
        [(part, inner)] = inner.items()
        path.append(part)
    return path if inner == 0 else []


def parsed(value: str) -> Any:
    """A TOML value; if it is not one, the text itself, unchanged."""
    try:
        table = toml(f"value = {value}")
    except ValueError:
        return value
    return table["value"] if len(table) == 1 else value


SEPARATOR = "task.fields.separator"


def misfits(value: object, key: str = "") -> Iterator[str]:
    """Errors for values that no key may have: an empty text, one that is not valid Unicode, or an integer that a
    run's files cannot store."""
    match value:
        case {"use": use, **parameters} if not isinstance(use, int | float):  # a parameter may be an empty text
            yield from misfits(use, f"{key}.use")
            yield from misfits(parameters, f"{key}.parameters.")
        case Mapping():
            for name, inner in value.items():
                yield from misfits(inner, f"{key}.{name}" if key else str(name))
        case list() | tuple():
            for inner in value:
                yield from (f"{key}: {said}" for said in _unfit(inner))
                if isinstance(inner, Mapping | list | tuple):
                    yield from misfits(inner, key)
        case _:
            yield from (f"{key}: {said}" for said in _unfit(value))
            blank = ".parameters." in key or key == SEPARATOR  # it may be a space, or the end of a line
            if isinstance(value, str) and not (value if blank else value.strip()):
                yield f"{key.replace('.parameters..', '.')} is empty; give it a value, or leave the key out"


def _unfit(value: object) -> Iterator[str]:
    if isinstance(value, int) and not -WHOLE <= value < WHOLE:
        yield "holds a whole number of more than 63 bits"
    if isinstance(value, str) and not value.isascii() and shown(value) != value:
        yield "holds what is not valid Unicode"


def shown(text: str) -> str:
    """A text of the command line, with everything that is not valid Unicode replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def explain(detail: ErrorDetails, root: type[Table]) -> str:
    """Pydantic's error in a table of `root`, in the words of the configuration."""
    location = [str(part) for part in detail["loc"] if part != OF_A_KEY]
    key = ".".join(location)
    if detail["type"] == "missing" and key == "models.default":
        return NO_MODEL
    if wanted := WANTED.get(detail["type"]):
        return f"{key}: {wanted}"
    if detail["type"] in NOT_A_TABLE:
        return f"{key} is a table; set one of its keys, {key}.NAME: {', '.join(_keys(_table(location, root)))}"
    if detail["type"] == "tuple_type":
        return f'{key} is a list; write it in square brackets, such as {key} = ["..."]'
    if detail["type"] != "extra_forbidden":
        reason = detail["msg"].removeprefix("Value error, ")
        return f"{key}: {reason[:1].lower()}{reason[1:]}"
    siblings = _keys(_table(location[:-1], root))
    paths = sorted(_paths(root), key=len, reverse=True)  # of keys with the same name, the one nearest to the top
    known = {path[-1]: ".".join(path) for path in paths} | {
        name: ".".join([*location[:-1], name]) for name in siblings
    }
    if nearest := difflib.get_close_matches(location[-1], known, 1):
        return f"unknown key {key}; did you mean {known[nearest[0]]}?"
    return f"unknown key {key}; there are {', '.join(siblings)}"


def _keys(model: type[Table]) -> list[str]:
    return [name for name in model.model_fields if name != "origin"]


def _table(location: Sequence[str], root: type[Table]) -> type[Table]:
    """The table at this location of the configuration; keys of mappings may be any names."""
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
