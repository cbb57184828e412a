"""A circuit breaker for failures that every further call would meet too."""

from __future__ import annotations

import re

from protocols.errors import AlwaysRefused, AuthenticationFailed, BadRequest, ModelError, TooLong

ROUNDS = 4
"""Number of equal refusals in a row, each of a call that began after the previous one, that open the breaker."""
FORBIDDEN = 403


class Breaker:
    """The circuit breaker of one role's calls to one model.

    A fatal failure opens it: later calls raise that failure, and nothing is sent. The same BadRequest `ROUNDS` times
    in a row opens it too, unless there was ever a reply: then a refusal concerns only its own request. A refusal for
    length always concerns only its own request. So does a 403 once there was a reply, since firewalls and moderation
    answer with it, too: it becomes a BadRequest, until `ROUNDS` of them come without a reply between them.
    """

    def __init__(self) -> None:
        self._failure: ModelError | None = None
        self._worked = False
        self._refusal, self._repeated = "", 0
        self._round = 0
        self._forbidden = 0

    def begin(self) -> int:
        """The current round, in which a call begins. Refusals of calls that began in the same round count once.

        :raises ModelError: the breaker is open; nothing may be sent.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        return self._round

    def worked(self) -> None:
        """Record a reply."""
        self._worked, self._forbidden = True, 0

    def failed(self, begun: int, error: ModelError) -> ModelError:
        """Record the failure of a call that began in the round `begun`; returns the error to raise for it."""
        if self._worked and error.status == FORBIDDEN and isinstance(error, AuthenticationFailed):
            if begun == self._round:
                self._round, self._forbidden = self._round + 1, self._forbidden + 1
            if self._forbidden < ROUNDS:
                return BadRequest(error.reason, model=error.model, status=FORBIDDEN, request_id=error.request_id)
        if error.fatal:
            self._failure = self._failure or error
        elif self._counts(error) and begun == self._round:
            refusal = re.sub(r"\d+", "0", error.reason)  # lengths and ids differ
            self._repeated = self._repeated + 1 if refusal == self._refusal else 1
            self._refusal = refusal
            self._round += 1
            if self._repeated >= ROUNDS:
                self._failure = always_refused(error)
                return self._failure
        return error

    def _counts(self, error: ModelError) -> bool:
        return isinstance(error, BadRequest) and not isinstance(error, TooLong) and not self._worked


def always_refused(error: ModelError) -> AlwaysRefused:
    """The error for a refusal that every request meets."""
    reason = f"every request is refused: {error.reason}"
    return AlwaysRefused(reason, model=error.model, status=error.status, request_id=error.request_id)
