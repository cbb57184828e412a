"""Starts Ray on this machine, or joins a cluster; quietly, and so that nothing of it is left behind.

It blocks for seconds, so it is done before the event loop runs and after it has ended. It is done in the main thread,
because Linux ends Ray's processes with the thread that has started them.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import agents
from protocols.errors import ConfigError
from protocols.text import one_line

NAMESPACE = "promptflow"
OBJECTS = 128 * 2**20
"""Bytes of shared memory for a Ray on this machine: what crosses is small."""
ROOT = Path(agents.__file__).resolve().parents[1]
"""The folder from which our package is imported."""
QUIET: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_RUNTIME_ENV_IGNORE_GITIGNORE": "1",  # data that git ignores is needed on the nodes
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # of the lines that Ray prints on standard output
}
CLIENT = "ray://"
REACHED = 10.0
"""Seconds within which the head of a cluster answers."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that this process has joined. `address`: of its head; `shipped`: whether the working directory was
    sent to the nodes, so that they need not have its files."""

    address: str
    shipped: bool


@contextmanager
def joined(address: str | None, shipping: Mapping[str, Any] | None = None) -> Iterator[Cluster]:
    """Join the cluster at `address` (`auto`: the one on this machine; `host:port`; `ray://host:port`) while the block
    runs; None: start one on this machine with its cores, and end it. `shipping`: a `runtime_env`.

    :raises ConfigError: the extra is not installed, or there is no such cluster.
    """
    check_installed()
    with tempfile.TemporaryDirectory(prefix="pf-", dir=_short(), ignore_cleanup_errors=True) as folder:
        variables = {**QUIET, **(_alone(Path(folder)) if address is None else {})}
        with _environment(variables):
            import ray  # it reads the variables when it is imported

            options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "configure_logging": False}
            options["logging_level"] = logging.CRITICAL  # its client logs the answers to calls that were given up
            if address is None:
                options |= {"include_dashboard": False, "object_store_memory": OBJECTS, "_temp_dir": folder}
            elif shipping:
                options["runtime_env"] = dict(shipping)
            context: Any
            try:
                if address is not None:
                    _reach(address)
                with _hushed(), without_reports():
                    context = ray.init(address or "local", **options)
            except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
                where = f"the cluster at {address} cannot be joined" if address else "Ray cannot be started here"
                raise ConfigError(f"{where}: {one_line(str(error), 300)}") from None
            try:
                head = address if address and address.startswith(CLIENT) else context.address_info["gcs_address"]
                yield Cluster(head.removeprefix(CLIENT), shipped=bool(shipping))
            finally:
                with _hushed():
                    ray.shutdown()


@contextmanager
def without_reports() -> Iterator[None]:
    """A Ray that is started while the block runs has no process for dashboard and usage statistics: without them it
    still asks the cloud's metadata address where it runs, and reports that it reports nothing."""
    from ray._private.node import Node

    usual = Node.start_api_server
    Node.start_api_server = lambda node, **options: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Node.start_api_server = usual  # type: ignore[method-assign]


def _reach(address: str) -> None:
    """:raises OSError, ConnectionError, ValueError: nobody answers there; Ray itself would try for ten minutes."""
    place: str | None
    if address.startswith(CLIENT):
        place = address.removeprefix(CLIENT)
    else:
        from ray._private.services import canonicalize_bootstrap_address

        place = canonicalize_bootstrap_address(address)  # where `auto` is, and which address a node calls its own
        if place is None:
            raise ConnectionError("no cluster runs on this machine; ray start --head starts one")
    host, _, port = place.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), REACHED).close()


def check_installed() -> None:
    """:raises ConfigError: Ray, or what seals the secrets, is not installed."""
    if missing := [name for name in ("ray", "cryptography") if find_spec(name) is None]:
        raise ConfigError(
            f"--engine ray needs the extra ray: pip install 'promptflow-agents[ray]' (no {' and '.join(missing)})"
        )


def _alone(folder: Path) -> Mapping[str, str]:
    """Variables of a Ray that only this machine can reach, with a key of its own, and whose workers find our code."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32), encoding="utf-8")
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback address, as on these two
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }


def _short() -> str | None:
    """A folder whose path is short: those of sockets may have about a hundred characters."""
    return "/tmp" if os.path.isdir("/tmp") else None


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """The variables of this process, and of those that it starts, while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _hushed() -> Iterator[None]:
    """Nothing that Ray, or the libraries beneath it, writes to standard error is shown while the block runs."""
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    sys.stderr.flush()
    with Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
