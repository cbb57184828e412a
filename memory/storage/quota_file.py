"""The quota of an account in a file, which all processes of one user on one machine share."""

from __future__ import annotations

import hashlib
import os
import platform
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import orjson

from protocols.concurrency.threads import in_thread
from protocols.leases.lease import Lease, Report
from protocols.leases.quota import Quota

PATIENCE = 2.0
"""Seconds to wait for another process that holds the file, which each does for a millisecond."""
VERSION = 1
"""Of what `Quota.pack` returns; files of another version have another name."""
ROUNDS = 50_000
"""Rounds of the hash that names an account's file, about 15 ms: names shall not help to guess a short key."""
SALT = "salt"


class QuotaFile:
    """The leases of one account, from the file of its quota in `folder`, which is made if necessary.

    `account` is any text that identifies it. The file is named by a slow, salted hash of this and the machine's name,
    and only its user may read it. All processes of one boot share the clock (`time.monotonic`), and after a boot it
    shows less than before: see `Quota`. SQLite locks the file, and leaves it intact whenever a process is killed.

    A folder that cannot be written is no error: then the process is alone with its limits, as it is after an error
    of the file, which `tell` is told of once.
    """

    def __init__(self, folder: Path, account: str, tell: Callable[[str], None]) -> None:
        self._folder, self._account, self._tell = folder, account, tell
        self._connection: sqlite3.Connection | None = None
        self._alone: Quota | None = None

    async def exchange(self, member: str, report: Report) -> Lease:
        """Report, and get the next lease. It never fails."""
        if self._alone is None:
            try:
                return await in_thread(self._exchange, member, report)
            except OSError:
                self._alone = Quota()
            except sqlite3.Error as error:
                self._alone = Quota()
                self._tell(
                    f"The limits of this account are no longer shared with other processes: {self._folder} cannot be "
                    f"used ({error}); make room there, or move it away"
                )
        return self._alone.exchange(member, report, time.monotonic())

    def close(self) -> None:
        """Close the file. A later exchange opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, member: str, report: Report) -> Lease:
        if self._connection is None:
            self._connection = self._open()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            [(packed,)] = self._connection.execute("SELECT packed FROM quota").fetchall() or [(b"",)]
            quota = read(packed)
            lease = quota.exchange(member, report, time.monotonic())
            self._connection.execute("REPLACE INTO quota VALUES (1, ?)", (orjson.dumps(quota.pack()),))
            self._connection.execute("COMMIT")
        except BaseException:
            self.close()
            raise
        return lease

    def _open(self) -> sqlite3.Connection:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        identity = f"{platform.node()}\n{self._account}".encode()
        name = hashlib.pbkdf2_hmac("sha256", identity, salt_of(self._folder), ROUNDS)[:16].hex()
        path = self._folder / f"{name}-{VERSION}.sqlite"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # only the end of the machine could lose a minute's log
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("CREATE TABLE IF NOT EXISTS quota (id INTEGER PRIMARY KEY, packed BLOB)")
        except BaseException:
            connection.close()
            raise
        return connection


def read(packed: bytes) -> Quota:
    """The quota; a new one if this is none."""
    try:
        return Quota.unpack(orjson.loads(packed))
    except (ValueError, KeyError, TypeError):
        return Quota()


def salt_of(folder: Path) -> bytes:
    """The random salt of this folder, which is made if necessary.

    :raises OSError: it cannot be.
    """
    path = folder / SALT
    if not path.exists():
        made = folder / f".{SALT}.{uuid4().hex}"
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(32))
        try:
            path.hardlink_to(made)
        except FileExistsError:  # another process was first
            pass
        finally:
            made.unlink()
    return path.read_bytes()
