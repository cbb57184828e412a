"""Seconds of the event loop, for what is asked at every call."""

from __future__ import annotations

import asyncio

import anyio


def loop_time() -> float:
    """As `anyio.current_time`, which takes a microsecond to find out which event loop runs; asyncio's knows."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return anyio.current_time()
