"""What has changed in the copy of a run directory since it was last looked at, as shipments."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from agents.books.shipments import FILES, FOLDERS, Appended, File
from agents.directory.run_directory import CONFIGURATION, LOG
from protocols.errors import StorageFailed

Stamp = tuple[int, int, int]
"""Inode, time of the last change in nanoseconds, and size."""
SETTLED = 100_000_000
"""Nanoseconds after which a change shows in a file's stamp: the kernel's clock for files ticks every few
milliseconds, and the inode of a file that was removed is given to the next."""


class Changes:
    """Looks at the files of a run in `folder`; for one thread at a time. `places`: folders of this machine, with
    their paths on the head, which stand in the configuration that is shipped."""

    def __init__(self, folder: Path, places: Mapping[str, str]) -> None:
        self._folder, self._places = folder, places
        self._stamps: dict[str, Stamp] = {}
        self._digests: dict[str, bytes] = {}
        self._logged = 0

    def seen(self) -> None:
        """Take what is there as known to the head."""
        self.since()

    def since(self) -> Sequence[File | Appended]:
        """The changes since the last call: removals first, then files in the order in which a run writes them. Where
        a file is among them, so are those that were written before it.

        :raises StorageFailed: a file cannot be read.
        """
        try:
            return [*self._changes()]
        except OSError as error:
            raise StorageFailed(f"cannot be read: {error.strerror}", file=str(error.filename)) from error

    def _changes(self) -> Iterator[File | Appended]:
        now = time.time_ns()
        found = {name: self._stamp(name) for name in reversed(FILES)}  # what is written first is looked at last
        inner = [f"{each}/{path.name}" for each in FOLDERS for path in sorted((self._folder / each).glob("[!.]*"))]
        found |= {name: self._stamp(name) for name in inner}
        for name in [name for name in self._digests if not found.get(name)]:
            del self._digests[name]
            self._stamps.pop(name, None)
            yield File(name, None)
        for name in (*inner, *FILES):
            stamp = found[name]
            if stamp is None or stamp == self._stamps.get(name):
                continue
            with suppress(FileNotFoundError):  # it was removed meanwhile: the next call tells
                yield from self._appended() if name == LOG else self._whole(name)
            if now - stamp[1] > SETTLED:
                self._stamps[name] = stamp

    def _stamp(self, name: str) -> Stamp | None:
        try:
            status = (self._folder / name).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _whole(self, name: str) -> Iterator[File]:
        content = (self._folder / name).read_bytes()
        digest = hashlib.blake2b(content, digest_size=16).digest()
        if digest != self._digests.get(name):
            self._digests[name] = digest
            yield File(name, elsewhere(content, self._places) if name == CONFIGURATION else content)

    def _appended(self) -> Iterator[Appended]:
        with (self._folder / LOG).open("rb") as file:
            file.seek(min(self._logged, file.seek(0, os.SEEK_END)))
            offset, content = file.tell(), file.read()
        self._logged = offset + len(content)
        if content:
            yield Appended(LOG, offset, content)


def elsewhere(document: bytes, places: Mapping[str, str]) -> bytes:
    """A JSON document in which every text that is a path in one of these folders is the path in the other."""

    def moved(value: object) -> object:
        match value:
            case str():
                for here, there in sorted(places.items(), key=lambda place: -len(place[0])):
                    if value == here or value.startswith((f"{here}/", f"{here}{os.sep}")):
                        return there + value[len(here) :]
                return value
            case dict():
                return {name: moved(inner) for name, inner in value.items()}
            case list():
                return [moved(inner) for inner in value]
            case _:
                return value

    if not places:
        return document
    return orjson.dumps(moved(orjson.loads(document)), option=orjson.OPT_INDENT_2) + b"\n"
