"""What keeping everything costs: `python -m benchmarks.journal`.

First, calls a second and CPU milliseconds a call through the wrappers against a local server, `--in-flight` at a
time: with neither reply cache nor journal, with the cache, and with both, in turns, so that a noisy machine is noisy
for all of them. Then a journal of `--messages` messages is written, opened and folded: seconds and memory for the
figures of `show`, and bytes per assignment.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio

from agents.history.progress import progress_in
from agents.models.stack import Models
from benchmarks.throughput import in_flight, measured, request
from benchmarks.wire import search_configuration, server
from memory.journals.journal import Journal, open_journal
from memory.storage.cache import ReplyCache, open_cache
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.messages import Assignment, Candidate, Critique, Envelope, Evaluation, Message, Outcome
from protocols.model import ChatModel
from protocols.prompt import KINDS, Prompt, Section
from protocols.providers.transport.http import open_transport

VALIDATION, CRITIQUE = 100, 16
"""Examples of the invented task: of a full evaluation, and of a survivor's minibatch."""
SURVIVES = 0.2
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Throughput:
    """One arrangement: calls a second and CPU milliseconds a call, medians over the rounds."""

    name: str
    rate: float
    cpu: float


async def throughput(calls: int, width: int, latency: float, folder: Path) -> list[Throughput]:
    """The same number of distinct calls in each arrangement, `ROUNDS` times."""
    rows: dict[str, list[tuple[float, float]]] = {}
    with server("--latency", str(latency)) as url:
        configuration = search_configuration(url, width, folder, {})
        async with (
            open_transport() as transport,
            open_cache(folder / "cache.sqlite") as cache,
            open_journal(folder / "calls.sqlite") as journal,
        ):
            arrangements: dict[str, tuple[ReplyCache | None, Journal | None]] = {
                "neither": (None, None),
                "reply cache": (cache, None),
                "reply cache and journal": (cache, journal),
            }
            number = 0
            for _ in range(ROUNDS):
                for name, kept in arrangements.items():
                    ledger = Ledger(Caps(), {}, time.monotonic)
                    model = Models(configuration, {}, transport, ledger).of("task", *kept)
                    start = number
                    number += calls

                    async def body(start: int = start, model: ChatModel = model) -> int:
                        await in_flight(range(start, start + calls), width, lambda n: model.complete(request(n)))
                        return calls

                    row = await measured(body)
                    rows.setdefault(name, []).append((row.calls / row.wall, row.cpu / row.calls * 1e3))
    return [Throughput(name, *map(statistics.median, zip(*found, strict=True))) for name, found in rows.items()]


def story(messages: int, rng: Random) -> Iterator[Message]:
    """The messages of a search of the invented task: four for each assignment, a fifth of them survivors."""
    sections = tuple(Section(kind, kind, " ".join([kind] * 40)) for kind in KINDS)
    first = evaluation(0, Prompt(sections), True, rng)
    yield Candidate(0, first.prompt)
    yield first
    yield Critique(0, first, {kind: f"say more of {kind} " * 8 for kind in KINDS})
    archive = [(0, first)]
    for number in range(1, messages // 4):
        candidate, parent = rng.choice(archive)
        name = rng.choice(KINDS)
        yield Assignment(
            assignment=number,
            operator="few_shot",
            section=name,
            parent=candidate,
            prompt=parent.prompt,
            gradient="say more " * 20,
            outcomes=parent.outcomes,
            scores=parent.scores,
        )
        prompt = parent.prompt.edit(name, f"{parent.prompt[name].text[:300]} {rng.random()}", ())
        child = evaluation(number, prompt, rng.random() < SURVIVES, rng)
        yield Candidate(number, prompt, parent.scores, parent.prompt.tokens)
        yield child
        yield Critique(number, child, {name: f"say more of {name} " * 8} if child.survived else {})
        if child.survived:
            archive = [*archive[-11:], (number, child)]


def evaluation(number: int, prompt: Prompt, survived: bool, rng: Random) -> Evaluation:
    asked = VALIDATION if survived else VALIDATION // 4
    scores = tuple(float(rng.random() < 0.7) if place < asked else None for place in range(VALIDATION))
    outcomes = tuple(
        Outcome(f"train-{n}", {"text": f"what was asked in {n}"}, "yes", "yes", "yes", float(rng.random() < 0.7), "")
        for n in range(CRITIQUE if survived else 0)
    )
    return Evaluation(number, prompt, scores, survived, 0.1 if survived else -0.1, 0.05, asked, 0, outcomes, 0.7)


async def write(path: Path, messages: int) -> None:
    """A journal of so many messages, many at a time."""
    async with open_journal(path) as journal:
        told = enumerate(story(messages, Random(0)), start=1)

        async def work() -> None:
            for number, message in told:
                await journal.append(Envelope(number, number - 1 or None, "a", "b", float(number), message))

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(work)


def peak() -> float:
    """Megabytes of memory at most, of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def main(calls: int, width: int, latency: float, messages: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = await throughput(calls, width, latency, folder)
        print(f"{width} in flight, {latency * 1e3:g} ms latency, bound {width / latency:,.0f} calls/s, {calls} calls")
        print(f"{'':26}{'calls/s':>10}{'share':>8}{'CPU ms/call':>13}")
        for row in rows:
            print(f"{row.name:26}{row.rate:>10,.0f}{row.rate / rows[0].rate:>8.1%}{row.cpu:>13.3f}")
        path, before = folder / "journal.sqlite", time.perf_counter()
        await write(path, messages)
        written, held = time.perf_counter() - before, peak()
        size = path.stat().st_size
        before, cpu = time.perf_counter(), time.process_time()
        progress = progress_in(path, "short")
        folded, worked = time.perf_counter() - before, time.process_time() - cpu
        each = size / max(1, progress.ended)
        print(f"\n{messages:,} messages: {size / 1e6:,.0f} MB, {each:,.0f} bytes per assignment")
        print(f"written in {written:.1f} s; opened and folded in {folded:.1f} s, {worked:.1f} s of them CPU")
        print(f"memory: {held:,.0f} MB at most while writing, {peak() - held:,.0f} MB more for the fold")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=4000, help="in each arrangement and round")
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds")
    parser.add_argument("--messages", type=int, default=1_000_000)
    arguments = parser.parse_args()
    anyio.run(
        main,
        arguments.calls,
        arguments.in_flight,
        arguments.latency,
        arguments.messages,
        backend_options={"use_uvloop": sys.platform != "win32"},
    )
