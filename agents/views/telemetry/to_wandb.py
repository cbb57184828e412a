"""Runs in Weights & Biases (https://wandb.ai), or in a folder for `wandb sync` with WANDB_MODE=offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from agents.views.telemetry.tracker import Beginning

READ = ("api_key", "base_url", "entity", "mode")
"""Settings that are read from the variables WANDB_… of the search's environment, which has those of `.env`, too."""


class WandB:
    """A `Tracker`. The project is that of WANDB_PROJECT, else `promptflow`; files are kept in the run directory."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._project = environ.get("WANDB_PROJECT") or "promptflow"
        self._given = {name: value for name in READ if (value := environ.get(f"WANDB_{name.upper()}"))}
        self._run: Any = None
        self._id = ""

    def begin(self, beginning: Beginning) -> None:
        quiet = {"silent": True, "console": "off", "disable_git": True, "disable_code": True}
        self._id = beginning.run
        self._run = wandb.init(
            project=self._project,
            name=f"{beginning.task} in {beginning.directory.name}",
            id=beginning.run,
            resume="allow",
            reinit="create_new",
            dir=str(beginning.directory),
            config=dict(beginning.settings),
            settings=wandb.Settings(**quiet, **self._given),
        )
        self._run.define_metric("*", step_metric="assignment")

    def measured(self, assignment: int, figures: Mapping[str, float]) -> None:
        self._run.log({"assignment": assignment, **figures})

    def end(self, figures: Mapping[str, float], files: Sequence[Path], failed: bool) -> None:
        self._run.summary.update({f"result.{name}": value for name, value in figures.items()})
        if files:
            artifact = wandb.Artifact(f"promptflow-{self._id}", type="prompt")
            for path in files:
                if path.is_dir():
                    artifact.add_dir(str(path), name=path.name)
                else:
                    artifact.add_file(str(path))
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=int(failed))
