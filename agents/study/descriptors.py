"""How many searches may work at once in one process, by the files that it may have open."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

FILES = 12
"""Files that a search may have open: the lock, the log, and of each of its databases two connections, the log and
its index."""
OTHERS = 160
"""Those of the process: what all searches share, connections, and the libraries."""


def fitting(searches: int, say: Callable[[str], None]) -> int:
    """As many of the searches as the operating system gives files to, at least one; says so where those are fewer.

    The soft limit of the process is raised as far as need be and as the hard one lets it.
    """
    if sys.platform == "win32":
        return searches
    import resource

    wanted = FILES * searches + OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return searches
    with suppress(ValueError, OSError):  # a kernel may have a limit of its own below
        soft_now = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft_now, hard))
        soft = soft_now
    room = min(searches, max(1, (soft - OTHERS) // FILES))
    if room < searches:
        say(f"{room} searches at once and not {searches}: a process may have {soft} files open (ulimit -n)")
    return room
