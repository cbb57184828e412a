"""The descriptions in a JSON schema as one text that people and models can edit.

    Finds trains between two stations.
    from: the station to leave from
    legs[].class: first or second

The first lines describe the whole; a line that begins with the path of a field, and the lines after it, describe the
field. A line of a description that would be read as the beginning of another has a backslash before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

Keys = tuple[str | int, ...]
"""Where something stands in a schema: the keys and indices that lead to it."""
PLAIN: Final = re.compile(r"[\w$](?:[\w$.\[\]/ -]*[\w$\]])?")
"""Paths that can begin a line. Fields of other names keep their descriptions, which nobody can edit."""
DEEPEST: Final = 32
"""Fields that are nested deeper keep their descriptions."""
TEXT: Final = "description"


def places(schema: Mapping[str, Any]) -> dict[str, Keys]:
    """The fields of a schema by path, in its order; of two with the same path the first."""
    found: dict[str, Keys] = {}
    for path, keys in _walk(schema, "", (), DEEPEST):
        if PLAIN.fullmatch(path):
            found.setdefault(path, keys)
    return found


def _walk(node: object, path: str, keys: Keys, left: int) -> Iterator[tuple[str, Keys]]:
    if not isinstance(node, Mapping) or not left:
        return
    if path and (not path.endswith("[]") or TEXT in node):
        yield path, keys
    for name, inner in _table(node, "properties"):
        yield from _walk(inner, f"{path}.{name}" if path else name, (*keys, "properties", name), left - 1)
    yield from _walk(node.get("items"), f"{path}[]", (*keys, "items"), left - 1)
    for group in ("anyOf", "oneOf", "allOf"):
        several = node.get(group)
        for index, inner in enumerate(several if isinstance(several, list) else ()):
            yield from _walk(inner, path, (*keys, group, index), left - 1)
    for group in ("$defs", "definitions"):
        for name, inner in _table(node, group):
            yield from _walk(inner, name, (*keys, group, name), left - 1)


def _table(node: Mapping[str, Any], key: str) -> Iterator[tuple[str, object]]:
    inner = node.get(key)
    yield from inner.items() if isinstance(inner, Mapping) else ()


def description_of(node: Mapping[str, Any]) -> str:
    """The description of a tool or a field; "" if it has none."""
    text = node.get(TEXT)
    return text if isinstance(text, str) else ""


def dump(whole: str, schema: Mapping[str, Any]) -> str:
    """The description `whole`, and those of the fields of the schema, as a text."""
    there = places(schema)
    begins = _begins(there)
    lines = [_escaped(line, begins) for line in whole.strip().split("\n")] if whole.strip() else []
    for path, keys in there.items():
        first, *others = description_of(at(schema, keys)).strip().split("\n")
        lines += [f"{path}: {first}" if first else f"{path}:", *(_escaped(line, begins) for line in others)]
    return "\n".join(lines)


def load(text: str, schema: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The description of the whole, and those of the fields by path; "" for a field that the text does not name. A
    list mark, or a mark of emphasis around the path, is overlooked."""
    there = places(schema)
    begins = _begins(there)
    whole: list[str] = []
    fields: dict[str, list[str]] = {path: [] for path in there}
    current = whole
    for line in text.split("\n"):
        found = begins.match(line) if begins else None
        if found and not found[1]:
            current = fields[found["path"]]
            current[:] = [line[found.end() :]]
        else:
            current.append(line[1:] if found else line)
    return "\n".join(whole).strip(), {path: "\n".join(lines).strip() for path, lines in fields.items()}


def _begins(there: Mapping[str, Keys]) -> re.Pattern[str] | None:
    """Matches the beginning of a line that begins with a path, also after backslashes; None if there is no path."""
    if not there:
        return None
    paths = "|".join(re.escape(path) for path in sorted(there, key=len, reverse=True))
    mark = r"(?:[-*•][ \t]+)?(?P<mark>[`*]{0,3})"
    return re.compile(rf"(\\*){mark}(?P<path>{paths})(?:(?P=mark)[ \t]*[:：]|[ \t]*[:：](?P=mark))[ \t]*")


def _escaped(line: str, begins: re.Pattern[str] | None) -> str:
    return f"\\{line}" if begins and begins.match(line) else line


def replaced(text: str, whole: str, schema: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The description and a copy of the schema with the descriptions of `text`; all else stays as it is. `whole`: the
    description until now."""
    new = deepcopy(dict(schema))
    said, fields = load(text, schema)
    for path, keys in places(schema).items():
        node = at(new, keys)
        put(node, fields[path])
    return (whole if said == whole.strip() else said), new


def put(node: dict[str, Any], text: str) -> None:
    """Set the description of a tool or a field. One that is the same but for white space around it stays; without a
    text there is none."""
    if text == description_of(node).strip():
        return
    if text:
        node[TEXT] = text
    else:
        del node[TEXT]


def at(schema: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """What stands at this place of a schema."""
    node: Any = schema
    for key in keys:
        node = node[key]
    found: dict[str, Any] = node
    return found
