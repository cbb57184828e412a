"""Reads files of other tools, with the line of each record: JSON, JSON lines, CSV and YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from protocols.data import raw_rows
from protocols.data.formats import TABLES, format_of, is_yaml
from protocols.errors import ConfigError, DataError
from protocols.files.text_files import decode, opened

SHOWN = 5
"""Lines that a remark names."""
NO_YAML = 'reading YAML needs an extra: pip install "promptflow-agents[yaml]"; or give the configuration as JSON'
PLAIN = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
}
"""The plain scalars of YAML 1.2 that are no texts (https://yaml.org/spec/1.2.2/, 10.3.2). PyYAML itself reads 1.1, in
which `no` is false and `12:30` a number."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is not carried over as it was. `line`: 0 if it concerns the whole file."""

    file: str
    reason: str
    line: int = 0


def summed_up(remarks: Iterable[Remark]) -> list[str]:
    """A line for each reason and file, with the lines of the file."""
    lines: dict[tuple[str, str], list[int]] = {}
    for remark in remarks:
        found = lines.setdefault((remark.file, remark.reason), [])
        found += [remark.line] if remark.line and remark.line not in found else []
    return [f"{file}{_lines(found)}: {reason}" for (file, reason), found in lines.items()]


def _lines(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:SHOWN])) + (f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else "")
    return f":{shown}" if shown else ""


@dataclass(frozen=True, slots=True)
class Record:
    """A value of a file, and the line where it begins, counted from 1."""

    value: Any
    line: int
    file: str

    def wrong(self, reason: str) -> DataError:
        """The error for this record."""
        return DataError(reason, file=self.file, line=self.line)

    def say(self, reason: str) -> Remark:
        """A remark about this record."""
        return Remark(self.file, reason, self.line)

    def of(self, value: Any) -> Record:
        """A value inside this one, with its own line where that is known."""
        return Record(value, getattr(value, "line", self.line), self.file)


class Text(str):
    """A text of a YAML file. `line`: where it begins."""

    line: int = 0


class Lined(dict[str, Any]):
    """A mapping of a YAML file. `line`: where it begins."""

    line: int = 0


def records(path: Path) -> list[Record]:
    """The records of a file: the lines of JSON lines, the elements of an array, or the rows of a CSV file; a document
    that is something else is one record.

    :raises DataError: the file cannot be read, is not of its format, holds no record, or one that is nested too
        deeply or has half a character.
    """
    file = str(path)
    if is_yaml(path):
        whole = yaml_of(_text(path), file)
        found = [
            Record(one, getattr(one, "line", 1), file) for one in (whole if isinstance(whole, list) else [whole])
        ]
    elif is_table(path):
        with closing(raw_rows(path)) as rows:
            found = [Record(dict(row.values), row.place.number, file) for row in rows]
    else:
        found = list(_json(_text(path), file))
    if not found:
        raise DataError("the file holds no record", file=file)
    for record in found:
        try:
            orjson.dumps(record.value)
        except TypeError as error:  # half a character, such as "\ud800"; lists in lists in lists
            raise record.wrong(f"cannot be kept as JSON: {error}") from None
    return found


def is_table(path: Path) -> bool:
    """Whether a file has rows of named cells.

    :raises DataError: it cannot be read.
    """
    return not is_yaml(path) and format_of(path) in TABLES


def _text(path: Path) -> str:
    """:raises DataError: the file cannot be read, or is empty."""
    with opened(path, DataError, "the file", unpack=True) as content:
        text = decode(content, path, DataError)
    if not text.strip():
        raise DataError("the file is empty", file=str(path))
    return text


def _json(text: str, file: str) -> Iterator[Record]:
    """Values one after the other, or the elements of one array."""
    decoder, place, line, inside = json.JSONDecoder(), 0, 1, text.lstrip().startswith("[")
    if inside:
        place = text.index("[") + 1
        line += text.count("\n", 0, place)
    while True:
        gap = re.compile(r"[\s,]*" if inside else r"\s*").match(text, place)
        end = gap.end() if gap else place
        line += text.count("\n", place, end)
        if end == len(text) or (inside and text[end] == "]"):
            return
        try:
            value, place = decoder.raw_decode(text, end)
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error.msg} at column {error.colno}", file=file, line=error.lineno) from None
        except RecursionError:
            raise DataError("not JSON that can be read: it is nested too deeply", file=file, line=line) from None
        yield Record(value, line, file)
        line += text.count("\n", end, place)


def yaml_of(text: str, file: str) -> Any:
    """The document of a YAML file; its mappings are `Lined`.

    :raises ConfigError: PyYAML is not installed.
    :raises DataError: it is not YAML, with the line.
    """
    try:
        import yaml
    except ImportError:
        raise ConfigError(NO_YAML) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is not typed
        """YAML 1.2's plain scalars, and the lines of mappings."""

    def mapping(loader: Any, node: Any) -> Lined:
        made = Lined({_key(key): value for key, value in loader.construct_mapping(node, deep=True).items()})
        made.line = node.start_mark.line + 1
        return made

    def line(loader: Any, node: Any) -> Text:
        made = Text(node.value.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))  # as in JSON
        made.line = node.start_mark.line + 1
        return made

    def whole(loader: Any, node: Any) -> int:
        return int(node.value, 0 if node.value[:2] in ("0o", "0x") else 10)

    Loader.yaml_implicit_resolvers = {"<": [("tag:yaml.org,2002:merge", re.compile("<<"))]}
    for kind, pattern in PLAIN.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(rf"(?:{pattern.pattern})\Z"), None)
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:int", whole)
    Loader.add_constructor("tag:yaml.org,2002:str", line)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        raise DataError(f"not YAML: {reason}", file=file, line=mark.line + 1 if mark else None) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"not YAML: {error}", file=file) from None


def _key(key: object) -> str:
    return str(key) if isinstance(key, str) else json.dumps(key)


def read_all(paths: Sequence[Path]) -> list[Record]:
    """The records of several files."""
    return [record for path in paths for record in records(path)]


def listed(record: Record, *names: str) -> list[Record]:
    """The elements of the list that an object has under one of these names; the record itself if there is none."""
    if isinstance(record.value, Mapping):
        for name in names:
            if isinstance(inner := record.value.get(name), list):
                return [record.of(one) for one in inner]
    return [record]


def object_of(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else one without keys."""
    return value if isinstance(value, Mapping) else {}


def objects_of(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list; none if the value is no list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def unpacked(found: Sequence[Record], *names: str) -> list[Record]:
    """The records, with those that hold a list under one of these names replaced by its elements.

    :raises DataError: there is no element.
    """
    inner = [one for record in found for one in listed(record, *names)]
    if not inner:
        raise found[0].wrong("the list holds no record")
    return inner
