"""Runs in MLflow (https://mlflow.org): a server, a database or a folder, as MLFLOW_TRACKING_URI says."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from agents.views.telemetry.tracker import Beginning

RUN = "promptflow.run"
"""The tag by which a run that is resumed finds its entry."""
PARAMETERS = 100
"""Most parameters of one request."""


class MLflow:
    """A `Tracker`. The experiment is that of MLFLOW_EXPERIMENT_NAME, else `promptflow`. No run of the process is
    made the active one, so several searches at once do not mix."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._client = MlflowClient(tracking_uri=environ.get("MLFLOW_TRACKING_URI") or None)
        self._experiment = environ.get("MLFLOW_EXPERIMENT_NAME") or "promptflow"
        self._run = ""

    def begin(self, beginning: Beginning) -> None:
        experiment = self._experiment_id()
        earlier = self._client.search_runs([experiment], f"tags.`{RUN}` = '{beginning.run}'", max_results=1)
        if earlier:
            self._run = earlier[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        title = f"{beginning.task} in {beginning.directory.name}"
        made = self._client.create_run(experiment, tags={RUN: beginning.run}, run_name=title)
        self._run = made.info.run_id
        left = iter([Param(name, value) for name, value in beginning.settings.items()])
        while some := [*islice(left, PARAMETERS)]:
            self._client.log_batch(self._run, params=some)

    def measured(self, assignment: int, figures: Mapping[str, float]) -> None:
        self._log(figures, assignment)

    def end(self, figures: Mapping[str, float], files: Sequence[Path], failed: bool) -> None:
        self._log({f"result.{name}": value for name, value in figures.items()}, 0)
        for path in files:
            if path.is_dir():
                self._client.log_artifacts(self._run, str(path), path.name)
            else:
                self._client.log_artifact(self._run, str(path))
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(self._run, [Metric(name, value, now, step) for name, value in figures.items()])

    def _experiment_id(self) -> str:
        """The experiment, made if there is none; another search may make it at the same moment."""
        if found := self._client.get_experiment_by_name(self._experiment):
            return str(found.experiment_id)
        try:
            return str(self._client.create_experiment(self._experiment))
        except Exception:
            if found := self._client.get_experiment_by_name(self._experiment):
                return str(found.experiment_id)
            raise
