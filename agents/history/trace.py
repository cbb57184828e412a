"""The lineage of a candidate: its messages, its model calls, and their cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from agents.config.configuration import Configuration
from agents.directory.run_directory import JOURNAL, RESULT, read_configuration
from agents.history.progress import Ending, Progress, progress_of
from agents.models.budget import kept_prices
from agents.results.finished import read_result
from memory.journals.exchanges import Exchange
from memory.journals.reading import read_calls, read_exchanges, read_journal
from protocols.budget.prices import Price
from protocols.errors import ConfigError
from protocols.messages import FIRST, Assignment, Candidate, Critique, Envelope, Evaluation
from protocols.prompt import Prompt
from protocols.task import SplitName
from protocols.wrappers.recorded import Call

SPLITS = frozenset(get_args(SplitName))


@dataclass(frozen=True, slots=True)
class Said:
    """One message. `cause`: the id of the message that it answers. `seconds`: since that message."""

    id: int
    cause: int | None
    type: str
    sender: str
    to: str
    time: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one role to one model for one assignment. `estimated`: calls whose tokens are an estimate.
    `seconds`: the sum of the latencies; `dollars` None: the price is unknown."""

    role: str
    model: str
    calls: int
    failed: int
    input: int
    output: int
    cached: int
    estimated: int
    seconds: float
    dollars: float | None


@dataclass(frozen=True, slots=True)
class Link:
    """One assignment of a lineage: its ending, the gradient and the recalled experiences, its messages and calls."""

    ending: Ending
    gradient: str
    recalled: Sequence[int]
    messages: Sequence[Said]
    calls: Sequence[Calls]


def trace(directory: Path, candidate: int | None = None) -> list[Link]:
    """The lineage from the first prompt to `candidate`, or to the run's winner (the best so far).

    :raises ConfigError: it is not a run directory, or has no such candidate.
    :raises MemoryMismatch, StorageFailed: one of its files is damaged, or of another version.
    """
    configuration = read_configuration(directory)
    if candidate is None:
        candidate = winner(directory)
    links = [_link(envelopes, directory, configuration) for envelopes in lineage(directory, candidate)]
    return links[::-1]


def asked_for(directory: Path, candidate: int) -> list[tuple[str, Exchange]]:
    """What the critic, the judge and the operators asked for a candidate, and the replies, by role and in order.

    :raises MemoryMismatch, StorageFailed: the journal is damaged, or of another version.
    """
    kept = read_exchanges(directory / JOURNAL, candidate)
    return [(about, exchange) for about, exchanges in kept if about not in SPLITS for exchange in exchanges]


def winner(directory: Path) -> int:
    """The number of the run's best candidate, or of the best so far.

    :raises ConfigError: there is none yet.
    """
    result = read_result(directory / RESULT)
    if result is not None:
        return int(result["candidate"])
    best = progress_of(directory).best
    if best is None:
        raise ConfigError(f"{directory} has no candidate yet: its first prompt was not evaluated")
    return best.assignment


def prompt_of(directory: Path, candidate: int) -> Prompt:
    """The prompt of a candidate, even if it did not survive.

    :raises ConfigError: there is no such candidate, or its assignment failed before there was a prompt.
    :raises MemoryMismatch, StorageFailed: a file of the run is damaged, or of another version.
    """
    read_configuration(directory)
    [messages, *_] = lineage(directory, candidate)
    found = [e.message.prompt for e in messages if isinstance(e.message, Candidate | Evaluation)]
    if not found:
        raise ConfigError(f"candidate {candidate} of {directory} came to no prompt; `trace` says what became of it")
    return found[-1]


def lineage(directory: Path, candidate: int) -> Iterator[list[Envelope]]:
    """The messages of `candidate`, of its parent, and so on to those of the first prompt.

    :raises ConfigError: there is no such candidate.
    """
    number: int | None = candidate
    while number is not None:
        envelopes = list(read_journal(directory / JOURNAL, assignment=number))
        if not envelopes:
            raise ConfigError(f"{directory} has no candidate {number}")
        yield envelopes
        parents = [e.message.parent for e in envelopes if isinstance(e.message, Assignment)]
        number = parents[0] if parents else None


def _link(envelopes: Sequence[Envelope], directory: Path, configuration: Configuration) -> Link:
    number = getattr(envelopes[0].message, "assignment", FIRST)
    progress, endings = Progress(), []
    for envelope in envelopes:
        endings += [ending] if (ending := progress.follow(envelope)) else []
    if not endings:
        raise ConfigError(f"candidate {number} of {directory} is still under way")
    times = {envelope.id: envelope.time for envelope in envelopes}
    said = [
        Said(e.id, e.cause, type(e.message).__name__, e.sender, e.to, e.time, _since(times, e)) for e in envelopes
    ]
    asked = next((e.message for e in envelopes if isinstance(e.message, Assignment)), None)
    made = [e.message for e in envelopes if isinstance(e.message, Candidate)]
    return Link(
        ending=endings[-1],
        gradient=asked.gradient if asked else "",
        recalled=made[-1].recalled if made else (),
        messages=said,
        calls=tally(read_calls(directory / JOURNAL, number), kept_prices(directory, configuration)),
    )


def _since(times: dict[int, float], envelope: Envelope) -> float | None:
    cause = times.get(envelope.cause) if envelope.cause is not None else None
    return None if cause is None else max(0.0, envelope.time - cause)


def tally(calls: Iterator[Call], known: dict[str, Price]) -> list[Calls]:
    """The sums by role and model, in order of their first calls."""
    groups: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        groups.setdefault((call.role, call.model), []).append(call)
    return [
        Calls(
            role=role,
            model=model,
            calls=len(group),
            failed=sum(call.error is not None for call in group),
            input=sum(call.usage.input for call in group),
            output=sum(call.usage.output for call in group),
            cached=sum(call.usage.cached for call in group),
            estimated=sum(call.usage.estimated for call in group),
            seconds=sum(call.seconds for call in group),
            dollars=sum(known[model].of(call.usage) for call in group) if model in known else None,
        )
        for (role, model), group in groups.items()
    ]


def evaluation_of(envelopes: Sequence[Envelope]) -> Evaluation | None:
    """The evaluation among these messages of a candidate; None if it was not evaluated."""
    return next((e.message.evaluation for e in envelopes if isinstance(e.message, Critique)), None)
