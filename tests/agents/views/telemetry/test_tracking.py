"""Runs in experiment trackers: each once, with what it measured; and a tracker that fails costs its entries alone.

The libraries are not installed beside us. Stand-ins with the signatures of MLflow 3.17 and wandb 0.31 take their
places, and what stands at the end of this file runs with the real ones where they are.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from agents.api import Found, train
from agents.directory.run_directory import JOURNAL
from agents.views.telemetry import tracking
from memory.journals.reading import read_journal
from protocols.errors import ConfigError
from protocols.messages import Fault
from tests.small_task import SETTINGS, write_task
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
KEY = "sk-0123456789abcdef"
real = pytest.mark.skipif(not (find_spec("mlflow") and find_spec("wandb")), reason="not installed beside us")


@dataclass
class Entry:
    """A run as a tracker keeps it."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    summary: dict[str, float] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    status: str = ""


class Kept(dict[str, Entry]):
    """The entries of a tracker by the run's id. `broken`: raises at everything after the beginning."""

    broken = False

    def __getitem__(self, run: str) -> Entry:
        if self.broken:
            raise ConnectionError(f"no route to host, key {KEY}")
        return super().__getitem__(run)


class Client:
    """MLflow's client, as far as it is used."""

    kept: Kept

    def __init__(
        self, tracking_uri: str | None = None, registry_uri: str | None = None, workspace_store_uri: Any = None
    ) -> None:
        assert tracking_uri == "sqlite:///mine.db"

    def get_experiment_by_name(self, name: str) -> Any:
        return None

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> str:
        return f"experiment {name}"

    def search_runs(
        self, experiment_ids: list[str], filter_string: str = "", run_view_type: int = 1, max_results: int = 1000
    ) -> list[Any]:
        assert experiment_ids == ["experiment promptflow"]
        run = filter_string.removeprefix("tags.`promptflow.run` = ").strip("'")
        return [SimpleNamespace(info=SimpleNamespace(run_id=run))] if run in self.kept else []

    def create_run(
        self, experiment_id: str, start_time: Any = None, tags: Mapping[str, str] = {}, run_name: str = ""
    ) -> Any:
        self.kept[tags["promptflow.run"]] = Entry(run_name)
        return SimpleNamespace(info=SimpleNamespace(run_id=tags["promptflow.run"]))

    def update_run(self, run_id: str, status: str | None = None, name: str | None = None) -> None:
        assert self.kept[run_id].status

    def log_batch(
        self, run_id: str, metrics: Sequence[Any] = (), params: Sequence[Any] = (), tags: Sequence[Any] = ()
    ) -> None:
        assert len(params) <= 100
        entry = self.kept[run_id]
        entry.parameters |= {each.key: each.value for each in params}
        figures = {each.key: each.value for each in metrics}
        if any(name.startswith("result.") for name in figures):
            entry.summary = figures
        elif figures:
            entry.metrics.append((metrics[0].step, figures))

    def log_artifact(self, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        self.kept[run_id].files.append(Path(local_path).name)

    def set_terminated(self, run_id: str, status: str | None = None, end_time: int | None = None) -> None:
        self.kept[run_id].status = status or ""


@dataclass
class Metric:
    key: str
    value: float
    timestamp: int
    step: int


@dataclass
class Param:
    key: str
    value: str


class Artifact:
    """An artifact of wandb."""

    def __init__(self, name: str, type: str, description: str | None = None) -> None:
        self.files: list[str] = []

    def add_file(self, local_path: str, name: str | None = None) -> None:
        self.files.append(Path(local_path).name)


@dataclass
class Run:
    """A run of wandb."""

    kept: Kept
    id: str

    @property
    def summary(self) -> dict[str, float]:
        return self.kept[self.id].summary

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        assert (name, step_metric) == ("*", "assignment")

    def log(self, data: dict[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        figures = dict(data)
        self.kept[self.id].metrics.append((figures.pop("assignment"), figures))

    def log_artifact(self, artifact_or_path: Artifact, name: str | None = None, type: Any = None) -> None:
        self.kept[self.id].files += artifact_or_path.files

    def finish(self, exit_code: int | None = None) -> None:
        self.kept[self.id].status = "FAILED" if exit_code else "FINISHED"


def fake_mlflow(kept: Kept) -> ModuleType:
    module, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    vars(entities).update(Metric=Metric, Param=Param)
    vars(module).update(MlflowClient=type("MlflowClient", (Client,), {"kept": kept}), entities=entities)
    return module


def fake_wandb(kept: Kept) -> ModuleType:
    def init(
        *, project: str, dir: str, id: str, name: str, config: dict[str, Any], reinit: str, resume: str, settings: Any
    ) -> Run:
        assert (project, resume, reinit, settings["mode"]) == ("promptflow", "allow", "create_new", "offline")
        if id not in kept:
            kept[id] = Entry(name, config)
        return Run(kept, id)

    module = ModuleType("wandb")
    vars(module).update(Artifact=Artifact, init=init, Settings=dict)
    return module


@pytest.fixture(params=["mlflow", "wandb"])
def tracker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Kept]:
    """The name of a tracker whose library is a stand-in, and what it keeps."""
    name, kept = str(request.param), Kept()
    module = {"mlflow": fake_mlflow, "wandb": fake_wandb}[name](kept)
    for each in (module, *(inner for inner in vars(module).values() if isinstance(inner, ModuleType))):
        each.__spec__ = ModuleSpec(each.__name__, None)
        monkeypatch.setitem(sys.modules, each.__name__, each)
    adapter = f"agents.views.telemetry.to_{name}"
    monkeypatch.setitem(sys.modules, adapter, module)  # so that it is taken away again at the end
    monkeypatch.delitem(sys.modules, adapter)
    return name, kept


ENVIRON = {
    "MLFLOW_TRACKING_URI": "sqlite:///mine.db",
    "WANDB_MODE": "offline",
    "OPENAI_API_KEY": KEY,
    "ANTHROPIC_API_KEY": KEY,
}


async def tracked(folder: Path, *observers: str, more: Mapping[str, Any] = {}, **tables: Any) -> Found:
    config = folder / "task" / "task.toml"
    search = {**SETTINGS["search"], **more}
    return await train(
        config if config.exists() else write_task(folder / "task"),
        directory=folder / "run",
        agents={"observers": observers},
        search=search,
        environ={**os.environ, **ENVIRON},
        **tables,
    )


async def test_a_run_is_one_entry_with_its_history(tmp_path: Path, tracker: tuple[str, Kept]) -> None:
    """Also if it is resumed. An observer that raises spoils nothing for the tracker."""
    name, kept = tracker
    secret = {"openai": {"base_url": f"https://me:{KEY}@example.org/v1"}}
    await tracked(tmp_path, name, providers=secret)
    found = await tracked(tmp_path, name, name, more={"assignments": 8}, providers=secret)
    [entry] = kept.values()
    assert [step for step, _ in entry.metrics] == [row["assignment"] for row in found.history]
    assert [figures["best"] for _, figures in entry.metrics] == [row["best"] for row in found.history]
    assert [figures.get("value") for _, figures in entry.metrics] == [row["value"] for row in found.history]
    assert entry.metrics[-1][1]["tokens"] <= sum(found.result.tokens.values())
    assert entry.summary["result.best"] == found.result.best.value
    assert {"best_prompt.txt", "report.html", "result.json"} <= set(entry.files)
    assert entry.status == "FINISHED"
    assert (entry.parameters["task.name"], entry.parameters["search.alpha"]) == (found.result.task, "0.3")
    assert KEY not in str(entry)


async def test_several_models_have_their_own_figures(tmp_path: Path, tracker: tuple[str, Kept]) -> None:
    name, kept = tracker
    async with WireServer(lambda turns: "invoice") as one, WireServer(lambda turns: "parcel") as two:
        found = await tracked(
            tmp_path,
            name,
            more={"assignments": 0, "headroom": False},
            models={"default": "embedded", "task": ["openai/a", "anthropic/b:2"]},
            providers={"openai": {"base_url": one.openai_url}, "anthropic": {"base_url": two.url}},
        )
    [entry] = kept.values()
    models = found.result.by_model
    assert {key: value for key, value in entry.metrics[0][1].items() if key.startswith("value.")} == {
        "value.openai.a": models["openai/a"].first,
        "value.anthropic.b.2": models["anthropic/b:2"].first,
    }
    assert entry.summary["result.test_best.openai.a"] == pytest.approx(1 / 3)
    assert entry.summary["result.calls.anthropic.b.2"] == models["anthropic/b:2"].spent.calls == two.stats.calls


async def test_a_tracker_that_fails_is_left_alone_and_on_record(tmp_path: Path, tracker: tuple[str, Kept]) -> None:
    name, kept = tracker
    kept.broken = True
    found = await tracked(tmp_path, name)
    assert found.result.stopped_by == "assignments"
    faults = [e.message for e in read_journal(found.directory / JOURNAL, (Fault,))]
    assert 1 <= len(faults) <= tracking.FAILURES
    assert all(isinstance(fault, Fault) and fault.observer == name for fault in faults)
    assert KEY not in str(faults)


async def test_a_tracker_that_hangs_is_not_waited_for(
    tmp_path: Path, tracker: tuple[str, Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(tracking, "LAST_SECONDS", 0.01)
    monkeypatch.setattr(tracking, "LEAVING_SECONDS", 0.01)
    monkeypatch.setattr(tracking, "open_tracker", lambda name, environ: release.wait(60))
    try:
        found = await tracked(tmp_path, tracker[0])
    finally:
        release.set()
    assert found.result.stopped_by == "assignments"
    assert "took over" in (found.directory / "log.jsonl").read_text(encoding="utf-8")


async def test_a_run_that_fails_is_an_entry_that_failed(tmp_path: Path, tracker: tuple[str, Kept]) -> None:
    """Once it has begun: a tracker is opened beside the run, and one that fails before has no entry."""

    def raises(envelope: object) -> None:
        if tracker[1]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await tracked(tmp_path, tracker[0], raises)  # type: ignore[arg-type]
    assert [entry.status for entry in tracker[1].values()] == ["FAILED"]


@pytest.mark.parametrize(
    ("observer", "says"),
    [
        ("mlflow", "agents.observers: mlflow needs the extra mlflow"),
        ({"use": "wandb", "project": "mine"}, "wandb takes no parameters; variables like WANDB_PROJECT set it up"),
        ("neptune", "'neptune' is not module:Class, mlflow, wandb"),
    ],
)
async def test_what_cannot_be_tracked_is_said_before_anything_is_written(
    tmp_path: Path, observer: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", {"wandb": "installed"}.get)
    with pytest.raises(ConfigError) as caught:
        await tracked(tmp_path, observer)
    assert says in str(caught.value)
    assert not (tmp_path / "run").exists()


@real
@pytest.mark.filterwarnings("ignore")
async def test_the_real_libraries_keep_what_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a server: MLflow in a database, Weights & Biases in a folder that can be synchronised later."""
    monkeypatch.setitem(ENVIRON, "MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    found = await tracked(tmp_path, "mlflow", "wandb")
    from mlflow import MlflowClient

    client = MlflowClient(ENVIRON["MLFLOW_TRACKING_URI"])
    [run] = client.search_runs([client.get_experiment_by_name("promptflow").experiment_id])
    best = client.get_metric_history(run.info.run_id, "best")
    assert {m.step: m.value for m in best} == {row["assignment"]: row["best"] for row in found.history}
    assert run.info.status == "FINISHED"
    assert {"best_prompt.txt", "report.html"} <= {each.path for each in client.list_artifacts(run.info.run_id)}
    assert list((found.directory / "wandb").glob("offline-run-*/*.wandb"))
