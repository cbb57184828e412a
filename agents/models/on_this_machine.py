"""Checks whether a local model can be loaded on this machine, before a run uses it."""

from __future__ import annotations

import subprocess
import sys

from agents.config.configuration import Configuration
from protocols.errors import ConfigError
from protocols.providers.local.weights import check_installed, find


def hindrance(configuration: Configuration) -> str:
    """The reason why the task's model, a `local/…`, cannot be loaded here, in one line; "" if none is known.

    llama.cpp is imported in a separate process, since a build for another machine can crash its process.
    """
    name = configuration.models.of("task")
    try:
        check_installed(name)
        find(name, configuration.provider(name).path)
    except ConfigError as error:
        return str(error)
    command = [sys.executable, "-P", "-c", "import xllamacpp"]
    tried = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if not tried.returncode:
        return ""
    said = tried.stderr.strip().splitlines() or [f"its process ended with code {tried.returncode}"]
    return f"llama.cpp cannot be loaded: {said[-1]}"
