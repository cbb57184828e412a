"""The number of concurrent searches that the process's limit of open files allows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

FILES = 12
"""Most open files of a search: the lock, the log, and for each database two connections, its log and the log's
index."""
OTHERS = 160
"""Other open files of the process: those that all searches share, connections, and libraries."""


def fitting(searches: int, say: Callable[[str], None]) -> int:
    """The number of searches that the limit of open files allows, at most `searches` and at least one; tells `say` if
    it is fewer.

    Raises the soft limit of the process as far as necessary, and as the hard limit allows.
    """
    if sys.platform == "win32":
        return searches
    import resource

    wanted = FILES * searches + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return searches
    with suppress(ValueError, OSError):  # the kernel may have a lower limit of its own
        soft_now = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft_now, hard))
        soft = soft_now
    room = min(searches, max(1, (soft - OTHERS) // FILES))
    if room < searches:
        say(f"{room} searches at once and not {searches}: a process may have {soft} files open (ulimit -n)")
    return room
