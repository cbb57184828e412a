"""The timing of operators: which of them are due, and which must wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from agents.operators.operator import Operator, Progress, Timed, Turn


class Timetable:
    """Counts how often each operator was applied, and decides from that when it is next."""

    def __init__(self, operators: Mapping[str, Operator]) -> None:
        self._operators = operators
        self._timed = {name: o for name, o in operators.items() if isinstance(o, Timed)}
        self._own: Counter[str] = Counter()
        self._own_idle: Counter[str] = Counter()
        self._issued = 0

    def issue(self, operator: str) -> None:
        """Count an assignment of this operator; injected edits are counted, too."""
        self._issued += 1
        self._own[operator] += 1
        self._own_idle[operator] += 1

    def rise(self) -> None:
        """Start counting idle assignments anew, since the best value has risen."""
        self._own_idle.clear()

    def due(self, idle: int) -> list[str]:
        """The operators to apply next, regardless of the selector; `idle`: see `Progress`."""
        return [name for name in self._timed if self._turn(name, idle) == "must"]

    def late(self, idle: int) -> Collection[str]:
        """The operators that may not be applied now; none if that would be all of them."""
        late = {name for name in self._timed if self._turn(name, idle) == "never"}
        return late if len(late) < len(self._operators) else ()

    def _turn(self, name: str, idle: int) -> Turn:
        return self._timed[name].turn(Progress(self._issued, idle, self._own[name], self._own_idle[name]))
