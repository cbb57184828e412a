"""The report of a run: its page as one file that browsers open from disk."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

from agents.directory.run_directory import REPORT, write
from agents.views.page.document import report_document
from agents.views.page.html import report_page
from protocols.concurrency.threads import in_thread
from protocols.errors import StorageFailed
from protocols.text import one_line

FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_report(directory: Path, out: Path | None = None) -> Path:
    """Write the page of a run to its `report.html`, or to `out`; returns the path. If the run directory is read-only,
    the page goes to the current folder as `<run directory's name>-report.html`.

    :raises ConfigError: it is no run directory.
    :raises MemoryMismatch, StorageFailed: one of its files is damaged, or the page cannot be written.
    """
    page = report_page(report_document(directory)).encode("utf-8")
    path = out or directory / REPORT
    try:
        write(path, page)
    except StorageFailed as error:
        if out is not None or not (isinstance(error.__cause__, OSError) and error.__cause__.errno in FORBIDDEN):
            raise
        path = Path(f"{directory.absolute().name}-{REPORT}")
        write(path, page)
    return path


async def add_report(directory: Path, warn: Callable[[str], None]) -> None:
    """Write the report of a run that has a result. Any error becomes a warning, so that it cannot hide the result."""
    try:
        await in_thread(write_report, directory)
    except Exception as error:
        warn(one_line(f"{REPORT} could not be written: {type(error).__name__}: {error}", 500))
