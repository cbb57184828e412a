"""One run directory on the head while a machine works on its copy: its lock, its journal, and what is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from agents.books.shipments import FILES, FOLDERS, Appended, File, Heard, Opened, Rows, Shipment, check_name
from agents.directory.intact import check_intact
from agents.directory.run_directory import (
    COMMANDS,
    INCARNATION,
    JOURNAL,
    LOCK,
    LOG,
    RECORD,
    find,
    make_folder,
    not_written,
    remove,
    usable,
    write,
)
from memory.journals.in_flight import Begun
from memory.journals.journal_copy import JournalCopy, image_of, open_copy
from memory.storage.database import Batch
from memory.storage.sqlite import claimed
from protocols.errors import ConfigError, StorageFailed, Superseded


class RunDirectory:
    """For one thread at a time. `incarnation`: the number of the opening that works on it; 0: none does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.incarnation = 0
        self._claim, self._files = ExitStack(), ExitStack()
        self._journal: JournalCopy | None = None
        self._written: int | None = 0
        self._heard = 0

    def open(self) -> Opened:
        """Claim the directory, which is made if it is not there, and fence every earlier opening.

        :raises ConfigError: another process works on the run, or the directory has other files and no run.
        :raises MemoryMismatch, StorageFailed: a file is damaged or cannot be used.
        """
        self._leave_files()
        if not self.incarnation:
            self._take()
        self.incarnation = self._count()
        if (record := find(self.path)) is not None:
            check_intact(self.path, record.run)
        if (self.path / JOURNAL).exists():
            self._open_journal()  # ends the calls of earlier openings, before the image is made
        self._written = 0
        return Opened(self.incarnation, tuple(self._there()), self._heard)

    def write(self, incarnation: int, number: int, shipments: Sequence[Shipment]) -> None:
        """Apply shipments in order, durable on return. `number` counts from 1; what was applied is not applied again.

        :raises Superseded: it is not this incarnation's turn.
        :raises StorageFailed: a shipment is refused, or cannot be written; those before it are there, and nothing
            else is written until the directory is opened again.
        """
        self.check(incarnation)
        if self._written is None:
            raise self._refused("what follows a shipment that could not be written")
        if number <= self._written:
            return
        if number != self._written + 1:
            raise self._refused(f"shipment {number}, since {self._written + 1} is the next")
        self._written = None
        rows = list[Batch]()
        for shipment in shipments:
            if isinstance(shipment, Rows):
                rows.extend(shipment.batches)
                continue
            self._write_rows(rows)
            self._write_other(shipment)
        self._write_rows(rows)
        self._written = number

    def news(self, incarnation: int, after: int) -> Heard:
        """The commands from this offset on.

        :raises Superseded: it is not this incarnation's turn.
        """
        self.check(incarnation)
        try:
            with (self.path / COMMANDS).open("rb") as file:
                start = max(0, min(after, file.seek(0, os.SEEK_END)))  # it may be a new, shorter file
                file.seek(start)
                new = file.read()
        except OSError:  # as a run on this machine, one that nobody can talk to goes on
            return Heard(b"", after)
        self._heard = start
        whole = new[: new.rfind(b"\n") + 1]
        return Heard(whole, start + len(whole))

    def check(self, incarnation: int) -> None:
        """:raises Superseded: it is not this incarnation's turn."""
        if incarnation != self.incarnation:
            raise superseded(self.path)

    def close(self) -> None:
        """Let go of all files; whoever had the directory is fenced."""
        self.incarnation = 0
        self._leave_files()
        self._claim.close()

    def _take(self) -> None:
        """Lock the directory. What was said before is not for this run, but what is said between two openings is."""
        try:
            usable(self.path)
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot write the run directory {self.path}: {error.strerror}") from None
        with ExitStack() as claim:
            if not claim.enter_context(claimed(self.path / LOCK)):
                raise ConfigError(
                    f"{self.path} is in use by another process; wait for it, or name another with --out"
                )
            try:
                (self.path / COMMANDS).touch()
                self._heard = (self.path / COMMANDS).stat().st_size
            except OSError as error:
                raise not_written(error, self.path / COMMANDS) from error
            self._claim = claim.pop_all()

    def _count(self) -> int:
        """The next incarnation, which is on disk before anybody has its number."""
        path = self.path / INCARNATION
        try:
            last = int(path.read_text(encoding="ascii")) if path.exists() else 0
        except (OSError, ValueError) as error:
            raise StorageFailed(f"cannot be read ({error}); restore a copy", file=str(path)) from error
        write(path, b"%d\n" % (last + 1))
        return last + 1

    def _there(self) -> Iterator[File]:
        """The files of the run so far."""
        inner = [f"{folder}/{path.name}" for folder in FOLDERS for path in sorted(self.path.glob(f"{folder}/*"))]
        try:
            for name in [*FILES, *inner]:
                if (self.path / name).is_file() and not name.rpartition("/")[2].startswith("."):
                    yield File(name, (self.path / name).read_bytes())
        except OSError as error:
            raise StorageFailed(f"cannot be read: {error.strerror}", file=str(error.filename)) from error
        if (self.path / JOURNAL).exists():
            yield File(JOURNAL, image_of(self.path / JOURNAL))

    def _open_journal(self) -> JournalCopy:
        if self._journal is None:
            if not (self.path / RECORD).exists():
                raise self._refused(f"what a run records before its {RECORD}")
            self._journal = self._files.enter_context(open_copy(self.path / JOURNAL))
        return self._journal

    def _leave_files(self) -> None:
        self._journal = None
        self._files.close()

    def _write_rows(self, rows: list[Batch]) -> None:
        if rows:
            self._open_journal().write(rows)
            rows.clear()

    def _write_other(self, shipment: Begun | File | Appended) -> None:
        match shipment:
            case Begun():
                self._open_journal().begin(shipment)
            case Appended(name, offset, content):
                self._append(name, offset, content)
            case File(name, content):
                self._put(check_name(name, str(self.path)), content)
            case _:
                raise self._refused(f"a {type(shipment).__name__}")

    def _put(self, name: str, content: bytes | None) -> None:
        path = self.path / name
        if content is None:
            remove(path)
            return
        if path.parent != self.path:
            make_folder(path.parent)
        write(path, content)
        if name == RECORD:
            self._open_journal()  # for all who look on: a run that has begun has a journal

    def _append(self, name: str, offset: int, content: bytes) -> None:
        path = self.path / LOG
        if name != LOG:
            raise self._refused(f"an addition to {name[:60]!r}")
        try:
            size = path.stat().st_size if path.exists() else 0
            if not 0 <= offset <= size:
                raise self._refused(f"what follows byte {offset} of {LOG}, which has {size}")
            with path.open("r+b" if size else "wb", buffering=0) as file:
                file.truncate(offset)
                file.seek(offset)
                if file.write(content) != len(content):
                    raise StorageFailed("the disk is full; make room for it", file=str(path))
        except OSError as error:
            raise not_written(error, path) from error

    def _refused(self, what: str) -> StorageFailed:
        return StorageFailed(f"refuses {what}", file=str(self.path))


def superseded(directory: Path) -> Superseded:
    """The error of a machine that has lost the run."""
    return Superseded(
        "another process has taken over the run, or it was closed; this one has stopped, and nothing of its later "
        "work counts",
        file=str(directory),
    )
