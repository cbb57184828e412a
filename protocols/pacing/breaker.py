"""A circuit breaker for failures that every other call would meet as well."""

from __future__ import annotations

import re

from protocols.errors import AlwaysRefused, BadRequest, ModelError, TooLong

ROUNDS = 4
"""Refusals, each of a call that began after the one before had come, that say that all calls will be refused."""


class Breaker:
    """What one role's calls to one model have met.

    A fatal failure opens it: whoever calls later gets that failure, and nothing is sent. So does the same BadRequest
    `ROUNDS` times over while there was never a reply; after a first one a refusal is about its own request, and one
    for length always is.
    """

    def __init__(self) -> None:
        self._failure: ModelError | None = None
        self._worked = False
        self._refusal, self._repeated = "", 0
        self._round = 0

    def begin(self) -> int:
        """The round that a call begins in: those in flight together are refused together, and that counts once.

        :raises ModelError: every call fails; nothing is to be sent.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        return self._round

    def worked(self) -> None:
        """There was a reply."""
        self._worked = True

    def failed(self, begun: int, error: ModelError) -> ModelError:
        """A call that began in the round `begun` failed; returns what to raise for it."""
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
    """The same refusal, for all requests."""
    reason = f"every request is refused: {error.reason}"
    return AlwaysRefused(reason, model=error.model, status=error.status, request_id=error.request_id)
