"""A Ray of several nodes on this machine, all on the loopback address, and sweeps on it: for tests and benchmarks."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from rich.console import Console

from agents import foreground
from agents.cluster.shipping import shipping
from agents.cluster.starting import joined, without_reports
from agents.study.grid import Grid
from agents.study.sweep import Row
from tests.small_task import LABELS, WORDS, write_task
from tests.wire_server import Stats, WireServer

SETTINGS = "".join(
    f'[settings.{name}]\nsearch = {{ selector = "{name}", width = 1 }}\nmemory = {{ read = false, write = false }}\n'
    for name in ("msgd", "uniform")
)


DECIDED = ("best", "test", "candidate", "assignments", "operators", "length")


@dataclass
class Nodes:
    """A `ray.cluster_utils.Cluster` whose nodes have a folder each in `folder`, as those of other machines have.
    `outside`: the address for machines that are no nodes, "" if there is none."""

    cluster: Any
    folder: Path
    cores: int
    outside: str = ""

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        """Start a node; in the main thread."""
        self.cluster.add_node(num_cpus=self.cores, temp_dir=tempfile.mkdtemp(dir=self.folder))

    def kill(self, rng: Random) -> None:
        """Kill one of the nodes, as if it had lost its power."""
        self.cluster.remove_node(rng.choice([*self.cluster.worker_nodes]), allow_graceful=False)

    def kill_head(self) -> None:
        """Kill the head, as if it had lost its power."""
        self.cluster.remove_node(self.cluster.head_node, allow_graceful=False)


@contextmanager
def cluster_of(nodes: int, cores: int, client: int = 0) -> Iterator[Nodes]:
    """A head without cores, and nodes. `client`: the port for machines outside, 0: none."""
    folder = TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True)
    with folder as name, _started(Path(name), cores, client) as started:
        for _ in range(nodes):
            started.add()
        yield started


@contextmanager
def _started(folder: Path, cores: int, client: int) -> Iterator[Nodes]:
    token = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", folder / "token"))  # a process reads it once, for all clusters
    if not token.exists():
        token.write_text(secrets.token_hex(32), encoding="utf-8")
    (folder / "ray").mkdir()
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TMPDIR": str(folder),  # where Ray notes the address of the last cluster of this machine
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
        "RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)  # before ray is imported, which reads them
    try:
        from ray.cluster_utils import Cluster

        with without_reports():
            head = {"num_cpus": 0, "include_dashboard": False, "temp_dir": str(folder / "head")}
            if client:
                head["ray_client_server_port"] = client
            started = Cluster(initialize_head=True, head_node_args=head)
        yield Nodes(started, folder, cores, f"ray://127.0.0.1:{client}" if client else "")
        started.shutdown()  # type: ignore[no-untyped-call]
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def write_grid(folder: Path, sweep: str = "seeds = [0, 1]", settings: str = SETTINGS) -> Path:
    write_task(folder / "task")
    path = folder / "grid.toml"
    path.write_text(f'[sweep]\ntasks = ["task/small.toml"]\n{sweep}\n{settings}', encoding="utf-8")
    return path


Beside = Callable[[], Coroutine[Any, Any, None]]


async def nothing() -> None:
    """Beside most sweeps nothing happens."""


@dataclass
class Swept:
    rows: list[Row]
    whole: bool
    said: str
    served: Stats | None = None


def on_ray(
    address: str,
    grid: Grid,
    environ: Mapping[str, str] | None = None,
    beside: Beside = nothing,
    serve: Callable[[], WireServer] | None = None,
) -> Swept:
    """The sweep of the command; on its loop, `beside` it, what `serve` makes."""
    shown = StringIO()
    with joined(address, shipping(grid, Path.cwd())) as joint:
        from agents.cluster.engine import OnRay

        async def work() -> Swept:
            async with AsyncExitStack() as stack:
                server = await stack.enter_async_context(serve()) if serve else None
                tasks = await stack.enter_async_context(anyio.create_task_group())
                tasks.start_soon(beside)
                console = Console(file=shown, width=200)
                swept = await foreground.sweep(grid, environ or {}, console, 0, lambda given: OnRay(joint, given))
                tasks.cancel_scope.cancel()
            return Swept([*swept.rows], swept.whole, shown.getvalue(), server.stats if server else None)

        return anyio.run(work)


def here(grid: Grid) -> list[Row]:
    async def work() -> list[Row]:
        swept = await foreground.sweep(grid, {}, Console(quiet=True), 0)
        return [*swept.rows]

    return anyio.run(work)


def decided(row: Row) -> dict[str, object]:
    """What does not depend on the clock."""
    assert row.result is not None, row.error
    return {key: row.result[key] for key in DECIDED}


def answer(turns: Sequence[tuple[str, str]]) -> str:
    """A function of the request alone. The higher the number that a prompt thinks of, the more inputs it answers
    right, so that some edits win their races."""
    said = "\n".join(text for _, text in turns)
    mark = int.from_bytes(hashlib.blake2b(said.encode(), digest_size=4).digest(), "big")
    if "<new> and </new>" in said:
        return f"<new>Which of {', '.join(LABELS)} is it? Think of {mark % 1000}.</new>"
    if "<critique> and </critique>" in said:
        return "<critique>\n[task] more skill\n</critique>"
    asked = turns[-1][1]
    right = next(place for place, label in enumerate(LABELS) if WORDS[label] in asked)
    number = int.from_bytes(hashlib.blake2b(asked.encode(), digest_size=4).digest(), "big") % 1000
    thought = re.search(r"Think of (\d+)", said)
    wrong = number > 300 + (int(thought[1]) // 2 if thought else 0)
    return LABELS[(right + wrong) % len(LABELS)]


def asking(port: int) -> tuple[str, ...]:
    few = ("search.critique=4", "search.headroom=false", "providers.openai.concurrency=4")
    url = f"providers.openai.base_url=http://127.0.0.1:{port}/v1"
    return ("models.default=openai/m", url, 'search.operators=["describe"]', *few)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port
