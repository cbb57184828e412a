"""Early stopping: a search ends when its result is good enough, or when it no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

AIMS = "aims"
"""Key of the journal's note with the aims that the run began with."""
TARGET, PATIENCE = "target", "patience"
SETTINGS = {"budget.target": TARGET, "budget.patience": PATIENCE}


@dataclass(frozen=True, slots=True)
class Aims:
    """`target` in [0, 1]: the search ends when the best candidate's corpus metric on validation reaches it.
    `patience` >= 1: the search ends after this many assignments in a row without a higher value. None: never."""

    target: float | None = None
    patience: int | None = None

    def changed(self, setting: str, value: float | None) -> Aims:
        """The aims after a change of the setting with this dotted name; unchanged if it is not one of theirs."""
        match SETTINGS.get(setting):
            case "target":
                return replace(self, target=value)
            case "patience":
                return replace(self, patience=None if value is None else int(value))
            case _:
                return self

    def pack(self) -> bytes:
        """Serialise for a note of the journal."""
        return orjson.dumps(self)


def unpack_aims(notes: Mapping[str, bytes]) -> Aims:
    """The aims from a note made by `pack`; no aims if there is no note, as in journals of earlier releases."""
    return Aims(**orjson.loads(notes[AIMS])) if AIMS in notes else Aims()


class Standing:
    """Tracks the best value of the archive. Only a higher value is an improvement, by any amount; a shorter prompt of
    the same value is none."""

    def __init__(self, aims: Aims) -> None:
        self.aims = aims
        self._best, self.idle = -math.inf, 0

    def take(self, best: float) -> bool:
        """Count the evaluation of the first prompt, or the end of an assignment, after which the best value is
        `best`. Returns whether it rose."""
        rose = best > self._best
        self.idle = 0 if rose else self.idle + 1
        self._best = max(self._best, best)
        return rose

    def reached(self, patient: bool = False) -> str:
        """The reason to end the search, which begins with the aim's name; "" if there is none. `patient`: an edit
        that may be better waits for a person, so that patience does not end the search yet."""
        target, patience = self.aims.target, self.aims.patience
        if target is not None and self._best >= target:
            return f"{TARGET}: {self._best:.3f} on validation, of budget.target = {target:g}"
        if patience is not None and self.idle >= patience and not patient:
            return f"{PATIENCE}: no better best in {self.idle} assignments (budget.patience = {patience})"
        return ""


def setting_of(stopped_by: str) -> str:
    """The setting of the aim that ended a search; "" if none did."""
    kind, colon, _ = stopped_by.partition(": ")
    return next((setting for setting, aim in SETTINGS.items() if colon and aim == kind), "")
