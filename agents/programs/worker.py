"""One process of a user's command: a JSON line for each example goes in, and lines come out."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, cast

import anyio
import orjson
from anyio.lowlevel import checkpoint

from agents.programs.environment import Command
from protocols.errors import ConfigError
from protocols.providers.local.processes import apart
from protocols.task import Json

LONGEST: Final = 4 * 2**20
"""Bytes of an answer's line."""
MOST: Final = 32 * 2**20
"""Bytes that a worker may print for one example."""
NOTES, NOTE = 100, 2000
"""Notes of an example that are kept, and characters of each."""
ERRORS: Final = 4000
"""Last bytes of standard error that are kept."""
SHOWN: Final = 200
"""Characters of a line in a message."""
DYING: Final = 5.0
"""Seconds to wait for the end of a process that was killed."""
LINGERING: Final = 0.5
"""Seconds to wait for what a process has written once it has ended: something else may hold its pipes."""
ERROR_OUTPUT: Final = 2
ANSWERS: Final = frozenset({"answer", "error"})


@dataclass(frozen=True, slots=True)
class Said:
    """What a worker said to an example. `failure`: why there is no `answer`, in one line, "" if there is one;
    `trace`: more about it. `alive`: the worker can take another example. `silent`: it ended before it printed
    anything."""

    answer: Json = None
    failure: str = ""
    trace: str = ""
    alive: bool = True
    silent: bool = False


@dataclass(slots=True)
class Turn:
    """An example that a worker is at."""

    id: str
    note: Callable[[str], None]
    done: anyio.Event = field(default_factory=anyio.Event)
    said: Said | None = None
    printed: int = 0
    notes: int = 0

    def end(self, said: Said) -> None:
        """The first word counts."""
        if self.said is None:
            self.said = said
            self.done.set()

    def hear(self, said: Mapping[str, object]) -> None:
        """A message of the worker: a note, an answer, or an error in place of one."""
        if str(said["id"]) != self.id and said.keys() & ANSWERS:
            self.end(broken(f"it answered the example {said['id']!r}, but was asked {self.id!r}"))
        elif "error" in said:
            text = shown(said["error"])
            *_, last = ["", *filter(str.strip, text.splitlines())]
            self.end(Said(failure=f"it answered with an error: {last.strip()[:SHOWN]}", trace=text[:ERRORS]))
        elif "answer" in said:
            self.end(Said(cast("Json", said["answer"])))
        else:
            self.add(shown(said["note"]))

    def add(self, text: str) -> None:
        """A note, if there are not too many."""
        self.notes += 1
        if self.notes <= NOTES:
            self.note(text if len(text) <= NOTE else f"{text[:NOTE]} …")
        elif self.notes == NOTES + 1:
            self.note(f"… (the program printed more than {NOTES} lines)")


class Worker(asyncio.SubprocessProtocol):
    """A running process. What it prints is read at once, whoever waits for it, and kept within bounds.

    `answered`: number of examples that it has answered. `strayed`: it answered when nothing was asked. `printed`:
    whether it has ever printed anything.
    """

    def __init__(self, name: str) -> None:
        self.name, self.answered, self.strayed, self.printed = name, 0, False, False
        self._turn: Turn | None = None
        self._line, self._cut = bytearray(), False
        self._errors = b""
        self._exited, self._closed = anyio.Event(), anyio.Event()

    @property
    def fit(self) -> bool:
        """Whether it can be asked."""
        return not self.strayed and not self._exited.is_set()

    @property
    def hint(self) -> str:
        """What to look at when it hangs; "" if it speaks."""
        return "" if self.printed else "; it must read its input line by line, and flush what it prints"

    @property
    def errors(self) -> str:
        """The last lines that it wrote to standard error for this example."""
        return self._errors.decode("utf-8", "replace").strip()

    async def ask(self, identity: str, line: bytes, note: Callable[[str], None]) -> Said:
        """Send the line of an example; returns what the worker says to it. A worker that is left before it has
        answered, or is not `alive`, must be ended. `note`: gets its notes, and the lines that are no answers."""
        turn = Turn(identity, note)
        if self.answered:
            self._errors = b""
        if self._exited.is_set():
            return Said(failure=self._ending(), alive=False, silent=True)
        self._turn = turn
        self._pipe(0).write(line)
        try:
            await turn.done.wait()
        finally:
            self._turn = None
        # What was written to standard error before the answer may not have been read yet.
        await checkpoint()
        await checkpoint()
        assert turn.said is not None
        self.answered += turn.said.alive
        return turn.said

    async def finish(self) -> None:
        """Close its standard input, and wait until it has ended by itself."""
        self._pipe(0).close()
        await self._exited.wait()

    async def end(self) -> None:
        """Kill the process and its group, and close what connects us with it."""
        with anyio.CancelScope(shield=True):
            kill(self._transport)
            with anyio.move_on_after(DYING):
                await self._exited.wait()
            self._transport.close()
            with anyio.move_on_after(DYING):
                await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == ERROR_OUTPUT:
            self._errors = (self._errors + data[-ERRORS:])[-ERRORS:]
            return
        self.printed = True
        first, *lines = data.split(b"\n")
        self._append(first)
        if lines:
            self._read(bytes(self._line), cut=self._cut)
            self._line.clear()
            self._cut = False
            *whole, rest = lines
            for line in whole[:NOTES]:
                self._read(line)
            for line in [line for line in whole[NOTES:] if line.lstrip()[:1] == b"{"]:  # a flood is passed over
                self._read(line)
            self._append(rest)
        if self._turn is not None:
            self._turn.printed += len(data)
            if self._turn.printed > MOST:
                self._turn.end(broken(f"it printed more than {MOST >> 20} MiB"))

    def process_exited(self) -> None:
        kill(self._transport)  # its children, which may hold its pipes
        asyncio.get_running_loop().call_later(LINGERING, self._died)
        self._exited.set()

    def connection_lost(self, error: Exception | None) -> None:
        """The process has ended, and all that it wrote is read."""
        self._closed.set()
        self._died()

    def _pipe(self, number: int) -> asyncio.WriteTransport:
        return cast("asyncio.WriteTransport", self._transport.get_pipe_transport(number))

    def _curious(self) -> bool:
        """Whether lines that are no answers are looked at."""
        return self._turn is not None and self._turn.notes <= NOTES

    def _append(self, piece: bytes) -> None:
        """More of the line that has not ended yet."""
        room = LONGEST - len(self._line)
        self._cut = self._cut or len(piece) > room
        self._line += piece[:room]

    def _read(self, line: bytes, *, cut: bool = False) -> None:
        """A whole line, or the beginning of one that is too long."""
        line = line.strip()
        if not line or (line[:1] != b"{" and not self._curious()):
            return
        said = too_long(line) if cut else understood(line)
        if self._turn is None or self._turn.said is not None:
            self.strayed = self.strayed or (isinstance(said, Mapping) and bool(said.keys() & ANSWERS))
        elif isinstance(said, Said):
            self._turn.end(said)
        elif said is None:
            self._turn.add(line.decode("utf-8", "replace"))
        else:
            self._turn.hear(said)

    def _died(self) -> None:
        if self._turn is not None:
            silent = not self._turn.printed
            self._turn.end(Said(failure=self._ending(), alive=False, silent=silent))

    def _ending(self) -> str:
        """How the process ended, and the last thing that it wrote to standard error."""
        code = self._transport.get_returncode() or 0
        name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
        how = f"it ended with code {code}" if code >= 0 else f"it was ended by {name}"
        *_, last = ["", *filter(str.strip, self.errors.splitlines())]
        return f"{how} before it answered" + (f": {last.strip()[:SHOWN]}" if last else "")


def broken(failure: str) -> Said:
    """A worker does not keep to the protocol."""
    return Said(failure=failure, alive=False)


def shown(value: object) -> str:
    """A text, or JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def understood(line: bytes) -> Mapping[str, object] | Said | None:
    """The message in a line that a worker printed; None: it is none of ours, but for example a log; `Said`: it must
    have been meant as one."""
    if line[:1] != b"{":
        return None
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        if b"answer" not in line:
            return None
        return broken(f"its answer is not JSON ({error}): {line[:SHOWN].decode('utf-8', 'replace')}")
    if "id" in said and said.keys() & {*ANSWERS, "note"}:
        return cast("Mapping[str, object]", said)
    return broken('its answer has no "id"; send that of the example with it') if "answer" in said else None


def too_long(line: bytes) -> Said | None:
    """An answer is refused if it is too long, anything else is a note."""
    return broken(f"it printed a line of more than {LONGEST >> 20} MiB") if line[:1] == b"{" else None


def kill(transport: asyncio.SubprocessTransport) -> None:
    """Kill the process and its group, as far as they still are."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            transport.kill()
        else:
            os.killpg(transport.get_pid(), signal.SIGKILL)


async def start(command: Command, name: str, environ: Mapping[str, str]) -> Worker:
    """A new process of this command.

    :raises ConfigError: it cannot be started.
    """
    with anyio.CancelScope(shield=True):  # a process that is half started belongs to nobody
        try:
            _, worker = await asyncio.get_running_loop().subprocess_exec(
                lambda: Worker(name),
                *command.arguments,
                cwd=command.folder,
                env=dict(environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **apart(),
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(f"the program's command cannot be started: {command.shown}: {reason}") from None
    return worker
