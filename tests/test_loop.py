"""No callback of ours holds the event loop for long, by the CPU time of its thread.

`python -m benchmarks.lag` prints by what it is held, and for how long.
"""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from agents import foreground
from agents.config.configuration import load
from agents.study.grid import load_grid
from tests.small_task import LABELS, WORDS, Row, write_task
from tests.turns import Turns, counted

pytestmark = pytest.mark.anyio
HELD = 0.02
"""CPU seconds."""
SIZES = {"train": 4000, "validation": 40, "test": 960}


def rows(split: str, count: int) -> list[Row]:
    """Examples of some length."""
    texts = [
        WORDS[LABELS[n % 3]] + f" {split} {n} " + " ".join(f"{n * k % 977}" for k in range(30)) for n in range(count)
    ]
    return [{"input": {"text": text}, "target": LABELS[n % 3], "id": f"{split}-{n}"} for n, text in enumerate(texts)]


def check(turns: Turns) -> None:
    held = [f"{1000 * turn.seconds:.0f} ms by {turn.task}: {' > '.join(turn.held_by)}" for turn in turns.long]
    assert not held, "\n".join(held)


async def test_a_search_with_5_000_examples_never_holds_the_loop(tmp_path: Path) -> None:
    path = write_task(tmp_path, {split: rows(split, count) for split, count in SIZES.items()})
    configuration = load(path, ["search.assignments=8"])
    with counted(HELD) as turns:
        trained = await foreground.train(configuration, {}, tmp_path / "run", Console(file=StringIO()), 0)
    check(turns)
    assert trained.result is not None
    assert trained.result["test"]["n"] == SIZES["test"]


async def test_a_sweep_of_four_never_holds_the_loop(tmp_path: Path) -> None:
    write_task(tmp_path / "task")
    grid = tmp_path / "grid.toml"
    settings = f'tasks = ["task/small.toml"]\ndirectory = "{tmp_path}/out"\nseeds = [0, 1, 2, 3]\nsearches = 4\n'
    grid.write_text(f"[sweep]\n{settings}", encoding="utf-8")
    with counted(HELD) as turns:
        swept = await foreground.sweep(load_grid(grid, ()), {}, Console(file=StringIO()), 0)
        rows, ended = swept.rows, swept.whole
    check(turns)
    assert (len(rows), ended) == (4, True)
