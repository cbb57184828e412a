"""A directory per hypothesis example: pytest's is one per test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    with TemporaryDirectory() as path:
        yield Path(path)
