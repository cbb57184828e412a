"""Values as literals of Python that people can read and edit: long texts line by line, other signs escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH = 100


def literal(value: object, indent: int = 0) -> str:
    """An expression that gives the value again: texts, numbers, truth values, None, lists, tuples and mappings."""
    short = flat(value)
    if len(short) + indent <= WIDTH and not _has_lines(value):
        return short
    inner, space = " " * (indent + 4), " " * indent
    match value:
        case str():
            lines = value.splitlines(keepends=True)
            return "(\n" + "".join(f"{inner}{line!r}\n" for line in lines) + f"{space})"
        case Mapping():
            rows = [f"{inner}{key!r}: {literal(one, indent + 4)},\n" for key, one in value.items()]
            return "{\n" + "".join(rows) + space + "}"
        case Sequence():
            opening, closing = "()" if isinstance(value, tuple) else "[]"
            rows = [f"{inner}{literal(one, indent + 4)},\n" for one in value]
            return opening + "\n" + "".join(rows) + space + closing
    return short


def flat(value: object) -> str:
    """The expression on one line."""
    match value:
        case str():
            return repr(str(value))
        case Mapping():
            return "{" + ", ".join(f"{key!r}: {flat(one)}" for key, one in value.items()) + "}"
        case tuple():
            return "(" + "".join(f"{flat(one)}, " for one in value).rstrip() + ")"
        case Sequence():
            return "[" + ", ".join(map(flat, value)) + "]"
    return repr(value)


def _has_lines(value: object) -> bool:
    match value:
        case str():
            return len(value.splitlines()) > 1
        case Mapping():
            return any(map(_has_lines, value.values()))
        case Sequence():
            return any(map(_has_lines, value))
    return False
