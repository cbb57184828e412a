"""The engine Ray where its extra is not installed, and settings that do not go together."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

import run
from tests.small_task import write_task


def refused(*args: object) -> str:
    """The message of a command that is refused before anything is written."""
    result = CliRunner().invoke(run.app, [*(str(arg) for arg in args), "--json"])
    assert result.exit_code == 2
    message: str = orjson.loads(result.stdout)["error"]["message"]
    return message


@pytest.mark.parametrize("command", ["search", "sweep"])
def test_what_is_missing_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("agents.cluster.starting.find_spec", lambda name: None)
    config, grid = write_task(tmp_path), tmp_path / "grid.toml"
    grid.write_text(f'[sweep]\ntasks = ["small.toml"]\ndirectory = "{tmp_path}/out"\n', encoding="utf-8")
    said = refused(command, config if command == "search" else grid, "--engine", "ray")
    assert "pip install 'promptflow-agents[ray]'" in said
    assert not (tmp_path / "out").exists()
    assert "add --engine ray" in refused(command, config if command == "search" else grid, "--address", "auto")
