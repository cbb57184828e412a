"""The measured headroom, as a run stores it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from agents.headroom.verdict import Figures, Kind, verdict
from protocols.errors import StorageFailed

NOTE: Final = "headroom"
"""The name of its note in a journal."""


@dataclass(frozen=True, slots=True)
class Headroom:
    """The verdict of `agents.headroom.verdict` and the `figures` that it rests on."""

    verdict: Kind
    sentence: str
    figures: Figures


def found(figures: Figures) -> Headroom:
    """The headroom that the figures show."""
    said = verdict(figures)
    return Headroom(said.kind, said.sentence, figures)


def unpack_headroom(note: bytes) -> Headroom:
    """Read the headroom from a journal's note.

    :raises StorageFailed: another release wrote it in another format.
    """
    try:
        return TypeAdapter(Headroom).validate_json(note)
    except ValidationError as error:
        raise StorageFailed(f"what was found of headroom cannot be read ({error})", file="journal") from error
