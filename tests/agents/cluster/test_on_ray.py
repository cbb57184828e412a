"""Searches on a real Ray: a head and two nodes on this machine, all on the loopback address.

All of it is in one file, so that one worker of the suite starts Ray, once.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console

from agents import foreground
from agents.study.grid import Grid, load_grid
from agents.study.sweep import Row
from tests.small_task import write_task

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


def on_ray(address: str, grid: Grid, environ: Mapping[str, str] | None = None) -> tuple[list[Row], bool, str]:
    from agents.cluster.shipping import shipping
    from agents.cluster.starting import joined

    shown = Console(file=StringIO(), width=200)
    with joined(address, shipping(grid, Path.cwd())) as joint:
        from agents.cluster.engine import OnRay

        async def work() -> tuple[list[Row], bool]:
            rows, whole = await foreground.sweep(grid, environ or {}, shown, 0, lambda given: OnRay(joint, given))
            return [*rows], whole

        rows, whole = anyio.run(work)
    assert isinstance(shown.file, StringIO)
    return rows, whole, shown.file.getvalue()


def here(grid: Grid) -> list[Row]:
    async def work() -> list[Row]:
        rows, _ = await foreground.sweep(grid, {}, Console(quiet=True), 0)
        return [*rows]

    return anyio.run(work)


def decided(row: Row) -> dict[str, object]:
    """What does not depend on the clock."""
    assert row.result is not None, row.error
    return {
        key: row.result[key] for key in ("best", "test", "candidate", "assignments", "calls", "operators", "length")
    }


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
            rows, whole, said = on_ray(cluster.address, grid)
            results.append([decided(row) for row in rows])
    assert whole
    assert results[0] == results[1]
    assert all(f"{row.cell} runs on 127.0.0.1" in said for row in rows)
    assert all((Path(row.directory) / "report.html").exists() for row in rows)
