"""Replays a run offline from its journal; the Controller must make the same decisions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from operator import attrgetter
from pathlib import Path

from agents.archive.aims import unpack_aims
from agents.config.catalogue import open_operators
from agents.config.loading import load_corpus, load_task
from agents.directory.begun_with import as_begun
from agents.directory.resume_fingerprint import check_fingerprint, resume_fingerprint
from agents.directory.run_directory import FIRST_PROMPT, JOURNAL, RESULT, read_configuration, read_record
from agents.history.controllers import new_selector, open_controller
from agents.history.fold import TURNS, Fold
from agents.history.recycling import recycle, unpack
from agents.results.finished import read_result
from agents.ring.controller import Controller
from memory.journals.reading import read_calls, read_journal, read_notes
from protocols.concurrency.threads import in_slices, in_thread
from protocols.errors import ReplayDiffers
from protocols.files import prompt_file
from protocols.messages import Envelope
from protocols.wrappers.recorded import Call

Watch = Callable[[Envelope | Call], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Replayed:
    """`decisions`: number of the Controller's decisions that matched the journal; `stopped_by`: "" if the run has not
    finished. `candidate`: the best."""

    decisions: int
    assignments: int
    stopped_by: str
    candidate: int | None


async def replay(directory: Path, watch: Watch) -> Replayed:
    """Replay the journal's messages into a new Controller, and compare its decisions. `watch` is called with every
    message, before it is replayed, and every call, in order of time.

    :raises ConfigError: it is not a run directory, or the task's files have changed.
    :raises ReplayDiffers: a decision or the winner differs.
    :raises MemoryMismatch, StorageFailed: one of its files is damaged, or of another version.
    """
    controller = await in_thread(_opened, directory)
    journal = directory / JOURNAL
    folded = Fold(controller, await in_thread(lambda: [*read_journal(journal, TURNS)]))
    last = 0
    events: Iterator[Envelope | Call] = merge(read_journal(journal), read_calls(journal), key=attrgetter("time"))
    async for event in in_slices(events):
        await watch(event)
        if isinstance(event, Envelope):
            await folded.take(event)
            last = event.id
    best = controller.archive.best().candidate if controller.archive.members else None
    result = await in_thread(read_result, directory / RESULT)
    if result is not None and result["candidate"] != best:
        raise ReplayDiffers(f"the winner is {result['candidate']} there and {best} now", envelope=last)
    return Replayed(folded.made, controller.issued - controller.cut, folded.stopped_by, best)


def _opened(directory: Path) -> Controller:
    """The Controller as it was when the run began."""
    configuration, record = as_begun(read_configuration(directory), directory), read_record(directory)
    task, first = load_task(configuration), prompt_file.load(directory / FIRST_PROMPT)
    now = resume_fingerprint(configuration, task, load_corpus(configuration), first)
    check_fingerprint(record.meaning, now, directory)
    selector, notes = new_selector(configuration), read_notes(directory / JOURNAL)
    recycle(selector, unpack(notes) or [])
    operators = open_operators(configuration.search_operators)
    return open_controller(configuration, task, operators, selector, None, unpack_aims(notes))
