"""Copies a GGUF file and converts its Q4_1 weights to Q8_0, which llama.cpp multiplies faster.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; the blocks are those of ggml-common.h.
"""

from __future__ import annotations

import mmap
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protocols.providers.local.header import Reader

Q4_1, Q8_0 = 3, 8
MOSTLY_Q8_0: Final = 7
"""The value of general.file_type for Q8_0."""
ALIGNMENT: Final = 32
"""Default alignment of a tensor's data in bytes."""
BLOCK: Final = 32
"""Number of weights in a block."""
DESCRIBED: Final = struct.Struct("<IQ")
"""The end of a tensor's description: kind and offset."""
NARROW: Final = np.dtype([("scale", "<f2"), ("least", "<f2"), ("weights", "u1", (BLOCK // 2,))])
"""A block of Q4_1; the first half of its weights is in the lower halves of the bytes."""
WIDE: Final = np.dtype([("scale", "<f2"), ("weights", "i1", (BLOCK,))])
"""A block of Q8_0."""


offset_of = attrgetter("offset")


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a file, described from `start` to `end`. `weights`: their number. `offset`: of its data, relative
    to those of the first tensor."""

    start: int
    end: int
    weights: int
    kind: int
    offset: int


def requantise(source: Path, target: Path) -> None:
    """Write the converted copy `target`, and create its folder if needed. It appears complete or not at all, even if
    other processes write it too.

    :raises OSError: the copy cannot be written.
    :raises ValueError, struct.error: the source is not a GGUF file.
    """
    part = target.with_name(f"{target.name}.{secrets.token_hex(8)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            source.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            part.open("wb") as copy,
        ):
            copy.writelines(pieces(data))
            copy.flush()
            os.fsync(copy.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def pieces(data: mmap.mmap) -> Iterator[bytes]:
    """The bytes of the copy, in order.

    :raises ValueError, KeyError, struct.error: the source is not a GGUF file, or is cut off.
    """
    reader = Reader(data)
    told = reader.metadata()
    align = told.values.get("general.alignment", ALIGNMENT)
    if not isinstance(align, int) or align < 1:
        raise ValueError(f"alignment {align}")
    head = bytearray(data[: reader.at])
    if (described := told.starts.get("general.file_type")) is not None:
        struct.pack_into("<I", head, described, MOSTLY_Q8_0)
    tensors = [tensor_at(reader) for _ in range(told.tensors)]
    first = padded(reader.at, align)
    sizes, places, place = sizes_of(tensors, len(data) - first), dict[int, int](), 0
    for tensor in sorted(tensors, key=offset_of):
        places[tensor.offset] = place
        wide = tensor.weights // BLOCK * WIDE.itemsize
        place = padded(place + (wide if tensor.kind == Q4_1 else sizes[tensor.offset]), align)
    for tensor in tensors:
        kind = Q8_0 if tensor.kind == Q4_1 else tensor.kind
        head += data[tensor.start : tensor.end - DESCRIBED.size] + DESCRIBED.pack(kind, places[tensor.offset])
    yield bytes(head).ljust(padded(len(head), align), b"\0")
    for tensor in sorted(tensors, key=offset_of):
        begin = first + tensor.offset
        raw = data[begin : begin + sizes[tensor.offset]]
        if tensor.kind == Q4_1:
            raw = widened(raw[: tensor.weights // BLOCK * NARROW.itemsize])
        yield raw.ljust(padded(len(raw), align), b"\0")


def sizes_of(tensors: Sequence[Tensor], whole: int) -> dict[int, int]:
    """The size of each tensor in bytes, up to the next one, by offset.

    :raises ValueError: the file is too short for one of them.
    """
    starts = sorted({tensor.offset for tensor in tensors})
    sizes = {start: end - start for start, end in zip(starts, [*starts[1:], whole], strict=True)}
    for tensor in tensors:
        least = tensor.weights // BLOCK * NARROW.itemsize if tensor.kind == Q4_1 else 1
        if sizes[tensor.offset] < least:
            raise ValueError("cut off")
    return sizes


def tensor_at(reader: Reader) -> Tensor:
    """Read the next description of a tensor."""
    start = reader.at
    reader.text()
    weights = prod(int(reader.number("Q")) for _ in range(int(reader.number("I"))))
    kind, offset = int(reader.number("I")), int(reader.number("Q"))
    return Tensor(start, reader.at, weights, kind, offset)


def padded(size: int, align: int) -> int:
    """The size rounded up to a multiple of the alignment."""
    return -(-size // align) * align


def widened(raw: bytes) -> bytes:
    """Convert blocks of Q4_1 to blocks of Q8_0."""
    blocks: NDArray[Any] = np.frombuffer(raw, NARROW)
    halves = blocks["weights"]
    numbers = np.concatenate([halves & 15, halves >> 4], axis=1).astype(np.float32)
    numbers *= blocks["scale"].astype(np.float32)[:, None]
    numbers += blocks["least"].astype(np.float32)[:, None]
    scale = np.abs(numbers).max(axis=1) / 127
    wide = np.zeros(len(blocks), WIDE)
    wide["scale"] = scale
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    wide["weights"] = np.rint(numbers * inverse[:, None])
    return wide.tobytes()
