"""What the selectors keep: running moments of the rewards, and what is in flight."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from typing import Generic, TypeVar

from agents.selectors.selector import Action, Choice

Note = TypeVar("Note")
SLACK, LIMIT = 0.4, 6.0
"""Of `Falls`, in deviations."""


class Running:
    """Mean and deviation of a stream (Welford 1962); with `horizon`, the last about so many values count."""

    def __init__(self, horizon: float = math.inf) -> None:
        self._horizon = horizon
        self.count, self.mean, self.variance = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        """Take one more value in."""
        self.count += 1
        step = 1 / min(self.count, self._horizon)
        delta = value - self.mean
        self.mean += step * delta
        self.variance += step * ((1 - step) * delta * delta - self.variance)

    def standard(self, value: float) -> float:
        """`value` in deviations from the mean; 0 while there is no deviation."""
        deviation = math.sqrt(self.variance)
        return (value - self.mean) / deviation if deviation else 0.0


class Falls:
    """One-sided CUSUM (Page 1954): says when a stream of standardised values has come to lie below 0.

    A fall by one deviation is noticed after about LIMIT / (1 - SLACK) values: 10; without one, independent normal
    values raise an alarm once in about 900 (Siegmund's approximation).
    """

    def __init__(self) -> None:
        self._sum = 0.0

    def add(self, value: float) -> bool:
        """Whether this value gives the alarm; it begins anew then."""
        self._sum = max(0.0, self._sum - value - SLACK)
        alarm = self._sum > LIMIT
        if alarm:
            self._sum = 0.0
        return alarm


class InFlight(Generic[Note]):
    """Choices that have not been learnt from, each with a note of its making; the oldest of equal ones goes first."""

    def __init__(self) -> None:
        self._notes: dict[Choice, deque[Note]] = defaultdict(deque)
        self._actions: Counter[Action] = Counter()

    def add(self, choice: Choice, note: Note) -> None:
        """It was chosen."""
        self._notes[choice].append(note)
        self._actions[choice.action] += 1

    def take(self, choice: Choice) -> Note:
        """Its outcome has come.

        :raises KeyError: it is not in flight.
        """
        notes = self._notes.pop(choice)
        self._actions[choice.action] -= 1
        note = notes.popleft()
        if notes:
            self._notes[choice] = notes
        return note

    def count(self, action: Action) -> int:
        """How often this action is in flight, at any parent."""
        return self._actions[action]
