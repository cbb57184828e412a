"""The feed of one run to browsers, read from its journal as it grows."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from agents.config.loading import corrections
from agents.directory.run_directory import JOURNAL, LOCK, LOG, RESULT, read_configuration, read_document
from agents.history.progress import Waiting
from agents.models.budget import kept_prices
from agents.results.earlier import as_result
from agents.views.page.changes import changes
from agents.views.page.details import details, experiences
from agents.views.page.document import Figures, winner_changes
from agents.views.page.run_summary import Json, RunSummary
from agents.views.telemetry.logs import last_wait
from memory.journals.journal_tail import JournalTail, follow
from memory.storage.sqlite import is_claimed
from protocols.bus import Traffic
from protocols.concurrency.threads import entered, in_thread
from protocols.errors import DataError
from protocols.files import prompt_file
from protocols.prompt import Prompt, prompt_of
from protocols.text import one_line

INTERVAL = 0.2
"""Least seconds between two reads of the journal."""
LONGEST = 1_000_000
"""Most characters of a text sent to a browser."""
AGENTS = ("controller", "evaluator", "critic")


@dataclass(frozen=True, slots=True)
class Shown:
    """One state of the page. `document` is sent each time, `points` as they are added, `best` when it has changed.
    `renewed`, `total` and `recorded`: see `RunSummary`; `last`: no state follows."""

    document: Json = field(default_factory=dict)
    points: Sequence[Json] = ()
    renewed: int = 0
    total: int = 0
    best: Json = field(default_factory=dict)
    recorded: float = 0.0
    last: bool = False


class Feed:
    """Follows the run in `directory`. `traffic` gives the counts of its mailboxes if it works in this process."""

    def __init__(self, directory: Path, traffic: Callable[[], Mapping[str, Traffic]] | None = None) -> None:
        """:raises ConfigError, MemoryMismatch, StorageFailed: it is no run directory, or damaged."""
        self._directory, self._traffic = directory, traffic
        self._configuration = read_configuration(directory)
        self._figures = Figures(self._configuration, kept_prices(directory, self._configuration), None, working=True)
        self._summary = RunSummary(self._configuration.search.prefer, self._configuration.guard)
        self._best: Json = {}
        self._parts: tuple[object, list[Json]] = (None, [])
        self._shown = Shown()
        self._over = False
        self._woken, self._told = anyio.Event(), anyio.Event()

    def wake(self) -> None:
        """Note that there may be new entries."""
        self._woken.set()

    def finish(self) -> None:
        """Note that the run has ended, so that the next state is the last."""
        self._over = True
        self.wake()

    async def follow(self) -> None:
        """Read the run's new entries after each `wake`, at most every `INTERVAL`; returns after `finish`.

        :raises StorageFailed: a file of the run cannot be read.
        """
        try:
            async with entered(follow(self._directory / JOURNAL)) as journal:
                more = True
                while more or not self._shown.last:
                    if not more:
                        await anyio.sleep(INTERVAL)
                        await self._woken.wait()
                    self._woken = anyio.Event()
                    more, shown = await in_thread(self._look, journal, self._over)
                    self._show(shown)
        finally:
            self._show(replace(self._shown, last=True))  # also after an error, so that no listener waits for ever

    async def changes(self) -> AsyncGenerator[Json]:
        """The updates for one browser: the whole state first, then all changes since the update before. Ends after
        the last state. `age`: seconds since the run's last record, so that the page can count on from `seconds`."""
        seen = Shown(renewed=-1)
        while not seen.last:
            if self._shown is seen or not (self._shown.document or self._shown.last):
                await self._told.wait()
                continue
            now = self._shown
            begin = now.renewed != seen.renewed
            points = [point for point in now.points if begin or point["serial"] > seen.total]
            best = {} if now.best is seen.best else now.best
            age = max(0.0, time.time() - now.recorded)
            yield {"begin": begin, "points": points, "age": age, **now.document, **best}
            seen = now

    async def detail(self, number: int) -> Json | None:
        """The details of one candidate; None if there is no candidate of that number.

        :raises MemoryMismatch, StorageFailed: the run directory is damaged.
        """
        return await in_thread(self._detail, number)

    def _show(self, shown: Shown) -> None:
        self._shown = shown
        self._told.set()
        self._told = anyio.Event()

    def _detail(self, number: int) -> Json | None:
        found = details(self._directory, number, LONGEST)
        if found is None:
            return None
        shown = experiences(self._directory, found["recalled"], LONGEST)
        return found | {"experiences": shown, "noted": self._noted()}

    def _noted(self) -> dict[str, str]:
        """What a person has noted of gold answers for the next run, in words, by the ids of their examples."""
        try:
            told = corrections(self._configuration)
        except DataError:  # it is said when somebody corrects another
            return {}
        words = {True: "label marked as wrong", False: "label corrected"}
        return {identity: words[one.wrong] for identity, one in told.items()}

    def _look(self, journal: JournalTail, over: bool) -> tuple[bool, Shown]:
        """Read new entries; returns whether there are more, and the state. Runs in a thread, once at a time."""
        summary, best = self._summary, self._summary.best
        figures = self._figures
        found = read_document(self._directory / RESULT)
        figures.result = None if found is None else as_result(found, self._directory / RESULT)
        figures.working = not over and (self._traffic is not None or is_claimed(self._directory / LOCK))
        news = journal.news()
        summary.take(news)
        if summary.best is not None and summary.best is not best:
            self._best = {"sections": winner_changes(summary), "prompt": prompt_file.dumps(summary.best)}
        document = figures.of(summary)
        document |= {
            "waiting": last_wait(self._directory / LOG, summary.heard) if figures.working else "",
            "agents": self._agents(),
            "flows": dict(summary.flows),
            "heard": summary.heard,
            "editable": _editable(summary.first),
            "parts": self._taken_apart(document["best"]) if not news.more else [],
            "reviews": [_review(waiting) for waiting in summary.progress.waiting.values() if figures.working],
        }
        size = summary.renewed, summary.total
        shown = Shown(document, tuple(summary.points), *size, self._best, summary.recorded, over and not news.more)
        return news.more, shown

    def _taken_apart(self, best: int | None) -> list[Json]:
        """The scores taken apart; read from the journal once for each best candidate and state of the run."""
        of = best, self._figures.result is None, self._figures.working
        if self._parts[0] != of:
            self._parts = of, self._figures.parts(self._directory, self._summary)
        return self._parts[1]

    def _agents(self) -> list[Json]:
        """The agents of the ring, with the numbers of messages that each works on (`busy`) and that wait for it
        (`waiting`, None if unknown)."""
        if self._traffic is not None:
            return [
                {"address": address, "busy": count.taken - count.done, "waiting": count.sent - count.taken}
                for address, count in sorted(self._traffic().items(), key=lambda item: _place(item[0]))
                if address.partition("/")[0] in (*AGENTS, "proposer")
            ]
        at_work = self._summary.at_work
        names = {*AGENTS, *(f"proposer/{named.use}" for named in self._configuration.search_operators), *at_work}
        return [
            {"address": address, "busy": at_work[address], "waiting": None} for address in sorted(names, key=_place)
        ]


def _review(waiting: Waiting) -> Json:
    """An edit that waits for a person, with the sections that it changes."""
    changed = changes(waiting.assignment.prompt, waiting.standing.prompt, LONGEST)
    ending = waiting.ending
    return {
        "assignment": ending.assignment,
        "summary": one_line(str(ending), 300),
        "sections": [row for row in changed if row["change"] != "same"],
    }


def _place(address: str) -> tuple[int, str]:
    """A sort key for the order of the ring."""
    order = ("controller", "proposer", "evaluator", "critic")
    kind = address.partition("/")[0]
    return order.index(kind) if kind in order else len(order), address


def _editable(first: Prompt | None) -> list[str]:
    """The sections that may be frozen, after the prompts of a program, which may be frozen whole."""
    names = [section.name for section in first or () if not section.frozen]
    return [*dict.fromkeys(filter(None, map(prompt_of, names))), *names]
