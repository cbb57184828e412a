"""Searches on a real Ray: a head and two nodes on this machine, all on the loopback address.

All of it is in one file, so that one worker of the suite starts Ray, once.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from random import Random

import anyio
import orjson
import pytest
from anyio import to_thread

from agents.directory.run_directory import REPORT, RESULT
from agents.study.grid import load_grid
from protocols.errors import ConfigError
from protocols.leases.lease import Report
from protocols.providers.catalogue import Account
from tests.agents.cluster.rig import (
    Nodes,
    answer,
    asking,
    cluster_of,
    decided,
    free_port,
    here,
    nothing,
    on_ray,
    write_grid,
)
from tests.pages import copy_examples
from tests.protocols.wrappers.clocked import simulate
from tests.small_task import write_task
from tests.wire.http import Call, Connection
from tests.wire_server import WireServer

if missing := [name for name in ("ray", "cryptography") if find_spec(name) is None]:
    pytest.skip(f"needs the extra ray ({', '.join(missing)})", allow_module_level=True)

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("default")]
KEY = "sk-test-on-the-nodes-0123456789"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Nodes]:
    """A head without cores, and two nodes with two each."""
    with cluster_of(2, 2) as started:
        yield started


def test_a_sweep_is_that_of_one_process_cell_by_cell(
    cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_search_whose_node_is_killed_goes_on_on_another_from_what_is_on_record(
    cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, enough = list[list[dict[str, object]]](), anyio.Event()

    async def kill() -> None:
        await enough.wait()
        await to_thread.run_sync(cluster.kill, Random(0))

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
    cluster.add()
    assert results[0] == results[1]
    assert "goes on on 127.0.0.1" in swept.said


MINE = """
def near(example, answer):
    return 1.0 if answer == example.target else 0.25
"""


def test_code_of_the_user_and_keys_reach_the_nodes_and_keys_are_written_nowhere(
    cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    files = [path for place in (cluster.folder, tmp_path) for path in place.rglob("*") if path.is_file()]
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


def test_limits_and_caps_hold_over_all_nodes(cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four searches on two nodes have three calls in flight together at most, and spend no more than the cap.

    Of the cap up to 72 calls are kept back for the four reports. Without it the searches take about 400 calls.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    port = free_port()

    async def delay() -> None:
        await anyio.sleep(0.02)

    settings = (*asking(port), "providers.openai.concurrency=3", "search.width=3", "search.assignments=20")
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
    assert again.served is not None
    assert swept.served.calls + again.served.calls > 150


def test_the_limits_of_a_cluster_end_a_minute_after_the_last_report_of_any_member(
    cluster: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a simulated clock, without Ray, which is only imported here, after its variables were set. Each of three
    members has asked it to serve, as they do when they look for it."""
    import ray

    from agents.cluster.limits import IDLE, LimitsRoom

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ended = list[float]()
    monkeypatch.setattr(ray.actor, "exit_actor", lambda: ended.append(anyio.current_time()))

    async def work() -> float:
        room = LimitsRoom()
        async with anyio.create_task_group() as tasks:
            for member in "abc":
                tasks.start_soon(room.serve)
                await anyio.sleep(IDLE * 0.7)
                await room.exchange(Account("openai"), member, Report())
                last = anyio.current_time()
            await anyio.sleep(IDLE * 0.7)
            assert not ended
        return last

    last = simulate(work)
    assert ended == [pytest.approx(last + IDLE)]


def test_the_command_of_the_page_starts_ray_here_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    """The sweep of the examples, in a folder like the checkout; nothing but our own lines is printed."""
    root = Path(__file__).resolve().parents[3]
    page = (root / "docs/scale.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    _, command = block.splitlines()
    copy_examples(tmp_path)
    begun = [sys.executable, str(root / "run.py"), *command.split()[2:], "--set", "search.assignments=2"]
    done = subprocess.run(begun, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "ray" not in (done.stdout + done.stderr).lower().replace("runs/sweep", "")
    assert len(done.stderr.splitlines()) == len(
        [line for line in done.stderr.splitlines() if "simulated" in line or "waits" in line]
    )
    assert sum("runs on 127.0.0.1" in line for line in done.stderr.splitlines()) == 4
    lines = (tmp_path / "runs" / "sweep" / "results.jsonl").read_bytes().splitlines()
    assert all(orjson.loads(line)["result"] for line in lines)
    assert len(lines) == 4
