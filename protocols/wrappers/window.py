"""A model's context window: the most tokens of a request, reply included. It is configured, reported by the server,
or learned from refusals."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from typing import Protocol, runtime_checkable

import orjson

from protocols.errors import ServerFailed, TooLong
from protocols.model import TURN, ChatModel, Reply, Request

DEVIATIONS = 2.0
"""Requests built to fit are assumed to need the mean plus this many standard deviations."""
LEAST = 0.02
"""Lower bound of the assumed standard deviation, as a share of the mean."""
MOST = 4.0
"""Upper bound of the real tokens per estimated token: one per byte."""
UNCOUNTED = 2
"""An estimate may exceed the real tokens by this factor, if the provider does not count them."""
FAR = 2
"""A refusal for length counts as a fault of the server if a request this many times as long was answered."""
SHARE = 2
"""A reply may take at most the window divided by this; the rest is for the request."""


@runtime_checkable
class Windowed(Protocol):
    """A model that knows something about its window."""

    def spare(self, request: Request) -> float:
        """Approximate tokens, counted by `estimate_tokens`, that may still be added to the messages; negative: that
        must be removed; infinite if the window is unknown."""


def spare(model: object, request: Request) -> float:
    """`Windowed.spare` of any model."""
    return model.spare(request) if isinstance(model, Windowed) else math.inf


@dataclass(slots=True)
class Known:
    """The stored knowledge about a window. `told`: its tokens, if told. `accepted`: tokens of the longest answered
    request with its reply's limit; `input`: tokens of the longest answered messages; `refused`: tokens of the
    shortest refused request. `mean`: real tokens per estimated token; `squares`: the sum of their squared deviations;
    both are weighted with squared estimates, whose sum is `weight`."""

    told: int | None = None
    accepted: float = 0.0
    input: float = 0.0
    refused: float = math.inf
    weight: float = 0.0
    mean: float = 1.0
    squares: float = 0.0


class Window:
    """The window of one model of one account. Tokens are estimated, and the provider's counts correct the estimate.
    Requests that we build keep a margin of `DEVIATIONS`; only a request whose mean estimate is too long is not sent.

    If no refusal names the window, it lies between the longest answered and the shortest refused request. Requests
    that we build aim at their middle, so that each refusal halves the unknown range.
    """

    def __init__(self) -> None:
        self._known = Known()
        self.looked_up = False

    @property
    def tokens(self) -> int | None:
        """The most tokens of a request, reply included; None: unknown."""
        told, refused = self._known.told, self._known.refused
        found = min(math.inf if told is None else told, refused - 1)
        return None if found == math.inf else max(1, int(found))

    def tell(self, tokens: int) -> None:
        """Set the window to `tokens` >= 1, unless it was told fewer before."""
        known = self._known
        known.told = tokens if known.told is None else min(tokens, known.told)

    def fitted(self, request: Request) -> Request:
        """The request with its reply's limit reduced to the window's share for replies (`SHARE`)."""
        tokens = self.tokens
        room = request.max_tokens if tokens is None else min(request.max_tokens, max(1, tokens // SHARE))
        return request if room == request.max_tokens else replace(request, max_tokens=room)

    def spare(self, request: Request) -> float:
        """See `Windowed`."""
        tokens, known = self.tokens, self._known
        if tokens is None:
            return math.inf
        aim = float(tokens)
        if known.told is None or known.refused <= known.told:
            aim = min(aim, (min(known.accepted, aim) + known.refused) / 2)
        room = aim - self.fitted(request).max_tokens
        return math.floor(room / self._high()) - estimated(request)

    def fit(self, request: Request) -> Request | None:
        """As `fitted`; None if the request does not fit, by the estimate, so that sending it is useless."""
        tokens = self.tokens
        if tokens is None:
            return request
        fitted = self.fitted(request)
        return fitted if self._needed(fitted) <= tokens else None

    def answered(self, request: Request, tokens: int) -> None:
        """Record a reply. `tokens`: the provider's count of the input; 0: it did not count."""
        known, about = self._known, estimated(request)
        if tokens > 0:
            each, weight = min(MOST, tokens / about), about**2  # least squares: long requests weigh most
            known.weight += weight
            off = each - known.mean
            known.mean += off * weight / known.weight
            known.squares += weight * off * (each - known.mean)
        known.accepted = max(known.accepted, self._needed(request))
        known.input = max(known.input, tokens or known.mean * about / UNCOUNTED)

    def believes(self, window: int | None) -> bool:
        """Whether this may be the window: it is not smaller than an answered input."""
        return window is not None and window >= self._known.input

    def doubts(self, request: Request, window: int | None) -> bool:
        """Whether a refusal of the request for its length is implausible: it names no credible window, and a request
        `FAR` times as long was answered."""
        return not self.believes(window) and FAR * self._needed(request) <= self._known.accepted

    def refused(self, request: Request, window: int | None) -> None:
        """Record a refusal for length. `window`: named by the refusal; None: not named. The refusal of a request no
        longer than an answered one is ignored."""
        known, tokens = self._known, self._needed(request)
        if window is not None and self.believes(window):
            self.tell(window)
            if tokens <= window:  # it has more tokens than estimated
                room = max(0, window - request.max_tokens) + 1
                each = min(MOST, room / estimated(request))
                known.mean, known.weight = max(known.mean, each), max(known.weight, 1.0)
        elif tokens > known.accepted:
            known.refused = min(known.refused, tokens)

    def pack(self) -> bytes:
        """The knowledge about the window as bytes, for storage."""
        known = asdict(self._known)
        return orjson.dumps(known | {"refused": None if known["refused"] == math.inf else known["refused"]})

    def take_up(self, packed: bytes) -> None:
        """Load stored knowledge, unless more is already known."""
        kept = orjson.loads(packed)
        before = Known(**kept | {"refused": math.inf if kept["refused"] is None else kept["refused"]})
        if self._known == Known(told=self._known.told):
            told, self._known = self._known.told, before
            if told is not None:
                self.tell(told)

    def _needed(self, request: Request) -> float:
        """The mean estimate of the request's tokens, plus its reply's limit."""
        return self._known.mean * estimated(request) + request.max_tokens

    def _high(self) -> float:
        """Upper estimate of the real tokens per estimated token."""
        known = self._known
        deviation = math.sqrt(known.squares / known.weight) if known.weight else 0.0
        return min(MOST, known.mean + DEVIATIONS * max(deviation, LEAST * known.mean))


def estimated(request: Request) -> int:
    """Estimated tokens of the messages, at least 1, with the frames of turns beyond a system and a user message."""
    return max(1, request.size // 4 + TURN * max(0, len(request.messages) - 2))


class WindowedModel:
    """Never sends a request that does not fit into the window, and learns the window from refusals. A request is
    checked before it waits for anything, and again when the wait is over (`Request.sending`). `keep` stores what was
    learned before the refusal is raised."""

    def __init__(self, inner: ChatModel, window: Window, keep: Callable[[Window], Awaitable[None]]) -> None:
        self.name = inner.name
        self._inner, self._window, self._keep = inner, window, keep
        self._kept: int | None = None

    async def complete(self, request: Request) -> Reply:
        """Answer one request, with its reply's limit reduced to the window.

        :raises TooLong: the request does not fit into the window.
        :raises ServerFailed: it was refused for its length, although much longer requests were answered.
        """
        window, fitted = self._window, request

        def look(waited: Request) -> Request:
            nonlocal fitted
            fitted = self._fitted(waited)
            return fitted

        try:
            fitted = self._fitted(request).sent_by(look)
            reply = await self._inner.complete(fitted)
        except TooLong as error:
            if error.reached and window.doubts(fitted, error.window):
                raise in_trouble(error) from None
            if error.reached:
                window.refused(fitted, error.window)
            if window.tokens != self._kept:
                self._kept = window.tokens
                await self._keep(window)
            raise
        else:
            counted = 0 if reply.usage.estimated else reply.usage.input
            window.answered(fitted, min(counted, fitted.most_input))
            return reply
        finally:
            fitted = request  # otherwise it and `look` hold each other until the garbage collector runs

    def _fitted(self, request: Request) -> Request:
        """:raises TooLong: it does not fit into the window, and is not sent."""
        if (fitted := self._window.fit(request)) is None:
            raise too_long(self.name, self._window)
        return fitted


def in_trouble(error: TooLong) -> ServerFailed:
    """The failure as a fault of the server, so that it is retried."""
    failure = ServerFailed(
        error.reason,
        model=error.model,
        status=error.status,
        retry_after=error.retry_after,
        request_id=error.request_id,
        allowance=error.allowance,
    )
    failure.usage = error.usage
    return failure


def too_long(model: str, window: Window) -> TooLong:
    """The error for a request that was not sent because it does not fit."""
    reason = f"the request does not fit into the model's window of {window.tokens:,} tokens; it was not sent"
    return TooLong(reason, model=model, window=window.tokens, reached=False)
