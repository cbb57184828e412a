"""Reads the header of a GGUF file.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocols.errors import ConfigError

MAGIC: Final = b"GGUF"
SCALARS: Final[Mapping[int, str]] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
TEXT, ARRAY = 8, 9
SAMPLES, SAMPLE = 16, 4096
"""Number and bytes of the pieces of a file that identify weights: in other weights nearly every byte differs."""
CACHE_BYTES = 2
"""Bytes of one number in llama.cpp's cache of keys and values."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a GGUF file. `size`: bytes of the file. `file_type`: how most of its weights are quantised.
    `context`: tokens that the model was trained for. `chats`: it has a chat template. `embedding`: length of its
    vectors. `token_bytes`: memory for one token in a slot."""

    size: int
    architecture: str
    file_type: int | None
    context: int | None
    chats: bool
    embedding: int | None
    token_bytes: int


def read_header(path: Path) -> Header:
    """:raises ConfigError: the file cannot be read, or is not a GGUF file."""
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise ConfigError("no GGUF file, which a local model needs", file=str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return header_of(Reader(data).metadata().values, len(data))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None
    except (struct.error, ValueError, KeyError, OverflowError):
        raise ConfigError("a GGUF file whose header cannot be read: cut off, or damaged", file=str(path)) from None


def header_of(told: Mapping[str, object], size: int) -> Header:
    """The header from the metadata of a file."""
    kind = str(told.get("general.architecture", ""))

    def number(name: str) -> int | None:
        value = told.get(f"{kind}.{name}")
        return value if type(value) is int and value > 0 else None

    layers, width = number("block_count") or 0, number("embedding_length")
    heads = number("attention.head_count") or 1
    head = (width or 0) // heads
    each = (number("attention.key_length") or head) + (number("attention.value_length") or head)
    return Header(
        size=size,
        architecture=kind,
        file_type=form if type(form := told.get("general.file_type")) is int else None,
        context=number("context_length"),
        chats=bool(told.get("tokenizer.chat_template")),
        embedding=width,
        token_bytes=layers * (number("attention.head_count_kv") or heads) * each * CACHE_BYTES,
    )


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of a file by key: `values`, None for an array, and `starts`, the offset of each in the file.
    `tensors`: number of the tensor descriptions after it."""

    values: Mapping[str, object]
    starts: Mapping[str, int]
    tensors: int


class Reader:
    """Reads values one after the other, little-endian; `at`: the offset of the next."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self.at = data, len(MAGIC)

    def metadata(self) -> Metadata:
        """The metadata at the beginning of the file.

        :raises ValueError, KeyError, struct.error: it is invalid.
        """
        version, tensors, pairs = self.number("I"), self.number("Q"), self.number("Q")
        if not 2 <= version <= 3:
            raise ValueError(f"version {version}")
        values, starts = dict[str, object](), dict[str, int]()
        for _ in range(int(pairs)):
            key, kind = self.text(), int(self.number("I"))
            starts[key] = self.at
            values[key] = self.value(kind)
        return Metadata(values, starts, int(tensors))

    def number(self, form: str) -> int | float | bool:
        """One number; `form` as in `struct`."""
        [value] = struct.unpack_from(f"<{form}", self._data, self.at)
        self.at += struct.calcsize(f"<{form}")
        found: int | float | bool = value
        return found

    def text(self) -> str:
        """A text with its length before it."""
        start = self._skip_text()
        return self._data[start : self.at].decode("utf-8", "replace")

    def value(self, kind: int) -> object:
        """A value of a kind; None for an array, whose elements are skipped."""
        if kind == TEXT:
            return self.text()
        if kind != ARRAY:
            return self.number(SCALARS[kind])
        inner, length = int(self.number("I")), int(self.number("Q"))
        if inner in SCALARS:
            self.at += length * struct.calcsize(f"<{SCALARS[inner]}")
        else:
            for _ in range(length):
                self._skip_text() if inner == TEXT else self.value(inner)
        return None

    def _skip_text(self) -> int:
        """Skip a text; returns the offset of its first byte."""
        start = self.at + 8
        [length] = struct.unpack_from("<Q", self._data, self.at)
        if start + length > len(self._data):
            raise ValueError("cut off")
        self.at = start + length
        return start


def fingerprint(path: Path) -> str:
    """Identifies weights by their size and samples of their bytes; equal for copies of a file.

    :raises ConfigError: the file cannot be read.
    """
    try:
        size = path.stat().st_size
        digest = hashlib.blake2b(size.to_bytes(8, "little"), digest_size=16)
        with path.open("rb") as file:
            for place in range(SAMPLES):
                file.seek(max(0, size - SAMPLE) * place // (SAMPLES - 1))
                digest.update(file.read(SAMPLE))
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from None
    return digest.hexdigest()
