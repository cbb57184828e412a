"""Corrections of gold answers, kept in a file beside the data: JSON lines with an `id`, and either the right `target`
or `"wrong": true`, which leaves the example out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from protocols.data.checks import Splits
from protocols.data.rows import Place, text_lines
from protocols.errors import DataError
from protocols.task import Json

FORM = 'a correction has the "id" of an example, and either its "target" or "wrong": true'


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
    for number, line in text_lines(path):
        if line.strip():
            identity, told = _correction(line, Place(str(path), number))
            found[identity] = told
    return found


def _correction(line: str, place: Place) -> tuple[str, Correction]:
    """:raises DataError: the line is no correction."""
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise place.error(f"not JSON; {FORM}") from None
    wrong = values.get("wrong", False) if isinstance(values, dict) else None
    if not isinstance(wrong, bool) or not isinstance(values.get("id"), str) or wrong == ("target" in values):
        raise place.error(FORM)
    return values["id"], Correction(values.get("target"), wrong, place)


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
