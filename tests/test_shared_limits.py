"""Two commands of one user at one account: together they keep to its limits, whatever becomes of one of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import orjson
import pytest
from anyio.abc import Process

from tests.small_task import write_task
from tests.wire_server import Weather, WireServer

pytestmark = pytest.mark.anyio
RUN = Path(__file__).resolve().parent.parent / "run.py"
PLACES = 3


async def start(folder: Path, url: str, caches: Path) -> Process:
    """Evaluate a prompt on twelve examples."""
    words = ("evaluate", folder / "prompt.txt", folder / "small.toml", "--set", "models.default=openai/gpt-x")
    allowed = ("--set", f"providers.openai.concurrency={PLACES}", "--json")
    variables = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-x", "XDG_CACHE_HOME": str(caches)}
    return await anyio.open_process(
        [sys.executable, RUN, *words, *allowed], env=variables, stderr=subprocess.DEVNULL, cwd=folder
    )


async def result(process: Process) -> dict[str, object]:
    assert process.stdout is not None
    said = b"".join([chunk async for chunk in process.stdout])
    await process.wait()
    found: dict[str, object] = orjson.loads(said)
    return found


async def test_together_they_have_no_more_calls_in_flight_than_the_account_may_have(tmp_path: Path) -> None:
    write_task(tmp_path)

    async with WireServer(lambda turns: "parcel", weather=Weather(latency=0.3)) as server:
        processes = [await start(tmp_path, server.openai_url, tmp_path / "caches") for _ in range(2)]
        found = [await result(process) for process in processes]
        assert [each["n"] for each in found] == [12, 12]
        assert server.stats.most_in_flight == PLACES
        assert server.stats.answered == 24


async def test_the_places_of_a_killed_process_are_free_once_its_lease_has_ended(tmp_path: Path) -> None:
    write_task(tmp_path)
    held, opened = anyio.Event(), anyio.Event()

    async def answer() -> None:
        if server.stats.calls >= PLACES:
            held.set()
        await opened.wait()

    async with WireServer(lambda turns: "parcel", delay=answer) as server:
        killed = await start(tmp_path, server.openai_url, tmp_path / "caches")
        await held.wait()
        other = await start(tmp_path, server.openai_url, tmp_path / "caches")
        killed.send_signal(signal.SIGKILL)
        await killed.wait()
        opened.set()
        assert (await result(other))["n"] == 12
    assert server.stats.most_in_flight <= PLACES
