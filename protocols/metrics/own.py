"""A metric given by a function of the user."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from numbers import Real
from typing import Any

from protocols.errors import ConfigError
from protocols.files.users_code import users_code
from protocols.metrics.parsed import ParsedMetric
from protocols.task import Example, Json, Judgement, TaskKind
from protocols.text import LONGEST_REASON, one_line

Verdict = float | tuple[float, str]
"""A score in [0, 1], alone or with feedback in words."""
Function = Callable[[Example, Json], Verdict | Awaitable[Verdict]]


class Own(ParsedMetric):
    """The score that `function` gives to an example and the answer read out of the reply; over a corpus, the mean."""

    def __init__(self, kind: TaskKind, function: Function, name: str) -> None:
        super().__init__(kind)
        self._function, self._name = function, name

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer.

        :raises ConfigError: the function returned no score in [0, 1], or something else beside it than a text, or
            raised a cancellation of its own.
        :raises Exception: any exception of the function.
        """
        with users_code(f"metric {self._name}, for example {example.id},"):
            given = self._function(example, answer)
            verdict = await given if inspect.isawaitable(given) else given
        told: tuple[Any, ...] = verdict if isinstance(verdict, tuple) else (verdict, "")
        score: Any = told[0] if told else None  # the user's function may return anything
        number = isinstance(score, Real)  # includes NumPy's numbers
        if not number or not 0 <= score <= 1:
            raise ConfigError(f"metric {self._name} gave {score!r} for example {example.id}: no number from 0 to 1")
        if len(told) != 2 or not isinstance(told[1], str | None):
            gave = one_line(repr(verdict), LONGEST_REASON)
            wanted = "return a score, or a score and a text of feedback"
            raise ConfigError(f"metric {self._name} gave {gave} for example {example.id}: {wanted}")
        feedback = (told[1] or "").encode("utf-8", "replace").decode()  # without halves of surrogate pairs
        shown = self._kind.show(answer)
        if score < 1 and not feedback:
            feedback = f"answered {shown}{self.expected(example, ', ')}"
        return Judgement(float(score), shown, feedback)
