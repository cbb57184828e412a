"""What crosses between the head, which has a run's directory, and the machine that works on it in a copy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agents.directory.run_directory import (
    BEST_EXAMPLES,
    BEST_FIELDS,
    BEST_OFFER,
    BEST_PASSAGES,
    BEST_PROMPT,
    BEST_PROMPTS,
    CONFIGURATION,
    FIRST_PROMPT,
    GIVEN,
    LABELS,
    LOG,
    PARETO,
    PRICES,
    RECORD,
    REPORT,
    RESULT,
    SHARED_CAPS,
    TEST_SCORES,
)
from memory.journals.in_flight import Begun
from memory.storage.database import Value
from protocols.errors import StorageFailed

FOLDERS = (GIVEN, BEST_PROMPTS)
"""The folders of a run directory, which have no folders in them."""
FILES = (
    *(CONFIGURATION, LABELS, FIRST_PROMPT, RECORD, PRICES, SHARED_CAPS, LOG),
    *(BEST_PROMPT, BEST_FIELDS, BEST_OFFER, BEST_EXAMPLES, BEST_PASSAGES, TEST_SCORES, PARETO, RESULT, REPORT),
)
"""Its files that are shipped, in this order, which is the order in which a run writes them: after the record comes
what only a run has, and after the best prompt the result."""
INNER = re.compile(r"[^/\\:\0.][^/\\:\0]{0,199}")
"""The name of a file in a folder."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the journal has committed: statements, and the parameters of each time that they were run."""

    batches: tuple[tuple[str, tuple[tuple[Value, ...], ...]], ...]


@dataclass(frozen=True, slots=True)
class File:
    """A whole file, by its name in the run directory (`result.json`, `given/train.jsonl`). `content` None: it was
    removed."""

    name: str
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Appended:
    """What was added to the log, from this offset in bytes on."""

    name: str
    offset: int
    content: bytes


Shipment = Rows | Begun | File | Appended


@dataclass(frozen=True, slots=True)
class Opened:
    """A run directory as it is on the head: `files` with the journal in one piece, without lock, cache and memory.
    `incarnation`: the number of this opening. `heard`: the offset in `commands.jsonl` from which it listens."""

    incarnation: int
    files: tuple[File, ...]
    heard: int


@dataclass(frozen=True, slots=True)
class Heard:
    """New lines of `commands.jsonl`, and the offset behind them."""

    lines: bytes
    after: int


class Head(Protocol):
    """The head as a node sees it: a `Books`, or what carries its calls there.

    `directory`: the path on the head. A transport may repeat a call whose answer it has lost. If it cannot reach the
    head, it raises StorageFailed, and in finite time, since the work on a shipment cannot be cancelled.
    """

    async def open(self, directory: str) -> Opened:
        """Take over a run directory, and fence all who had it; see `Books.open`."""

    async def write(self, directory: str, incarnation: int, number: int, shipments: Sequence[Shipment]) -> None:
        """Apply shipments, durable on return; see `Books.write`."""

    async def commands(self, directory: str, incarnation: int, after: int) -> Heard:
        """Wait for a person's commands; see `Books.commands`."""

    async def close(self, directory: str, incarnation: int) -> None:
        """Leave a run directory; see `Books.close`."""


def check_name(name: str, directory: str) -> str:
    """The name of a file that a node may write.

    :raises StorageFailed: it is none of a run directory.
    """
    folder, slash, inner = name.rpartition("/")
    if (name in FILES and not slash) or (folder in FOLDERS and INNER.fullmatch(inner)):
        return name
    raise StorageFailed(f"refuses {name[:60]!r}, which is no file that a run ships", file=directory)
