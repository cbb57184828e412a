"""Watches the head of a cluster: without it, no call ends, and Ray ends the process a minute later."""

from __future__ import annotations

import anyio

from protocols.errors import ClusterFailed

EVERY = 5.0
LOST = 3
"""Attempts without a connection after which the head counts as gone."""


async def watch(address: str) -> None:
    """Connect to the head every `EVERY` seconds, until cancelled.

    :raises ClusterFailed: it does not answer any more.
    """
    host, _, port = address.rpartition(":")
    failed = 0
    while failed < LOST:
        await anyio.sleep(EVERY if not failed else 1.0)
        failed = 0 if await _answers(host.strip("[]"), int(port)) else failed + 1
    raise ClusterFailed(
        f"the head of the cluster at {address} does not answer any more; once there is one, the same command goes on"
    )


async def _answers(host: str, port: int) -> bool:
    try:
        with anyio.fail_after(EVERY):
            stream = await anyio.connect_tcp(host, port)
        await stream.aclose()
    except (OSError, TimeoutError):
        return False
    return True
