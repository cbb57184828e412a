"""What the tests of the memory share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio.lowlevel

from memory.journals.in_flight import Begun
from protocols.wrappers.recorded import Call


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that is gone afterwards: one for each hypothesis example, where pytest's is one for each test."""
    with TemporaryDirectory() as path:
        yield Path(path)


class Kept:
    """A record in memory: `begun` by number, `ended` in order."""

    confirm = None

    def __init__(self) -> None:
        self.begun: dict[int, Begun] = {}
        self.ended: list[Call] = []

    def begin(self, time: float, assignment: int | None, role: str, model: str, tokens_in: int) -> int:
        self.begun[len(self.begun)] = Begun(len(self.begun), time, assignment, role, model, tokens_in)
        return len(self.begun) - 1

    async def called(self, call: Call, number: int) -> None:
        await anyio.lowlevel.checkpoint()
        del self.begun[number]
        self.ended.append(call)
