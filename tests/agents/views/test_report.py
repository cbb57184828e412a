"""What a report says of figures that there are none of."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agents.archive.archive import Member
from agents.config.configuration import load
from agents.directory.run_directory import RESULT, read_document
from agents.run.concluding import passed_over
from agents.run.opening import open_run
from agents.views.report import longer_but_better, no_gain, show_result
from protocols.prompt import Prompt, Section
from tests.small_task import write_task

pytestmark = pytest.mark.anyio


async def test_a_minibatch_that_was_not_run_has_a_dash_and_no_score(tmp_path: Path) -> None:
    async with open_run(load(write_task(tmp_path / "task")), {}, tmp_path / "run") as run:
        await run.search()
    result = read_document(tmp_path / "run" / RESULT)
    assert result is not None
    first, out = result["train"]["first"], io.StringIO()
    cut = {**result, "train": {"first": first, "best": {**first, "value": 0.0, "n": 0}}}
    show_result(Console(file=out, width=200), cut)
    [row] = [line.split() for line in out.getvalue().splitlines() if line.startswith("train")]
    assert f"The first prompt has about {result['length']['first']:,} tokens" in out.getvalue()
    older, out = {name: value for name, value in result.items() if name != "length"}, io.StringIO()
    show_result(Console(file=out, width=200), older)
    assert "tokens without the input" not in out.getvalue()
    assert row == ["train", f"{first['value']:.3f}", "–", "–", f"{first['n']},", "0"]


def member(candidate: int, value: float, tokens: int) -> Member:
    prompt = Prompt((Section("task", "task", "-"),))
    return Member(candidate, None, prompt, tokens, (value,), value, {}, ())


candidates = st.builds(member, st.integers(0, 99), st.sampled_from([0.1, 0.5, 0.6]), st.sampled_from([10, 40, 90]))


@given(st.lists(candidates, min_size=1, max_size=6, unique_by=lambda one: one.candidate), st.data())
def test_a_better_and_longer_candidate_is_named(members: list[Member], data: st.DataObject) -> None:
    winner = data.draw(st.sampled_from(members))
    found = passed_over(members, winner)
    best = max(one.value for one in members)
    result = {"best": {"value": winner.value}, "passed_over": found and asdict(found)}
    lines = [*longer_but_better(result)]
    if found is None:
        assert winner.value == best or min(o.tokens for o in members if o.value == best) <= winner.tokens
        assert not lines
        return
    assert (found.value, winner.value < best, winner.tokens < found.tokens) == (best, True, True)
    assert f"show RUN_DIR --candidate {found.candidate} prints it" in lines[0]


@pytest.mark.parametrize(
    ("candidate", "difference", "interval", "said"),
    [
        (3, -0.1, (-0.2, -0.05), "On test, the best prompt is 0.100 worse than the first one."),
        (3, -0.1, (-0.2, 0.05), "worse than the first one; the interval holds 0, so this may be chance."),
        (3, 0.0, (0.0, 0.0), "On test, the best prompt is no better than the first one."),
        (0, 0.0, (0.0, 0.0), "No edit was better than the first prompt, which is the result."),
        (3, 0.1, (-0.2, 0.05), ""),
    ],
)
def test_a_loss_is_called_one(candidate: int, difference: float, interval: tuple[float, float], said: str) -> None:
    test = {"difference": difference, "interval": interval, "n": 9}
    lines = [*no_gain({"candidate": candidate, "test": test})]
    assert len(lines) == bool(said)
    assert all(line.endswith(said) for line in lines)
    assert not [*no_gain({"candidate": 3, "test": None})]
