"""Runs commands in this process, for tests of the command line."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import run

KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")


def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away anybody's keys and addresses."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def invoke(*args: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    result = CliRunner().invoke(run.app, [str(arg) for arg in args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def answer(*args: object) -> dict[str, Any]:
    """The document of a command that succeeds."""
    code, out, err = invoke(*args, "--json")
    assert code == 0, out + err
    document: dict[str, Any] = orjson.loads(out)
    return document
