"""Reads calls of tools out of any text: JSON in the forms that APIs and open models use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from protocols.answers.json_objects import placed
from protocols.errors import UnreadableReply
from protocols.model import Finish
from protocols.task import Json
from protocols.thought import INCOMPLETE, without_thought

Call = Mapping[str, Json]
"""`{"name": ..., "arguments": ...}`; arguments that are no object stay as they were written."""
NAMES: Final = ("name", "tool", "tool_name", "function_name")
ARGUMENTS: Final = ("arguments", "parameters", "input", "args", "tool_input")
LISTS: Final = ("tool_calls", "calls", "function_calls")
BESIDE: Final = frozenset({"id", "type", "index"})
"""Keys that a call may have besides its name and arguments."""
BETWEEN: Final = re.compile(r"(?:[\s,;\[\]`]|json|TOOL_CALLS|<[|/]?[\w|]*>)*", re.IGNORECASE)
"""What may stand between two calls of one reply: brackets, fences, tags."""
BEGUN: Final = re.compile(r"""\{\s*["'](?:name|tool|function|tool_calls|type)["']\s*:""")
"""The beginning of a call."""


def read_calls(reply: str, finish: Finish = "stop") -> list[Json]:
    """The last calls of a reply that stand together; [] if it makes none.

    :raises UnreadableReply: the reply is empty, or it begins a call after the last one whose JSON is broken.
    """
    text = without_thought(reply, finish)
    if not text.strip():
        raise UnreadableReply("the reply holds neither a call nor a text")
    groups: list[list[Json]] = []
    end, whole = 0, list(placed(text))
    for start, stop, value in whole:
        calls = [*_calls(value)]
        if not calls:
            continue
        if groups and BETWEEN.fullmatch(text, end, start):
            groups[-1] += calls
        else:
            groups.append(calls)
        end = stop
    begun = [found.start() for found in BEGUN.finditer(text, end)]
    if any(all(not start <= place < stop for start, stop, _ in whole) for place in begun):
        cut = " was cut off inside a call" if finish in INCOMPLETE else " holds a call that is no JSON"
        raise UnreadableReply(f"the reply{cut}")
    return groups[-1] if groups else []


def _calls(value: Mapping[str, Json]) -> Iterator[Json]:
    """The calls in a JSON object."""
    for key in LISTS:
        inner = value.get(key)
        if isinstance(inner, list | tuple):
            for one in inner:
                yield from _calls(one) if isinstance(one, Mapping) else ()
            return
    inner = value.get("function")
    if isinstance(inner, Mapping):
        yield from _calls(inner)
    elif (call := as_call(value)) is not None:
        yield call


def as_call(value: Json) -> Json:
    """The call that a JSON object is, in its usual form; None if it is none: it needs a name, and arguments unless it
    has nothing else."""
    if not isinstance(value, Mapping):
        return None
    inner = value.get("function")
    if isinstance(inner, Mapping):
        return as_call(inner)
    named = next((key for key in (*NAMES, "function") if isinstance(value.get(key), str) and value[key]), None)
    given = next((key for key in ARGUMENTS if key in value), None)
    if named is None or (given is None and not value.keys() <= {named, *BESIDE}):
        return None
    return {"name": value[named], "arguments": _arguments(value[given] if given else {})}


def _arguments(given: Json) -> Json:
    """The arguments; those in a text are read, if they can be."""
    if given is None or given == "":
        return {}
    if isinstance(given, str):
        try:
            read: Json = orjson.loads(given)
        except orjson.JSONDecodeError:
            return given
        return read if isinstance(read, dict) else given
    return given
