"""The caps over several runs under which a run was last opened, kept in its directory."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import orjson

from agents.directory.run_directory import SHARED_CAPS, read_document, write
from protocols.budget.budget_scope import Caps
from protocols.errors import is_shared


def keep_shared_caps(directory: Path, caps: Caps | None) -> None:
    """Write the caps to a run directory. None: the run is opened without any.

    :raises StorageFailed: they cannot be written.
    """
    path = directory / SHARED_CAPS
    if caps is not None or path.exists():
        write(path, orjson.dumps(asdict(caps or Caps()), option=orjson.OPT_INDENT_2) + b"\n")


def raised_shared_caps(directory: Path, now: Caps | None) -> frozenset[str]:
    """Those of the kept caps (`calls`, ...) that are higher `now`, or removed.

    :raises StorageFailed: the file is damaged.
    """
    kept, limits = read_document(directory / SHARED_CAPS) or {}, asdict(now or Caps())
    return frozenset(
        cap
        for cap, before in kept.items()
        if before is not None and (limits.get(cap) is None or limits[cap] > before)
    )


def shared_cap(stopped_by: str) -> str:
    """The cap over several runs (`calls`, ...) that ended a run, by its `stopped_by`; "" if none did."""
    kind, _, name = stopped_by.partition(": ")
    return name.partition(" of ")[0] if kind == "budget" and is_shared(name) else ""
