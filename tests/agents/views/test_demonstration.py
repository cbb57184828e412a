"""What the demo shows of a run, whatever is written in its data and prompts."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agents.config.configuration import load
from agents.run.opening import open_run
from agents.views.demonstration import MOST, gains, mistakes, show_demonstration
from tests.small_task import rows, write_task

pytestmark = pytest.mark.anyio
HOSTILE = "\x1b[2J\u202e[red]\r"


async def searched(folder: Path, assignments: int, hostile: str = "") -> tuple[Path, dict[str, Any]]:
    """A run directory and its result; `hostile` stands in each input."""
    splits = {
        split: [{**row, "input": {"text": row["input"]["text"] + hostile}} for row in rows(split)]  # type: ignore[index]
        for split in ("train", "validation", "test")
    }
    config = load(write_task(folder, splits), [f"search.assignments={assignments}", "search.operators=['few_shot']"])
    async with open_run(config, {}, folder / "run") as run:
        return folder / "run", asdict(await run.search())


def shown(directory: Path, result: dict[str, Any]) -> str:
    file = io.StringIO()
    show_demonstration(Console(file=file, width=120), directory, result)
    return file.getvalue()


@pytest.mark.parametrize("hostile", ["", HOSTILE])
async def test_first_and_best_are_shown_with_what_was_gained(tmp_path: Path, hostile: str) -> None:
    directory, result = await searched(tmp_path, 6, hostile)
    printed = shown(directory, result)
    gained, wrong = gains(result), mistakes(directory)
    assert gained
    assert wrong
    assert [one["example"] for one in gained] == list(result["test"]["gained"])
    for title in ("The first prompt, as it was sent", "The best prompt, as it is sent"):
        assert "    Label:\n" in printed.split(title)[1]
    assert f"{len(gained)} of {result['test']['n']} test examples" in printed
    assert f"{result['test']['best']:.3f}" in printed
    assert "\x1b" not in printed
    assert not any(unicodedata.category(c) in ("Cc", "Cf") and c != "\n" for c in printed)


async def test_where_no_edit_was_better_the_first_prompt_is_shown_alone(tmp_path: Path) -> None:
    directory, result = await searched(tmp_path, 0)
    printed = shown(directory, result)
    assert "No edit was better than the first prompt" in printed
    assert "The best prompt, as" not in printed
    assert "Wrong before" not in printed


async def test_no_more_examples_are_shown_than_fit_before_a_person(tmp_path: Path) -> None:
    directory, result = await searched(tmp_path, 6)
    printed = shown(directory, result)
    table = printed.split("Some of its wrong answers")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == min(MOST, len(mistakes(directory)))
