"""The stack around a model: who counts what."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.runs.configuration import build
from agents.runs.models import Models, open_ledger, secrets
from memory.cache import open_cache
from protocols.errors import ConfigError
from protocols.model import ChatMessage, Request
from protocols.providers.http import open_transport
from protocols.wrappers.ledger import Attempt
from tests.wire_server import Fault, WireServer

pytestmark = pytest.mark.anyio
TASK = {"name": "t", "train": "a", "validation": "b", "test": "c"}
PRICE = {"input": 1, "output": 2}


async def test_a_reply_from_the_cache_is_counted_and_costs_nothing(tmp_path: Path) -> None:
    """Every attempt is told to the observers, the failed one with its error; a reply from the cache is none."""
    request = Request((ChatMessage("user", "hello"),))
    attempts: list[Attempt] = []
    async with WireServer(lambda turns: "hi") as server, open_transport() as transport:
        openai = {"base_url": server.openai_url, "api_key_env": "KEY"}
        configuration = build(
            {"task": TASK, "models": {"default": "openai/x"}, "providers": {"openai": openai}}, Path()
        )
        ledger = open_ledger(configuration)
        ledger.tap(attempts.append)
        models = Models(configuration, {"KEY": "sk-secret"}, transport, ledger)
        server.faults.append(Fault(status=500, headers={"retry-after-ms": "1"}))
        async with open_cache(tmp_path / "cache.sqlite") as cache:
            task, critic = models.of("task", cache), models.of("critic", cache)
            texts = [(await model.complete(request)).text for model in (task, task, critic)]
    assert texts == ["hi"] * 3
    assert (ledger.calls, ledger.cached, server.stats.calls) == (2, 2, 2)
    assert [(attempt.role, attempt.error is None) for attempt in attempts] == [("task", False), ("task", True)]


@pytest.mark.parametrize(
    ("providers", "refused"),
    [
        ({}, "openai/x"),
        ({"openai/x": {"price": PRICE}}, "anthropic/y"),
        ({"openai": {"price": PRICE}, "anthropic/y": {"price": PRICE}}, None),
    ],
)
async def test_a_dollar_cap_needs_the_price_of_every_model_but_the_embedded(
    providers: dict[str, object], refused: str | None
) -> None:
    models = {"default": "embedded", "task": "openai/x", "proposers": {"few_shot": "anthropic/y"}}
    tables = {"task": TASK, "models": models, "providers": providers, "budget": {"dollars": 1}}
    configuration = build(tables, Path())
    if refused is None:
        assert open_ledger(configuration).caps.dollars == 1
    else:
        wanted = "anthropic/y" if refused == "anthropic/y" else ""
        with pytest.raises(ConfigError, match=wanted or "anthropic/y|openai/x"):
            open_ledger(configuration)


async def test_every_key_is_a_secret_whether_used_or_not() -> None:
    configuration = build({"task": TASK, "providers": {"openai/x": {"api_key_env": "MINE"}}}, Path())
    environ = {"OPENAI_API_KEY": "a-1", "ANTHROPIC_API_KEY": " b-2 ", "MINE": "c-3", "OTHER": "d-4", "EMPTY": ""}
    assert secrets(configuration, environ) == {"a-1", "b-2", "c-3"}
