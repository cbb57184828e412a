"""Whether any minute at the server is over what an account may send, how much of that is used, and how long the calls
of Critics and Proposers wait.

    python -m benchmarks.windows                    # three searches at once, for three minutes
    python -m benchmarks.windows --latency 3 --tokens 60000 --only tokens both
    python -m benchmarks.windows --sigma 0 --seconds 600

A search is given a limit of requests, of tokens, or both, which it learns from the server's headers alone; each has a
wire server in a process of its own. All but the last two columns are from the server's books. "fullest": the most in
any 60 seconds, as a share of the limit. "used": the share of the limit from the end of the first minute to the end of
the time, while work is queued. "refused": calls that were over the limit. "service": seconds from sending to reply,
the median. "waited": the longest of the seconds between a Critic's or Proposer's call being handed to the limiter and
being sent, and as a multiple of the median service time; in brackets how many calls those were.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import anyio

from agents.commands.console import drive
from agents.models.accounts import Accounts
from agents.run.opening import Shared, open_run_in
from benchmarks.wire import search_configuration, server
from protocols.model import Request, Usage
from protocols.pacing.limiter import Limiter
from protocols.pacing.limits import Limits
from protocols.pacing.tickets import Ticket
from protocols.pacing.waiting import Patience
from protocols.providers.catalogue import Account
from protocols.providers.transport.http import open_transport

FIRST = 60.0
"""Seconds that are not looked at for what is used."""
ROWS = {"requests": (True, False), "tokens": (False, True), "both": (True, True)}
ENDLESS = 1_000_000
"""Assignments."""
VALIDATION, CRITIQUE = 64, 16
"""Examples for a candidate: few, so that there are many calls of Critics and Proposers."""


class WatchedLimiter(Limiter):
    """Notes how long urgent calls wait, and how long all are under way after that."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.waits: list[float] = []
        self.services: list[float] = []
        self._sent: dict[Ticket, float] = {}

    def enter_now(self, request: Request, urgent: bool) -> Ticket | None:
        ticket = super().enter_now(request, urgent)
        if ticket is not None:
            self._begin(ticket, anyio.current_time())
        return ticket

    async def enter(self, request: Request, urgent: bool, patience: Patience | None = None) -> Ticket:
        asked = anyio.current_time()
        ticket = await super().enter(request, urgent, patience)
        if ticket not in self._sent:
            self._begin(ticket, asked)
        return ticket

    def _begin(self, ticket: Ticket, asked: float) -> None:
        self._sent[ticket] = anyio.current_time()
        if ticket.urgent:
            self.waits.append(self._sent[ticket] - asked)

    def leave(self, ticket: Ticket, used: Usage | None) -> None:
        sent = self._sent.pop(ticket, None)
        if used is not None and sent is not None:
            self.services.append(anyio.current_time() - sent)
        super().leave(ticket, used)


class WatchedAccounts(Accounts):
    """One account, whose limiter is watched."""

    def __init__(self, allowed: int) -> None:
        super().__init__()
        self.watched = WatchedLimiter(Limits(allowed))

    def limiter(self, account: Account, limits: Limits, closing: AsyncExitStack | None = None) -> Limiter:
        return self.watched


@dataclass(frozen=True, slots=True)
class Setting:
    """`options` of the server; `allowed` calls in flight."""

    options: tuple[str, ...]
    allowed: int
    seconds: float


@dataclass(slots=True)
class Row:
    """What was seen: the limits, the server's books after the first minute and at the end, and the limiter."""

    requests: int | None
    tokens: int | None
    books: list[dict[str, Any]] = field(default_factory=list)
    limiter: WatchedLimiter | None = None

    def fullest(self, limit: int | None, name: str) -> str:
        return shown(self.books[-1][name], limit)

    def used(self, limit: int | None, names: tuple[str, ...], seconds: float) -> str:
        before, after = (sum(books[name] for name in names) for books in self.books)
        return shown((after - before) * 60.0 / seconds, limit)

    def line(self, name: str, seconds: float) -> str:
        assert self.limiter is not None
        service, waits = median(self.limiter.services), self.limiter.waits
        figures = (
            self.fullest(self.requests, "most_calls_in_a_minute"),
            self.fullest(self.tokens, "most_tokens_in_a_minute"),
            self.used(self.requests, ("answered",), seconds),
            self.used(self.tokens, ("input_tokens", "output_tokens"), seconds),
            f"{self.books[-1]['refused']}",
            f"{service:.2f}",
        )
        waited = f"{max(waits):.2f} = {max(waits) / service:.2f} x ({len(waits)})"
        return f"{name:10}" + "".join(f"{figure:>10}" for figure in figures) + f"{waited:>26}"


def shown(amount: float, limit: int | None) -> str:
    return "" if limit is None else f"{amount / limit:.1%}"


async def counts(url: str) -> dict[str, Any]:
    """The server's books."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/counts") as response:
        document: dict[str, Any] = await response.json()
    return document


async def look(url: str, row: Row, seconds: float, scope: anyio.CancelScope) -> None:
    """At the books after the first minute and at the end, which this is."""
    for wait in (FIRST, seconds - FIRST):
        await anyio.sleep(wait)
        row.books.append(await counts(url))
    scope.cancel()


async def watch(row: Row, setting: Setting) -> None:
    """A search that is broken off when its time is over."""
    limits = {"--requests": row.requests, "--tokens": row.tokens}
    told = [word for name, limit in limits.items() if limit is not None for word in (name, str(limit))]
    accounts = WatchedAccounts(setting.allowed)
    row.limiter = accounts.watched
    with server(*setting.options, *told) as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"assignments": ENDLESS, "critique": CRITIQUE}
        configuration = search_configuration(url, setting.allowed, folder, settings, VALIDATION)
        async with (
            open_transport() as transport,
            open_run_in(Shared(transport, accounts), configuration, {}, folder / "run") as run,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(look, url, row, setting.seconds, tasks.cancel_scope)
            await run.team.run(run.opening)


async def main(rows: dict[str, Row], setting: Setting) -> None:
    """All rows at once."""
    async with anyio.create_task_group() as tasks:
        for row in rows.values():
            tasks.start_soon(watch, row, setting)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1200, help="a minute")
    parser.add_argument("--tokens", type=int, default=300_000, help="a minute")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds, the median")
    parser.add_argument("--sigma", type=float, default=1.0, help="0: every call takes the same time")
    parser.add_argument("--allowed", type=int, default=256, help="calls in flight")
    parser.add_argument("--seconds", type=float, default=180.0, help="that each row takes, over 60")
    parser.add_argument("--only", nargs="+", default=[*ROWS], choices=[*ROWS], metavar="ROW")
    o = parser.parse_args()
    setting = Setting(
        ("--latency", str(o.latency), "--sigma", str(o.sigma), "--proposals", "accepted"), o.allowed, o.seconds
    )
    rows = {
        name: Row(o.requests if requests else None, o.tokens if tokens else None)
        for name, (requests, tokens) in ROWS.items()
        if name in o.only
    }
    drive(partial(main, rows, setting))
    print(f"{'':10}{'fullest':>20}{'used':>20}")
    heads = ("requests", "tokens", "requests", "tokens", "refused", "service")
    print(f"{'limits':10}" + "".join(f"{head:>10}" for head in heads) + f"{'waited':>26}")
    for name, row in rows.items():
        print(row.line(name, o.seconds - FIRST))
