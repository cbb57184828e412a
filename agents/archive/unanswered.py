"""What was asked and never answered, over a whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from agents.prompting.forward import Result
from protocols.errors import BadRequest, ModelError, RunFailed, TooLong
from protocols.messages import Evaluation

EARLIER = "earlier"
"""The reason of what was left unanswered before the run went on."""


class Unanswered:
    """Keeps count, and fails the run when more than the share `most` in [0, 1] has been left unanswered.

    The share is one of at least `least` examples, however few have been asked so far: a short burst of failures early
    in a run, which will not matter by its end, does not end it; a service that is down does. An example that does not
    fit into the model's window is none of them: its id is in `too_long`. Nor are those on which drafts are compared:
    a draft without an answer has lost.
    """

    def __init__(self, most: float, least: int) -> None:
        self.most, self._least = most, least
        self.asked = 0
        self.reasons: Counter[str] = Counter()
        self.too_long: set[str] = set()
        self._last = ""

    def count(self, results: Iterable[Result], given_up: bool = False) -> None:
        """Add what became of some examples. `given_up`: of a candidate that was refused, and answers for that
        itself."""
        for result in results:
            if isinstance(result, TooLong) or (given_up and isinstance(result, BadRequest)):
                continue
            self.asked += 1
            if isinstance(result, ModelError):
                self.reasons[type(result).__name__] += 1
                self._last = str(result)

    def take_up(self, evaluation: Evaluation) -> None:
        """Add one of an earlier process, whose errors are not on record."""
        self.asked += evaluation.asked - evaluation.drafted
        self.too_long.update(evaluation.too_long)
        if unanswered := evaluation.unanswered + evaluation.unread:
            self.reasons[EARLIER] += unanswered

    def check(self) -> None:
        """:raises RunFailed: too many, with how many, which errors and what to do."""
        if self.reasons.total() > self.most * max(self.asked, self._least):
            raise RunFailed(str(self))

    def __str__(self) -> str:
        """One line."""
        kinds = ", ".join(f"{count} {name}" for name, count in self.reasons.most_common())
        return (
            f"{self.reasons.total()} of {self.asked} examples were left unanswered after all retries ({kinds}), more "
            f"than search.max_unanswered = {self.most:g} allows; the last: {self._last}; find out why, or allow more"
        )
