"""When a search ends before its assignments and its caps do: it is good enough, or nothing comes of it any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

AIMS = "aims"
"""The note of a journal that says which aims the run began with."""
TARGET, PATIENCE = "target", "patience"
SETTINGS = {"budget.target": TARGET, "budget.patience": PATIENCE}


@dataclass(frozen=True, slots=True)
class Aims:
    """`target` in [0, 1]: the value of the best candidate, the corpus metric on validation, at which a search ends.
    `patience` >= 1: assignments that end in a row without a higher one, after which it ends. None: never."""

    target: float | None = None
    patience: int | None = None

    def changed(self, setting: str, value: float | None) -> Aims:
        """With another value for the setting of this dotted name; the same for any other setting."""
        match SETTINGS.get(setting):
            case "target":
                return replace(self, target=value)
            case "patience":
                return replace(self, patience=None if value is None else int(value))
            case _:
                return self

    def pack(self) -> bytes:
        """For a note of a journal."""
        return orjson.dumps(self)


def unpack_aims(notes: Mapping[str, bytes]) -> Aims:
    """What `pack` made; none where nothing was kept, for earlier releases had none."""
    return Aims(**orjson.loads(notes[AIMS])) if AIMS in notes else Aims()


class Standing:
    """How the best value of the archive has moved. Only a higher one is better: a shorter prompt of the same value is
    not, and how much higher does not matter."""

    def __init__(self, aims: Aims) -> None:
        self.aims = aims
        self._best, self.idle = -math.inf, 0

    def take(self, best: float) -> bool:
        """The first prompt was evaluated, or an assignment has ended; the best value is now `best`. Returns whether
        it rose."""
        rose = best > self._best
        self.idle = 0 if rose else self.idle + 1
        self._best = max(self._best, best)
        return rose

    @property
    def reached(self) -> str:
        """Why the search is to end, in words that begin with the aim's name; "" while it is not."""
        target, patience = self.aims.target, self.aims.patience
        if target is not None and self._best >= target:
            return f"{TARGET}: {self._best:.3f} on validation, of budget.target = {target:g}"
        if patience is not None and self.idle >= patience:
            return f"{PATIENCE}: no better best in {self.idle} assignments (budget.patience = {patience})"
        return ""


def setting_of(stopped_by: str) -> str:
    """The setting of the aim that ended a search; "" if none did."""
    kind, colon, _ = stopped_by.partition(": ")
    return next((setting for setting, aim in SETTINGS.items() if colon and aim == kind), "")
