"""Whether a search goes on, and for what reason it ends."""

from __future__ import annotations

from agents.archive.aims import Aims, Standing, setting_of
from agents.archive.ends import ALLOWANCES, INTERRUPTED
from agents.ring.shrinking import Shrinker
from protocols.messages import Resumed


class Stopping:
    """A search that has a `reason` to end issues no more edits. When those in flight have ended it is concluded: its
    result is made shorter, if that is wanted, and then it is `finished`.

    `interrupted`: a person has stopped it, so that nothing is made shorter any more. `shrinker`: makes the result
    shorter, once that has begun. `standing`: how near the aims are.
    """

    def __init__(self, aims: Aims) -> None:
        self.reason = ""
        self.interrupted = self.finished = self.concluding = False
        self.shrinker: Shrinker | None = None
        self.standing = Standing(aims)

    @property
    def shrinking(self) -> bool:
        """Whether the search has been concluded: the result is being made shorter, or will be next."""
        return self.concluding or self.shrinker is not None

    def stop(self, reason: str) -> None:
        """End the search for this reason, unless it already has another; "": do not."""
        self.reason = self.reason or reason

    def interrupt(self) -> None:
        """A person ends the search."""
        self.stop(INTERRUPTED)
        self.interrupted = True

    def exhaust(self, cap: str) -> None:
        """End the search because this cap has refused a call. "" in journals of earlier releases."""
        self.stop(f"budget: {cap}" if cap else "budget")

    def conclude(self, reason: str, shrinker: Shrinker) -> None:
        """The search has ended; make its result shorter."""
        self.reason, self.shrinker = reason, shrinker

    def change(self, setting: str, value: float | None) -> None:
        """Change the setting with this dotted name, if it is one of the aims and the search is not finished."""
        if not self.finished:
            self._aim(self.standing.aims.changed(setting, value))

    def resume(self, resumed: Resumed) -> None:
        """Set the aims, and go on where more assignments, other aims or a higher cap of an operator allow it."""
        if resumed.more and self.shrinking:
            self.shrinker, self.concluding = None, False
            self._reopen()
        self._aim(Aims(resumed.target, resumed.patience))
        if resumed.reopened and self.reason == ALLOWANCES:
            self._reopen()

    def _aim(self, aims: Aims) -> None:
        """Set the aims. If others ended the search, it continues until the new ones are reached."""
        if aims != self.standing.aims and setting_of(self.reason) and not self.shrinking:
            self._reopen()
        self.standing.aims = aims

    def _reopen(self) -> None:
        self.reason, self.finished = "", False
