"""What an earlier release, or anybody else, has left in a run directory is read, or refused in one line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from agents import foreground
from agents.api import train
from agents.config.configuration import load
from agents.directory.run_directory import CONFIGURATION, RECORD, RESULT, read_document
from agents.history.replay import replay
from agents.history.trace import trace
from agents.results.prompt_diff import compare_prompts
from agents.run.opening import open_run
from agents.study.effects import effects
from agents.study.grid import load_grid
from agents.study.study import load_study
from agents.views.live.sweeping import show_summary
from agents.views.page.document import report_document
from agents.views.page.feed import Feed
from agents.views.report import read_report, show_report
from agents.views.studying import show_study, write_study
from protocols.errors import PromptFlowError
from tests.agents.history.test_looking_back import ignore
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
QUIET = Console(quiet=True)
Document = dict[str, Any]


def without(*names: str) -> Callable[[Document], object]:
    return lambda document: {name: value for name, value in document.items() if name not in names}


def with_test(**values: object) -> Callable[[Document], object]:
    return lambda document: {**document, "test": {**document["test"], **values}}


def in_earlier_words(document: Document) -> Document:
    """The first prompt was `seed`, and the scores on the test split were `first` and `winner`."""
    pairs = {name: document[name] for name in ("train", "test", "length", "answers") if document[name]}
    test = document["test"]
    told = {name: {**pair, "seed": pair["first"]} for name, pair in pairs.items()}
    told["test"] |= {"first": test["first_score"], "winner": test["best_score"]}
    for name, pair in told.items():
        pair.pop("first_score", None), pair.pop("best_score", None)
        if name != "test":
            del pair["first"]
    renamed = {**document, **told, "seed": document["first"]}
    del renamed["first"]
    return renamed


ADDED = ("models", "length", "leaks", "unanswered", "unremembered", "failures", "train", "saved", "test_missing")
READ: Mapping[str, Callable[[Document], object]] = {
    **{f"without {name}": without(name) for name in ADDED},
    "without any of them": without(*ADDED),
    "with more": lambda document: {**document, "better": {"than": "now"}},
    "without changed": lambda document: {**document, "test": without("changed", "lost")(document["test"])},
    "without what replies held": lambda document: {
        **document,
        "test": {
            **document["test"],
            **{
                name: without("unreadable", "textless", "quoted")(document["test"][name])
                for name in ("first_score", "best_score")
            },
        },
    },
    "in the words of earlier releases": lambda document: in_earlier_words(document),
    "without refusals": lambda document: {**document, "best": {"value": 0.5, "n": 12}},
}
"""Results that earlier and later releases may have written."""
REFUSED: Mapping[str, Callable[[Document], object]] = {
    "a list": lambda document: [document],
    "nothing": lambda document: {},
    "without first": without("first"),
    "without calls": without("calls"),
    "a number for a word": lambda document: {**document, "stopped_by": 5},
    "a word for a number": lambda document: {**document, "candidate": "the best"},
    "a test of another kind": with_test(best_score=0.5),
    "calls of another kind": lambda document: {**document, "calls": [["task", 1]]},
}


async def made(folder: Path) -> Path:
    """A run directory, of a sweep and of a study of one search each, too."""
    config = write_task(folder / "task")
    sweep = f'[sweep]\ntasks = ["{config}"]\ndirectory = "{folder}/out"\n[settings.baseline.search]\nalpha = 0.3\n'
    (folder / "grid.toml").write_text(sweep, encoding="utf-8")
    study = f'[study]\ntasks = ["{config}"]\nseeds = 2\ndirectory = "{folder}/out"\n[arms.wide.search]\nwidth = 4\n'
    (folder / "study.toml").write_text(study, encoding="utf-8")
    directory = folder / "out" / "small.baseline.0"
    async with open_run(load(config, ("search.seed=0",)), {}, directory) as run:
        await run.search()
    return directory


async def show(directory: Path) -> None:
    show_report(Console(file=StringIO()), read_report(directory))


async def report(directory: Path) -> None:
    report_document(directory)


async def watch(directory: Path) -> None:
    feed = Feed(directory)
    feed.finish()
    await feed.follow()


async def look_back(directory: Path) -> None:
    trace(directory, None)
    compare_prompts(directory / "first_prompt.txt", directory)
    await replay(directory, ignore)


async def again(directory: Path) -> None:
    config = load(directory.parents[1] / "task" / "small.toml", ("search.seed=0",))
    await foreground.train(config, {}, directory, QUIET, 0)


async def again_from_python(directory: Path) -> None:
    await train(directory.parents[1] / "task" / "small.toml", environ={}, directory=directory, search={"seed": 0})


async def sweep(directory: Path) -> None:
    rows = (await foreground.sweep(load_grid(directory.parents[1] / "grid.toml"), {}, QUIET, 0)).rows
    show_summary(QUIET, rows)


async def study(directory: Path) -> None:
    grid = load_study(directory.parents[1] / "study.toml")
    rows = (await foreground.sweep(grid, {}, QUIET, 0)).rows
    found = effects(grid.cells, rows)
    show_study(QUIET, found, rows)
    write_study(grid.directory, found, rows)


LOOKS: dict[str, Callable[[Path], Awaitable[None]]] = {
    function.__name__: function
    for function in (show, report, watch, look_back, again, again_from_python, sweep, study)
}
looks = pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)


def change(path: Path, by: Callable[[Document], object]) -> None:
    document = read_document(path)
    assert document is not None
    path.write_bytes(orjson.dumps(by(dict(document))))


@looks
async def test_results_of_other_releases_are_read_everywhere(
    tmp_path: Path, look: Callable[[Path], Awaitable[None]]
) -> None:
    directory = await made(tmp_path)
    now = (directory / RESULT).read_bytes()
    for by in READ.values():
        (directory / RESULT).write_bytes(now)
        change(directory / RESULT, by)
        await look(directory)


@looks
async def test_what_is_no_result_is_refused_in_one_line(
    tmp_path: Path, look: Callable[[Path], Awaitable[None]]
) -> None:
    directory = await made(tmp_path)
    now = (directory / RESULT).read_bytes()
    for by in REFUSED.values():
        (directory / RESULT).write_bytes(now)
        change(directory / RESULT, by)
        with pytest.raises(PromptFlowError, match=r"result\.json: no result that this release can read \(") as caught:
            await look(directory)
        assert "\n" not in str(caught.value)


CHANGED: Mapping[str, tuple[str, Callable[[Document], object]]] = {
    "a setting that is gone": (CONFIGURATION, lambda document: {**document, "search": {"generations": 3}}),
    "no table of the budget": (CONFIGURATION, without("budget")),
    "a list of settings": (CONFIGURATION, lambda document: [document]),
    "a record of something else": (RECORD, lambda document: {**document, "meaning": ["task"]}),
    "a record with more": (RECORD, lambda document: {**document, "host": "here"}),
    "a record without a run": (RECORD, without("run")),
    "a list for a record": (RECORD, lambda document: [document]),
}


@looks
@pytest.mark.parametrize(("file", "by"), CHANGED.values(), ids=CHANGED)
async def test_other_files_of_other_releases_are_read_or_refused_in_one_line(
    tmp_path: Path, look: Callable[[Path], Awaitable[None]], file: str, by: Callable[[Document], object]
) -> None:
    directory = await made(tmp_path)
    change(directory / file, by)
    said = ""
    try:
        await look(directory)
    except PromptFlowError as error:
        said = str(error)
    assert "\n" not in said
