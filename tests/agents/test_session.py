"""What stands around a search is the same, whoever begins it."""

from __future__ import annotations

import builtins
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from rich.console import Console

from agents import foreground
from agents.api import train
from agents.config.configuration import load
from agents.directory.run_directory import LOG, REPORT
from agents.study.grid import load_grid
from agents.study.study import load_study
from agents.views.telemetry import spans
from protocols.errors import ConfigError
from protocols.messages import Critique, Envelope
from protocols.wrappers.recorded import Call
from tests.small_task import write_task

pytestmark = pytest.mark.anyio
QUIET = Console(quiet=True)
SPANS = "run.spans=true"


class Seen:
    """Spans that go nowhere."""

    def __init__(self) -> None:
        self.messages: list[Envelope] = []
        self.calls: list[Call] = []
        self.closed = False

    async def observe(self, envelope: Envelope) -> None:
        self.messages.append(envelope)

    def called(self, call: Call) -> None:
        self.calls.append(call)


async def search(folder: Path, config: Path) -> None:
    await foreground.train(load(config, (SPANS,)), {}, folder / "out" / "run", QUIET, 0)


async def sweep(folder: Path, config: Path) -> None:
    grid = folder / "grid.toml"
    grid.write_text(f'[sweep]\ntasks = ["{config}"]\nseeds = [0, 1]\ndirectory = "{folder}/out"\n', encoding="utf-8")
    await foreground.sweep(load_grid(grid, (SPANS,)), {}, QUIET, 0)


async def study(folder: Path, config: Path) -> None:
    file = folder / "study.toml"
    table = f'[study]\ntasks = ["{config}"]\nseeds = 2\ndirectory = "{folder}/out"\n'
    file.write_text(f"{table}[arms.wide.search]\nwidth = 4\n", encoding="utf-8")
    await foreground.sweep(load_study(file, (SPANS,)), {}, QUIET, 0)


async def python(folder: Path, config: Path) -> None:
    await train(config, environ={}, directory=folder / "out" / "run", run={"spans": True})


BEGUN: dict[str, tuple[Callable[[Path, Path], Awaitable[None]], int]] = {
    "search": (search, 1),
    "sweep": (sweep, 2),
    "study": (study, 4),
    "python": (python, 1),
}
"""Ways to begin searches, and how many they begin."""
ways = pytest.mark.parametrize(("begin", "searches"), BEGUN.values(), ids=BEGUN)


@ways
async def test_log_spans_and_report_are_those_of_a_search(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[Path, Path], Awaitable[None]],
    searches: int,
) -> None:
    opened: dict[str, Seen] = {}

    @contextmanager
    def open_spans(run: str, texts: bool) -> Iterator[Seen]:
        assert not texts
        seen = opened[run] = Seen()
        yield seen
        seen.closed = True

    monkeypatch.setattr(spans, "open_spans", open_spans)
    await begin(tmp_path, write_task(tmp_path / "task"))
    assert len(opened) == searches
    for seen in opened.values():
        assert any(isinstance(envelope.message, Critique) for envelope in seen.messages)
        assert seen.calls
        assert seen.closed
    directories = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert len(directories) == searches
    for directory in directories:
        assert (directory / REPORT).stat().st_size
        events = [orjson.loads(line)["event"] for line in (directory / LOG).read_bytes().splitlines()]
        assert events[0] == "run started"
        assert "assignment ended" in events
        assert events.count("run finished") == 1


@ways
async def test_spans_that_cannot_be_sent_are_said_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begin: Callable[[Path, Path], Awaitable[None]],
    searches: int,
) -> None:
    imports = builtins.__import__

    def without_spans(name: str, *arguments: Any, **others: Any) -> Any:
        if name == "agents.views.telemetry.spans":
            raise ImportError("no module named opentelemetry")
        return imports(name, *arguments, **others)

    config = write_task(tmp_path / "task")
    monkeypatch.setattr(builtins, "__import__", without_spans)
    with pytest.raises(ConfigError, match=r"run\.spans needs the extra otel"):
        await begin(tmp_path, config)
    assert not (tmp_path / "out").exists()
