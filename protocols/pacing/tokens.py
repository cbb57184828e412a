"""How many tokens an account sends a minute, though nobody knows what a call needs before it has ended."""

from __future__ import annotations

import math

from protocols.model import Request, Usage
from protocols.pacing.pace import Entry, Pace

WEIGHTS = tuple(2 / (2**n + 1) for n in range(9))
"""Of one call in the average over a run, of 1, 2, 4, ... 256 calls; an average with exponential weights, which weighs
as many calls (2 / weight - 1)."""
UNSEEN = 16
"""Calls of the whole bound that are added to those seen: of what was never seen, the more the less was seen."""
BEYOND = 0.25
"""By which part of the way from the mean to the most that was seen the next may go beyond it."""
SURPRISE = 0.005
"""The share of the allowance that is kept for calls that need more than any before them."""
MEMORY = 10_000
"""Calls after which the most that was seen is about to be forgotten."""


class Needs:
    """Which share of its bound a call needs, of input or of output: n calls in flight together as much as the
    costliest run of n calls so far, or of fewer, and a little more.

    Runs, and not a mean and a deviation, since needs are neither independent (the calls in flight are often those of
    one candidate, which may be long-winded) nor normally distributed.
    """

    def __init__(self) -> None:
        self._calls = self._in_flight = self._bounds = 0
        self._levels = [0.0] * len(WEIGHTS)
        self._most = [0.0] * len(WEIGHTS)

    def expected(self, bound: int) -> float:
        """Tokens of a call, about."""
        return bound * self._share(self._levels[-1])

    def most(self, bound: int) -> float:
        """Tokens of those in flight and of one call more, at most."""
        run = min(max(self._in_flight.bit_length(), 1), len(WEIGHTS)) - 1
        return self._bounds * self._highest(run) + bound * self._highest(0)

    def begin(self, bound: int) -> None:
        """A call of that bound is in flight."""
        self._in_flight += 1
        self._bounds += bound

    def end(self, bound: int, used: int | None) -> None:
        """It has ended, and needed so many tokens, or nobody knows how many (None)."""
        self._in_flight -= 1
        self._bounds -= bound
        if used is not None and bound:
            self._learn(min(1.0, used / bound))

    def _share(self, seen: float) -> float:
        return seen + (1.0 - seen) * UNSEEN / (UNSEEN + self._calls)

    def _highest(self, run: int) -> float:
        most = self._most[run]
        return self._share(min(1.0, most + BEYOND * (most - self._levels[-1])))

    def _learn(self, share: float) -> None:
        self._calls += 1
        for run, weight in enumerate(WEIGHTS):
            level, most = self._levels[run], self._most[run]
            level += max(1 / self._calls, weight) * (share - level)
            self._levels[run], self._most[run] = level, max(level, most - (most - level) / MEMORY)


class Flight:
    """A call in flight: its bounds, what it is expected to need, and where its input is counted."""

    __slots__ = ("_pace", "bound", "entry", "expected", "urgent")

    def __init__(self, pace: TokenPace, bound: Usage, urgent: bool, entry: Entry, expected: Usage) -> None:
        self._pace, self.bound, self.urgent, self.entry, self.expected = pace, bound, urgent, entry, expected

    def end(self, now: float, used: Usage | None) -> None:
        """It needed so much, or nobody knows how much."""
        self._pace.end(self, now, used)


class TokenPace:
    """A pace of which calls in flight hold back what they may need, together with the next one (see `Needs`).

    Input counts when it is sent. Output counts when the reply has come, and is held back until then: a server that
    enters it with the reply keeps it in its minute for as long, and one that enters it earlier forgets it earlier. So
    no minute is over, whenever the calls in flight end, unless they need more than any before them.

    Certainty comes first, and costs: L seconds from call to reply leave L / (60 + L) of the output unused; and where
    a minute's allowance is few, large and unpredictable calls, the most that they may need is much more than they do.
    The output of urgent calls says nothing of that of others, nor theirs of it; input is tokens to bytes with all.
    """

    def __init__(self, limit: float) -> None:
        self._pace = Pace(limit)
        self._in_flight = 0
        self._input = Needs()
        self._output = {urgent: Needs() for urgent in (False, True)}

    @property
    def limit(self) -> float:
        """Tokens a minute."""
        return self._pace.limit

    @limit.setter
    def limit(self, limit: float) -> None:
        self._pace.limit = limit

    def wait(self, now: float, bound: Usage, urgent: bool) -> float:
        """Seconds until such a call may be sent, 0: now; infinite: not before one in flight has ended."""
        needed = SURPRISE * self.limit + self._input.most(bound.input)
        for kind, output in self._output.items():
            needed += output.most(bound.output if kind is urgent else 0)
        if needed > self.limit and self._in_flight:
            return math.inf
        return self._pace.wait(now, needed, urgent)

    def begin(self, now: float, bound: Usage, urgent: bool) -> Flight:
        """It is sent now."""
        output = self._output[urgent]
        expected = Usage(round(self._input.expected(bound.input)), round(output.expected(bound.output)))
        flight = Flight(self, bound, urgent, self._pace.take(now, 0.0), expected)
        self._pace.expect(expected.total)
        self._in_flight += 1
        self._input.begin(bound.input)
        output.begin(bound.output)
        return flight

    def end(self, flight: Flight, now: float, used: Usage | None) -> None:
        """It has ended; one of which nobody knows what it needed has needed what was expected."""
        self._in_flight -= 1
        self._input.end(flight.bound.input, used.input if used else None)
        self._output[flight.urgent].end(flight.bound.output, used.output if used else None)
        counted = used or flight.expected
        self._pace.settle(flight.entry, counted.input)
        self._pace.take(now, counted.output)
        self._pace.expect(-flight.expected.total)


def bound_of(request: Request) -> Usage:
    """The most that a call can need, if the provider keeps to `max_tokens`."""
    return Usage(request.most_input, request.max_tokens)
