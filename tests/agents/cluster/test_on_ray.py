"""Searches on a real Ray: a head and two nodes on this machine, all on the loopback address.

All of it is in one file, so that one worker of the suite starts Ray, once.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from anyio import to_thread
from rich.console import Console

from agents import foreground
from agents.directory.run_directory import REPORT, RESULT
from agents.study.grid import Grid, load_grid
from agents.study.sweep import Row
from protocols.errors import ConfigError
from tests.small_task import LABELS, write_task
from tests.wire.http import Call, Connection
from tests.wire_server import Stats, WireServer

if missing := [name for name in ("ray", "cryptography") if find_spec(name) is None]:
    pytest.skip(f"needs the extra ray ({', '.join(missing)})", allow_module_level=True)

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]
KEY = "sk-test-on-the-nodes-0123456789"
SETTINGS = "".join(
    f'[settings.{name}]\nsearch = {{ selector = "{name}", width = 1 }}\nmemory = {{ read = false, write = false }}\n'
    for name in ("msgd", "uniform")
)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without cores, and two nodes with two each."""
    token = tmp_path_factory.mktemp("ray") / "token"
    token.write_text(secrets.token_hex(32), encoding="utf-8")
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
        "RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1",
        "RAY_health_check_period_ms": "1000",
        "RAY_health_check_failure_threshold": "3",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        from agents.cluster.starting import without_reports

        with without_reports():
            started = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        for _ in range(2):
            started.add_node(num_cpus=2)
        yield started
        started.shutdown()  # type: ignore[no-untyped-call]


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
    from agents.cluster.shipping import shipping
    from agents.cluster.starting import joined

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
    return {key: row.result[key] for key in ("best", "test", "candidate", "assignments", "operators", "length")}


def test_a_sweep_is_that_of_one_process_cell_by_cell(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for place in ("one", "many"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        grid = load_grid(write_grid(Path(".")))
        if place == "one":
            results.append([decided(row) for row in here(grid)])
        else:
            swept = on_ray(cluster.address, grid)
            results.append([decided(row) for row in swept.rows])
    assert swept.whole
    assert results[0] == results[1]
    for row in swept.rows:
        assert f"{row.cell} runs on 127.0.0.1" in swept.said
        assert row.result == orjson.loads((Path(row.directory) / RESULT).read_bytes())
        assert (Path(row.directory) / REPORT).exists()


def answer(turns: Sequence[tuple[str, str]]) -> str:
    """A function of the request alone."""
    said = "\n".join(text for _, text in turns)
    mark = int.from_bytes(hashlib.blake2b(said.encode(), digest_size=4).digest(), "big")
    if "<new> and </new>" in said:
        return f"<new>Which of {', '.join(LABELS)} is it? Think of {mark % 1000}.</new>"
    if "<critique> and </critique>" in said:
        return "<critique>\n[task] more skill\n</critique>"
    return LABELS[mark % len(LABELS)]


def asking(port: int) -> tuple[str, ...]:
    few = ("search.critique=4", "search.headroom=false", "providers.openai.concurrency=4")
    url = f"providers.openai.base_url=http://127.0.0.1:{port}/v1"
    return ("models.default=openai/m", url, 'search.operators=["describe"]', *few)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def test_a_search_whose_node_is_killed_goes_on_on_another_from_what_is_on_record(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = list[list[dict[str, object]]]()

    async def kill() -> None:
        await enough.wait()
        node = next(iter(cluster.worker_nodes))
        await to_thread.run_sync(lambda: cluster.remove_node(node, allow_graceful=False))

    for place, beside in (("calm", nothing), ("storm", kill)):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        port, calls, enough = free_port(), count(1), anyio.Event()

        def answering(turns: Sequence[tuple[str, str]]) -> str:
            if next(calls) == 100:  # noqa: B023 - used within this round
                enough.set()  # noqa: B023
            return answer(turns)

        async def delay() -> None:
            await anyio.sleep(0.02)

        grid = load_grid(write_grid(Path("."), "seeds = [0, 1]"), asking(port))
        swept = on_ray(cluster.address, grid, {}, beside, lambda: WireServer(answering, delay=delay, port=port))  # noqa: B023
        results.append([decided(row) for row in swept.rows])
        assert swept.served is not None
        paid = sum(sum(row.result["calls"].values()) for row in swept.rows if row.result)
        assert swept.whole
        assert 0 <= paid - swept.served.calls <= swept.served.most_in_flight
    cluster.add_node(num_cpus=2)
    assert results[0] == results[1]
    assert "goes on on 127.0.0.1" in swept.said


MINE = """
def near(example, answer):
    return 1.0 if answer == example.target else 0.25
"""


def test_code_of_the_user_and_keys_reach_the_nodes_and_keys_are_written_nowhere(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("mine.py").write_text(MINE, encoding="utf-8")
    port, keys = free_port(), set[str]()

    class Noting(WireServer):
        def _arrived(self, call: Call, connection: Connection) -> None:
            keys.add(call.headers.find("Authorization"))
            super()._arrived(call, connection)

    settings = (*asking(port), "search.assignments=1", "task.metric=mine:near")
    grid = load_grid(write_grid(Path("."), "", "[settings.one]\n"), settings)
    swept = on_ray(cluster.address, grid, {"OPENAI_API_KEY": KEY}, serve=lambda: Noting(answer, port=port))
    assert swept.whole
    assert keys == {f"Bearer {KEY}"}
    [row] = swept.rows
    assert row.result is not None
    assert 0.25 <= row.result["best"]["value"] < 1
    session = Path(cluster.head_node.get_session_dir_path())
    files = [path for place in (session, tmp_path) for path in place.rglob("*") if path.is_file()]
    assert any("gcs" in path.name for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("task.train=../train.jsonl",), "task.train = ../train.jsonl does not reach the nodes"),
        (("prompt.file=/etc/hostname",), "prompt.file = /etc/hostname does not reach the nodes"),
    ],
)
def test_a_file_that_does_not_reach_the_nodes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], said: str
) -> None:
    from agents.cluster.shipping import shipping

    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = write_grid(Path("."))
    assert shipping(load_grid(path), Path.cwd())["working_dir"] == str(Path.cwd())
    write_task(tmp_path)
    outside = tuple(setting.replace("../", "../../") for setting in settings)
    with pytest.raises(ConfigError, match=said.replace("../", "../../")):
        shipping(load_grid(path, outside), Path.cwd())


def test_limits_and_caps_hold_over_all_nodes(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four searches on two nodes have three calls in flight together at most, and spend no more than the cap."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    port = free_port()

    async def delay() -> None:
        await anyio.sleep(0.02)

    settings = (*asking(port), "providers.openai.concurrency=3", "search.width=3")
    path = write_grid(Path("."), "seeds = [0, 1]\nbudget = { calls = 150 }")
    grid = load_grid(path, settings)
    swept = on_ray(cluster.address, grid, serve=lambda: WireServer(answer, delay=delay, port=port))
    assert swept.served is not None
    assert not swept.whole
    assert swept.served.most_in_flight <= 3
    assert 50 < swept.served.calls <= 150
    raised = load_grid(write_grid(Path("."), "seeds = [0, 1]"), settings)
    again = on_ray(cluster.address, raised, serve=lambda: WireServer(answer, port=port))
    assert again.whole
