"""The content of a run's page as one document, for the page itself, for Markdown, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from agents.archive.ends import end_in_words
from agents.archive.front import rank
from agents.config.configuration import Configuration
from agents.directory.run_directory import JOURNAL, LOCK, RESULT, read_configuration
from agents.models.budget import kept_prices
from agents.results.finished import read_result
from agents.views.live.terminal import clock, dollars, estimated
from agents.views.page.answers import taken_apart
from agents.views.page.changes import LONGEST, changes
from agents.views.page.details import details, experiences
from agents.views.page.run_summary import Json, RunSummary, front
from agents.views.report import (
    compared,
    left_out,
    longer_but_better,
    missing_test,
    no_gain,
    of_each_model,
    of_each_prompt,
    old_and_new,
    thousand,
)
from memory.journals.journal_tail import follow
from memory.storage.sqlite import is_claimed
from protocols.budget.ledger import Account
from protocols.budget.prices import Price
from protocols.data.mapping import NO_TARGET
from protocols.files import prompt_file
from protocols.messages import FIRST
from protocols.text import one_line, printable

DETAILED, BEST, LATEST = 48, 12, 8
"""Most candidates with details in a report; among them, how many of the best and how many of the latest."""
ANSWERS = 8
"""Most answers of a candidate on each split in a report, the worst; of the first prompt and the best one also some of
each cell of their scores."""
LARGEST = 6_000_000
"""Bytes of details after which those of further candidates have no answers in a report."""
EXPERIENCES = 200
"""Most experiences in a report, the latest."""
SHORT, EXCERPT = 8_000, 1_500
"""Most characters of a candidate's text, and of an experience's, in a report. The dashboard shows whole texts."""


def report_document(directory: Path) -> Json:
    """The document of a run, whether or not it has ended. Its size is bounded for runs of any length, except for the
    candidates of the lineage.

    :raises ConfigError: it is no run directory.
    :raises MemoryMismatch, StorageFailed: one of its files is damaged, or of another version.
    """
    configuration, result = read_configuration(directory), read_result(directory / RESULT)
    summary = read_story(directory, configuration)
    known = kept_prices(directory, configuration)
    figures = Figures(configuration, known, result, working=is_claimed(directory / LOCK))
    document = figures.of(summary) | {"points": summary.points}
    document |= (
        {"sections": winner_changes(summary), "prompt": prompt_file.dumps(summary.best)} if summary.best else {}
    )
    document["parts"] = figures.parts(directory, summary)
    shown: dict[str, Json | None] = {}
    room = LARGEST
    for number in notable(summary):
        spread = room > 0 and number in (FIRST, document["best"])
        row = details(directory, number, SHORT, ANSWERS if room > 0 else 0, spread)
        room -= len(orjson.dumps(row))
        shown[str(number)] = row
    recalled = sorted({number for row in shown.values() if row for number in row["recalled"]})
    return document | {"details": shown, "experiences": experiences(directory, recalled[-EXPERIENCES:], EXCERPT)}


def read_story(directory: Path, configuration: Configuration) -> RunSummary:
    """Reads the summary of a run up to now.

    :raises MemoryMismatch, StorageFailed: the journal cannot be read.
    """
    summary = RunSummary(configuration.search.prefer, configuration.guard)
    with follow(directory / JOURNAL) as journal:
        while True:
            news = journal.news()
            summary.take(news)
            if not news.more:
                return summary


def notable(summary: RunSummary) -> list[int]:
    """The candidates that readers look for: the best one's lineage, the best, the Pareto front and the latest."""
    survivors = [point for point in summary.points if point["value"] is not None]
    best = sorted(survivors, key=lambda p: (*rank(p["value"], p["tokens"]), p["assignment"]))[:BEST]
    lists: list[Sequence[int]] = [summary.lineage()[::-1], [point["assignment"] for point in best]]
    lists += [front(summary.points)[::-1], [point["assignment"] for point in summary.points[: -LATEST - 1 : -1]]]
    return list(dict.fromkeys(number for numbers in lists for number in numbers))[:DETAILED]


def winner_changes(summary: RunSummary) -> list[Json]:
    """The best prompt beside the first one; nothing before there is one."""
    return [] if summary.best is None else changes(summary.first, summary.best, LONGEST)


class Figures:
    """The document of a run without candidates. `known`: prices by model. `result`: as in result.json, None before
    there is one. `working`: whether a process works on the run."""

    def __init__(
        self,
        configuration: Configuration,
        known: Mapping[str, Price],
        result: Mapping[str, Any] | None,
        working: bool,
    ) -> None:
        self.result, self.working = result, working
        self._configuration, self._prices = configuration, known

    def of(self, summary: RunSummary) -> Json:
        """The document without points and details of candidates."""
        roles = [role_row(account, self._prices) for account in summary.accounts]
        progress, result = summary.progress, self.result
        test = result.get("test") if result else None
        return {
            "title": one_line(self._configuration.task.name, 80),
            "targets": self._configuration.task.fields.target != NO_TARGET,
            "state": self._state(summary),
            "figures": [[name, text] for name, text in self._figures(summary, roles)],
            "remarks": [one_line(line, 500) for line in self._remarks()],
            "best": progress.best.assignment if progress.best else None,
            "lineage": summary.lineage(),
            "held": {name: test[name] for name in ("first", "best", "difference", "interval", "n")} if test else None,
            "examples": _examples(test) if test else None,
            "values": summary.values(),
            "roles": roles,
            "failures": summary.failures(),
            "total": summary.total,
            "seconds": summary.seconds,
        }

    def parts(self, directory: Path, summary: RunSummary) -> list[Json]:
        """See `taken_apart`. Nothing while a search is under way, since what is best then changes all the time.

        :raises MemoryMismatch, StorageFailed: the journal is damaged, or of another version.
        """
        if self.result is None and self.working:
            return []
        best = summary.progress.best.assignment if summary.progress.best else None
        return taken_apart(directory, self._configuration.task.kind, self.result, best)

    def _state(self, summary: RunSummary) -> Json:
        if self.result is not None:
            return {"phase": "ended", "words": f"Ended: {one_line(end_in_words(self.result['stopped_by']))}."}
        if not self.working:
            return {
                "phase": "halted",
                "words": "No result: no process works on this run. The same search command resumes it.",
            }
        if summary.progress.paused and summary.phase in ("beginning", "searching"):
            return {"phase": "paused", "words": "Paused: what is in flight ends, and nothing new is issued."}
        stopping = one_line(end_in_words(summary.progress.stopping))
        words = {
            "beginning": "Evaluating the first prompt.",
            "searching": "Searching.",
            "stopping": f"Stopping ({stopping}): what is in flight ends.",
            "testing": f"Reading the test split. The search: {one_line(end_in_words(summary.progress.stopped_by))}.",
        }
        return {"phase": summary.phase, "words": words[summary.phase]}

    def _figures(self, summary: RunSummary, roles: Sequence[Json]) -> Iterator[tuple[str, str]]:
        progress, result = summary.progress, self.result
        first, best = progress.survivors.get(0), progress.best
        if first and best and first.value is not None and best.value is not None:
            yield "best on validation", f"{best.value:.3f}"
            yield "first prompt on validation", f"{first.value:.3f}"
            yield "tokens of the prompt, first to best", f"{first.tokens:,} → {best.tokens:,}"
        if result and (test := result.get("test")):
            low, high = test["interval"]
            yield "on test, first to best", f"{test['first']:.3f} → {test['best']:.3f}"
            yield "loss on test" if test["difference"] < 0 else "gain on test", f"{test['difference']:+.3f}"
            yield "95 % interval of the difference", f"{low:+.3f} to {high:+.3f}"
        yield "assignments", f"{progress.ended:,} of {self._configuration.search.assignments:,}"
        yield "survived", f"{progress.counts['survived']:,}"
        yield "calls", f"{sum(role['calls'] for role in roles):,}"
        guessed = estimated(sum(role["estimated"] for role in roles), sum(role["calls"] for role in roles))
        yield "tokens", f"{sum(role['input'] + role['output'] for role in roles):,}{guessed}"
        costs = [role["dollars"] for role in roles]
        yield "cost", dollars(None if None in costs else sum(costs))
        if taken := (result or {}).get("answers"):
            each = [taken[name]["dollars"] for name in ("first", "best")]
            if None not in each:
                yield "cost of 1,000 answers, first to best", " → ".join(map(dollars, each))
        yield "time", clock(summary.seconds)

    def _remarks(self) -> Iterator[str]:
        result = self.result or {}
        if result:
            yield from no_gain(result)
        yield from missing_test(result)
        yield from old_and_new(result)
        yield from thousand(result)
        yield from of_each_model(result)
        yield from of_each_prompt(result)
        for name, number in (result.get("unanswered") or {}).items():
            yield f"{number} examples of the search have no answer: {name}."
        yield from compared(result.get("comparisons"))
        yield from longer_but_better(result)
        yield from left_out(result)
        for leak in (result.get("leaks") or [])[:ANSWERS]:
            where = f"section {leak['section']} holds text of the {leak['split']} example {leak['example']}"
            yield f"A leak: {where}: {leak['text']}"


def role_row(account: Account, known: Mapping[str, Price]) -> Json:
    """The calls of one role to one model. `estimated`: calls whose tokens are an estimate; `latency`: mean seconds of
    a call with a reply; `dollars`: None if the price is unknown."""
    usage, answered = account.usage, account.calls - account.failed
    return {
        "role": account.role,
        "model": printable(account.model),
        "calls": account.calls,
        "failed": account.failed,
        "input": usage.input,
        "cached": usage.cached,
        "output": usage.output,
        "estimated": usage.estimated,
        "dollars": known[account.model].of(usage) if account.model in known else None,
        "latency": account.seconds / answered if answered else None,
    }


def _examples(test: Mapping[str, Any]) -> Json:
    """The examples of the held-out comparison; runs of earlier releases did not keep the answers."""
    shown = [{name: _plain(value) for name, value in row.items()} for row in test.get("changed", ())]
    return {"gained": _plain(test["gained"]), "lost": _plain(test["lost"]), "changed": shown}


def _plain(value: Any) -> Any:
    """The JSON value with all texts made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {printable(name): _plain(item) for name, item in value.items()}
    return value
