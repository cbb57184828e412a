"""Reads text files that the user names: other files are refused in one line, and devices are never read."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import cast

from protocols.errors import InputError

BOM = "\ufeff"
GZIP = b"\x1f\x8b"
KINDS: Mapping[bytes, str] = {
    b"PK\x03\x04": "a zip archive or an Excel workbook; save its sheet as CSV (UTF-8), or unpack the archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save its sheet as CSV (UTF-8)",
    GZIP: "compressed with gzip; unpack it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it",
    b"BZh91AY": "compressed with bzip2; unpack it",
    b"\xfd7zXZ": "compressed with xz; unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive; unpack it",
    b"%PDF-1": "a PDF; give a text file",
    b"PAR1\x15": "Parquet; name it .parquet",
    b"SQLite format 3\0": "an SQLite database; give a text file",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
}
"""The type of a file that is not text, by its first bytes, and what to do with it."""
HEAD = 256
"""Number of first bytes by which a file's type is recognised."""


@contextmanager
def opened(path: Path, error: type[InputError], what: str, unpack: bool = False) -> Iterator[BufferedReader]:
    """Open a regular file for its bytes; `unpack`: decompress a gzip file.

    :raises InputError: it is not a regular file, or reading it fails; of the class `error`, with `what` as the file's
        description.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "rb", opener=_at_once))
        except (OSError, ValueError) as failure:  # ValueError: a NUL in the path
            raise _unreadable(failure, path, error, what) from None
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            reason = "it is a pipe or a device; save what it gives as a file"
            raise error(f"cannot read {what}: {reason}", file=str(path))
        try:
            if unpack and file.peek(len(GZIP)).startswith(GZIP):
                file = cast("BufferedReader", stack.enter_context(gzip.open(file)))
            yield file
        except (OSError, EOFError, zlib.error) as failure:
            raise _unreadable(failure, path, error, what) from None


def read_text(path: Path, error: type[InputError], what: str) -> str:
    """The text of a UTF-8 file, without a byte order mark; line ends are unchanged.

    :raises InputError: it cannot be read, or is not UTF-8; of the class `error`, with `what` as its description.
    """
    with opened(path, error, what) as file:
        return decode(file, path, error)


def decode(file: BufferedReader, path: Path, error: type[InputError]) -> str:
    """All of an opened file as text, without a byte order mark.

    :raises InputError: it is not UTF-8 text; of the class `error`.
    """
    look(file, path, error)
    content = file.read()
    try:
        return content.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        raise not_utf8(failure.start, path, error, line) from None


def look(file: BufferedReader, path: Path, error: type[InputError]) -> None:
    """Check the first bytes of an opened file.

    :raises InputError: they are not the beginning of a text; of the class `error`.
    """
    head = file.peek(HEAD)[:HEAD]
    kind = next((kind for start, kind in KINDS.items() if head.startswith(start)), "")
    if not kind and head and 2 * head.count(0) >= len(head):
        kind = "UTF-16 or UTF-32; save it as UTF-8" if any(head) else "zero bytes; restore the file"
    if kind:
        raise error(f"not a text file but {kind}", file=str(path), line=1)


def not_utf8(byte: int, path: Path, error: type[InputError], line: int) -> InputError:
    """The error for an invalid UTF-8 byte: its offset in the file and its line."""
    hint = "save it as UTF-8 (Windows-1252 and other old encodings cannot be told apart)"
    return error(f"not UTF-8 at byte {byte}; {hint}", file=str(path), line=line)


def _at_once(path: str, flags: int) -> int:
    """Open without blocking, so that a pipe without a writer does not wait for one."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _unreadable(failure: Exception, path: Path, error: type[InputError], what: str) -> InputError:
    reason = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
    if isinstance(failure, IsADirectoryError):
        reason = "it is a directory; name a file in it"
    return error(f"cannot read {what}: {reason}", file=str(path))
