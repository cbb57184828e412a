"""The commands on memories, beyond `memory.upkeep`: finding the file, export, import and printing statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agents.directory.run_directory import MEMORY
from memory.store import open_memory
from memory.upkeep import Group, Stats, read_lines, stats, take_in
from protocols.concurrency.threads import in_thread
from protocols.embedding import HashedNgrams
from protocols.errors import ConfigError, MemoryMismatch, StorageFailed
from protocols.text import one_line


def memory_file(path: Path) -> Path:
    """The memory file at `path`, or in the run directory `path`."""
    return path / MEMORY if path.is_dir() else path


def write_lines(path: Path, lines: Iterable[bytes | None]) -> tuple[int, int]:
    """Write a new file; returns the number of lines written, and of lines that are None because they could not be
    read. An incomplete file is deleted.

    :raises ConfigError: the file exists already.
    :raises StorageFailed: it cannot be written.
    """
    count, lost = 0, 0
    try:
        with path.open("xb") as file:
            try:
                for line in lines:
                    if line is None:
                        lost += 1
                    else:
                        file.write(line)
                        count += 1
            except BaseException:
                path.unlink()
                raise
    except FileExistsError:
        raise ConfigError("is there already; name another file", file=str(path)) from None
    except OSError as error:
        raise StorageFailed(f"cannot be written ({error.strerror})", file=str(path)) from error
    return count, lost


async def import_lines(memory: Path, source: Path) -> tuple[int, int]:
    """Import a JSON lines file into a memory; returns how many experiences were added, and how many it held already.

    :raises DataError: a line cannot be used; nothing was written.
    :raises MemoryMismatch, StorageFailed: the memory cannot be used, for instance because its embedder is a model.
    """
    experiences = await in_thread(read_lines, source)
    await in_thread(check_embedder, memory)
    async with open_memory(memory, HashedNgrams()) as opened:
        added = await take_in(opened, experiences)
    return added, len(experiences) - added


def check_embedder(memory: Path) -> None:
    """:raises MemoryMismatch: the memory's embedder is a model."""
    made = stats(memory).embedder if memory.exists() else None
    if made not in (None, HashedNgrams().name):
        raise MemoryMismatch(f"made with the embedder {made}, and import asks no model", file=str(memory))


def show_stats(console: Console, found: Stats) -> None:
    """Print the statistics of a memory."""
    console.print(Text(f"{found.path}: {found.count:,} experiences, {found.size / 1e6:,.1f} MB"), soft_wrap=True)
    if found.embedder is not None:
        console.print(Text(f"Embedder: {found.embedder}, dimension {found.dimension}"), soft_wrap=True)
    if found.oldest is not None and found.newest is not None:
        console.print(Text(f"From {_day(found.oldest)} to {_day(found.newest)}"), soft_wrap=True)
        outcomes = ", ".join(f"{name} {count}" for name, count in found.outcomes.items())
        console.print(Text(f"Outcomes: {outcomes}"), soft_wrap=True)
    for title, groups in (("task", found.tasks), ("operator", found.operators), ("kind", found.kinds)):
        if groups:
            console.print(_table(title, groups))


def _table(title: str, groups: Mapping[str, Group]) -> Table:
    table = Table(title, box=None)
    for heading in ("experiences", "survived", "mean reward", "mean evidence"):
        table.add_column(heading, justify="right")
    for name, group in groups.items():
        figures = (f"{group.count:,}", f"{group.survived:.0%}", f"{group.reward:+.4f}", f"{group.evidence:.1f}")
        table.add_row(Text(one_line(name, 60)), *figures)
    return table


def _day(time: float) -> str:
    """The date of a Unix time; in seconds if the calendar has no such year."""
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return f"{time:g} s"
