"""Opens the reply caches and memories of runs on the head."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from memory.opening import MEGABYTES
from memory.remote.caches import CacheFile, CacheHead
from memory.remote.memories import MemoryHead
from memory.remote.remote_cache import open_remote_cache
from memory.remote.remote_memory import open_remote_memory
from memory.store import Memory
from protocols.embedding import Embedder
from protocols.wrappers.cached import Replies


@dataclass(frozen=True, slots=True)
class RemoteStores:
    """Files of the head, for one search. `name`: names the search's process, and must be new each time that it is
    started. `there`: the path on the head of a path here."""

    caches: CacheHead
    memories: MemoryHead
    name: str
    there: Callable[[Path], Path] = lambda path: path

    def cache(
        self, path: Path, megabytes: int = MEGABYTES, *, alone: bool = False
    ) -> AbstractAsyncContextManager[Replies]:
        """See `Stores`."""
        cache = CacheFile(os.fspath(self.there(path)), megabytes * 2**20, alone)
        return open_remote_cache(self.caches, cache, self.name)

    def memory(self, path: Path, embedder: Embedder) -> AbstractAsyncContextManager[Memory]:
        """See `Stores`."""
        return open_remote_memory(self.memories, os.fspath(self.there(path)), embedder, self.name)
