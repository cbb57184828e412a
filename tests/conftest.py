"""Shared fixtures: every async test runs on asyncio unless it asks for more."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes depends on the machine: time is measured in benchmarks, never asserted.
settings.register_profile("promptflow", deadline=None)
settings.load_profile("promptflow")


@pytest.fixture
def anyio_backend() -> str:
    """Our transports ride on aiohttp, so asyncio is the backend; pure anyio code parametrises over both."""
    return "asyncio"
