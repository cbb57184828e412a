"""What the benchmarks of the whole ring share: a wire server in a process of its own, and a task for it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from agents.config.configuration import Configuration, build
from tests.wire.answers import PROMPT, label

MODEL = "openai/benchmark"
SIZES = {"train": 64, "validation": 200, "test": 20}


@contextlib.contextmanager
def server(*options: str) -> Iterator[str]:
    """The URL of a wire server with these options, in its own process."""
    command = [sys.executable, "-m", "tests.wire_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.communicate()


def write_task(folder: Path, validation: int = SIZES["validation"]) -> dict[str, Any]:
    """The files of the task that the wire server's rule knows; the tables of a configuration that name them."""
    for split, size in {**SIZES, "validation": validation}.items():
        rows = [
            {"id": f"{split}-{n}", "input": {"text": f"{split}, number {n}"}, "target": label(n)} for n in range(size)
        ]
        (folder / f"{split}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    (folder / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    return {
        "task": {"name": "benchmark", **{split: f"{split}.jsonl" for split in SIZES}},
        "prompt": {"file": "prompt.txt"},
    }


def search_configuration(
    url: str, allowed: int, folder: Path, search: Mapping[str, Any], validation: int = SIZES["validation"]
) -> Configuration:
    """A search on the task that the wire server's rule knows, with `allowed` calls in flight."""
    return build(
        {
            **write_task(folder, validation),
            "models": {"default": MODEL},
            "providers": {MODEL: {"base_url": f"{url}/v1", "concurrency": allowed}},
            "search": {"operators": ["self_reflection"], "selector": "msgd", **search},
        },
        folder,
    )
