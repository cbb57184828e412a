"""The buttons of the page: they give the same commands as `run.py ctl`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from agents.directory.run_directory import read_configuration
from agents.run.steering import command, settable
from agents.views.page.dashboard import Steering
from protocols.concurrency.threads import in_thread
from protocols.errors import InputError

EDITED = "prompt.txt"


def buttons(directory: Path) -> Steering:
    """The commands and settings for the run in `directory`.

    :raises ConfigError, MemoryMismatch, StorageFailed: it is no run directory, or damaged.
    """

    async def say(words: Sequence[str]) -> str:
        return await in_thread(told, directory, words)

    return Steering(say, tuple(settable(read_configuration(directory))))


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
