"""Headers of GGUF files: whatever is in one, it is read or refused; and copies of weights in another form."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ConfigError
from protocols.providers.local import quicker
from protocols.providers.local import requantise as requantising
from protocols.providers.local.header import Reader, fingerprint, read_header
from protocols.providers.local.requantise import BLOCK, NARROW, WIDE, requantise, widened
from tests.gguf_files import gguf, text, write_gguf

simple = st.text(max_size=8) | st.integers(0, 2**32 - 1)
values = st.dictionaries(
    st.text(max_size=8), simple | st.lists(st.text(max_size=4)) | st.lists(st.integers(0, 9)), max_size=6
)


@given(values)
def test_what_is_written_is_read_and_arrays_are_passed_over(told: dict[str, Any]) -> None:
    with mmap.mmap(-1, len(content := gguf(told, 7))) as data:
        data[:] = content
        reader = Reader(data)
        found = reader.metadata()
        assert (found.tensors, reader.at) == (7, len(content))
    assert found.values == {key: None if isinstance(value, list) else value for key, value in told.items()}


@given(values, st.data())
def test_a_damaged_header_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, told: dict[str, Any], data: st.DataObject
) -> None:
    file, content = tmp_path_factory.mktemp("x") / "x.gguf", bytearray(gguf(told))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    try:
        read_header(file)
    except ConfigError as error:
        said = str(error)
    else:
        return
    assert said.startswith(str(file))
    assert "\n" not in said


def test_what_a_header_says_of_the_memory_of_a_token(tmp_path: Path) -> None:
    shape = {"block_count": 30, "embedding_length": 576, "attention.head_count": 9, "attention.head_count_kv": 3}
    header = read_header(write_gguf(tmp_path / "x.gguf", {f"llama.{key}": shape[key] for key in shape}))
    assert header.token_bytes == 30 * 3 * 2 * 64 * 2  # layers, heads, keys and values, of 64 numbers of 2 bytes


@given(st.binary(min_size=3 * NARROW.itemsize, max_size=3 * NARROW.itemsize))
def test_weights_are_the_same_in_both_forms_to_half_a_step(raw: bytes) -> None:
    blocks = np.frombuffer(raw, NARROW).copy()
    for name in ("scale", "least"):  # numbers that a model has
        blocks[name] = np.where(np.isfinite(blocks[name]) & (abs(blocks[name]) < 100), blocks[name], 0.5)
    halves = blocks["weights"]
    before = np.concatenate([halves & 15, halves >> 4], axis=1) * blocks["scale"].astype(np.float64)[:, None]
    before += blocks["least"].astype(np.float64)[:, None]
    wide: Any = np.frombuffer(widened(blocks.tobytes()), WIDE)
    after = wide["weights"].astype(np.float64) * wide["scale"].astype(np.float64)[:, None]
    step = abs(before).max(axis=1, keepdims=True) / 127
    assert (abs(after - before) <= 0.51 * step + 127 * 2**-24 + abs(before) * 2**-10).all()


def slow_file(path: Path) -> Path:
    """Two tensors, one of them of the kind Q4_1."""
    described = b""
    for name, shape, kind, offset in (("a", (BLOCK, 2), 3, 0), ("b", (3,), 0, 64)):
        described += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    head = gguf({"general.architecture": "llama", "general.file_type": 3}, tensors=2) + described
    block = np.array([(1.0, 0.0, [0x21] * 16)], NARROW).tobytes()
    data = (2 * block).ljust(64, b"\0") + struct.pack("<3f", 1, 2, 3)
    path.write_bytes(head.ljust(-(-len(head) // 32) * 32, b"\0") + data)
    return path


def test_the_copy_has_the_other_tensors_as_they_were(tmp_path: Path) -> None:
    source, target = slow_file(tmp_path / "x.gguf"), tmp_path / "new" / "y.gguf"
    requantise(source, target)
    assert read_header(target).file_type == 7
    content = target.read_bytes()
    assert struct.pack("<3f", 1, 2, 3) in content[-32:]
    wide: Any = np.frombuffer(content[-(96 + 32) :][: 2 * WIDE.itemsize], WIDE)
    assert np.rint(wide["weights"] * wide["scale"].astype(float)[:, None]).tolist() == [[1] * 16 + [2] * 16] * 2
    assert list(target.parent.iterdir()) == [target]


def test_a_copy_that_is_made_within_another_harms_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = slow_file(tmp_path / "x.gguf"), tmp_path / "new" / "y.gguf"
    requantise(source, tmp_path / "alone.gguf")
    first = iter([True])

    def pieces(data: mmap.mmap) -> Iterator[bytes]:
        for piece in real(data):
            yield piece
            if next(first, False):
                requantise(source, target)

    real = requantising.pieces
    monkeypatch.setattr(requantising, "pieces", pieces)
    requantise(source, target)
    assert target.read_bytes() == (tmp_path / "alone.gguf").read_bytes()
    assert list(target.parent.iterdir()) == [target]


def test_a_copy_is_made_once_where_it_can_be_and_never_needed(tmp_path: Path) -> None:
    source = slow_file(tmp_path / "x.gguf")
    header, environ = read_header(source), {"XDG_CACHE_HOME": str(tmp_path / "caches")}
    copy = quicker.quicker(source, header, environ)
    made = copy.stat().st_mtime_ns
    assert quicker.quicker(source, header, environ) == copy != source
    assert copy.stat().st_mtime_ns == made
    (tmp_path / "file").touch()
    assert quicker.quicker(source, header, {"XDG_CACHE_HOME": str(tmp_path / "file")}) == source
    assert quicker.quicker(copy, read_header(copy), environ) == copy


def test_a_file_that_is_cut_off_has_no_copy(tmp_path: Path) -> None:
    source = slow_file(tmp_path / "x.gguf")
    header = read_header(source)
    source.write_bytes(source.read_bytes()[:-70])
    assert quicker.quicker(source, header, {"XDG_CACHE_HOME": str(tmp_path / "caches")}) == source
    assert not list((tmp_path / "caches").rglob("*.gguf*"))


@given(st.binary(max_size=300_000), st.integers(0))
def test_other_weights_have_another_fingerprint(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int
) -> None:
    folder = tmp_path_factory.mktemp("x")
    (folder / "a").write_bytes(content)
    (folder / "b").write_bytes(content)
    assert fingerprint(folder / "a") == fingerprint(folder / "b")
    (folder / "b").write_bytes(content + b"x")
    assert fingerprint(folder / "a") != fingerprint(folder / "b")
