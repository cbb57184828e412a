"""Corrections of gold answers, kept in a file beside the data: JSON lines with an `id`, and either the right `target`
or `"wrong": true`, which leaves the example out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from protocols.data.checks import Splits
from protocols.data.mapping import Fields
from protocols.data.rows import Place
from protocols.data.tables import read_jsonl
from protocols.errors import DataError
from protocols.task import Json


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person says of an example's gold answer: the right one, or that it is `wrong`. `place`: where."""

    target: Json = None
    wrong: bool = False
    place: Place | None = None


def read_overlay(path: Path) -> dict[str, Correction]:
    """The corrections by the ids of their examples, in the order of the file; the last of an id counts.

    :raises DataError: the file cannot be read, or a line is no correction.
    """
    found: dict[str, Correction] = {}
    for row in read_jsonl(path, Fields(target="id")):
        values = row.values
        wrong = values.get("wrong", False)
        if not isinstance(values.get("id"), str) or not isinstance(wrong, bool) or wrong == ("target" in values):
            raise row.place.error('a correction has the "id" of an example, and either its "target" or "wrong": true')
        found[values["id"]] = Correction(values.get("target"), wrong, row.place)
    return found


def write_overlay(corrections: Mapping[str, Correction]) -> bytes:
    """The content of the file."""
    lines = [
        {"id": name} | ({"wrong": True} if told.wrong else {"target": told.target})
        for name, told in corrections.items()
    ]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def overlaid(splits: Splits, corrections: Mapping[str, Correction]) -> Splits:
    """The splits with these corrections.

    :raises DataError: no split has an example of one of the ids.
    """
    there = {example.id for examples in splits.values() for example in examples}
    for name, told in corrections.items():
        if name not in there:
            why = f"no example has the id {name!r}; remove the line, or put back the example"
            raise told.place.error(why) if told.place else DataError(why)
    return {
        split: tuple(
            replace(one, target=corrections[one.id].target) if one.id in corrections else one
            for one in examples
            if not (one.id in corrections and corrections[one.id].wrong)
        )
        for split, examples in splits.items()
    }
