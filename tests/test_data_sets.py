"""The same search on public data, where it is at hand: `../shared/data` beside the checkout, which we do not ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runs.configuration import build
from agents.runs.result import Result
from agents.runs.search import open_run

pytestmark = pytest.mark.anyio
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


async def trained(name: str, directory: Path) -> Result:
    """At width 1, so that the seed fixes the run."""
    table = {
        "task": {"name": name, **{split: f"{split}.jsonl" for split in ("train", "validation", "test")}},
        "search": {"assignments": 40, "width": 1},
    }
    async with open_run(build(table, DATA / name), {}, directory) as run:
        return await run.search()


@pytest.mark.timeout(300)
@pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not at hand")
@pytest.mark.parametrize("name", ["snips", "subj", "banking77", "thucnews"])
async def test_a_search_raises_the_held_out_score(name: str, tmp_path: Path) -> None:
    result = await trained(name, tmp_path / "run")
    assert result.test is not None
    assert result.test.errors == 0
    assert result.test.difference > 0
