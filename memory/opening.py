"""Opens the reply caches and memories of runs by their paths: here as files of this machine."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from memory.storage.cache import open_cache
from memory.store import Memory, open_memory
from protocols.embedding import Embedder
from protocols.wrappers.cached import Replies

MEGABYTES = 2**10
"""Size of a reply cache, unless configured."""


class Stores(Protocol):
    """Where reply caches and memories are. Their paths name them."""

    def cache(
        self, path: Path, megabytes: int = MEGABYTES, *, alone: bool = False
    ) -> AbstractAsyncContextManager[Replies]:
        """Open or create a reply cache, see `open_cache`.

        :raises MemoryMismatch, StorageFailed: it cannot be used.
        """

    def memory(self, path: Path, embedder: Embedder) -> AbstractAsyncContextManager[Memory]:
        """Open or create a memory, see `open_memory`.

        :raises MemoryMismatch, StorageFailed: it cannot be used.
        """


class LocalStores:
    """Files of this machine."""

    def cache(
        self, path: Path, megabytes: int = MEGABYTES, *, alone: bool = False
    ) -> AbstractAsyncContextManager[Replies]:
        """See `Stores`."""
        return open_cache(path, megabytes * 2**20, alone=alone)

    def memory(self, path: Path, embedder: Embedder) -> AbstractAsyncContextManager[Memory]:
        """See `Stores`."""
        return open_memory(path, embedder)
