"""The stack around a model: who counts what."""

from __future__ import annotations

from dataclasses import asdict
from io import StringIO
from pathlib import Path

import anyio
import orjson
import pytest
from rich.console import Console

from agents.config.configuration import build, load
from agents.config.roles import model_settings, secrets
from agents.models.accounts import Accounts
from agents.models.budget import open_ledger, prices
from agents.models.stack import Models
from agents.run.opening import open_run
from agents.views.report import show_result
from memory.journals.journal import open_journal
from memory.journals.reading import read_calls
from memory.storage.cache import open_cache
from protocols.budget.ledger import Attempt, Ledger
from protocols.budget.prices import Price, default_prices
from protocols.errors import AuthenticationFailed, ConfigError
from protocols.model import ChatMessage, ChatModel, Request
from protocols.pacing.limits import Limits
from protocols.providers.catalogue import identify
from protocols.providers.transport.http import open_transport
from tests.small_task import LABELS, SIMULATED, write_task
from tests.wire.formats import conversation
from tests.wire_server import Fault, WireServer, count_tokens

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
        ledger = open_ledger(configuration, {})
        ledger.tap(attempts.append)
        models = Models(configuration, {"KEY": "sk-secret"}, transport, ledger)
        server.faults.append(Fault(status=500, headers={"retry-after-ms": "1"}))
        async with open_cache(tmp_path / "cache.sqlite") as cache:
            task, critic = models.of("task", cache), models.of("critic", cache)
            texts = [(await model.complete(request)).text for model in (task, task, critic)]
    assert texts == ["hi"] * 3
    assert (ledger.calls, ledger.saved.calls, server.stats.calls) == (2, 2, 2)
    assert (ledger.saved.tokens, ledger.saved.dollars) == (2 * ledger.tokens, None)
    assert [(attempt.role, attempt.error is None) for attempt in attempts] == [("task", False), ("task", True)]


async def test_a_call_that_waits_for_its_budget_is_not_on_record(tmp_path: Path) -> None:
    """Of two calls with room for one, the second waits for what the first costs. Nobody has sent it."""
    entered, released = anyio.Event(), anyio.Event()

    async def hold() -> None:
        entered.set()
        await released.wait()

    async with (
        WireServer(lambda turns: "hi", delay=hold) as server,
        open_transport() as transport,
        open_journal(tmp_path / "journal.sqlite") as journal,
    ):
        openai = {"base_url": server.openai_url, "api_key_env": "KEY"}
        tables = {"models": {"default": "openai/x"}, "providers": {"openai": openai}, "budget": {"tokens": 1500}}
        configuration = build({"models": SIMULATED, "task": TASK, **tables}, Path())
        ledger = open_ledger(configuration, {})
        model = Models(configuration, {"KEY": "sk-secret"}, transport, ledger).of("task", journal=journal)
        request = Request((ChatMessage("user", "hello"),))
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(model.complete, request)
                await entered.wait()
                tasks.start_soon(model.complete, request)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        released.set()
    [call] = read_calls(tmp_path / "journal.sqlite")
    assert (call.error is not None, ledger.calls, server.stats.calls) == (True, 1, 1)


async def test_a_call_that_waits_for_its_budget_holds_no_slot_that_others_share(tmp_path: Path) -> None:
    """Two searches on one account with two slots: one of them has room for one call, and asks for three."""
    arrived, released = anyio.Semaphore(0), anyio.Event()

    async def hold() -> None:
        arrived.release()
        await released.wait()

    async with WireServer(lambda turns: "hi", delay=hold) as server, open_transport() as transport:
        openai = {"base_url": server.openai_url, "api_key_env": "KEY", "concurrency": 2, "requests_per_minute": 60000}
        tables = {"task": TASK, "models": {"default": "openai/x"}, "providers": {"openai": openai}}
        accounts, environ = Accounts(), {"KEY": "sk-secret"}

        def opened(budget: dict[str, int]) -> tuple[ChatModel, Ledger]:
            configuration = build({**tables, "budget": budget}, Path())
            ledger = open_ledger(configuration, {})
            return Models(configuration, environ, transport, ledger, accounts).of("task"), ledger

        (capped, its), (free, _) = opened({"tokens": 1500}), opened({})
        request = Request((ChatMessage("user", "hello"),))
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(capped.complete, request)
                await arrived.acquire()
                tasks.start_soon(free.complete, request)
                await arrived.acquire()
                assert (its.calls, server.stats.calls) == (1, 2)
                released.set()
    assert (its.calls, server.stats.calls) == (3, 4)


def told(provider: str, usage: object) -> bytes:
    """A reply with this usage."""
    label = LABELS[0]
    if provider == "openai":
        return orjson.dumps({"choices": [{"message": {"content": label}, "finish_reason": "stop"}], "usage": usage})
    return orjson.dumps({"content": [{"type": "text", "text": label}], "stop_reason": "end_turn", "usage": usage})


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -5, "input_tokens": True}, {"completion_tokens": 2**62}])
@pytest.mark.parametrize("cap", ["tokens", "dollars"])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_cap_holds_where_the_server_does_not_count(
    tmp_path: Path, provider: str, cap: str, usage: object
) -> None:
    """The run ends near the cap, as the server counts in its own books, and says that it has estimated. An estimate
    is about twice what the server counts, and the last calls vary: sums of 11,900 to 13,000 have been seen."""
    limit = {"tokens": 24_000, "dollars": 0.024}[cap]

    async def uncounted() -> None:
        server.faults.append(Fault(body=told(provider, usage)))

    async with WireServer(lambda turns: "", delay=uncounted, keep=10_000) as server:
        url = server.openai_url if provider == "openai" else server.url
        settings: dict[str, dict[str, object]] = {
            "models": {"default": f"{provider}/m"},
            f"providers.{provider}": {"base_url": url, "reply_tokens": 1},
            f"providers.{provider}.price": {"input": 1, "output": 1},
            "agents": {"critic": "none"},
            "search": {"assignments": 200, "width": 2, "operators": ["few_shot"]},
            "budget": {cap: limit},
        }
        async with open_run(load(write_task(tmp_path, tables=settings)), {}, tmp_path / "run") as run:
            result = await run.search()
        spent = sum(
            count_tokens(text) for call in server.received for _, text in conversation(call.body)
        ) + server.stats.calls * count_tokens(LABELS[0])
    assert result.stopped_by == f"budget: {cap}"
    assert 10_000 < spent <= 24_000
    assert result.estimated == sum(result.calls.values()) == server.stats.calls
    assert (result.dollars or 0.0) > 0
    told_so = StringIO()
    show_result(Console(file=told_so, width=200), asdict(result))
    assert f"(estimated for {result.estimated} of {result.estimated} calls)" in told_so.getvalue()


@pytest.mark.parametrize(
    ("model", "provider", "sent"),
    [
        ("gpt-4.1-mini", {}, 1024),
        ("gpt-5-mini", {}, 4096),
        ("gpt-5-mini", {"reply_tokens": 6000}, 6000),
        ("gpt-4.1-mini", {"reply_tokens": 500}, 1024),
    ],
)
async def test_a_reply_has_the_room_that_is_set_or_that_thinking_takes(
    model: str, provider: dict[str, object], sent: int
) -> None:
    async with WireServer(lambda turns: "hi") as server, open_transport() as transport:
        openai = {"base_url": server.openai_url, "api_key_env": "KEY", "price": PRICE}
        tables = {
            "task": TASK,
            "models": {"default": f"openai/{model}"},
            "providers": {"openai": openai, f"openai/{model}": provider},
            "budget": {"tokens": 100_000},
        }
        configuration = build(tables, Path())
        ledger = open_ledger(configuration, {})
        models = Models(configuration, {"KEY": "sk-secret"}, transport, ledger)
        await models.of("task").complete(Request((ChatMessage("user", "hello"),)))
    assert server.received[0].body["max_tokens"] == sent


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
        assert open_ledger(configuration, {}).caps.dollars == 1
    else:
        wanted = "anthropic/y" if refused == "anthropic/y" else ""
        with pytest.raises(ConfigError, match=wanted or "anthropic/y|openai/x"):
            open_ledger(configuration, {})


@pytest.mark.parametrize("scope", ["budget", "task", "credit", "critic", "proposer", "operators"])
def test_a_cap_on_dollars_needs_the_price_of_whom_it_caps(scope: str) -> None:
    cap = {"dollars": 1}
    budget = {"budget": cap, "operators": {"operators": {"few_shot": cap}}}.get(scope, {"roles": {scope: cap}})
    search = {"operators": ["few_shot"]}
    with pytest.raises(ConfigError, match="the price of openai/x is not known"):
        open_ledger(
            build({"task": TASK, "models": {"default": "openai/x"}, "search": search, "budget": budget}, Path()), {}
        )
    if scope == "credit":
        unused = {"task": TASK, "models": {"default": "openai/x"}, "search": {"credit_share": 0}, "budget": budget}
        open_ledger(build(unused, Path()), {})


async def test_published_prices_hold_at_the_providers_own_address_alone() -> None:
    def price(providers: dict[str, object], environ: dict[str, str]) -> Price | None:
        tables = {"task": TASK, "models": {"default": "openai/gpt-5-mini-2025-08-07"}, "providers": providers}
        return prices(build(tables, Path()), environ).get("openai/gpt-5-mini-2025-08-07")

    assert price({}, {}) == default_prices()["openai/gpt-5-mini"]
    assert price({}, {"OPENAI_BASE_URL": "http://localhost/v1"}) is None
    assert price({"openai": {"base_url": "http://localhost/v1"}}, {}) is None
    assert price({"openai": {"price": {"input": 1, "output": 2, "written": 3}}}, {}) == Price(1, 2, None, 3)


@pytest.mark.parametrize("where", ["provider", "task", "critic", "proposers"])
@pytest.mark.parametrize(
    ("model", "parameters", "published"),
    [
        ("openai/gpt-5-mini", {"service_tier": "default", "seed": 1}, True),
        ("openai/gpt-5-mini", {"service_tier": "auto"}, True),
        ("openai/gpt-5-mini", {"service_tier": "unset"}, True),
        ("openai/gpt-5-mini", {"service_tier": "priority"}, False),
        ("openai/gpt-5-mini", {"service_tier": "flex"}, False),
        ("openai/gpt-5-mini", {"extra": {"service_tier": "new"}}, False),
        ("openai/gpt-5-mini", {"web_search_options": {"search_context_size": "low"}}, False),
        ("anthropic/claude-sonnet-4-5", {"service_tier": "standard_only", "speed": "standard"}, True),
        ("anthropic/claude-sonnet-4-5", {"cache_control": {"type": "ephemeral"}}, True),
        ("anthropic/claude-sonnet-4-5", {"cache_control": {"type": "ephemeral", "ttl": "1h"}}, False),
        ("anthropic/claude-sonnet-4-5", {"speed": "fast"}, False),
        ("anthropic/claude-sonnet-4-5", {"inference_geo": "us"}, False),
    ],
)
def test_a_published_price_does_not_hold_for_what_costs_something_else(
    model: str, parameters: dict[str, object], published: bool, where: str
) -> None:
    """Whichever role asks for it; a price of the configuration's own holds."""
    table: dict[str, object] = {"parameters": parameters} if where == "provider" else {}
    given = {"proposers": {"merge": parameters}} if where == "proposers" else {where: parameters}
    models = {"default": model, "parameters": {} if where == "provider" else given}
    tables = {"task": TASK, "models": models, "search": {"operators": ["merge"]}, "budget": {"dollars": 1}}
    configuration = build({**tables, "providers": {model: table}}, Path())
    if published:
        assert open_ledger(configuration, {}).caps.dollars == 1
    else:
        with pytest.raises(ConfigError, match=f"{model} is not known, for its parameters .*price = "):
            open_ledger(configuration, {})
    priced = build({**tables, "providers": {model: {**table, "price": PRICE}}}, Path())
    assert prices(priced, {})[model].input == PRICE["input"]


async def test_a_budget_of_an_operator_that_is_not_used_is_refused() -> None:
    configuration = build(
        {"models": SIMULATED, "task": TASK, "budget": {"operators": {"few_shots": {"calls": 1}}}}, Path()
    )
    async with open_transport() as transport:
        with pytest.raises(ConfigError, match="few_shots"):
            Models(configuration, {}, transport, open_ledger(configuration, {}))


async def test_searches_that_share_accounts_share_their_pace_and_their_breakers(tmp_path: Path) -> None:
    """Two searches on one key: what one of them was told of the key, the other need not ask again."""
    bad = Fault(status=401, body=b'{"error": {"message": "no such key"}}')
    request = Request((ChatMessage("user", "hello"),))
    async with WireServer(lambda turns: "hi") as server, open_transport() as transport:
        openai = {"base_url": server.openai_url, "api_key_env": "KEY", "requests_per_minute": 600}
        configuration = build(
            {"task": TASK, "models": {"default": "openai/x"}, "providers": {"openai": openai}}, Path()
        )
        accounts, environ = Accounts(), {"KEY": "sk-secret"}
        one, two = (
            Models(configuration, environ, transport, open_ledger(configuration, {}), accounts) for _ in range(2)
        )
        server.faults.append(bad)
        with pytest.raises(AuthenticationFailed, match="no such key"):
            await one.of("task", None).complete(request)
        with pytest.raises(AuthenticationFailed, match="no such key"):
            await two.of("task", None).complete(request)
        assert server.stats.calls == 1
        account = identify("openai/x", model_settings(configuration.provider("openai/x")), environ)
        limiter = accounts.limiter(account, Limits())
        assert limiter is accounts.limiter(account, Limits(requests=60))
        assert limiter.limits == Limits(None, 60, None)


async def test_every_key_is_a_secret_whether_used_or_not() -> None:
    configuration = build(
        {"models": SIMULATED, "task": TASK, "providers": {"openai/x": {"api_key_env": "MINE"}}}, Path()
    )
    environ = {"OPENAI_API_KEY": "a-1", "ANTHROPIC_API_KEY": " b-2 ", "MINE": "c-3", "OTHER": "d-4", "EMPTY": ""}
    assert secrets(configuration, environ) == {"a-1", "b-2", "c-3"}
