"""Limits the tokens that an account uses per minute, although a call's need is unknown until it has ended."""

from __future__ import annotations

import math

from protocols.model import Request, Usage
from protocols.pacing.pace import Entry, Pace

WEIGHTS = tuple(2 / (2**n + 1) for n in range(9))
"""Weights of one call in exponential averages over runs of 1, 2, 4, ... 256 calls: an average with the weight w
covers about 2 / w - 1 calls."""
UNSEEN = 16
"""Number of imaginary calls that need their whole bound, added to the observed ones; they count most while few calls
were observed."""
BEYOND = 0.25
"""How far a call may exceed the observed maximum, as a share of the distance from the mean to that maximum."""
SURPRISE = 0.005
"""Share of the allowance kept for calls that need more than any before them."""
LEAST_SHARE = 0.1
"""Least part of a reservation that counts as expected."""
MEMORY = 10_000
"""The observed maxima decay towards the average with a time constant of this many calls."""


class Needs:
    """Estimates the share of its bound that a call needs, of input or of output. For n calls in flight together it
    assumes the costliest run of n calls so far, rounded down to a power of two, and a little more.

    Runs are used instead of a mean and a deviation, because needs are neither independent (the calls in flight often
    belong to one candidate, which may be long-winded) nor normally distributed.
    """

    def __init__(self) -> None:
        self._calls = self._in_flight = self._bounds = 0
        self._levels = [0.0] * len(WEIGHTS)
        self._most = [0.0] * len(WEIGHTS)

    def expected(self, bound: int) -> float:
        """The expected tokens of a call."""
        return bound * self._share(self._levels[-1])

    def mean(self, bound: int) -> float:
        """The mean tokens of a call so far, with one imaginary call that needed its whole bound."""
        return bound * (self._levels[-1] * self._calls + 1.0) / (self._calls + 1)

    def most(self, bound: int) -> float:
        """Upper estimate of the tokens of the calls in flight and one more call with this bound."""
        run = min(max(self._in_flight.bit_length(), 1), len(WEIGHTS)) - 1
        return self._bounds * self._highest(run) + bound * self._highest(0)

    def begin(self, bound: int) -> None:
        """Count a call with this bound as in flight."""
        self._in_flight += 1
        self._bounds += bound

    def end(self, bound: int, used: int | None) -> None:
        """Count the end of a call with this bound. `used`: the tokens that it needed; None: unknown."""
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


class Reserved:
    """The reservation of a call in flight: its bound, and its expected need."""

    __slots__ = ("bound", "expected", "urgent")

    def __init__(self, bound: Usage, urgent: bool, expected: Usage) -> None:
        self.bound, self.urgent, self.expected = bound, urgent, expected


class Reserve:
    """The tokens that the calls in flight may need (see `Needs`).

    Output is learned separately for urgent and other calls, because they differ; input, tokens per byte, for all
    together.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self._input = Needs()
        self._output = {urgent: Needs() for urgent in (False, True)}

    def most(self, bound: Usage, urgent: bool) -> float:
        """What the calls in flight and one more with this bound may need."""
        needed = self._input.most(bound.input)
        for kind, output in self._output.items():
            needed += output.most(bound.output if kind is urgent else 0)
        return needed

    def share(self, bound: Usage) -> float:
        """What a call with this bound is expected to need, of what is reserved for one."""
        expected = self._input.mean(bound.input) + self._output[False].mean(bound.output)
        most = self._input.most(bound.input) + self._output[False].most(bound.output)
        most -= self._input.most(0) + self._output[False].most(0)
        return min(1.0, max(LEAST_SHARE, expected / most)) if most else 1.0

    def begin(self, bound: Usage, urgent: bool) -> Reserved:
        """Reserve the need of a call."""
        output = self._output[urgent]
        expected = Usage(round(self._input.expected(bound.input)), round(output.expected(bound.output)))
        self.in_flight += 1
        self._input.begin(bound.input)
        output.begin(bound.output)
        return Reserved(bound, urgent, expected)

    def end(self, reserved: Reserved, used: Usage | None) -> Usage:
        """End a reservation. Returns what to count: the need, or the expected one where that is unknown."""
        self.in_flight -= 1
        self._input.end(reserved.bound.input, used.input if used else None)
        self._output[reserved.urgent].end(reserved.bound.output, used.output if used else None)
        return used or reserved.expected


class Flight:
    """A call in flight: its reservation, and the log entry of its input."""

    __slots__ = ("_pace", "entry", "reserved")

    def __init__(self, pace: TokenPace, reserved: Reserved, entry: Entry) -> None:
        self._pace, self.reserved, self.entry = pace, reserved, entry

    def end(self, now: float, used: Usage | None) -> None:
        """End the call. `used`: what it needed; None: unknown."""
        self._pace.end(self, now, used)


class TokenPace:
    """A pace that reserves the possible need of the calls in flight and of the next one (see `Reserve`).

    Input counts when it is sent. Output counts when the reply has come, and is reserved until then: a server that
    counts it with the reply keeps it in its minute as long as we do, and one that counts it earlier drops it earlier.
    So no minute exceeds the limit, whenever the calls in flight end, unless they need more than any before them.

    This safety has a cost: a latency of L seconds leaves L / (60 + L) of the output allowance unused; and if few
    large, unpredictable calls fill a minute's allowance, their possible need is much more than their real one.
    """

    def __init__(self, limit: float) -> None:
        self._pace = Pace(limit)
        self._reserve = Reserve()

    @property
    def limit(self) -> float:
        """Tokens per minute."""
        return self._pace.limit

    @limit.setter
    def limit(self, limit: float) -> None:
        self._pace.limit = limit

    def wait(self, now: float, bound: Usage, urgent: bool) -> float:
        """Seconds until such a call may be sent; 0: now; infinite: not before a call in flight has ended."""
        needed = SURPRISE * self.limit + self._reserve.most(bound, urgent)
        if needed > self.limit and self._reserve.in_flight:
            return math.inf
        return self._pace.wait(now, needed, urgent)

    def begin(self, now: float, bound: Usage, urgent: bool) -> Flight:
        """Count a call as sent now."""
        reserved = self._reserve.begin(bound, urgent)
        flight = Flight(self, reserved, self._pace.take(now, 0.0))
        self._pace.expect(reserved.expected.total)
        return flight

    def end(self, flight: Flight, now: float, used: Usage | None) -> None:
        """Count the end of a call; if its need is unknown, the expected need counts."""
        counted = self._reserve.end(flight.reserved, used)
        self._pace.settle(flight.entry, counted.input)
        self._pace.take(now, counted.output)
        self._pace.expect(-flight.reserved.expected.total)


def bound_of(request: Request) -> Usage:
    """The most tokens that a call can need, if the provider respects `max_tokens`."""
    return Usage(request.most_input, request.max_tokens)
