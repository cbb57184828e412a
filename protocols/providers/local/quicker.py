"""A faster copy of a model's weights, made once and kept in the user's cache folder."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from protocols.errors import ConfigError
from protocols.providers.local.header import Header, fingerprint
from protocols.providers.local.requantise import requantise

SLOW: Final = 3
"""The value of general.file_type for Q4_1, for which llama.cpp has no fast matrix multiplication: with Q8_0 prompts
are read 1.6 times as fast (docs/decisions/local.md)."""
LARGEST: Final = 512 * 2**20
"""Most bytes of a file that is copied; a larger copy would take minutes and gigabytes."""
VERSION: Final = 1
"""The version of the files that `requantise.py` writes."""


def folder(environ: Mapping[str, str]) -> Path:
    """The cache folder of this user.

    :raises RuntimeError: the user has no home directory.
    """
    if named := environ.get("XDG_CACHE_HOME", "").strip():
        return Path(named) / "promptflow"
    if sys.platform == "win32" and (named := environ.get("LOCALAPPDATA", "").strip()):
        return Path(named) / "promptflow"
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    home = environ.get("HOME", "").strip()
    return (Path(home) if home else Path.home()) / caches / "promptflow"


def quicker(file: Path, header: Header, environ: Mapping[str, str]) -> Path:
    """The faster copy of a file, made now if it does not exist, which takes seconds; the file itself if a copy is not
    worth it, or cannot be made."""
    if header.file_type != SLOW or header.size > LARGEST:
        return file
    with suppress(OSError, RuntimeError, ValueError, KeyError, struct.error, ConfigError):
        copy = folder(environ) / f"{fingerprint(file)}-q8_0-{VERSION}.gguf"
        if not copy.exists():
            requantise(file, copy)
        return copy
    return file
