"""A file beside the journal that records each model call before it is sent.

The file is mapped into memory and written in place. A record outlives the process, as a commit to the journal does;
but a commit takes a thread hop, for which every call would wait, and a write by system call would release the
interpreter to another thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from io import FileIO
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

import orjson

from memory.storage.sqlite import REASONS
from protocols.errors import NO_ROOM, StorageFailed

FIRST, SLOT = 64, 512
"""Initial number of slots, and bytes of a slot. A call takes one slot, or several in a row if its names are long."""


class Begun(NamedTuple):
    """A call begun at `time` (Unix seconds). `number` is unique in the run. `input`: estimated input tokens."""

    number: int
    time: float
    assignment: int | None
    role: str
    model: str
    input: int


class InFlight:
    """Slots, each with the latest call that was begun in it. The journal tells which of these calls have ended."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self._path, self._file = path, file
        self._free: dict[int, list[int]] = {}
        self._slots: dict[int, tuple[int, int]] = {}
        self._most = self._room = 0
        self._map: mmap | None = None

    def begin(self, call: Begun) -> None:
        """Record a call; the record outlives the process on return.

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

    def end(self, number: int) -> None:
        """Free the slot of a call that the journal has recorded."""
        slot, size = self._slots.pop(number)
        self._free.setdefault(size, []).append(slot)

    def _write(self, slot: int, size: int, line: bytes) -> None:
        if slot + size > self._room:
            self._grow(max(FIRST, 2 * self._room, slot + size))
        assert self._map is not None, "there is room, so there is a map"
        self._map[slot * SLOT : (slot + size) * SLOT] = line.ljust(size * SLOT)

    def _grow(self, room: int) -> None:
        """Write blank slots, since a write reports a full disk and a memory map never does."""
        self.close()
        try:
            self._file.seek(0, os.SEEK_END)
            blank = (room - self._room) * SLOT
            if self._file.write(bytes(blank)) != blank:
                raise StorageFailed(REASONS["SQLITE_FULL"], file=str(self._path))
            self._map, self._room = mmap(self._file.fileno(), room * SLOT), room
        except OSError as error:
            raise failed(error, self._path) from error

    def close(self) -> None:
        """Close the memory map."""
        if self._map is not None:
            self._map.close()
            self._map = None


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """:raises StorageFailed: the file cannot be used."""
    try:
        yield
    except OSError as error:
        raise failed(error, path) from error


def failed(error: OSError, path: Path) -> StorageFailed:
    """The operating system's error as one of ours."""
    full = error.errno in NO_ROOM
    reason = REASONS["SQLITE_FULL"] if full else f"cannot be used: {error.strerror}"
    return StorageFailed(reason, file=str(path))


@contextmanager
def open_in_flight(path: Path) -> Iterator[InFlight]:
    """Open an empty record, which overwrites the file: the calls of `left_behind` must be in the journal before.

    :raises StorageFailed: the file cannot be used.
    """
    with file_errors(path):
        file = path.open("w+b", buffering=0)
    with file, closing(InFlight(path, file)) as in_flight:
        yield in_flight


def left_behind(path: Path) -> list[Begun]:
    """The calls that the file holds, ended or not, sorted by number; none if there is no file.

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
        if line.endswith((b" ", b"\0")):  # the last slot of a record that is no call
            line = b""
    return sorted(begun, key=lambda call: call.number)
