"""Our SQLite files: opened in WAL mode, marked with their type and version, with errors in one clear line."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import NoReturn
from uuid import uuid4

from protocols.errors import MemoryMismatch, StorageFailed

PATIENCE = 10.0
"""Seconds to wait for another process that holds the file."""

LEAST_ROOM = 65_536
"""Bytes of free space below which a disk counts as full: SQLite allocates the index of a log in steps of 32 KiB."""
LEAST_FILES = 4
"""Free inodes below which a disk counts as full: for a database, its log, the log's index, and the temporary file in
which a database is created."""
MAY_NOT_BE_WRITTEN = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
"""Prefixes of SQLite's error names for a file in a directory without write permission."""
REASONS = {
    "SQLITE_FULL": "the disk is full; make room and start again",
    "SQLITE_READONLY": "cannot be written; check the permissions of the file and of its directory",
    "SQLITE_CANTOPEN": "cannot be opened; check that it exists, with its directory, and may be used",
    "SQLITE_PERM": "cannot be opened; check the permissions of the file",
    "SQLITE_BUSY": f"held by another process for {PATIENCE:g} s; stop that one or use another file",
    "SQLITE_CORRUPT": "damaged; restore a copy, or move it away to begin a new one; of a memory, `memory export` "
    "saves what can be read",
    "SQLITE_NOTADB": "damaged, or no SQLite database; restore a copy, or move it away to begin a new one",
    "SQLITE_IOERR_SHM": "no room for the index of its log, or the disk failed; make room, and start again",
    "SQLITE_IOERR": "the disk failed to read or write; check it and start again",
}


@dataclass(frozen=True, slots=True)
class Schema:
    """The type of a file. A change of `statements` needs a new `version`. `migrations`: statements that lead from
    the version that is their key to the next."""

    name: str
    version: int
    statements: tuple[str, ...]
    migrations: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    @property
    def mark(self) -> int:
        """The `application_id`, which tells our types of files from each other and from other programs' files."""
        return zlib.crc32(f"promptflow {self.name}".encode()) & 0x7FFFFFFF


def is_of_the_file(error: BaseException) -> bool:
    """Whether the error is about the file rather than the statement."""
    return type(error) in (sqlite3.DatabaseError, sqlite3.OperationalError)


def storage_failed(error: BaseException, path: Path) -> StorageFailed:
    """SQLite's error as one line that names the file and says what to do."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and _is_full(path):
        name = "SQLITE_FULL"  # SQLite reports these errors if a log or an index finds no room beside the file
    reason = next((text for code, text in REASONS.items() if name.startswith(code)), str(error))
    return StorageFailed(reason, file=str(path))


def _is_full(path: Path) -> bool:
    """Whether the disk has no room for more pages or files."""
    try:
        disk = os.statvfs(path.parent)
    except (AttributeError, OSError):  # no such call on Windows
        return False
    return disk.f_bavail * disk.f_frsize < LEAST_ROOM or (disk.f_files > 0 and disk.f_favail < LEAST_FILES)


def raised(error: Exception, path: Path) -> NoReturn:
    """Raise an error of SQLite, or ours in its place if it is about the file.

    :raises StorageFailed: the file cannot be used.
    """
    if is_of_the_file(error):
        raise storage_failed(error, path) from error
    raise error


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turns SQLite's errors about the file into ours.

    :raises StorageFailed: the file cannot be used.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        raised(error, path)


def open_file(path: Path, schema: Schema) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """Open or create a file: a connection that writes, in autocommit mode, and one that only reads.

    :raises MemoryMismatch: the file is something else, or of another version.
    :raises StorageFailed: it cannot be used.
    """
    with file_errors(path):
        if not path.exists():
            _create(path, schema)
        writer = _connect(str(path))
        try:
            _migrate(writer, path, schema)
            writer.execute("PRAGMA synchronous = NORMAL")  # outlives the end of the process at any point
            reader = _connect(str(path))
        except BaseException:
            writer.close()
            raise
        reader.execute("PRAGMA query_only = 1")
    return writer, reader


@contextmanager
def reading(path: Path, schema: Schema) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, for synchronous code; the file may be in use, and it and its directory need not
    be writable.

    :raises MemoryMismatch: the file is something else, or of another version.
    :raises StorageFailed: it cannot be used, or is not there.
    """
    with file_errors(path), ExitStack() as stack:
        connection = _open_to_read(path, stack)
        if _version(connection, path, schema) != schema.version:
            try:
                for migrated in open_file(path, schema):
                    migrated.close()
            except StorageFailed:
                connection = _open_copy(path, stack)
                _migrate(connection, path, schema)
        yield connection


def _open_to_read(path: Path, stack: ExitStack) -> sqlite3.Connection:
    """Open a file read-only. A file in WAL mode is read through `-shm`, which SQLite cannot create in a read-only
    directory: there a file without a log is opened as immutable, and a file with a log is copied together with it."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        return stack.enter_context(closing(_probed(uri)))
    except sqlite3.OperationalError as error:
        if not path.is_file() or not error.sqlite_errorname.startswith(MAY_NOT_BE_WRITTEN):
            raise
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        return _open_copy(path, stack)
    return stack.enter_context(closing(_probed(f"{uri}&immutable=1")))


def _open_copy(path: Path, stack: ExitStack) -> sqlite3.Connection:
    """:raises StorageFailed: it cannot be copied."""
    try:
        copy = Path(stack.enter_context(TemporaryDirectory(prefix="promptflow-")), path.name)
        for name in (path.name, f"{path.name}-wal"):
            if path.with_name(name).exists():
                copyfile(path.with_name(name), copy.with_name(name))
    except OSError as error:
        reason = f"may not be written, and cannot be copied to be read ({error.strerror})"
        raise StorageFailed(reason, file=str(path)) from error
    return stack.enter_context(closing(_connect(str(copy))))


def _probed(uri: str) -> sqlite3.Connection:
    """A connection that has run one statement, since SQLite opens the file only then."""
    connection = _connect(uri, uri=True)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Lock `path`, an empty file that is created if necessary, while the block runs; gives whether that succeeded.

    SQLite uses the operating system's lock on every platform, which is released when the process ends in any way.

    :raises StorageFailed: the file cannot be used.
    """
    with file_errors(path), closing(_connect(str(path))) as connection:
        yield _lock(connection, 0.0) or (not _is_locked(connection) and _lock(connection, PATIENCE))


def _lock(connection: sqlite3.Connection, patience: float) -> bool:
    """Lock the file until the connection is closed; returns whether that succeeded within `patience` seconds."""
    connection.execute(f"PRAGMA busy_timeout = {1000 * patience:.0f}")
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _is_locked(connection: sqlite3.Connection) -> bool:
    """Whether a process holds the exclusive lock. A process that only runs this check holds a shared lock for a
    moment, which does not count."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return True
    return False


def is_claimed(path: Path) -> bool:
    """Whether a process has locked `path`, see `claimed`; False if the file does not exist or cannot be read."""
    if not path.exists():
        return False
    try:
        with closing(_connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return _is_locked(connection)
    except sqlite3.OperationalError:
        return False


def _connect(database: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(database, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=uri)


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    """Migrate a file of an earlier version to this one, in one transaction."""
    if _version(connection, path, schema) == schema.version:
        return
    connection.execute("BEGIN IMMEDIATE")
    for version in range(_version(connection, path, schema), schema.version):  # another process may have been first
        for statement in schema.migrations[version]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {schema.version}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection, path: Path, schema: Schema) -> int:
    """The file's version.

    :raises MemoryMismatch: it is something else, or of a version that cannot be migrated to this one.
    """
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if mark != schema.mark:
        raise MemoryMismatch(f"not a {schema.name} of PromptFlow; give another path", file=str(path))
    if version != schema.version and version not in schema.migrations:
        raise MemoryMismatch(
            f"a {schema.name} of version {version}, and this release reads version {schema.version}; "
            "use the release that wrote it, or move the file away to begin a new one",
            file=str(path),
        )
    return int(version)


def _create(path: Path, schema: Schema) -> None:
    """Create the file under another name and link it into place when complete, so that of two processes that do so at
    once exactly one succeeds.

    (If two processes switch one file to WAL at once, one of them fails, whatever its busy_timeout.)

    It becomes one in WAL mode only when it is whole: SQLite does not say that a log which is written back at the end
    found no room, and the file would be linked without what is in its log.
    """
    made = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with closing(_connect(str(made))) as connection:
            connection.execute("BEGIN")
            for statement in schema.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.mark}")
            connection.execute(f"PRAGMA user_version = {schema.version}")
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        with suppress(FileExistsError):
            path.hardlink_to(made)
    except OSError as error:
        raise StorageFailed(
            f"cannot be created ({error.strerror}); choose a directory on a local disk", file=str(path)
        ) from error
    finally:
        for beside in ("", "-journal", "-wal", "-shm"):
            made.with_name(made.name + beside).unlink(missing_ok=True)
