"""What is asked is sent as the SDKs send it; what a wire format forbids is said in one line before that."""

from __future__ import annotations

import re
from random import Random
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import anthropic
import orjson
import pytest
from anthropic.types import message_create_params
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import completion_create_params

from protocols.errors import BadRequest, ConfigError, ModelError
from protocols.model import ChatMessage, Parameters, Request
from protocols.providers.parameters import (
    ANTHROPIC,
    EXTRA,
    KNOWN,
    OPENAI,
    OURS,
    UNSET,
    asked,
    check,
    check_together,
    merged,
)
from protocols.providers.wire import Wire
from protocols.wrappers.cached import request_key
from tests.pages import page
from tests.protocols.providers.conftest import WAYS, Lab
from tests.wire.formats import error_body
from tests.wire_server import Fault

pytestmark = pytest.mark.anyio

TURNS = (
    ChatMessage("system", "Be brief."),
    ChatMessage("user", "a"),
    ChatMessage("assistant", "b"),
    ChatMessage("user", "c"),
)
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
VALUES: dict[str, dict[str, list[object]]] = {
    "openai": {
        "temperature": [0, 0.7, 2],
        "top_p": [0.9],
        "frequency_penalty": [-2],
        "presence_penalty": [1.5],
        "seed": [7, -1],
        "stop": ["\n", ["\n", "Input:", "{x}", "。"]],
        "reasoning_effort": ["low", "none"],
        "verbosity": ["low"],
        "response_format": [
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "label", "schema": SCHEMA, "strict": True}},
        ],
        "tool_choice": ["required", {"type": "function", "function": {"name": "f"}}],
        "parallel_tool_calls": [False],
        "logit_bias": [{"50256": -100}],
        "logprobs": [True, False],
        "top_logprobs": [3],
        "prediction": [{"type": "content", "content": "billing"}],
        "web_search_options": [{"search_context_size": "low"}],
        "service_tier": ["flex", "default"],
        "store": [False],
        "metadata": [{"team": "support"}],
        "moderation": [{"model": "omni-moderation-latest"}],
        "prompt_cache_key": ["promptflow"],
        "prompt_cache_options": [{"mode": "explicit"}],
        "prompt_cache_retention": ["24h"],
        "safety_identifier": ["u-1"],
        "user": ["u-1"],
        "stream_options": [{"include_usage": True}],
    },
    "anthropic": {
        "temperature": [0, 1.0],
        "top_p": [0.9],
        "top_k": [5],
        "stop_sequences": [["Input:", "。"]],
        "thinking": [{"type": "enabled", "budget_tokens": 1024}, {"type": "adaptive"}, {"type": "disabled"}],
        "output_config": [{"effort": "low"}, {"format": {"type": "json_schema", "schema": SCHEMA}}],
        "tool_choice": [{"type": "any"}, {"type": "tool", "name": "f"}],
        "service_tier": ["standard_only"],
        "speed": ["fast"],
        "metadata": [{"user_id": "u-1"}],
        "cache_control": [{"type": "ephemeral"}],
        "container": ["c-1"],
        "diagnostics": [{"previous_message_id": "msg_1"}],
        "inference_geo": ["eu"],
    },
}
EACH = [(f, name, value) for f, names in VALUES.items() for name, values in names.items() for value in values]
BASES: dict[str, Any] = {
    "openai": completion_create_params.CompletionCreateParamsBase,
    "anthropic": message_create_params.MessageCreateParamsBase,
}
DROPPED = ("temperature", "top_p", "top_k")
"""By Anthropic's SDK, which sends them as extra fields, under the version before."""


def test_every_parameter_of_the_sdks_is_known_or_ours() -> None:
    """A parameter that an SDK gets must be sorted into one or the other."""
    for wire_format, base in BASES.items():
        names = base.__annotations__.keys()
        dropped = set(DROPPED) if wire_format == "anthropic" else set()
        assert names - OURS.keys() | dropped == KNOWN[wire_format].keys()
        assert VALUES[wire_format].keys() == KNOWN[wire_format].keys()


def test_the_page_names_them_all() -> None:
    rows = re.findall(r"^\| `(openai|anthropic)/…` \| (`temperature`.*) \|$", page("docs/providers.md"), re.MULTILINE)
    assert [wire_format for wire_format, _ in rows] == ["openai", "anthropic"]
    for wire_format, cell in rows:
        plain = re.sub(r"\([^)]*\)", "", cell)
        assert re.findall(r"`(\w+)`", plain) == list(KNOWN[wire_format])


def words(annotation: object) -> set[str]:
    """The texts that a type allows by name."""
    inner = {word for argument in get_args(annotation) for word in words(argument)}
    return inner | ({*get_args(annotation)} if get_origin(annotation) is Literal else set())


@pytest.mark.parametrize("wire_format", KNOWN)
def test_every_word_that_an_sdk_lists_is_taken(wire_format: str) -> None:
    listed = {name: words(hint) for name, hint in get_type_hints(BASES[wire_format]).items()}
    assert listed["service_tier"]
    for name in KNOWN[wire_format].keys() & listed.keys():
        for word in listed[name]:
            assert KNOWN[wire_format][name](word) == ""


@pytest.mark.parametrize(("wire_format", "name", "value"), EACH)
@pytest.mark.parametrize("sdk", [False, True])
async def test_a_parameter_is_sent_as_the_sdk_sends_it(
    lab: Lab, wire_format: str, name: str, value: object, sdk: bool
) -> None:
    check({name: value}, wire_format, "k")
    request = Request(TURNS, parameters=Parameters({name: value}))
    turns: list[Any] = [{"role": turn.speaker, "content": turn.text} for turn in TURNS]
    if wire_format == "openai":
        given_: dict[str, Any] = {name: value}
        await lab.openai_client().chat.completions.create(model="m-1", messages=turns, max_tokens=1024, **given_)
    else:
        system: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
        old = {"extra_body": {name: value}, "extra_headers": {"anthropic-version": "2023-06-01"}}
        given_ = old if name in DROPPED else {name: value}
        await lab.anthropic_client().messages.create(
            model="m-1", messages=turns[1:], system=system, max_tokens=1024, **given_
        )
    await lab.model(f"{wire_format}-sdk" if sdk else wire_format).complete(request)
    theirs, ours = lab.server.received
    assert ours.body == theirs.body
    assert ours.body[name] == value
    assert ours.headers.find("anthropic-version") == theirs.headers.find("anthropic-version")


@pytest.mark.parametrize(("wire_format", "name", "value"), EACH)
def test_a_parameter_is_cached_apart(wire_format: str, name: str, value: object) -> None:
    request = Request(TURNS)
    keys = {
        request_key("s", Request(TURNS, parameters=Parameters(fields)))
        for fields in ({name: value}, {name: "other"}, {f"{name}x": value}, {})
    }
    assert len(keys) == 4
    assert request_key("s", request) in keys


numbers = st.integers(-5, 5) | st.floats(-5, 5)
json_values = st.recursive(
    numbers | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5), st.integers(0, 99))
def test_the_order_of_names_is_of_no_matter(fields: dict[str, object], seed: int) -> None:
    def shuffled(value: object) -> object:
        if isinstance(value, dict):
            items = list(value.items())
            Random(seed).shuffle(items)
            return {name: shuffled(inner) for name, inner in items}
        return value

    other = Parameters(cast("dict[str, object]", shuffled(fields)))
    assert other == Parameters(fields)
    assert hash(other) == hash(Parameters(fields))
    back: Any = orjson.loads(other.key) if other.key else {}
    assert back == fields


@pytest.mark.parametrize(("wire_format", "name", "value"), EACH)
@pytest.mark.parametrize("sdk", [False, True])
async def test_a_refusal_is_quoted_in_one_line(
    lab: Lab, wire_format: str, name: str, value: object, sdk: bool
) -> None:
    said = f"Unsupported value: '{name}'\nis not supported with this model."
    lab.server.faults.append(Fault(status=400, body=error_body("invalid_request_error", said)))
    model = lab.model(f"{wire_format}-sdk" if sdk else wire_format)
    with pytest.raises(BadRequest) as caught:
        await model.complete(Request(TURNS, parameters=Parameters({name: value})))
    assert str(caught.value) == f"{wire_format}/m-1: {' '.join(said.split())} (HTTP 400)"


FORBIDDEN: list[tuple[str, dict[str, object], tuple[str, ...]]] = [
    ("openai", {"temperature": 2.1}, ("temperature = 2.1", "from 0 to 2")),
    ("openai", {"temperature": "hot"}, ('temperature = "hot"', "a number")),
    ("openai", {"temperature": True}, ("temperature = true", "a number")),
    ("openai", {"temperature": float("nan")}, ("temperature", "finite")),
    ("openai", {"top_p": -0.1}, ("top_p", "from 0 to 1")),
    ("openai", {"seed": 1.5}, ("seed", "whole")),
    ("openai", {"seed": 2**70}, ("seed", "64 bits")),
    ("openai", {"seed": -(2**63) - 1}, ("seed", "64 bits")),
    ("openai", {"temperature": 10**400}, ("temperature", "64 bits")),
    ("openai", {"temperature": 10**9000}, ("temperature", "64 bits")),
    ("openai", {"logit_bias": {"a": 10**400}}, ("logit_bias", "64 bits")),
    ("openai", {"logit_bias": {50256: 1}}, ("logit_bias", "names are texts")),
    ("openai", {"extra": {"x": [{"y": 2**64}]}}, ("extra.x", "64 bits")),
    ("openai", {"extra": {"x": [{1: 2}]}}, ("extra.x", "names are texts")),
    ("openai", {"extra": {1: 2}}, ("extra:", "names are texts")),
    ("openai", {"extra": {"x": [{1, 2}]}}, ("extra.x", "a list or a table")),
    ("openai", {"extra": {"x": b"y"}}, ("extra.x", "a text")),
    ("openai", {"stop": ["a"] * 5}, ("stop", "at most 4")),
    ("openai", {"stop": []}, ("stop", "at most 4")),
    ("openai", {"stop": [""]}, ("stop", "at most 4")),
    ("openai", {"stop": 3}, ("stop", "a text")),
    ("openai", {"reasoning_effort": "huge"}, ("reasoning_effort", "minimal, low, medium")),
    ("openai", {"response_format": "json"}, ("response_format", "json_object")),
    ("openai", {"response_format": {"type": "json_schema"}}, ("response_format", "json_schema = {")),
    ("openai", {"logit_bias": {"a": 101}}, ("logit_bias", "-100 to 100")),
    ("openai", {"top_logprobs": 21}, ("top_logprobs", "0 to 20")),
    ("openai", {"metadata": {str(n): "x" for n in range(17)}}, ("metadata", "16")),
    ("openai", {"top_k": 3}, ("top_k", "extra = { top_k")),
    ("openai", {"min_p": 0.1}, ("min_p", "extra = { min_p")),
    ("openai", {"thinking": {"type": "adaptive"}}, ("thinking", "reasoning_effort")),
    ("openai", {"stop_sequences": ["a"]}, ("stop_sequences", "it is stop")),
    ("openai", {"tempreature": 0}, ("tempreature", "did you mean temperature?")),
    ("openai", {"max_tokens": 10}, ("max_tokens", "reply_tokens")),
    ("openai", {"max_completion_tokens": 10}, ("max_completion_tokens", "reply_tokens")),
    ("openai", {"messages": []}, ("messages", "the prompt")),
    ("openai", {"model": "x"}, ("model", "[models]")),
    ("openai", {"n": 3}, ("n:", "search.repeats")),
    ("openai", {"stream": True}, ("stream", "provider's table")),
    ("openai", {"tools": []}, ("tools", "under [prompt]")),
    ("openai", {"extra": {"prompt": "x"}}, ("extra.prompt", "the prompt")),
    ("openai", {"input": "x"}, ("input", "the prompt")),
    ("openai", {"extra": {"n_predict": 3}}, ("extra.n_predict", "reply_tokens")),
    ("anthropic", {"extra": {"max_output_tokens": 3}}, ("extra.max_output_tokens", "reply_tokens")),
    ("openai", {"max_new_tokens": 3}, ("max_new_tokens", "reply_tokens")),
    ("openai", {"extra": {"model": "x"}}, ("extra.model", "[models]")),
    ("openai", {"extra": {"max_tokens": 3}}, ("extra.max_tokens", "reply_tokens")),
    ("openai", {"extra": 3}, ("extra", "a table")),
    ("openai", {"extra": {"a": {"b": [float("inf")]}}}, ("extra.a", "finite")),
    ("anthropic", {"temperature": 1.1}, ("temperature = 1.1", "from 0 to 1")),
    ("anthropic", {"top_k": -1}, ("top_k", "from 0 on")),
    ("anthropic", {"stop": ["a"]}, ("stop", "stop_sequences")),
    ("anthropic", {"stop_sequences": "a"}, ("stop_sequences", "a list")),
    ("anthropic", {"stop_sequences": ["\n"]}, ("stop_sequences", "white space")),
    ("anthropic", {"reasoning_effort": "low"}, ("reasoning_effort", "output_config")),
    ("anthropic", {"response_format": {}}, ("response_format", "output_config")),
    ("anthropic", {"seed": 1}, ("seed", "extra = { seed")),
    ("anthropic", {"frequency_penalty": 1}, ("frequency_penalty", "extra = {")),
    ("anthropic", {"thinking": {"type": "enabled"}}, ("thinking", "budget_tokens = 1024")),
    ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 1000}}, ("thinking", "1024")),
    ("anthropic", {"output_config": {"effort": "minimal"}}, ("output_config", "low, medium")),
    ("anthropic", {"service_tier": "flex"}, ("service_tier", "standard_only")),
    ("anthropic", {"system": "x"}, ("system", "the prompt's")),
    ("anthropic", {"max_tokens": 10}, ("max_tokens", "reply_tokens")),
    ("anthropic", {"topk": 1}, ("topk", "did you mean")),
]


@pytest.mark.parametrize(("provider", "parameters", "says"), FORBIDDEN)
def test_what_is_forbidden_is_said_in_one_line_with_key_and_remedy(
    provider: str, parameters: dict[str, object], says: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        check(parameters, provider, "providers.p.parameters")
    line = str(caught.value)
    assert line.startswith("providers.p.parameters.")
    assert "\n" not in line
    for part in says:
        assert part in line


@pytest.mark.parametrize(
    ("provider", "parameters", "room", "says"),
    [
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, None, "reply_tokens"),
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, 2048, "reply_tokens"),
        ("anthropic", {"thinking": {"type": "enabled", "budget_tokens": 2048}}, 2049, ""),
        ("anthropic", {"thinking": {"type": "adaptive"}, "temperature": 0}, None, "temperature"),
        ("anthropic", {"thinking": {"type": "adaptive"}, "temperature": UNSET}, None, ""),
        ("anthropic", {"thinking": {"type": "adaptive"}, "top_k": 4}, None, "top_k"),
        ("anthropic", {"thinking": {"type": "disabled"}, "temperature": 0}, None, ""),
        ("openai", {"top_logprobs": 2}, None, "logprobs = true"),
        ("openai", {"top_logprobs": 2, "logprobs": True}, None, ""),
    ],
)
def test_what_excludes_each_other(provider: str, parameters: dict[str, object], room: int | None, says: str) -> None:
    if not says:
        check_together(parameters, provider, "k", room)
        return
    with pytest.raises(ConfigError, match=says):
        check_together(parameters, provider, "k", room)


def test_every_known_name_can_be_unset() -> None:
    check(dict.fromkeys(OPENAI, UNSET), "openai", "k")
    check(dict.fromkeys(ANTHROPIC, UNSET), "anthropic", "k")


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "apiKey",
        "API-KEY",
        "x-api-key",
        "Authorization",
        "Proxy-Authorization",
        "token",
        "auth_token",
        "accessToken",
        "password",
        "db_password",
        "client-secret",
        "private_key",
    ],
)
@pytest.mark.parametrize("way", [lambda x: x, lambda x: {"a": x}, lambda x: {"a": [{"b": x}]}])
def test_a_secret_is_refused_and_not_repeated(name: str, way: Any) -> None:
    with pytest.raises(ConfigError, match="api_key_env") as caught:
        check({"extra": way({name: "s3cr"})}, "openai", "k")
    assert name in str(caught.value)
    assert "s3cr" not in str(caught.value)
    check({"extra": way({name: UNSET})}, "openai", "k")


@pytest.mark.parametrize(
    "name", ["stop_token_ids", "min_tokens", "keyword", "key", "stop_token", "skip_special_tokens", "eos_token_id"]
)
def test_what_only_sounds_like_a_secret_is_sent(name: str) -> None:
    check({"extra": {name: "x"}}, "openai", "k")
    check({"extra": {"guided_json": {"properties": {"password": {"type": "string"}}}}}, "openai", "k")


@given(st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_that_passes_can_be_sent_and_told_apart(value: float) -> None:
    fields = {"x": value}
    check({"extra": fields}, "openai", "k")
    assert orjson.loads(Parameters(fields).key) == fields == orjson.loads(orjson.dumps(fields))


names = st.sampled_from(["a", "b", "c"])
tables = st.dictionaries(names, st.integers(0, 3)) | st.builds(
    lambda own, extra: {**own, EXTRA: extra},
    st.dictionaries(names, st.integers(0, 3)),
    st.dictionaries(names, st.integers(4, 7)),
)


@given(tables, tables, tables)
def test_the_narrower_table_wins_name_by_name(one: Any, two: Any, three: Any) -> None:
    both = merged(one, two)
    assert merged(both, three) == merged(one, merged(two, three))
    for table in (one, two):
        before = {**table}
        merged(table, three)
        assert table == before
    for name in ("a", "b", "c"):
        said = [table for table in (two, one) if name in asked(table)]
        assert asked(both).get(name) == (asked(said[0])[name] if said else None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sample", [0, 1, 5])
async def test_each_draw_has_a_seed_of_its_own(lab: Lab, way: str, sample: int) -> None:
    request = Request(TURNS, sample=sample, parameters=Parameters({"seed": 7}))
    await lab.model(way).complete(request)
    assert lab.server.received[-1].body["seed"] == 7 + sample
    most = Parameters({"seed": 2**64 - 1})
    await lab.model(way).complete(Request(TURNS, sample=sample, parameters=most))
    assert lab.server.received[-1].body["seed"] == 2**64 - 1 - sample
    assert request.parameters.fields == {"seed": 7}


@pytest.mark.parametrize("way", WAYS)
async def test_fields_of_a_gateway_are_sent_as_they_are(lab: Lab, way: str) -> None:
    extra = {"provider": {"order": ["x"], "allow_fallbacks": False}, "top_k": 20, "temperature": 3.5}
    await lab.model(way).complete(Request(TURNS, temperature=0.0, parameters=Parameters(extra)))
    body = lab.server.received[-1].body
    assert {name: body[name] for name in extra} == extra


@pytest.mark.parametrize("parameters", [{}, {"temperature": 0.5}, {"top_p": 0.5}, {"top_k": 3}])
@pytest.mark.parametrize("version", [None, "2023-01-01"])
@pytest.mark.parametrize("way", ["anthropic", "anthropic-sdk"])
async def test_sampling_goes_out_under_the_version_that_takes_it(
    lab: Lab, way: str, version: str | None, parameters: dict[str, object]
) -> None:
    """The version of the user wins."""
    model = lab.model(way, wire=Wire(version=version))
    await model.complete(Request(TURNS, parameters=Parameters(parameters)))
    usual = "2023-06-01" if parameters else anthropic.AsyncAnthropic(api_key="k").default_headers["anthropic-version"]
    assert lab.server.received[-1].headers.find("anthropic-version") == (version or usual)


@pytest.mark.parametrize("raw", ['{"error": {"message": "top_k is not a field"}}', "top_k is not a field"])
async def test_what_a_gateways_provider_said_is_quoted(lab: Lab, raw: str) -> None:
    error = {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw, "provider_name": "X"}}
    lab.server.faults.append(Fault(status=400, body=orjson.dumps({"error": error})))
    with pytest.raises(ModelError, match="Provider returned error: top_k is not a field"):
        await lab.model("openai").complete(Request(TURNS))
