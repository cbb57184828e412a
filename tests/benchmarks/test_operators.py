"""What each operator earns: a search is read from its run directory, made once, and counted in the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.operators import Earned, Row, mean, parse, parser, run, settings, table
from benchmarks.rows import check, read
from protocols.errors import InputError

pytestmark = pytest.mark.anyio
HOME = Path(__file__).resolve().parents[2] / "examples" / "home"


async def test_a_search_is_made_once_and_every_assignment_is_in_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.operators.STARTS", ("wordy",))
    small = ["--model", "embedded", "--assignments", "3", "--seeds", "1", "--train", "8", "--validation", "8"]
    told = [str(HOME), *small, "--operators", "few_shot,self_reflection", "--out", str(tmp_path)]
    options = parser().parse_args(told)
    await run(options)
    rows = read(tmp_path / "operators.jsonl", parse)
    check(rows, settings(options), tmp_path, "--out")
    assert [(row.task, row.start, len(row.earned)) for row in rows] == [("home", "wordy", 3)]
    assert all(1 <= e.paired <= 8 for row in rows for e in row.earned if e.outcome in ("survived", "lost"))
    assert sum(row.tokens.get("few_shot", 0) for row in rows) == 0, "it asks nobody"
    before = (tmp_path / "operators.jsonl").read_bytes()
    await run(options)
    assert (tmp_path / "operators.jsonl").read_bytes() == before
    with pytest.raises(InputError, match="measured with assignments = 3"):
        await run(parser().parse_args([*told, "--assignments", "4"]))


def test_gains_count_by_the_examples_that_were_raced_on() -> None:
    rows = [
        Row(
            "t", "bare", seed, {}, (Earned("merge", "whole", 0.1, "survived", True, 0.1, 30), lost), {"merge": 8}, 1.0
        )
        for seed, lost in enumerate([Earned("merge", "whole", -0.1, "lost", False, -0.3, 10)] * 2)
    ]
    failed = Earned("mine", "task", -0.05, "unreadable", False, 0.0, 0)
    lines = table([*rows, Row("t", "bare", 2, {}, (failed,), {}, 1.0)])
    assert lines[2].startswith(
        "| merge | +0.00 [+0.00, +0.00] | +0.00 [+0.00, +0.00] | +10.00 [+10.00, +10.00] | 4 | 50% |"
    )
    assert lines[2].endswith("| 4 |")
    assert lines[3] == "| mine |  | -5.00 |  | 1 | 0% | 0% | 100% | 0% | 0% | 0% | 0 |"


def test_an_interval_is_over_searches() -> None:
    rng = np.random.default_rng(0)
    low, high = mean([[(1.0, 1)] * 100, [(0.0, 1)] * 100], rng)[1:]
    assert (low, high) == (0.0, 1.0)
