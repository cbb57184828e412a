"""An environment for each program: made once, with pinned versions, in the work folder."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from protocols.errors import ConfigError

PINS: Final = Path(__file__).with_name("environments")
"""A file `NAME.txt` of requirements for each environment."""
KEPT: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""What a program sees of our variables: no keys, and no proxies."""


def python_of(name: str | None, work: Path) -> Path:
    """The interpreter of an environment, made now if it is not there; None: the one that we run in.

    :raises ConfigError: it cannot be made.
    """
    if name is None:
        return Path(sys.executable)
    pins = PINS / f"{name}.txt"
    folder = work / "environments" / f"{name}-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / "ready"
    if not ready.exists():
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(pins)],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = next(reversed(done.stderr.strip().splitlines()), "")
                raise ConfigError(f"the environment of {name} cannot be made: {last}", file=str(folder))
        ready.touch()
    return python


def versions(name: str) -> str:
    """The optimiser that an environment is for, as the first line of its requirements has it."""
    return (PINS / f"{name}.txt").read_text(encoding="utf-8").splitlines()[0]


def variables(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """The variables of a program's process, whose home is its own folder."""
    kept = {name: environ[name] for name in KEPT if name in environ}
    return kept | {
        "HOME": str(home),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched from the net
        "LITELLM_LOG": "ERROR",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
    }
