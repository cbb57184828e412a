"""Reading a configuration, and putting settings over it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.config.catalogue import open_operators
from agents.config.configuration import Configuration, build, load
from agents.config.reading import NO_MODEL, override
from protocols.errors import ConfigError
from protocols.task import KindName
from tests.small_task import SIMULATED

unhurried = settings(deadline=None, max_examples=100)
TASK = {"name": "t", "train": "a", "validation": "b", "test": "c"}
WHOLE = b'[task]\nname = "t"\ntrain = "a"\nvalidation = "b"\ntest = "c"\n'
PARTS = st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters='"\\='), min_size=1, max_size=8)
VALUES = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.lists(st.integers(0, 9), max_size=3)
)


def quoted(path: list[str]) -> str:
    return ".".join(f'"{part}"' for part in path)


def at(table: Any, path: list[str]) -> Any:
    for part in path:
        table = table[part]
    return table


PIECES = [b"[task]\n", b"[search]\nseed = ", b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\r\n", b"=", b"1e308", b"nan"]
PIECES += [
    b"x = " + b"9" * 5000,
    b"'''\n",
    b'"""',
    b"x = " + b"{a=" * 400,
    b"y = " + b"[" * 3000,
    b"true\n",
    b"1979-05-27",
    b"models = 3\n",
    b"\xe9",
]
hostile = st.lists(st.sampled_from(PIECES) | st.binary(max_size=9), max_size=8).map(b"".join)
anywhere = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])


@anywhere
@given(hostile, st.booleans())
def test_hostile_bytes_are_a_configuration_or_one_line(tmp_path: Path, data: bytes, whole: bool) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(WHOLE * whole + data)
    error = refusal(path)
    assert error is None or str(error).startswith(f"{path}:")
    assert error is None or error.line is None or 1 <= error.line <= path.read_bytes().count(b"\n") + 1


def refusal(path: Path) -> ConfigError | None:
    try:
        load(path)
    except ConfigError as error:
        return error
    return None


@anywhere
@given(
    st.lists(st.text(max_size=12) | st.sampled_from(["search.seed=", "9" * 5000, "[" * 2000, "\udcff"]), max_size=3)
)
def test_hostile_settings_are_settings_or_one_error(parts: list[str]) -> None:
    table: dict[str, Any] = {"task": dict(TASK)}
    try:
        override(table, "".join(parts))
        build(table, Path())
    except ConfigError as error:
        str(error).encode("utf-8")


@unhurried
@given(st.lists(PARTS, min_size=1, max_size=4), VALUES)
def test_a_toml_value_is_set_as_it_is(path: list[str], value: object) -> None:
    table: dict[str, Any] = {}
    override(table, f"{quoted(path)}={orjson.dumps(value).decode() if not isinstance(value, float) else repr(value)}")
    assert at(table, path) == value


@unhurried
@given(st.lists(PARTS, min_size=1, max_size=4), st.text(max_size=30))
def test_what_is_no_toml_value_is_a_text_to_the_letter(path: list[str], text: str) -> None:
    table: dict[str, Any] = {}
    override(table, f"{quoted(path)}={text}")
    value = at(table, path)
    try:
        parsed = tomllib.loads(f"v = {text}")
    except tomllib.TOMLDecodeError:
        assert value == text
    else:
        assert value == (parsed["v"] if len(parsed) == 1 else text)


@unhurried
@given(st.text(max_size=20), st.text(max_size=20))
def test_a_setting_sets_one_key_or_is_refused(key: str, value: str) -> None:
    """No text smuggles in a second key, and nothing else than ConfigError is raised."""
    table: dict[str, Any] = {}
    try:
        override(table, f"{key}={value}")
    except ConfigError:
        assert table == {}
        return
    while isinstance(table, dict) and len(table) == 1:
        [table] = table.values()
    assert not isinstance(table, dict) or "{" in value


@unhurried
@given(st.text(st.characters(exclude_characters="="), max_size=20))
def test_a_setting_needs_an_equals_sign(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"table\.key=value"):
        override({}, setting)


def test_the_other_keys_of_a_table_stay() -> None:
    table: dict[str, Any] = {"search": {"seed": 1, "width": 2}, "models": {"default": "embedded"}}
    override(table, "search.seed=7")
    override(table, 'providers."openai/gpt-4.1".price={input = 1, output = 2}')
    assert table["search"] == {"seed": 7, "width": 2}
    assert table["providers"] == {"openai/gpt-4.1": {"price": {"input": 1, "output": 2}}}


def known_keys(model: Any = Configuration, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            keys += known_keys(field.annotation, (*path, name))
        elif name not in ("origin", "providers") and path:
            keys.append((*path, name))
    return keys


@pytest.mark.parametrize("path", [path for path in known_keys() if len(path[-1]) > 3], ids=".".join)
def test_a_misspelt_key_suggests_the_right_one(path: tuple[str, ...]) -> None:
    *tables, name = path
    misspelt, table = name[:1] + name[2:], ".".join(tables)
    content = {"task": dict(TASK)}
    inner: dict[str, Any] = content
    for part in tables:
        inner = inner.setdefault(part, {})
    inner[misspelt] = "1"
    with pytest.raises(ConfigError, match=rf"unknown key {table}\.{misspelt}; did you mean {table}\.{name}\?"):
        build(content, Path())


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("providers.openai.bas_url", "did you mean providers.openai.base_url?"),
        ("providers.openai.price.ouput", "did you mean providers.openai.price.output?"),
        ("search.calls", "did you mean budget.calls?"),
        ("asignments", "did you mean search.assignments?"),
        ("search.assignmnts", "did you mean search.assignments?"),
        ("budget.qqq", "there are calls, tokens, dollars, minutes, target, patience, roles, operators"),
        ("origin", "unknown key origin"),
    ],
)
def test_unknown_keys_in_odd_places(key: str, expected: str) -> None:
    table: dict[str, Any] = {"task": dict(TASK)}
    override(table, f"{key}=1")
    with pytest.raises(ConfigError) as caught:
        build(table, Path())
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("memory", "says"),
    [
        ({"embedder": "anthropic/x", "dimension": 3}, "memory: embedder = 'anthropic/x' cannot embed"),
        ({"embedder": "embedded", "dimension": 3}, "memory: embedder = 'embedded' cannot embed"),
        ({"embedder": "openai/x"}, "memory: embedder and dimension go together"),
        ({"dimension": 3}, "memory: embedder and dimension go together"),
        ({"embedder": "openai/x", "dimension": 0}, "memory.dimension"),
    ],
)
def test_an_embedder_is_an_openai_model_of_a_dimension(memory: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build({"models": SIMULATED, "task": dict(TASK), "memory": memory}, Path())
    assert says in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("models", [{}, {"models": {}}, {"models": {"critic": "openai/x"}}])
def test_a_model_must_be_named(models: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        build({"task": dict(TASK), **models}, Path())
    assert str(caught.value) == NO_MODEL
    assert "\n" not in NO_MODEL


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[task]\nname="t"\ntrain="a"\nvalidation="b"\ntest="c"\n', encoding="utf-8")
    configuration = load(tmp_path / "c.toml", ["models.default=embedded"])
    assert configuration.task.train == "a"
    assert configuration.path("a") == tmp_path / "a"


def test_a_model_has_its_own_settings_over_its_providers() -> None:
    tables = {
        "task": TASK,
        "providers": {
            "openai": {"timeout": 5, "concurrency": 3, "price": {"input": 1, "output": 2}},
            "openai/big": {"timeout": 9},
        },
        "models": {**SIMULATED, "critic": "openai/big", "proposers": {"few_shot": "openai/small"}},
    }
    configuration = build(tables, Path())
    big = configuration.provider("openai/big")
    assert (big.timeout, big.concurrency, big.price and big.price.output) == (9, 3, 2)
    assert configuration.models.of("critic") == "openai/big"
    assert configuration.models.of("proposer/few_shot") == "openai/small"
    assert configuration.models.of("proposer/other") == configuration.models.of("task") == "embedded"


@pytest.mark.parametrize(
    ("tables", "width"),
    [
        ({}, 8),
        ({"search": {"width": 3}}, 3),
        ({"models": {"default": "openai/m"}}, 16),
        ({"models": {"default": "openai/m"}, "providers": {"openai": {"concurrency": 256}}}, 64),
        ({"models": {"default": "openai/m"}, "providers": {"openai": {"concurrency": 32}}}, 8),
        ({"models": {"default": "openai/m"}, "providers": {"openai": {"concurrency": 4}}}, 2),
        ({"models": {"default": "openai/m"}, "providers": {"openai": {"concurrency": 1}}}, 2),
        ({"models": {"default": "openai/m"}, "providers": {"openai/m": {"concurrency": 4096}}}, 256),
        ({"models": {"default": "embedded", "task": "openai/m"}, "search": {"width": 1}}, 1),
    ],
)
def test_width_follows_the_calls_that_are_allowed(tables: dict[str, Any], width: int) -> None:
    task = {"name": "t", "train": "a", "validation": "b", "test": "c"}
    assert build({"models": SIMULATED, "task": task, **tables}, Path()).width == width


@pytest.mark.parametrize("kind", get_args(KindName))
def test_steps_of_reasoning_are_written_for_tasks_of_reasoning(kind: str) -> None:
    def operators(**search: Any) -> list[str]:
        made = build({"models": SIMULATED, "task": {**TASK, "kind": kind}, "search": search}, Path())
        return [*open_operators(made.search_operators)]

    assert ("chain_of_thought" in operators()) == (kind == "reasoning")
    assert operators(operators=["merge", "chain_of_thought"]) == ["merge", "chain_of_thought"]
    with pytest.raises(ConfigError, match="name at least one"):
        operators(operators=[])
