"""Experience recycling: passes the experiences of earlier runs to a selector that can use them as a prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import orjson

from agents.archive.choices import open_actions
from agents.directory.run_directory import JOURNAL
from agents.operators.operator import Operator, part
from agents.selectors.msgd_rl import PastEpisode
from agents.selectors.selector import Selector
from memory.experience import Experience, Where, situation
from memory.store import Memory
from protocols.errors import StorageFailed
from protocols.files.prompt_file import read_section, saved_section
from protocols.prompt import Prompt
from protocols.task import Task

EPISODES = 2000
"""Approximate number of experiences that a selector begins with."""
DAY = 86_400.0
PAST = "past"


@runtime_checkable
class Recycler(Protocol):
    """A selector that learns from other runs, too."""

    def recycle(self, episodes: Sequence[PastEpisode]) -> None:
        """Use the outcomes of other runs as a prior; called once, before the first choice, with at least one."""


def recycle(selector: Selector, past: Sequence[PastEpisode]) -> None:
    """Pass past episodes to a selector that can use them."""
    if past and isinstance(selector, Recycler):
        selector.recycle(past)


async def recall_past(
    selector: Selector, memory: Memory, task: Task, first: Prompt, operators: Mapping[str, Operator], now: float
) -> list[PastEpisode]:
    """The past episodes for a selector, none if it cannot use them: the experiences of these operators on sections of
    the first prompt's kinds that are nearest to its sections. `now`: Unix seconds.

    :raises StorageFailed: the memory cannot be read.
    :raises ModelError, BudgetExhausted: the embedding model failed.
    """
    if not isinstance(selector, Recycler):
        return []
    names = dict.fromkeys(action.section for action in open_actions(first, operators, task))
    mine = frozenset(operators)
    asked = [
        (situation(section.kind, "", saved_section(section)), Where(kinds=frozenset({section.kind}), operators=mine))
        for section in (part(first, name) for name in names)
    ]
    nearest = await memory.nearest(asked, EPISODES // max(1, len(asked)))
    return [_past(past, task, memory.is_theirs(past), now) for past in nearest]


def pack(past: Sequence[PastEpisode]) -> dict[str, bytes]:
    """Serialise past episodes as a note of the journal: a resumed run uses the episodes that it began with, not those
    in the memory by then."""
    return {PAST: orjson.dumps(past)}


def unpack(notes: Mapping[str, bytes]) -> list[PastEpisode] | None:
    """The past episodes from a note made by `pack`; None if there is no note.

    :raises StorageFailed: another release wrote the note in another format.
    """
    try:
        return [PastEpisode(**row) for row in orjson.loads(notes[PAST])] if PAST in notes else None
    except TypeError as error:
        reason = f"what the run began with cannot be read ({error}); use the release that wrote it"
        raise StorageFailed(reason, file=JOURNAL) from error


def _past(past: Experience, task: Task, same_model: bool, now: float) -> PastEpisode:
    return PastEpisode(
        operator=past.operator,
        kind=past.kind,
        reward=past.reward,
        age=max(0.0, now - past.time) / DAY,
        same_task=same_model and past.task == task.name,
        blank=not read_section(past.before)[1],
        evidence=past.evidence,
    )
