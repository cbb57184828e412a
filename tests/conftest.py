"""Shared fixtures: on which backend a test runs, and what no test may do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.guard import blocking, stand_guard

# How long an example takes depends on the machine: time is measured in benchmarks, never asserted.
settings.register_profile("promptflow", deadline=None)
settings.load_profile("promptflow")

PURE = (
    "tests/agents/ring/",
    "tests/protocols/budget/",
    "tests/protocols/leases/",
    "tests/protocols/pacing/",
    "tests/protocols/test_bus.py",
    "tests/protocols/wrappers/",
)
"""Tests of what uses no library that needs asyncio."""
LONGEST = ("tests/agents/cluster/test_on_ray.py", "tests/test_run.py", "tests/test_batch.py", "tests/test_docs.py")
"""Files that are begun first, so that at the end no process works on one of them while the others have nothing."""
REACHED = stand_guard()
CACHES = tempfile.TemporaryDirectory(prefix="caches-")
os.environ["XDG_CACHE_HOME"] = CACHES.name  # no test shares limits, or anything else, with its user's own processes
blocking.watch()


@pytest.fixture
def anyio_backend() -> str:
    """Our transports ride on aiohttp, so asyncio is the backend of all but what is `PURE`."""
    return "asyncio"


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: tests wait for servers and processes as long as they compute."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the async tests of pure anyio code on both backends."""
    if "anyio_backend" in metafunc.fixturenames and metafunc.definition.nodeid.startswith(PURE):
        metafunc.parametrize("anyio_backend", ["asyncio", "trio"])


@pytest.fixture(autouse=True)
def _on_this_machine() -> Iterator[None]:
    """Fails the test that reached for another machine, even where the code under test took that for an outage."""
    yield
    if reached := REACHED.read_text(encoding="utf-8"):
        REACHED.write_text("", encoding="utf-8")
        pytest.fail(f"a host that is not this machine was to be reached:\n{reached}")


@pytest.fixture(autouse=True)
def _off_the_event_loop() -> Iterator[None]:
    """Fails the test in which a coroutine of ours waited for a file or a database on the event loop."""
    yield
    if waited := sorted(set(blocking.blocked)):
        blocking.blocked.clear()
        pytest.fail("on the event loop:\n" + "\n".join(waited))
