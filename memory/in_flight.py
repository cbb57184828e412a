"""The calls that are in flight, on record in a file beside the journal before they are sent.

A file of its own, written in place: a kilobyte goes to the page cache in microseconds, where it outlives the end of
the process as a commit to the journal does, which takes a thread hop and would have every call wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import orjson

from memory.sqlite import REASONS
from protocols.errors import NO_ROOM, StorageFailed

POSITIONED = hasattr(os, "pwrite")
SLOT = 512
"""Bytes for one call; one with longer names takes several slots in a row."""


class Begun(NamedTuple):
    """A call at `time` (Unix seconds), of a `number` that no other call of the run has. `input`: about its tokens."""

    number: int
    time: float
    assignment: int | None
    role: str
    model: str
    input: int


class InFlight:
    """Slots, each with the latest call that was begun in it; which of them have ended, the journal knows."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file = path, file
        self._free: dict[int, list[int]] = {}
        self._slots: dict[int, tuple[int, int]] = {}
        self._most = 0

    def begin(self, call: Begun) -> None:
        """It outlives the process on return.

        :raises StorageFailed: it could not be written.
        """
        line = orjson.dumps(tuple(call))
        size = -(-len(line) // SLOT)
        if free := self._free.get(size):
            slot = free.pop()
        else:
            slot, self._most = self._most, self._most + size
        self._slots[call.number] = slot, size
        self._write(slot, size, line)

    def withdraw(self, number: int) -> None:
        """It was not sent.

        :raises StorageFailed: it could not be written.
        """
        self._write(*self._slots[number], b"")
        self.end(number)

    def end(self, number: int) -> None:
        """The journal has it."""
        slot, size = self._slots.pop(number)
        self._free.setdefault(size, []).append(slot)

    def _write(self, slot: int, size: int, line: bytes) -> None:
        try:
            written = self._put(line.ljust(size * SLOT), slot * SLOT)
        except OSError as error:
            raise failed(error, self._path) from error
        if written != size * SLOT:
            raise StorageFailed(REASONS["SQLITE_FULL"], file=str(self._path))

    def _put(self, content: bytes, place: int) -> int:
        if POSITIONED:
            return os.pwrite(self._file.fileno(), content, place)
        self._file.seek(place)  # Windows has no call that does both
        return self._file.write(content)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """:raises StorageFailed: the file cannot be used."""
    try:
        yield
    except OSError as error:
        raise failed(error, path) from error


def failed(error: OSError, path: Path) -> StorageFailed:
    """What the operating system said."""
    full = error.errno in NO_ROOM
    reason = REASONS["SQLITE_FULL"] if full else f"cannot be used: {error.strerror}"
    return StorageFailed(reason, file=str(path))


@contextmanager
def open_in_flight(path: Path) -> Iterator[InFlight]:
    """An empty record; what `left_behind` gives of the file must be in the journal before.

    :raises StorageFailed: the file cannot be used.
    """
    with file_errors(path):
        file = path.open("wb", buffering=0)
    with file:
        yield InFlight(path, file)


def left_behind(path: Path) -> list[Begun]:
    """The calls that the file holds, ended or not, by number; none where there is no file.

    :raises StorageFailed: it cannot be read.
    """
    with file_errors(path):
        content = path.read_bytes() if path.exists() else b""
    begun, line = list[Begun](), b""
    for place in range(0, len(content), SLOT):
        line += content[place : place + SLOT]
        with suppress(orjson.JSONDecodeError, TypeError):
            begun.append(Begun(*orjson.loads(line)))
            line = b""
        if line.endswith((b" ", b"\0")):  # the last slot of what is no call
            line = b""
    return sorted(begun, key=lambda call: call.number)
