"""No test reaches a host but this machine.

`sitecustomize` beside this file refuses every other address and writes it down. This process imports it; the Python
processes that a test starts find it on their PYTHONPATH.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
VARIABLE = "PROMPTFLOW_TESTS_REACHED"
"""Names the file that holds a line for each address that was refused."""


def python_path(*folders: str | Path) -> str:
    """A PYTHONPATH of these folders and the guard."""
    return os.pathsep.join(map(str, (*folders, FOLDER)))


def stand_guard() -> Path:
    """From now on, in this process and in those that inherit its environment. Returns the file of what is refused."""
    file, name = tempfile.mkstemp(prefix="reached-")
    os.close(file)
    atexit.register(Path(name).unlink, missing_ok=True)
    os.environ[VARIABLE] = name
    os.environ["PYTHONPATH"] = python_path(*filter(None, [os.environ.get("PYTHONPATH")]))
    from tests.guard import sitecustomize  # noqa: F401

    return Path(name)
