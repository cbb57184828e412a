"""A metric that is a function of the user's."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from numbers import Real
from typing import Any

from protocols.errors import ConfigError
from protocols.metrics.parsed import ParsedMetric
from protocols.task import Example, Json, Judgement, TaskKind

Verdict = float | tuple[float, str]
"""A score in [0, 1], alone or with a feedback in words."""
Function = Callable[[Example, Json], Verdict | Awaitable[Verdict]]


class Own(ParsedMetric):
    """The mean of what `function` says of an example and the answer that was read out of a reply to it."""

    def __init__(self, kind: TaskKind, function: Function, name: str) -> None:
        super().__init__(kind)
        self._function, self._name = function, name

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer.

        :raises ConfigError: the function gave no score in [0, 1].
        :raises Exception: whatever the function raises.
        """
        given = self._function(example, answer)
        verdict = await given if inspect.isawaitable(given) else given
        score: Any  # whatever a function of a user's gave
        score, feedback = verdict if isinstance(verdict, tuple) else (verdict, "")
        number = isinstance(score, Real)  # NumPy's, too
        if not number or not 0 <= score <= 1:
            raise ConfigError(f"metric {self._name} gave {score!r} for example {example.id}: no number from 0 to 1")
        shown = self._kind.show(answer)
        if score < 1 and not feedback:
            feedback = f"answered {shown}, expected {self._kind.show(example.target)}"
        return Judgement(float(score), shown, feedback)
