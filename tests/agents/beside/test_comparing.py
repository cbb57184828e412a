"""Runs beside each other: the comparison is of the examples' own scores, and what cannot be compared is refused."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from agents import foreground
from agents.beside.comparing import Beside, Differing, Part, Side, compare
from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL, RESULT, TEST_SCORES, read_configuration
from agents.results.kept_scores import read_scores
from agents.results.prompt_diff import SectionChange
from agents.run.opening import open_run
from agents.run.scoring import Scoring
from agents.views.beside import cells
from agents.views.page.comparison import comparison_page, write_comparison
from protocols.errors import ConfigError, InputError, StorageFailed
from protocols.metrics.bootstrap import RESAMPLES, SEED
from tests.command_line import invoke
from tests.small_task import Row, rows, write_task

pytestmark = pytest.mark.anyio


async def run(folder: Path, name: str, *settings: str, **files: Any) -> Path:
    """A run of the small task on the simulator."""
    config = write_task(folder / f"task-{name}", **files)
    async with open_run(load(config, [*settings]), {}, folder / name) as opened:
        await opened.search()
    return folder / name


def change(directory: Path, **scores: float) -> None:
    """Give test examples another score of the best prompt, by their ids."""
    document = orjson.loads((directory / TEST_SCORES).read_bytes())
    for name, value in scores.items():
        document["examples"][name.replace("_", "-")][2] = [value, {}]
    (directory / TEST_SCORES).write_bytes(orjson.dumps(document))


async def test_a_run_keeps_the_score_of_each_test_example(tmp_path: Path) -> None:
    """And these are those of its report."""
    directory = await run(tmp_path, "one")
    kept, test = read_scores(directory), orjson.loads((directory / RESULT).read_bytes())["test"]
    assert kept is not None
    for scores, value in ((kept.first, test["first"]), (kept.best, test["best"])):
        assert np.mean([mark.score for mark in scores.values()]) == pytest.approx(value)
    assert {name for name, _ in kept.best} == {row["id"] for row in rows("test")}
    gained = [key[0] for key, mark in kept.best.items() if mark.score > kept.first[key].score]
    assert gained == test["gained"]


async def test_the_difference_and_its_interval_are_of_pairs(tmp_path: Path) -> None:
    """An independent bootstrap over the same draws finds the same interval."""
    a, b = await run(tmp_path, "a", "search.assignments=0"), await run(tmp_path, "b", "search.assignments=0")
    change(a, test_0=0.0, test_1=1.0, test_2=0.0)
    change(b, test_0=1.0, test_1=0.0, test_2=1.0)
    beside = compare([a, b])
    assert beside.shared == 9
    first, other = beside.sides
    assert (first.difference, first.interval, first.gained) == (None, None, ())
    assert other.gained == ("test-0", "test-2")
    assert other.lost == ("test-1",)
    assert other.difference == pytest.approx(1 / 9)
    gaps = np.array([1, -1, 1, *[0] * 6], dtype=float)
    drawn = np.random.default_rng(SEED).multinomial(9, np.full(9, 1 / 9), RESAMPLES) @ gaps / 9
    assert other.interval == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert beside.differing[0] == Differing("test-0", (0.0, 1.0))
    assert [part.changes[0].change for part in beside.parts] == ["same"] * len(beside.parts)


async def test_only_examples_that_are_the_same_are_paired(tmp_path: Path) -> None:
    fewer = rows("test")[3:]
    other = [{**fewer[0], "target": "退款"}, *fewer[1:]]
    a, b = await run(tmp_path, "a"), await run(tmp_path, "b", splits={"test": other})
    beside = compare([a, b])
    assert (beside.shared, beside.only) == (5, (4, 1))
    assert len(beside.remarks) == 2
    assert beside.sides[0].value == pytest.approx(beside.sides[1].value - (beside.sides[1].difference or 0.0))


async def test_a_corpus_metric_is_computed_from_counts(tmp_path: Path) -> None:
    """Not as a mean over examples."""
    metric = 'task.metric="macro_f1"'
    a, b = await run(tmp_path, "a", metric, "search.assignments=0"), await run(tmp_path, "b", metric)
    for side in compare([a, b]).sides:
        assert side.value == pytest.approx(side.best)


def elsewhere(split: str) -> list[Row]:
    return [{**row, "input": {"text": f"{row['input']} too"}} for row in rows(split)]


@pytest.mark.parametrize(
    ("setting", "files", "said"),
    [
        ('task.metric="macro_f1"', {}, "task.metric is accuracy and macro_f1"),
        ("", {"splits": {"test": elsewhere("test")}}, "same ids (test-0, …) with other inputs"),
        ("", {"splits": {"test": [{**row, "id": f"x{n}"} for n, row in enumerate(rows("test"))]}}, "no test example"),
    ],
)
async def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, setting: str, files: dict[str, Any], said: str
) -> None:
    none = "search.assignments=0"
    a, b = await run(tmp_path, "a", none), await run(tmp_path, "b", none, *filter(None, [setting]), **files)
    with pytest.raises(ConfigError) as caught:
        compare([a, b])
    assert said in str(caught.value)
    assert str(a) in str(caught.value)


async def test_a_run_without_scores_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    a = await run(tmp_path, "a", "search.assignments=0")
    older, unfinished, torn = (shutil.copytree(a, tmp_path / name) for name in ("older", "unfinished", "torn"))
    (older / TEST_SCORES).unlink()
    (unfinished / RESULT).unlink()
    (torn / TEST_SCORES).write_bytes(b'{"examples": {"test-0": 3}}')
    for directory, said in ((older, "kept no scores"), (unfinished, "no result yet"), (tmp_path, "not a run")):
        with pytest.raises(ConfigError, match=said):
            compare([a, directory])
    with pytest.raises(ConfigError, match="not a run directory"):
        compare([a, a / "best_prompt.txt"])
    with pytest.raises(ConfigError, match="two run directories"):
        compare([a])
    with pytest.raises(StorageFailed, match="it was changed"):
        compare([a, torn])


async def test_a_run_that_is_resumed_drops_its_scores_until_it_has_new_ones(tmp_path: Path) -> None:
    a = await run(tmp_path, "a", "search.assignments=1")
    change(a, test_0=0.5)
    again = load(tmp_path / "task-a" / "small.toml", ["search.assignments=2"])
    async with open_run(again, {}, a) as opened:
        await opened.search()
    kept = read_scores(a)
    assert kept is not None
    assert 0.5 not in {mark.score for mark in kept.best.values()}
    assert (a / JOURNAL).exists()


HOSTILE = (
    "</style><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\x1b[2J",
    "\u202e",
    "{policy}",
    "&lt;",
)
hostile = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=6), max_size=4).map("".join)


class Reader(HTMLParser):
    """The elements of a page, its text, and the addresses that it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


@given(hostile, hostile, st.floats(-1, 1), st.integers(2, 4))
@settings(max_examples=40, deadline=None)
def test_nothing_in_a_run_makes_the_page_say_else(name: str, text: str, difference: float, count: int) -> None:
    ends = (difference - 0.1, difference + 0.1)
    first = Side(name, text, text, 0.5, 0.6, 0.6, None, None, (), (), 10, None)
    others = [Side(name, text, text, 0.5, 0.6, 0.6, difference, ends, (text,), (), None, 0.1)] * (count - 1)
    parts = (Part(name, (text, *[""] * (count - 1)), (SectionChange(name, "removed", ()),) * (count - 1)),)
    differing = (Differing(text, (1.0,) * count),)
    page = comparison_page(Beside({name: 1.0}, 3, (0,) * count, (first, *others), differing, parts, (text,)))
    reader = Reader()
    reader.feed(page)
    assert not {"script", "img", "iframe"} & {*reader.tags}
    assert reader.loads == ["data:,"]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", page)
    assert reader.tags.count("style") == 1


async def test_the_page_has_the_figures_of_the_comparison(tmp_path: Path) -> None:
    a, b = await run(tmp_path, "a", "search.assignments=0"), await run(tmp_path, "b")
    beside = compare([a, b])
    write_comparison(beside, tmp_path / "beside.html")
    reader = Reader()
    reader.feed((tmp_path / "beside.html").read_text(encoding="utf-8"))
    difference = beside.sides[1].difference
    assert difference is not None
    assert f"{difference:+.3f}" in reader.text
    for section in beside.parts:
        assert section.texts[1].split("\n")[-1] in reader.text
    assert "Content-Security-Policy" in (tmp_path / "beside.html").read_text(encoding="utf-8")


async def test_a_prompt_file_answers_the_test_examples_of_the_run_beside_it(tmp_path: Path) -> None:
    """As `evaluate` has it; the run asks nothing."""
    ran = await run(tmp_path, "a", "search.assignments=1")
    mine = tmp_path / "mine.txt"
    mine.write_text((ran / "first_prompt.txt").read_text("utf-8") + "\nBe brief.\n", "utf-8")
    beside = await foreground.compare([ran, mine], None, {}, Console(quiet=True))
    scored = await Scoring(read_configuration(ran), {}, mine, "test").score()
    first, other = beside.sides
    assert (beside.shared, first.directory, other.directory) == (scored.n, str(ran), str(mine))
    assert (other.first, other.best, other.value) == (None, scored.value, scored.value)
    assert other.difference == pytest.approx(scored.value - first.value)
    assert cells(other).first == "–"
    assert "mine.txt" in comparison_page(beside)
    turned = await foreground.compare([mine, ran], None, {}, Console(quiet=True))
    assert turned.sides[1].difference == pytest.approx(first.value - scored.value)


async def test_a_page_that_cannot_be_written_is_refused_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, nowhere = write_task(tmp_path / "task"), tmp_path / "nowhere" / "beside.html"
    monkeypatch.setattr(foreground, "compare", None)
    prompt = tmp_path / "task" / "prompt.txt"
    code, _, said = invoke("compare", prompt, prompt, "--config", config, "--html", nowhere)
    assert (code, "make its folder first" in said) == (1, True)


async def test_prompt_files_are_compared_on_a_configuration(tmp_path: Path) -> None:
    config = load(write_task(tmp_path / "task"), [])
    files = [tmp_path / "task" / "prompt.txt", tmp_path / "other.txt"]
    files[1].write_text(files[0].read_text("utf-8"), "utf-8")
    beside = await foreground.compare(files, config, {}, Console(quiet=True))
    assert (beside.shared, beside.sides[1].difference, beside.differing) == (9, 0.0, ())
    for wrong, reason in (
        (files, "--config"),
        ([files[0]], "or more"),
        ([files[0], tmp_path / "nowhere.txt"], "--config"),
    ):
        with pytest.raises(ConfigError, match=reason):
            await foreground.compare(wrong, None, {}, Console(quiet=True))
    with pytest.raises(InputError, match="nowhere"):
        await foreground.compare([files[0], tmp_path / "nowhere.txt"], config, {}, Console(quiet=True))
