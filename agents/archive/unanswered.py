"""Examples left unanswered, counted over a whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from agents.prompting.forward import Result
from protocols.errors import BadRequest, ModelError, RunFailed, TooLong
from protocols.messages import Evaluation

EARLIER = "earlier"
"""Reason given for examples that were left unanswered before the run was resumed."""


class Unanswered:
    """Counts unanswered examples, and fails the run when their share exceeds `most` in [0, 1].

    The share is of at least `least` examples, even if fewer have been asked so far: a short burst of failures early
    in a run does not end it, since it will not matter by the end, but a service that is down does. Examples that do
    not fit into the model's window are not counted; their ids are in `too_long`. Examples on which drafts are
    compared are not counted either, since a draft without an answer has simply lost. `tell` is called with each
    error.
    """

    def __init__(self, most: float, least: int) -> None:
        self.most, self._least = most, least
        self.asked = 0
        self.reasons: Counter[str] = Counter()
        self.too_long: set[str] = set()
        self._last = ""
        self.tell: Callable[[ModelError], None] = lambda error: None

    def count(self, results: Iterable[Result], given_up: bool = False) -> None:
        """Count the results of some examples. `given_up`: they are a candidate's that was given up; its refusals are
        not counted."""
        for result in results:
            if isinstance(result, TooLong) or (given_up and isinstance(result, BadRequest)):
                continue
            self.asked += 1
            if isinstance(result, ModelError):
                self.reasons[type(result).__name__] += 1
                self._last = str(result)
                self.tell(result)

    def take_up(self, evaluation: Evaluation) -> None:
        """Count an evaluation of an earlier process, whose errors are not recorded."""
        self.asked += evaluation.asked - evaluation.drafted
        self.too_long.update(evaluation.too_long)
        if unanswered := evaluation.unanswered + evaluation.unread:
            self.reasons[EARLIER] += unanswered

    def check(self) -> None:
        """:raises RunFailed: too many are unanswered; the message has the counts, the errors and the remedy."""
        if self.reasons.total() > self.most * max(self.asked, self._least):
            raise RunFailed(str(self))

    def __str__(self) -> str:
        """The counts, the errors and the remedy, on one line."""
        kinds = ", ".join(f"{count} {name}" for name, count in self.reasons.most_common())
        return (
            f"{self.reasons.total()} of {self.asked} examples were left unanswered after all retries ({kinds}), more "
            f"than search.max_unanswered = {self.most:g} allows; the last: {self._last}; find out why, or allow more"
        )
