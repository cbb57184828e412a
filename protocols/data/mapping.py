"""Turns rows into examples: which column or key is an input field, the target or the id."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocols.data.rows import Row
from protocols.data.values.inputs import NO_TEXT, read_conversation, read_images, read_input
from protocols.data.values.pictures import Pictures
from protocols.task import Example, Json

DEEPEST = 32
"""Most levels of lists and objects in a target; the writer of the journal allows at most 254."""
NO_ID = NO_TARGET = "none"
"""Given as the column of ids, it means that ids are ignored; given as that of targets, that there are none."""
NO_TARGETS = f'; if none has one, and a judge is to grade without, say so: target = "{NO_TARGET}" under [task.fields]'
WHOLE = 2**63
"""Whole numbers from here on are not kept exactly by every JSON parser."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns or keys of an example's parts; a key inside an object is written with a dot (`answers.text`).

    `input`: the column of each input field; empty: every key except target and id, or the keys of the object `input`.
    `conversations`, `images`: the input fields whose texts are conversations in JSON, or names of images.
    `target`, `id`: None for the columns of these names; `id` may be `NO_ID`: examples are named by lines or rows;
    `target` may be `NO_TARGET`: all targets are None.
    `labels`: the names of the classes 0, 1, ... if targets are class numbers, or lists of them. `separator`: if
    given, a target that is a text is the list of the texts between which it stands; an empty text is the empty list.
    """

    input: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    id: str | None = None
    labels: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    separator: str | None = None

    @property
    def columns(self) -> list[str]:
        """The required columns."""
        target = [] if self.target == NO_TARGET else [self.target or "target"]
        return [*self.input.values(), *target, *([self.id] if self.id and self.id != NO_ID else [])]


def example(row: Row, fields: Fields, prefix: str, pictures: Pictures) -> Example:
    """The example of a row; without an id it gets `<prefix>-<number of its line or row>`. `pictures` reads images.

    :raises DataError: the row cannot be an example.
    """
    pictures.begin_row()
    try:
        identity = _identity(row.values, fields)
        return Example(
            id=f"{prefix}-{row.place.number}" if identity is None else identity,
            inputs=_inputs(row.values, fields, pictures),
            target=_target(row.values, fields),
        )
    except ValueError as error:
        raise row.place.error(str(error)) from None


def find(values: Mapping[str, Any], key: str) -> Any:
    """The value of a key; dots in the key lead into nested objects.

    :raises ValueError: the key does not exist; the message lists existing keys.
    """
    if key in values:
        return values[key]
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            there = ", ".join(str(name) for name in list(values)[:10])
            hint = 'name the keys under [task.fields], such as target = "label"'
            hint += f', or target = "{NO_TARGET}" for none' if key == "target" else ""
            raise ValueError(f"no {key}; there are {there}; {hint}" if there else f"no {key}; the row is empty")
        found = found[part]
    return found


def class_name(number: object, labels: Sequence[str]) -> str:
    """The name of the class with this number.

    :raises ValueError: `number` is not a number, or has no name.
    """
    text = str(number) if isinstance(number, str | int) else f"a {type(number).__name__}"
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"the class is {_short(text)}; with names of labels it must be a number from 0 on")
    if int(text) >= len(labels):
        raise ValueError(f"class {text} has no name; there are {len(labels)} names, from 0 on")
    return labels[int(text)]


def _identity(values: Mapping[str, Any], fields: Fields) -> str | None:
    if fields.id == NO_ID:
        return None
    identity = find(values, fields.id) if fields.id else values.get("id")
    if identity is None or identity == "":
        return None
    if isinstance(identity, bool) or not isinstance(identity, str | int):
        raise ValueError("id must be a text or a whole number of at most 64 bits")
    return str(identity)


def _inputs(values: Mapping[str, Any], fields: Fields, pictures: Pictures) -> dict[str, str]:
    target = "target" if fields.target in (None, NO_TARGET) else fields.target
    named = (target, "id" if fields.id in (None, NO_ID) else fields.id)
    others = {name: value for name, value in values.items() if name not in named}
    if fields.input:
        inputs = {name: find(values, key) for name, key in fields.input.items()}
    elif isinstance(values.get("input"), Mapping):
        inputs = dict(values["input"])
        if unknown := [name for name in others if name != "input"]:
            raise ValueError(f"unknown key {', '.join(unknown)}; besides input, only target and id are allowed")
    else:
        inputs = others
    if not inputs:
        raise ValueError('no input; an example has input fields that are texts, such as {"text": "..."}')
    if missing := [name for name in (*fields.conversations, *fields.images) if name not in inputs]:
        raise ValueError(
            f"no input field {_short(missing[0])}, which [task.fields] names; there are {', '.join(inputs)}"
        )
    for name in inputs:
        if not name.strip() or "{" in name or "}" in name:
            raise ValueError(f"input field {_short(name)} can be no placeholder; name it under [task.fields], input")
    return {name: _value(name, value, fields, pictures) for name, value in inputs.items()}


def _value(name: str, value: object, fields: Fields, pictures: Pictures) -> str:
    """:raises ValueError: the field cannot have this value."""
    if type(value) is str and name not in fields.conversations and name not in fields.images:
        return value
    read = read_conversation if name in fields.conversations else read_images if name in fields.images else read_input
    try:
        return read(value, pictures)
    except ValueError as error:
        said = str(error)
        hint = "" if fields.input or said != NO_TEXT else "; name those to use under [task.fields], input"
        beginning = f"input field {_short(name)}"
        raise ValueError(f"{beginning}: {said}" if said.startswith("the ") else f"{beginning} {said}{hint}") from None


def _target(values: Mapping[str, Any], fields: Fields) -> Json:
    if fields.target == NO_TARGET:
        return None
    value = find(values, fields.target or "target")
    if fields.separator is not None and isinstance(value, str):
        value = [part for each in value.split(fields.separator) if (part := each.strip())]
    if fields.labels:
        if isinstance(value, list | tuple):
            return [class_name(one, fields.labels) for one in value]
        return class_name(value, fields.labels)
    if value is None:
        raise ValueError(f"the target is null; an example without a gold answer cannot be scored{NO_TARGETS}")
    if reason := _unfit(value):
        raise ValueError(f"the target {reason}")
    kept: Json = value
    return kept


def _unfit(value: Any, depth: int = 0) -> str:
    """The reason why a value cannot be a target; "" if it can."""
    match value:
        case None | str() | bool():
            return ""
        case int():
            return "" if abs(value) < WHOLE else "holds a whole number of more than 63 bits; write it as a text"
        case float():
            exact = math.isfinite(value) and abs(value) < WHOLE
            return "" if exact else "holds a number that cannot be kept exactly; write it as a text"
        case Mapping() | list() | tuple():
            if depth == DEEPEST:
                return f"is nested more than {DEEPEST} levels deep"
            inner = value.values() if isinstance(value, Mapping) else value
            return next((reason for item in inner if (reason := _unfit(item, depth + 1))), "")
        case _:
            return f"holds a {type(value).__name__}; a target is text, numbers, lists and objects"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
