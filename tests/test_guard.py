"""No test reaches another machine, and none lets a coroutine of ours block the event loop."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import pytest

from tests.guard import VARIABLE, blocking
from tests.guard.sitecustomize import is_here

CONNECT = "import socket; socket.create_connection(('192.0.2.1', 9), 1)"
"""An address of TEST-NET-1 (RFC 5737), where nobody is."""


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "localhost", b"localhost", "", None]
)
def test_this_machine_may_be_reached(host: object) -> None:
    assert is_here(host)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "localhost.example", "model.invalid"]
)
def test_no_other_machine_is_this_one(host: str) -> None:
    assert not is_here(host)


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of its own for what is refused in a test that means to be."""
    file = tmp_path / "refused"
    monkeypatch.setenv(VARIABLE, str(file))
    return file


def test_no_other_machine_is_reached_from_this_process(refused: Path) -> None:
    with socket.socket() as tcp, pytest.raises(OSError, match="no host but this machine"):
        tcp.connect(("192.0.2.1", 9))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, pytest.raises(OSError, match="no host but"):
        udp.sendto(b"", ("192.0.2.1", 9))
    with pytest.raises(OSError, match="no host but this machine"):
        socket.getaddrinfo("model.invalid", 80)
    assert len(refused.read_text(encoding="utf-8").splitlines()) == 3


def test_no_other_machine_is_reached_from_a_process_that_it_starts(refused: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONNECT], env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no host but this machine" in done.stderr
    assert "'192.0.2.1'" in refused.read_text(encoding="utf-8")


READS = """
from pathlib import Path

async def read(path):
    return _read(path)

def _read(path):
    return Path(path).read_text(encoding="utf-8")
"""


def compiled(file: str) -> Callable[[str], Awaitable[str]]:
    """The coroutine function `read`, as if it stood in this file of the checkout."""
    space: dict[str, Any] = {}
    exec(compile(READS, str(blocking.ROOT / file), "exec"), space)
    return cast("Callable[[str], Awaitable[str]]", space["read"])


@pytest.mark.parametrize(
    ("file", "noted"),
    [
        ("agents/pretended.py", ["agents/pretended.py:read: io.TextIOWrapper.read"]),
        ("run.py", ["run.py:read: io.TextIOWrapper.read"]),
        ("tests/pretended.py", []),
        ("elsewhere.py", []),
    ],
)
def test_a_coroutine_of_ours_that_reads_a_file_is_noted(file: str, noted: list[str]) -> None:
    anyio.run(compiled(file), __file__)
    found = [line for line in blocking.blocked if "TextIOWrapper" in line]
    blocking.blocked.clear()
    assert found == noted


def test_a_thread_of_ours_may_read_a_file() -> None:
    read: dict[str, Any] = {}
    exec(compile(READS, str(blocking.ROOT / "agents/pretended.py"), "exec"), read)
    anyio.run(anyio.to_thread.run_sync, read["_read"], __file__)
    assert blocking.blocked == []
