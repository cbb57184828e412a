"""The summary of a run on its page: a fold over the envelopes, live or from the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agents.archive.front import Prefer, rank
from agents.archive.guard import Guard
from agents.history.progress import FAILURES, Ending, Progress
from agents.history.resumption import is_end
from memory.journals.journal_tail import News
from protocols.budget.ledger import Account
from protocols.messages import (
    Accept,
    Assignment,
    Candidate,
    Critique,
    Envelope,
    Evaluation,
    Failure,
    Reject,
    Resumed,
)
from protocols.prompt import Prompt
from protocols.text import one_line

Json = dict[str, Any]
REASON = 300
"""Maximum number of characters kept of a failure's reason."""
REASONS, OFTEN = 100, 3
"""Maximum number of different reasons that are counted of one kind of failure, and that the page shows."""
KEPT = 1_000
"""Maximum number of endings kept; of more, those that a reader looks for and a sample of the others."""
NORMAL = 1.96
"""Half the width of a 95 % interval, in standard errors."""
Phase = Literal["beginning", "searching", "stopping", "testing"]


@dataclass(slots=True)
class Cell:
    """The results of one operator on one section: edits that were `measured`, the `paired` examples of all of them,
    the sum of the gains on these (`won`), edits that `survived`, and edits that `failed`."""

    measured: int = 0
    paired: int = 0
    won: float = 0.0
    squares: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Sums over the edits of paired**2, paired * won and won**2."""
    survived: int = 0
    failed: int = 0

    def add(self, paired: int, gain: float) -> None:
        """Add an edit that was measured."""
        won = paired * gain
        self.measured += 1
        self.paired += paired
        self.won += won
        aa, ab, bb = self.squares
        self.squares = aa + paired * paired, ab + paired * won, bb + won * won

    def row(self, operator: str, section: str) -> Json:
        """Mean gain over all paired examples, with a 95 % interval over the edits (a ratio of means, Cochran 1977,
        Sampling Techniques, 6.4; None below two edits).

        The mean is over examples and not over edits, because a race that goes badly ends early: a mean over edits
        would count the losers at their worst moment. Sums are unbiased whenever a race ends (Wald 1944).
        """
        n, mean, half = self.measured, self.won / self.paired if self.paired else None, None
        if n > 1 and mean is not None:
            aa, ab, bb = self.squares
            residual = max(0.0, bb - 2 * mean * ab + mean * mean * aa)
            half = NORMAL * (residual * n / (n - 1)) ** 0.5 / self.paired
        return {
            "operator": operator,
            "section": section,
            "measured": n,
            "gain": mean,
            "interval": None if half is None or mean is None else [mean - half, mean + half],
            "survived": self.survived,
            "failed": self.failed,
        }


GROUPS = {
    "no edit that can be used": ("rejected", "unreadable", "too long", "inapplicable"),
    "a call or an agent failed": ("call", "dropped", "raised"),
    "ended early": ("budget", "allowance", "stopped"),
}
"""Kinds of failures by what they have in common, in words."""
GROUP_OF = {FAILURES[kind]: group for group, kinds in GROUPS.items() for kind in kinds}


class Failed:
    """The failures of one kind. `reasons`: how often each of the first `REASONS` was given."""

    def __init__(self) -> None:
        self.count, self.last = 0, ""
        self.reasons: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Add a failure."""
        self.count, self.last = self.count + 1, reason
        if reason in self.reasons or len(self.reasons) < REASONS:
            self.reasons[reason] += 1

    def drop(self, reason: str) -> int:
        """Take back a failure; returns how many are left."""
        self.count -= 1
        self.reasons -= Counter([reason])
        return self.count

    def row(self, kind: str) -> Json:
        """For the page."""
        often = [[reason, count] for reason, count in self.reasons.most_common(OFTEN)]
        return {"kind": kind, "group": GROUP_OF[kind], "count": self.count, "last": self.last, "reasons": often}


class RunSummary:
    """Shows at most about `KEPT` endings; it also keeps a row and the scores of each survivor, but no answers.

    `points`: the endings, each a row of figures; `renewed` counts how often earlier ones were dropped from it.
    `flows`: messages so far, by type. `heard`: the time of the last, in Unix seconds. `seconds`: for how long
    the run had worked, pauses left out, at `recorded`, the Unix time of the last entry that was read.
    """

    def __init__(self, prefer: Prefer, guard: Guard | None = None) -> None:
        self.progress = Progress(prefer, guard)
        self.points: list[Json] = []
        self.total = self.renewed = 0
        self.first: Prompt | None = None
        self.heard: float | None = None
        self.seconds = self.recorded = 0.0
        self.flows: Counter[str] = Counter()
        self._at: dict[int, str] = {}
        self._cells: dict[tuple[str, str], Cell] = {}
        self._failures: dict[str, Failed] = {}
        self._cut: set[int] = set()
        self._survivors: dict[int, Json] = {}
        self._accounts: dict[tuple[str, str], Account] = {}

    def take(self, news: News) -> None:
        """Add the new entries of the journal."""
        self.seconds, self.recorded = news.seconds, news.recorded
        for account in news.spent:
            sums = self._accounts.setdefault((account.role, account.model), Account(account.role, account.model))
            sums.calls += account.calls
            sums.failed += account.failed
            sums.usage += account.usage
            sums.seconds += account.seconds
        for envelope, calls in news.told:
            self.follow(envelope, calls)

    def follow(self, envelope: Envelope, calls: int) -> Ending | None:
        """Add the next envelope; `calls`: the number made by then. Returns the ending, if it is one."""
        message = envelope.message
        self.heard = envelope.time
        self.flows[type(message).__name__] += 1
        match message:
            case Assignment(assignment=number) | Candidate(assignment=number) | Evaluation(assignment=number):
                self._at[number] = envelope.to
            case Critique(assignment=number) | Failure(assignment=number):
                self._at.pop(number, None)
            case _:
                pass
        ending = self.progress.follow(envelope)
        if isinstance(message, Resumed):
            self._reopen()
        if ending is not None and ending.kind != "waiting":
            self._end(ending, envelope, calls)
        return ending

    @property
    def phase(self) -> Phase:
        """The phase that the run is in."""
        if self.progress.stopped_by:
            return "testing"
        if not any(self.flows[kind.__name__] for kind in (Assignment, Candidate, Evaluation, Resumed)):
            return "beginning"
        return "stopping" if self.progress.stopping else "searching"

    @property
    def best(self) -> Prompt | None:
        """The prompt that would be the result now."""
        return self.progress.prompt

    @property
    def at_work(self) -> Counter[str]:
        """Assignments in flight by the address that has to act on each."""
        return Counter(self._at.values())

    @property
    def accounts(self) -> Sequence[Account]:
        """The calls of each role to each model, in the order of the first call."""
        return tuple(self._accounts.values())

    def values(self) -> list[Json]:
        """The table of operators and sections, in the order of their names."""
        return [self._cells[names].row(*names) for names in sorted(self._cells)]

    def failures(self) -> list[Json]:
        """The failures by kind, the most frequent first: what kinds they belong to, their number, the reason of the
        last, and the most frequent reasons with their numbers."""
        most = sorted(self._failures.items(), key=lambda item: -item[1].count)
        return [failed.row(kind) for kind, failed in most]

    def lineage(self) -> list[int]:
        """The numbers of the best candidate and its ancestors, the first prompt first."""
        best = self.progress.best
        return [ending.assignment for ending in self.progress.lineage(best.assignment)] if best else []

    def _end(self, ending: Ending, envelope: Envelope, calls: int) -> None:
        message = envelope.message
        if isinstance(message, Critique):
            prompt = message.evaluation.prompt
            self.first = prompt if ending.kind == "first" else self.first
        reason = one_line(ending.reason, REASON)
        if isinstance(message, Failure):
            kind = FAILURES[message.kind]
            self._failures.setdefault(kind, Failed()).add(reason)
            if is_end(envelope):
                return
        if ending.assignment in self._cut:  # added before, when it was cut short; this is the whole
            self.points = [point for point in self.points if point["assignment"] != ending.assignment]
            self.renewed += 1
        elif ending.kind != "first":
            self._tally(ending)
        if isinstance(message, Accept | Reject) or (isinstance(message, Critique) and message.cut_by):
            self._cut.add(ending.assignment)
        self.total += 1
        place = {
            "serial": self.total,
            "calls": calls,
            "time": envelope.time,
            "estimate": self._estimate(ending),
            "reason": reason,
        }
        row = asdict(ending) | place
        del row["models"]  # the page asks for them with the details
        self.points.append(row)
        if ending.value is not None:
            self._survivors[ending.assignment] = row
        if ending.value is not None:
            self._restore()
        if len(self.points) > KEPT:
            self._thin()

    def _tally(self, ending: Ending) -> None:
        cell = self._cells.setdefault((ending.operator, ending.section), Cell())
        if ending.kind in ("survived", "lost", "declined"):
            cell.add(ending.paired, ending.gain)
            cell.survived += ending.kind == "survived"
        else:
            cell.failed += 1

    def _estimate(self, ending: Ending) -> float | None:
        """The value; for a loser, which was not run on all examples, its parent's value plus the paired gain."""
        parent = self.progress.survivors.get(ending.parent) if ending.parent is not None else None
        if ending.kind != "lost" or parent is None or parent.value is None:
            return ending.value
        return min(1.0, max(0.0, parent.value + ending.gain))

    def _reopen(self) -> None:
        """Subtract the failures that resuming the run has undone."""
        for ending in self.progress.reopened:
            kind = FAILURES.get(ending.kind)
            if kind in self._failures and not self._failures[kind].drop(one_line(ending.reason, REASON)):
                del self._failures[kind]

    def _restore(self) -> None:
        """Put back dropped endings that turned out to be ancestors of the best."""
        there = {point["assignment"] for point in self.points}
        if missing := [self._survivors[number] for number in self.lineage() if number not in there]:
            self.points = sorted([*self.points, *missing], key=lambda point: point["serial"])
            self.renewed += 1

    def _thin(self) -> None:
        """Drop half of the older endings, except those that the page must show."""
        wanted = {*self.lineage(), *front(self.points)} | {p["assignment"] for p in self.points if p["best"]}
        old, new = self.points[: -KEPT // 4], self.points[-KEPT // 4 :]
        kept = [p for place, p in enumerate(old) if place % 2 == 0 or p["assignment"] in wanted]
        self.points = kept + new
        self.renewed += 1


def front(points: Iterable[Json]) -> Sequence[int]:
    """The numbers of the survivors that no other equals or beats in both value and tokens, the shortest first. At a
    value of 0 length does not count."""
    survivors = sorted(
        (p for p in points if p["value"] is not None),
        key=lambda p: (rank(p["value"], p["tokens"])[1], -p["value"], p["assignment"]),
    )
    found, best = [], float("-inf")
    for point in survivors:
        if point["value"] > best:
            found.append(point["assignment"])
            best = point["value"]
    return found
