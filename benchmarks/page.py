"""What the page of a long run takes: `python -m benchmarks.page`.

A browser looks at a run while `--messages` messages are written to its journal as fast as it takes them: seconds, the
longest tasks of the page's thread (those of 50 ms and more, as https://www.w3.org/TR/longtasks-1/ has it), and the
memory of the process that serves the page. Then the report of that run: seconds, memory, bytes, and the longest tasks
while a browser loads it. By the clock a task takes as long as other programs let it: here one writes messages, one
serves them, and the browser's other processes draw; so its CPU time stands beside it. Needs a Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
import orjson
from anyio import to_thread
from playwright.async_api import Browser, async_playwright

from agents.config.configuration import load
from agents.directory.run_directory import JOURNAL, REPORT
from agents.run.opening import open_run
from benchmarks.journal import story
from memory.journals.journal import open_journal
from protocols.messages import Assignment, Candidate, Critique, Envelope, Evaluation, Message
from protocols.model import Usage
from protocols.wrappers.recorded import Call

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "simulated.toml"
RUN = [sys.executable, str(Path(__file__).resolve().parents[1] / "run.py")]
TO: dict[type[Message], str] = {
    Assignment: "proposer/few_shot",
    Candidate: "evaluator",
    Evaluation: "critic",
    Critique: "controller",
}
LONG = 50_000
"""Microseconds."""
DRAWN = "new Promise((done) => { const look = () => (waiting ? setTimeout(look, 20) : done()); look(); })"


def varied(messages: int, rng: Random) -> Iterator[Message]:
    """The invented search, whose values rise with time."""
    values: dict[int, float] = {}
    for message in story(messages, rng):
        match message:
            case Evaluation(assignment=number):
                values[number] = min(1.0, 0.3 + 0.5 * number / messages + rng.random() * 0.3)
                yield replace(message, value=values[number])
            case Critique(assignment=number, evaluation=evaluation):
                yield replace(message, evaluation=replace(evaluation, value=values.pop(number)))
            case _:
                yield message


async def write(directory: Path, messages: int, calls: int) -> None:
    """So many messages, and so many calls for each of them."""
    async with open_journal(directory / JOURNAL) as journal:
        told = enumerate(varied(messages, Random(0)), start=1)

        async def work() -> None:
            for number, message in told:
                now = time.time()
                for _ in range(calls):
                    await journal.called(
                        Call(now, getattr(message, "assignment", None), "task", "m", Usage(900, 9), 0.5)
                    )
                await journal.append(Envelope(number, None, "sender", TO[type(message)], now, message))

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(work)


async def watched(browser: Browser, directory: Path, messages: int, calls: int) -> None:
    """Write the run while a browser looks on."""
    server = _start("watch", str(directory))
    assert server.stderr is not None
    url = (await to_thread.run_sync(server.stderr.readline)).split()[-1]
    page = await browser.new_page()
    await page.goto(url)
    await page.locator("#state").filter(has_text="No result").wait_for()
    await browser.start_tracing(page=page, categories=["toplevel"])
    start = time.perf_counter()
    await write(directory, messages, calls)
    written = time.perf_counter() - start
    ended = messages // 4
    await page.locator("#candidates").filter(has_text=f"of {ended:,}").wait_for(timeout=600_000)
    seconds = time.perf_counter() - start
    print(
        f"{messages:,} messages, {messages * calls:,} calls: written in {written:.1f} s, all seen in {seconds:.1f} s"
    )
    say_tasks(await browser.stop_tracing(), "while they came")
    await page.locator("#candidates button").first.click()
    await page.locator("#detail[open]").wait_for()
    print(f"a candidate opened: {await page.locator('#detail h2').inner_text()}")
    server.send_signal(signal.SIGINT)
    _, _, used = await to_thread.run_sync(os.wait4, server.pid, 0)
    print(f"the server: {used.ru_utime + used.ru_stime:.1f} s of CPU, {used.ru_maxrss / 1024:,.0f} MB at most\n")


async def reported(browser: Browser, directory: Path) -> None:
    """Write the report, and load it."""
    start = time.perf_counter()
    made = _start("report", str(directory))
    _, _, used = await to_thread.run_sync(os.wait4, made.pid, 0)
    size = (directory / REPORT).stat().st_size
    seconds = time.perf_counter() - start
    print(
        f"report.html: {size / 1e6:.1f} MB, written in {seconds:.1f} s with {used.ru_maxrss / 1024:,.0f} MB at most"
    )
    page = await browser.new_page()
    await browser.start_tracing(page=page, categories=["toplevel"])
    start = time.perf_counter()
    await page.goto((directory / REPORT).as_uri())
    await page.evaluate(DRAWN)
    print(f"loaded and drawn in {time.perf_counter() - start:.1f} s")
    say_tasks(await browser.stop_tracing(), "at most")


def _start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*RUN, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def say_tasks(trace: bytes, when: str) -> None:
    """The longest tasks of the pages' threads, of a trace of Chromium's."""
    events = orjson.loads(trace)["traceEvents"]
    pages = {
        of(event) for event in events if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = sorted(
        ((event["dur"], event.get("tdur", 0)) for event in events if is_task(event) and of(event) in pages),
        reverse=True,
    )
    longest = ", ".join(f"{clock / 1e3:.0f} ({cpu / 1e3:.0f})" for clock, cpu in tasks[:5])
    most = max((cpu for _, cpu in tasks), default=0) / 1e3
    print(f"tasks of 50 ms and more {when}: {len(tasks)}, the longest: {longest or 'none'} ms (of CPU)", end="; ")
    print(f"most CPU of these: {most:.0f} ms")


def is_task(event: Mapping[str, Any]) -> bool:
    """Whether this is a task that took long."""
    return event["name"] in ("RunTask", "ThreadControllerImpl::RunTask") and event.get("dur", 0) >= LONG


def of(event: Mapping[str, Any]) -> tuple[int, int]:
    """Its process and thread."""
    return event["pid"], event["tid"]


async def main(messages: int, calls: int) -> None:
    """Measure and print."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "run"
        async with open_run(load(EXAMPLE, []), {}, directory):
            pass
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            await watched(browser, directory, messages, calls)
            await reported(browser, directory)
            await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=4, help="for each message")
    arguments = parser.parse_args()
    anyio.run(main, arguments.messages, arguments.calls)
