"""What a look for headroom has found, as a run keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from agents.headroom.verdict import Figures, Kind, verdict
from protocols.errors import StorageFailed

NOTE: Final = "headroom"
"""The note of a journal that holds it."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """The verdict of `agents.headroom.verdict` and the `figures` that it rests on."""

    verdict: Kind
    sentence: str
    figures: Figures


def found(figures: Figures) -> Headroom:
    """The figures and what they say."""
    said = verdict(figures)
    return Headroom(said.kind, said.sentence, figures)


def unpack_headroom(note: bytes) -> Headroom:
    """What a journal has kept.

    :raises StorageFailed: another release wrote it, and meant something else.
    """
    try:
        return TypeAdapter(Headroom).validate_json(note)
    except ValidationError as error:
        raise StorageFailed(f"what was found of headroom cannot be read ({error})", file="journal") from error
