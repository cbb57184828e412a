"""Records of the selectors: running moments of the rewards, and choices in flight."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from typing import Generic, TypeVar

from agents.selectors.selector import Action, Choice

Note = TypeVar("Note")
SLACK, LIMIT = 0.4, 6.0
"""Of `Falls`, in deviations."""


class Running:
    """Running mean and variance of a stream (Welford 1962), over about the last `horizon` values if it is finite."""

    def __init__(self, horizon: float = math.inf) -> None:
        self._horizon = horizon
        self.count, self.mean, self.variance = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        """Add a value."""
        self.count += 1
        step = 1 / min(self.count, self._horizon)
        delta = value - self.mean
        self.mean += step * delta
        self.variance += step * ((1 - step) * delta * delta - self.variance)

    def standard(self, value: float) -> float:
        """`value` in standard deviations from the mean; 0 while the variance is 0."""
        deviation = math.sqrt(self.variance)
        return (value - self.mean) / deviation if deviation else 0.0


class Falls:
    """One-sided CUSUM (Page 1954): detects when the mean of a stream of standardised values falls below 0.

    A fall by one deviation is noticed after about LIMIT / (1 - SLACK) values: 10; without one, independent normal
    values raise an alarm once in about 900 (Siegmund's approximation).
    """

    def __init__(self) -> None:
        self._sum = 0.0

    def add(self, value: float) -> bool:
        """Add a value, and return whether it raises an alarm; after an alarm, the sum starts at 0."""
        self._sum = max(0.0, self._sum - value - SLACK)
        alarm = self._sum > LIMIT
        if alarm:
            self._sum = 0.0
        return alarm


class InFlight(Generic[Note]):
    """Choices without an outcome, each with a note made when it was chosen; of equal ones, the oldest goes first."""

    def __init__(self) -> None:
        self._notes: dict[Choice, deque[Note]] = defaultdict(deque)
        self._actions: Counter[Action] = Counter()

    def add(self, choice: Choice, note: Note) -> None:
        """Add a choice."""
        self._notes[choice].append(note)
        self._actions[choice.action] += 1

    def take(self, choice: Choice) -> Note:
        """Remove a choice whose outcome has arrived, and return its note.

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
