"""The buttons of the page: they give the same commands as `run.py ctl`, and correct labels as `run.py label` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from agents.config.configuration import Configuration
from agents.config.loading import overlay_file
from agents.directory.run_directory import GIVEN, read_configuration
from agents.run.labelling import gold, label
from agents.run.steering import command, settable
from agents.views.page.dashboard import Json, Steering
from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError, InputError

EDITED = "prompt.txt"


def buttons(directory: Path) -> Steering:
    """The commands, settings and labels for the run in `directory`.

    :raises ConfigError, MemoryMismatch, StorageFailed: it is no run directory, or damaged.
    """
    one_at_a_time = anyio.Lock()  # corrections are read, and written whole

    async def say(words: Sequence[str]) -> str:
        if words[0] != "label":
            return await in_thread(told, directory, words)
        async with one_at_a_time:
            return await in_thread(labelled, directory, words)

    async def look(identity: str) -> Json:
        return asdict(await in_thread(lambda: gold(_task(directory), identity)))

    return Steering(say, tuple(settable(read_configuration(directory))), look)


def labelled(directory: Path, words: Sequence[str]) -> str:
    """Correct a label of the task of a run, or mark it as wrong; returns the message for the person.

    :raises InputError: it is no command, or the label cannot be corrected so.
    :raises StorageFailed: a file cannot be read or written.
    """
    match list(words):
        case ["label", identity, "target", target]:
            return str(label(_task(directory), identity, target, wrong=False))
        case ["label", identity, "wrong" | "undo" as what]:
            return str(label(_task(directory), identity, None, wrong=what == "wrong"))
        case _:
            raise ConfigError("labels are corrected with: label ID target ANSWER, label ID wrong, label ID undo")


def _task(directory: Path) -> Configuration:
    """:raises ConfigError: no later run would read corrections of its task."""
    configuration = read_configuration(directory)
    if (directory / GIVEN).absolute() in overlay_file(configuration).absolute().parents:
        raise ConfigError("the examples of this run were given to it in Python: correct them there")
    return configuration


def told(directory: Path, words: Sequence[str]) -> str:
    """Pass a command on to the run; returns the message for the person. `inject` is followed by the text of a prompt
    file: text from a browser is never taken as a path.

    :raises InputError: it is no command, it is impossible in this run, or no process works on the run.
    :raises StorageFailed: a file of the run directory cannot be read or written.
    """
    if list(words[:1]) != ["inject"] or len(words) != 2:
        return command(directory, words)
    with TemporaryDirectory() as folder:
        path = Path(folder, EDITED)
        path.write_bytes(words[1].encode("utf-8", "replace"))
        try:
            return command(directory, ["inject", str(path)])
        except InputError as error:
            raise InputError(error.reason, file=error.file and EDITED, line=error.line) from None
