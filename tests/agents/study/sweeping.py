"""A sweep for a process of its own, which a test kills."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio

from agents.results.result import Result
from agents.run.search import Run
from agents.study.engine import InThisProcess
from agents.study.grid import Cell, load_grid
from agents.study.sweep import Sweep


def sweep(path: Path, settings: Sequence[str], environ: dict[str, str]) -> None:
    async def search(cell: Cell, run: Run) -> Result:
        return await run.search()

    anyio.run(Sweep(load_grid(path, settings), environ, InThisProcess(environ, search), lambda row: None).run)
