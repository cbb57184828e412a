"""A search in a process that may be killed at any point, and the task that it is given."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from agents.config.configuration import Configuration, build
from agents.run.opening import open_run
from protocols.errors import PromptFlowError
from protocols.messages import Envelope
from tests.agents.run.breaking import NO_SYNC, READ_ONLY, refuse

CONCURRENCY = 4
"""Calls of one candidate in flight, at most."""


def configuration(
    folder: Path,
    url: str,
    width: int,
    assignments: int,
    calls: int | None = None,
    task: Sequence[str] = ("openai/some-model",),
) -> Configuration:
    """The small world of `tests.world`, whose files are in `folder`, answered over the wire at `url`. `calls`: their
    cap. `task`: the task's models."""
    return build(
        {
            "task": {"name": "small", **{name: f"{name}.jsonl" for name in ("train", "validation", "test")}},
            "prompt": {"file": "prompt.txt"},
            "models": {"default": "openai/some-model", "task": task},
            "providers": {"openai": {"base_url": url}},
            "budget": {} if calls is None else {"calls": calls},
            "search": {
                "width": width,
                "assignments": assignments,
                "operators": ["self_reflection", "short_instruction", "few_shot"],
                "selector": "msgd_rl",
                "critique": 12,
                "credit_share": 0.5,
                "concurrency": CONCURRENCY,
                "max_unanswered": 0.5,
            },
        },
        folder,
    )


@dataclass(frozen=True)
class Fault:
    """What becomes of the disk: no file may be longer than `room` bytes; or, from the `after`-th message on, writes
    (`read_only`) or syncs (`no_sync`) fail."""

    room: int | None = None
    read_only: bool = False
    no_sync: bool = False
    after: int = 0


def search(
    folder: Path,
    url: str,
    width: int,
    assignments: int,
    directory: Path,
    fault: Fault | None = None,
    calls: int | None = None,
    task: Sequence[str] = ("openai/some-model",),
) -> None:
    """To its end, if it is let live so long. What `fault` leads to is written beside the run directory, and the exit
    code is 1."""
    fault = fault or Fault()
    if fault.room is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.room, resource.RLIM_INFINITY))

    async def main() -> None:
        async with open_run(configuration(folder, url, width, assignments, calls, task), {}, directory) as run:

            async def follow(envelope: Envelope) -> None:
                if envelope.id == fault.after and fault.read_only:
                    refuse(READ_ONLY)
                if envelope.id == fault.after and fault.no_sync:
                    refuse(*NO_SYNC)

            run.bus.tap(follow)
            await run.search()

    try:
        anyio.run(main)
    except PromptFlowError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        directory.with_suffix(".error").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        sys.exit(1)
