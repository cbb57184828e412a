"""A temperature that a model refuses is left out, once for all, and only where nobody has asked for it."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from agents.models.accounts import Accounts
from protocols.errors import BadRequest, ModelError, RateLimited, TemperatureRefused
from protocols.model import ChatMessage, Parameters, Reply, Request
from protocols.providers.catalogue import Account
from protocols.providers.parameters import UNSET
from protocols.providers.responses.refusals import refuses_temperature
from protocols.wrappers.asking import AskingModel, settles_temperature
from protocols.wrappers.temperature import FIXED, Temperature, TemperatureModel

pytestmark = pytest.mark.anyio
COLD = Request((ChatMessage("user", "hello"),), temperature=0.0)


class Fixed:
    """Refuses every temperature; raises `then` of every request without one."""

    name = "openai/fixed"

    def __init__(self, then: ModelError | None = None) -> None:
        self.then = then
        self.asked: list[Request] = []

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        await anyio.lowlevel.checkpoint()
        if request.temperature is not None:
            raise TemperatureRefused("'temperature' does not support 0", model=self.name, status=400)
        if self.then is not None:
            raise self.then
        return Reply("ok")


class Kept:
    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1


async def test_only_the_first_call_is_made_twice() -> None:
    inner, kept = Fixed(), Kept()
    model = TemperatureModel(inner, Temperature(), kept)
    for _ in range(5):
        assert (await model.complete(COLD)).text == "ok"
    assert [request.temperature for request in inner.asked] == [0.0, *[None] * 5]
    assert inner.asked[1] == replace(COLD, temperature=None)
    assert kept.times == 1


async def test_of_calls_at_once_each_is_made_twice_and_it_is_kept_once() -> None:
    inner, kept = Fixed(), Kept()
    model = TemperatureModel(inner, Temperature(), kept)
    async with anyio.create_task_group() as tasks:
        for _ in range(7):
            tasks.start_soon(model.complete, COLD)
    await model.complete(COLD)
    assert len(inner.asked) == 15
    assert kept.times == 1


@pytest.mark.parametrize("then", [BadRequest, RateLimited])
async def test_what_fails_without_one_too_teaches_nothing(then: type[ModelError]) -> None:
    """It was refused for something else, or nobody knows yet."""
    inner, kept, known = Fixed(then("no", model="m")), Kept(), Temperature()
    with pytest.raises(then):
        await TemperatureModel(inner, known, kept).complete(COLD)
    assert (known.refused, kept.times, len(inner.asked)) == (False, 0, 2)


async def test_a_request_without_one_and_another_refusal_are_passed_on() -> None:
    inner = Fixed(BadRequest("no", model="m"))
    model = TemperatureModel(inner, Temperature(), Kept())
    with pytest.raises(BadRequest):
        await model.complete(replace(COLD, temperature=None))
    assert len(inner.asked) == 1


def test_it_is_known_of_a_model_of_an_account() -> None:
    accounts = Accounts()
    one = accounts.temperature(Account("openai", "a", "k"), "openai/m")
    one.refused = True
    assert accounts.temperature(Account("openai", "a", "k"), "openai/m").refused
    assert not accounts.temperature(Account("openai", "a", "k"), "openai/n").refused
    assert not accounts.temperature(Account("openai", "b", "k"), "openai/m").refused


class Noted:
    name = "openai/noted"

    def __init__(self) -> None:
        self.asked: list[Request] = []

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        return Reply("ok")


@pytest.mark.parametrize(
    ("asked", "temperature", "fields"),
    [
        ({"temperature": 0.7}, 0.7, {}),
        ({"temperature": UNSET}, None, {}),
        ({"temperature": UNSET, "seed": 3}, None, {"seed": 3}),
        ({"seed": 3, "stop": UNSET}, 0.0, {"seed": 3, "stop": UNSET}),
        ({"top_p": 0.5}, None, {"top_p": 0.5}),
        ({"top_p": UNSET}, 0.0, {}),
        ({"top_p": 0.5, "temperature": 0}, 0, {"top_p": 0.5}),
        ({"thinking": {"type": "adaptive"}}, None, {"thinking": {"type": "adaptive"}}),
        ({"thinking": {"type": "disabled"}}, 0.0, {"thinking": {"type": "disabled"}}),
        ({"temperature": "auto"}, None, {"temperature": "auto"}),
    ],
)
async def test_the_users_word_wins_over_the_requests(
    asked: dict[str, object], temperature: float | None, fields: dict[str, object]
) -> None:
    inner = Noted()
    await AskingModel(inner, asked).complete(COLD)
    assert inner.asked == [replace(COLD, temperature=temperature, parameters=Parameters(fields))]
    assert inner.asked[0].parameters.fields == fields
    assert settles_temperature(asked) == (temperature != 0.0 or "temperature" in asked)


REFUSALS = [
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.",
    "Unsupported parameter: 'temperature' is not supported with this model.",
    "`temperature` is deprecated for this model.",
    "temperature is not supported for claude-fable-5 when set to non-default values",
    "temperature: Extra inputs are not permitted",
    "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
    "`temperature` may only be set to 1 when thinking is enabled.",
    "`temperature` must be strictly positive",
    "litellm.UnsupportedParamsError: gpt-5 models don't support temperature=0. Only temperature=1 is supported.",
    "Unknown field temperature",
    "Unrecognized request argument supplied: temperature",
    "temperature must be in (0, 2]",
]


@pytest.mark.parametrize("said", REFUSALS)
def test_refusals_of_a_temperature(said: str) -> None:
    assert refuses_temperature(said)


@pytest.mark.parametrize(
    "said",
    [
        "Unsupported value: 'top_p'",
        "the model is too hot",
        "temperature",
        'Invalid request {"messages": [{"content": "the temperature must be low"}]}',
        "",
    ],
)
def test_other_refusals(said: str) -> None:
    assert not refuses_temperature(said)


@pytest.mark.parametrize(
    ("name", "fixed"),
    [
        ("openai/gpt-5-mini", True),
        ("openai/o3", True),
        ("openai/gpt-5-chat-latest", False),
        ("openai/gpt-4o", False),
        ("anthropic/claude-opus-4-7", True),
        ("anthropic/claude-sonnet-5", True),
        ("anthropic/claude-sonnet-5-5", True),
        ("anthropic/claude-sonnet-4-5", False),
        ("anthropic/claude-haiku-4-5-20251001", False),
        ("anthropic/claude-3-5-haiku", False),
    ],
)
def test_models_that_need_not_be_tried(name: str, fixed: bool) -> None:
    assert bool(FIXED.match(name)) == fixed
