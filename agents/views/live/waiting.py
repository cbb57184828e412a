"""Tells a person what a run waits for while there is no other output."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import anyio

from agents.models.accounts import Waits
from agents.views.live.terminal import clock
from protocols.text import how_many, one_line

PATIENCE = 5.0
"""Seconds without output after which a line tells what the run waits for."""
GAPS = (15.0, 45.0, 60.0)
"""Seconds between the first such lines; the last value repeats."""
REASON = 160
"""Most characters shown of the last try's error."""


class Silence:
    """Tells what `look` finds, "" for nothing, once a person has been told nothing for `PATIENCE` seconds, and then
    now and then. `hear` is called whenever they are told something."""

    def __init__(self, look: Callable[[], str], tell: Callable[[str], None]) -> None:
        self._look, self._tell = look, tell
        self._heard = self._told = -math.inf
        self._gap = 0

    def hear(self) -> None:
        """A person has been told something."""
        self._heard = anyio.current_time()

    async def watch(self) -> None:
        """Watch until cancelled."""
        self.hear()
        while True:
            await anyio.sleep_until(self._due())
            if anyio.current_time() < self._due():
                continue
            line = self._look()
            if line:
                self._told = anyio.current_time()
                self._gap += 1
                self._tell(line)
            else:
                self.hear()

    def _due(self) -> float:
        """The time of the next line if there is no other output before. A new silence starts again with short gaps
        unless the last line is more recent than the longest gap."""
        if self._heard - self._told >= GAPS[-1]:
            self._gap = 0
        gap = GAPS[min(self._gap, len(GAPS)) - 1] if self._gap else 0.0
        return max(self._heard + PATIENCE, self._told + gap)


def for_person(candidates: Collection[int], directory: Path) -> str:
    """One line that says which candidates wait for a person; "" if none does."""
    if not candidates:
        return ""
    numbers = ", ".join(map(str, candidates))
    what = f"candidate{'s' * (len(candidates) > 1)} {numbers}"
    return (
        f"Waiting for a person to decide about {what}: `ctl {directory} waiting` shows what waits, then "
        '`accept N` or `reject N "why"`.'
    )


def in_words(waits: Waits) -> str:
    """One line that says which calls the run waits for; "" if it waits for none."""
    parts = "; ".join(_parts(waits))
    return f"Waiting for {parts} ({_replies(waits)}).{_failures(waits)}" if parts else ""


def _parts(waits: Waits) -> Iterator[str]:
    for model in waits.loading:
        yield f"{one_line(model)} to be loaded into this machine's memory"
    yield from map(one_line, waits.batches)
    if waits.in_flight:
        yield f"{how_many(waits.in_flight, 'call')} in flight, the oldest for {clock(waits.oldest)}"
    if waits.naps:
        yield f"the next try of {how_many(waits.naps, 'call')}, the first in {waits.next_try:.0f} s"
    if waits.queued:
        yield f"a free place for {how_many(waits.queued, 'call')}"
    if waits.others:
        yield f"room in the budget, or a call with the same prefix, for {how_many(waits.others, 'call')}"
    for address, reason in waits.unreachable:
        yield f"the limits of {one_line(address)}, which cannot be reached ({one_line(reason, REASON)})"
    for address, seconds in waits.held:
        yield f"{one_line(address)}, which asked us to slow down, for {seconds:.0f} s more"


def _replies(waits: Waits) -> str:
    if waits.answered is None:
        return "no reply yet"
    return (
        f"{waits.replies:,} repl{'ies' if waits.replies != 1 else 'y'} so far, the last {clock(waits.answered)} ago"
    )


def _failures(waits: Waits) -> str:
    if not waits.failures:
        return ""
    tries = f"{waits.failures:,} tries have failed since" if waits.failures != 1 else "1 try has failed since"
    return f" {tries}, the last with: {one_line(waits.last, REASON)}"


def stopping(waits: Waits, then: str) -> str:
    """The message at a first Ctrl-C. `then`: what happens once no call is in flight."""
    if not waits.in_flight:
        return f"Stopping: no call is in flight; {then}. Ctrl-C again stops at once."
    end = "ends" if waits.in_flight == 1 else "end"
    within = "" if waits.within is None else f", at most {waits.within:.0f} s"
    calls = how_many(waits.in_flight, "call")
    return f"Stopping: {calls} in flight {end}{within}; {then}. Ctrl-C again stops at once."
