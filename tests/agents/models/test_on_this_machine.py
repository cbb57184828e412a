"""Whether the model of the demo can be had is known before a run begins."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agents.config.configuration import Configuration, build
from agents.models import on_this_machine
from agents.models.on_this_machine import hindrance
from protocols.errors import ConfigError

MODEL = "local/smollm2-135m"


def configuration(**provider: object) -> Configuration:
    task = {"name": "t", "train": "a", "validation": "b", "test": "c"}
    return build({"task": task, "models": {"default": MODEL}, "providers": {MODEL: provider}}, Path())


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_this_machine, "check_installed", lambda name: None)


def test_without_llama_cpp_the_reason_is_what_a_search_would_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ConfigError(f"{name} needs an extra")

    monkeypatch.setattr(on_this_machine, "check_installed", refuse)
    assert hindrance(configuration()) == f"{MODEL} needs an extra"


@pytest.mark.usefixtures("_installed")
def test_weights_that_are_not_there_are_named() -> None:
    assert "nowhere.gguf" in hindrance(configuration(path="nowhere.gguf"))


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("exit 0", ""),
        ("echo first >&2; echo 'ImportError: no such symbol' >&2; exit 1", "ImportError: no such symbol"),
        ("kill -ILL $$", "its process ended with code -4"),
    ],
)
def test_a_build_for_another_machine_ends_no_process_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(on_this_machine, "find", lambda name, path: None)
    monkeypatch.setattr(sys, "executable", str(python))
    assert hindrance(configuration()) == (f"llama.cpp cannot be loaded: {said}" if said else "")
