"""The processes that serve local models: one for each `Plan`, shared by everything in this process."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

import anyio
from anyio import to_thread
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from protocols.concurrency.threads import in_thread
from protocols.errors import ConfigError
from protocols.providers.local.quicker import quicker
from protocols.providers.local.weights import Weights, find

PROGRAM: Final = Path(__file__).with_name("serve.py")
LONGEST_LINE: Final = 4096
DYING: Final = 1.0
"""Seconds to wait for the end of a process that has broken its connections."""
REASON: Final = 300
"""Most characters of llama.cpp's messages that the user sees."""
LOADING: Final = "error loading model: "
"""The text before the reason of a failed loading; later lines only say that the model is not loaded."""
ENDED: Final[Mapping[int, str]] = {
    -9: "its process was killed, as a system does that has no memory left; set fewer slots, or less context",
    -4: "its process was ended by SIGILL: this build of llama.cpp does not suit this processor; install xllamacpp "
    "built on this machine, or ask a model behind a server (openai/… with base_url)",
}
"""Reasons why a process has ended, by exit codes that say more than its messages."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is loaded. `slots`: number of requests answered at once. `context`: tokens of each slot."""

    path: str
    name: str
    slots: int
    context: int
    threads: int
    embeds: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """A loaded model: its address, its key, its process, and the process's standard error."""

    address: str
    key: str
    process: Process
    errors: IO[bytes]

    @property
    def ended(self) -> bool:
        """Whether its process has ended."""
        return self.process.returncode is not None

    async def settle(self) -> None:
        """Wait up to `DYING` seconds for the end of a process that has broken a connection."""
        with anyio.move_on_after(DYING):
            await self.process.wait()

    async def stop(self) -> None:
        """Kill the process; it holds nothing worth keeping."""
        with anyio.CancelScope(shield=True):
            if not self.ended:
                self.process.kill()
            await self.process.aclose()
            self.errors.close()


class LocalModels:
    """The weights that were found and the processes that serve them; each is found and loaded once. `environ` names
    the folder of caches."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._weights: dict[tuple[str, str | None], Weights] = {}
        self._served: dict[Plan, Served] = {}
        self._locks: dict[object, anyio.Lock] = {}

    async def weights(self, name: str, path: str | None) -> Weights:
        """The weights of the model `name`.

        :raises ConfigError: see `weights.find`.
        """
        source = (name, path)
        if source not in self._weights:
            async with self._locks.setdefault(source, anyio.Lock()):
                if source not in self._weights:
                    self._weights[source] = await to_thread.run_sync(find, name, path)
        return self._weights[source]

    async def serve(self, plan: Plan, weights: Weights) -> Served:
        """The loaded model; it is loaded again if its process has ended.

        :raises ConfigError: the model cannot be loaded; the message says why.
        """
        served = self._served.get(plan)
        if served is not None and not served.ended:
            return served
        async with self._locks.setdefault(plan, anyio.Lock()):
            served = self._served.get(plan)
            if served is None or served.ended:
                if served is not None:
                    await served.stop()
                self._served[plan] = served = await self._start(plan, weights)
        return served

    async def _start(self, plan: Plan, weights: Weights) -> Served:
        """Start the faster copy of the weights; if it cannot be loaded, delete it and start the original."""
        file = await to_thread.run_sync(quicker, weights.file, weights.header, self._environ)
        if file != weights.file:
            try:
                return await start(replace(plan, path=str(file)))
            except ConfigError:
                with suppress(OSError):
                    file.unlink()
        return await start(plan)

    async def aclose(self) -> None:
        """End all processes."""
        while self._served:
            await self._served.popitem()[1].stop()


async def start(plan: Plan) -> Served:
    """Load a model in its own process, which ends with this one, even if this one is killed.

    :raises ConfigError: the model cannot be loaded; the message says why.
    """
    key = secrets.token_hex(16)
    try:
        served = await opened(key)
    except OSError as error:
        reason = f"its process cannot be started: {error.strerror or error}"
        raise ConfigError(f"{plan.name} cannot be loaded: {reason}", file=plan.path) from None
    try:
        address = await told(served.process, json.dumps({**asdict(plan), "key": key}))
        return replace(served, address=address)
    except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError, OSError):
        await served.process.wait()
        reason = await in_thread(why, served)
    except (anyio.DelimiterNotFound, ValueError, KeyError, TypeError):
        reason = "its process wrote something else than its address; a module may have printed while Python started"
    except BaseException:
        await served.stop()
        raise
    await served.stop()
    raise ConfigError(f"{plan.name} cannot be loaded: {reason}", file=plan.path)


async def opened(key: str) -> Served:
    """The started process, which waits for the line that says what to serve.

    :raises OSError: the process or a temporary file cannot be created.
    """
    errors = TemporaryFile()  # noqa: SIM115
    try:
        process = await anyio.open_process(
            # -P: else Python would look for modules first in the folder of the program
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, **apart(),
        )  # fmt: skip
    except BaseException:
        errors.close()
        raise
    return Served("", key, process, errors)


async def told(process: Process, line: str) -> str:
    """Send a process the line that says what to serve; returns its address once the model is loaded."""
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.send(f"{line}\n".encode())
    said = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", LONGEST_LINE)
    return str(json.loads(said)["address"])


def apart() -> Mapping[str, Any]:
    """Arguments that shield a process from signals of the terminal, because a first Ctrl-C lets calls end."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def why(served: Served) -> str:
    """The reason why a process has ended: llama.cpp's last message about an error, if there is one."""
    lines = list[str]()
    with suppress(OSError, ValueError):  # the file is closed if another task has stopped the process
        served.errors.seek(0)
        lines = served.errors.read().decode("utf-8", "replace").splitlines()
    code = served.process.returncode or 0
    if code in ENDED:
        return ENDED[code]
    loading = [line.partition(LOADING)[2].strip() for line in lines if LOADING in line]
    said = [line.partition(" E ")[2].strip() for line in lines if " E " in line]
    raised = [line.strip() for line in lines if line.strip()]
    return next((words[-1] for words in (loading, said, raised) if words), ending(code))[:REASON]


def ending(code: int) -> str:
    """The reason for a process that ended without a message."""
    if code >= 0:
        return f"its process ended with code {code}"
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    return f"its process was ended by {name}; get the file again, which may be damaged, or another llama.cpp"
