"""The engine of a command: this process, or Ray, which is imported only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from agents.models.quotas import Quotas
from agents.study.engine import Engine
from agents.study.grid import Grid
from protocols.errors import ConfigError


class EngineName(StrEnum):
    """The engines by their names on the command line."""

    PROCESS = "process"
    RAY = "ray"


Open = Callable[[Mapping[str, str]], Engine]
"""Opens an engine for the variables of a command."""


@contextmanager
def limits_of(name: EngineName, address: str | None) -> Iterator[Quotas | None]:
    """Where a search of this process gets the limits of its accounts from, on the engine of that name; None: as
    usual.

    :raises ConfigError: as `chosen`.
    """
    if _is_here(name, address):
        yield None
        return
    from agents.cluster.starting import joined

    with joined(address):
        from agents.cluster.limits import ClusterQuotas

        yield ClusterQuotas()


def _is_here(name: EngineName, address: str | None) -> bool:
    """:raises ConfigError: there is an address without an engine that has one."""
    if name is EngineName.PROCESS and address is not None:
        raise ConfigError("--address names a Ray cluster; add --engine ray")
    return name is EngineName.PROCESS


@contextmanager
def chosen(name: EngineName, address: str | None, grid: Grid) -> Iterator[Open | None]:
    """The engine of that name; None: this process.

    :raises ConfigError: the extra is not installed, there is no such cluster, or a file cannot reach its nodes.
    """
    if _is_here(name, address):
        yield None
        return
    from agents.cluster.shipping import shipping
    from agents.cluster.starting import check_installed, joined

    check_installed()
    shipped = shipping(grid, Path.cwd()) if address else None
    with joined(address, shipped) as cluster:
        from agents.cluster.engine import OnRay  # imports ray, which reads its variables then

        yield lambda environ: OnRay(cluster, environ)
