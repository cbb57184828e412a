"""Checks that a run directory is complete, so that a run that lost a file is never resumed as if it were new."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from agents.directory.run_directory import (
    CACHE,
    CONFIGURATION,
    FIRST_PROMPT,
    JOURNAL,
    KEPT,
    MEMORY,
    PRICES,
    RECORD,
    REPORT,
    RESULT,
    SHARED_CAPS,
)
from memory.experience_store import SCHEMA as MEMORIES
from memory.journals.schema import SCHEMA as JOURNALS
from memory.storage.cache import SCHEMA as CACHES
from memory.storage.sqlite import Schema, reading
from protocols.errors import StorageFailed

REMEDY = "put it back from a copy, or name another directory with --out"
REMEMBERED = "SELECT ifnull(max(assignment), 0) FROM experience WHERE run = ?"
LATER = (*(name for name in KEPT if name != JOURNAL), PRICES, SHARED_CAPS, REPORT)
"""Files that are written only after the journal exists."""


def check_there(directory: Path) -> None:
    """Check that the files of a run exist, in a directory that has the run's record.

    :raises StorageFailed: a file is missing or empty.
    """
    for name in (CONFIGURATION, FIRST_PROMPT):
        if not _holds(directory / name):
            raise StorageFailed(f"is gone or empty, and {RECORD} is there: {REMEDY}", file=str(directory / name))
    journal = directory / JOURNAL
    later = _later(directory)
    if not _holds(journal) and (later or journal.exists()):
        gone = "is empty" if journal.exists() else "is gone"
        there = f", and {', '.join((RECORD, *later))} are there" if later else ""
        raise StorageFailed(
            f"{gone}{there}: what was decided and paid for is not known; {REMEDY}",
            file=str(journal),
        )


def check_intact(directory: Path, run: str) -> None:
    """Check the content of the files, too. `run`: the run's id. Only for the process that has claimed the directory.

    :raises StorageFailed: as `check_there`, or the journal lacks records that other files prove to have existed.
    :raises MemoryMismatch: a file is of another version.
    """
    check_there(directory)
    if not _later(directory):
        return
    for lacking in _lacking(directory, run):
        raise StorageFailed(
            f"lacks {lacking}: it was cut short, or copied without its {JOURNAL}-wal; {REMEDY}",
            file=str(directory / JOURNAL),
        )


def _later(directory: Path) -> list[str]:
    return [name for name in LATER if (directory / name).exists()]


def _holds(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _lacking(directory: Path, run: str) -> Iterator[str]:
    """The records that the journal lacks, although other files prove that they existed, in words. The journal records
    a call before the cache stores its reply, an assignment before the memory stores its experience, and the end
    before the result is written."""
    remembered = _count(directory / MEMORY, MEMORIES, REMEMBERED, run)
    replies = _count(directory / CACHE, CACHES, "SELECT count(*) FROM reply")
    result = (directory / RESULT).exists()
    journal = partial(_count, directory / JOURNAL, JOURNALS)
    if remembered > journal("SELECT ifnull(max(assignment), 0) FROM journal"):
        yield f"assignment {remembered}, which {MEMORY} holds"
    if (lost := replies - journal("SELECT count(*) FROM call")) > 0:
        yield f"{lost} of the calls whose replies {CACHE} holds"
    if result and not journal("SELECT count(*) FROM journal WHERE type = 'Finished'"):
        yield f"the end, of which {RESULT} tells"


def _count(path: Path, schema: Schema, sql: str, *values: str) -> int:
    """The number that a query returns; 0 if there is no such file."""
    if not path.exists():
        return 0
    with reading(path, schema) as connection:
        [(number,)] = connection.execute(sql, values)
    return int(number)
