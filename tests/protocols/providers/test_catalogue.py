"""Model strings, keys, addresses, .env and clients by name: what works, and the one line that says what to set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import ConfigError
from protocols.files.named import Named
from protocols.model import ChatMessage, Request
from protocols.providers.catalogue import Account, ModelSettings, identify, open_model
from protocols.providers.environment import read_environment
from protocols.providers.openai import default_token_parameter
from protocols.providers.transport.http import open_transport
from protocols.providers.wire import Wire
from tests.protocols.providers import clients
from tests.protocols.providers.conftest import KEY, Lab

pytestmark = pytest.mark.anyio

HELLO = Request((ChatMessage("user", "hello"),))
HERE = "tests.protocols.providers.clients"


@pytest.mark.parametrize("name", ["openai/m", "openai/meta-llama/Llama-3:8b", "anthropic/claude-x"])
@pytest.mark.parametrize("by_environment", [True, False])
async def test_a_model_string_and_a_key_are_enough(lab: Lab, name: str, by_environment: bool) -> None:
    provider, _, model = name.partition("/")
    url = lab.server.openai_url if provider == "openai" else lab.server.url
    environ = {f"{provider.upper()}_API_KEY": f"  {KEY}\n"}
    settings = ModelSettings(base_url=None if by_environment else f"{url}/")
    if by_environment:
        environ[f"{provider.upper()}_BASE_URL"] = url
    opened = open_model(name, settings, environ, lab.transport)
    reply = await opened.complete(HELLO)
    assert (opened.name, reply.text, reply.model) == (name, "olleh", model)
    assert lab.server.received[-1].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(opened)


async def test_a_local_server_needs_no_key(lab: Lab) -> None:
    settings = ModelSettings(base_url=lab.server.openai_url)
    await open_model("openai/m", settings, {}, lab.transport).complete(HELLO)
    assert "Authorization" not in lab.server.received[-1].headers
    assert identify("openai/m", settings, {}) == Account("openai", lab.server.openai_url)


async def test_the_token_parameter_follows_the_address_unless_set(lab: Lab) -> None:
    for settings, parameter in (
        (ModelSettings(base_url=lab.server.openai_url), "max_tokens"),
        (
            ModelSettings(base_url=lab.server.openai_url, wire=Wire(token_parameter="max_completion_tokens")),
            "max_completion_tokens",
        ),
    ):
        await open_model("openai/m", settings, {}, lab.transport).complete(HELLO)
        assert [name for name in lab.server.received[-1].body if "tokens" in name] == [parameter]


@pytest.mark.parametrize(
    ("base_url", "parameter"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
        ("https://openai.com.example/v1", "max_tokens"),
    ],
)
def test_the_token_parameter_of_an_address(base_url: str, parameter: str) -> None:
    assert default_token_parameter(base_url) == parameter


async def test_a_proxy_of_the_environment_is_used(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", lab.server.url)
    settings = ModelSettings(base_url="http://model.invalid/v1")
    async with open_transport() as transport:
        reply = await open_model("openai/m", settings, {}, transport).complete(HELLO)
    assert reply.text == "olleh"
    assert lab.server.received[-1].headers["Host"] == "model.invalid"


@pytest.mark.parametrize(
    ("name", "settings", "environ", "says"),
    [
        ("openai/m", ModelSettings(), {}, "OPENAI_API_KEY"),
        ("openai/m", ModelSettings(), {"OPENAI_API_KEY": " "}, "OPENAI_API_KEY"),
        ("openai/m", ModelSettings(), {"OPENAI_BASE_URL": "", "ANTHROPIC_API_KEY": KEY}, "OPENAI_API_KEY"),
        ("anthropic/m", ModelSettings(), {"OPENAI_API_KEY": KEY}, "ANTHROPIC_API_KEY"),
        ("openai/m", ModelSettings(api_key_env="MY_KEY"), {"OPENAI_API_KEY": KEY}, "MY_KEY"),
        ("openai/m", ModelSettings(base_url="http://localhost:1", api_key_env="MY_KEY"), {}, "MY_KEY"),
        ("openai/m", ModelSettings(), {"OPENAI_API_KEY": "sk-né"}, "copy the key again"),
        ("openai/m", ModelSettings(), {"OPENAI_API_KEY": "sk-a\nb"}, "copy the key again"),
        ("gpt-5", ModelSettings(), {}, "openai/<model>"),
        ("opanai/gpt-5", ModelSettings(), {}, "openai/<model>"),
        ("", ModelSettings(), {}, "openai/<model>"),
        ("embedded/large", ModelSettings(), {}, "embedded"),
        ("openai/", ModelSettings(), {}, "openai/<model>"),
        ("openai", ModelSettings(), {}, "openai/<model>"),
        ("anthropic/ claude", ModelSettings(), {}, "anthropic/<model>"),
        ("openai/a\nb", ModelSettings(), {}, "openai/<model>"),
        ("openai/m", ModelSettings(base_url="localhost:8000/v1"), {}, "http://"),
        ("openai/m", ModelSettings(base_url="ftp://host"), {}, "http://"),
        ("openai/m", ModelSettings(base_url="http://[::1"), {}, "http://"),
        ("openai/m", ModelSettings(base_url="http://host:99999"), {}, "http://"),
        ("openai/m", ModelSettings(base_url="https://user:hunter2@host/v1"), {}, "api_key_env"),
        ("openai/m", ModelSettings(base_url="https://host/v1?key=hunter2"), {}, "client"),
        ("openai/m", ModelSettings(), {"OPENAI_BASE_URL": "nowhere"}, "http://"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(
    name: str, settings: ModelSettings, environ: Mapping[str, str], says: str
) -> None:
    async with open_transport() as transport:
        with pytest.raises(ConfigError) as caught:
            open_model(name, settings, environ, transport)
    with pytest.raises(ConfigError) as again:
        identify(name, settings, environ)
    line = str(caught.value)
    assert line == str(again.value)
    assert says in line
    assert "\n" not in line
    assert "hunter2" not in line
    assert KEY not in line


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("inf"), float("nan")])
def test_a_timeout_is_a_number_of_seconds(timeout: float) -> None:
    with pytest.raises(ConfigError, match="seconds"):
        ModelSettings(timeout=timeout)


def test_a_client_stands_alone() -> None:
    with pytest.raises(ConfigError, match="remove base_url"):
        ModelSettings(client=Named("a:b"), base_url="http://localhost")


def test_accounts_tell_apart_what_is_limited_apart() -> None:
    def account(name: str, settings: ModelSettings | None = None, **environ: str) -> Account:
        return identify(name, settings or ModelSettings(), environ)

    base = account("openai/a", OPENAI_API_KEY=KEY)
    assert account("openai/b", ModelSettings(timeout=5.0), OPENAI_API_KEY=KEY) == base
    assert account("openai/b", ModelSettings(api_key_env="MINE"), MINE=KEY) == base
    others = [
        account("openai/a", OPENAI_API_KEY=KEY + "2"),
        account("openai/a", OPENAI_API_KEY=KEY, OPENAI_BASE_URL="http://localhost:8000/v1"),
        account("anthropic/a", ANTHROPIC_API_KEY=KEY),
        account("openai/a", ModelSettings(client=Named("a:b"))),
        account("embedded"),
    ]
    assert len({base, *others}) == 1 + len(others)
    assert not any(KEY[:12] in repr(account) for account in [base, *others])


async def test_clients_by_name_are_asked_their_own_way_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "MADE", [])
    monkeypatch.setattr(clients, "ASKED", [])
    async with open_transport() as transport:
        for name, function, text in (("openai/m", "azure", "from azure"), ("anthropic/m", "bedrock", "from bedrock")):
            model = open_model(name, ModelSettings(client=Named(f"{HERE}:{function}")), {}, transport)
            assert model.name == name
            assert (await model.complete(HELLO)).text == text
        assert not any(client.is_closed() for client in clients.MADE)
    assert len(clients.MADE) == 2
    assert all(client.is_closed() for client in clients.MADE)
    azure, bedrock = clients.ASKED
    assert (
        str(azure.url) == "https://unit.openai.azure.com/openai/deployments/m/chat/completions?api-version=2026-01-01"
    )
    assert azure.headers["api-key"] == "azure-key-0123456789"
    assert b'"max_completion_tokens"' in azure.read()
    assert bedrock.url.host == "bedrock-runtime.eu-central-1.amazonaws.com"
    assert bedrock.url.path == "/model/m/invoke"
    assert b'"anthropic_version"' in bedrock.read()


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("clients", "module:function"),
        (":azure", "module:function"),
        ("no.such.module:azure", "no.such.module:azure"),
        (f"{HERE}:nothing", "nothing"),
        (f"{HERE}:broken", "RuntimeError: no credentials: [key] look elsewhere"),
        (f"{HERE}:asynchronous", "plain function"),
        (f"{HERE}:not_a_client", "returns str"),
        (f"{HERE}:bedrock", "returns AsyncAnthropicBedrock"),
    ],
)
async def test_a_client_that_cannot_be_had(reference: str, says: str) -> None:
    async with open_transport() as transport:
        with pytest.raises(ConfigError) as caught:
            open_model("openai/m", ModelSettings(client=Named(reference)), {}, transport)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)


def test_the_process_wins_over_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTFLOW_TEST_A", raising=False)
    file = tmp_path / ".env"
    file.write_text(
        '# 鍵\nexport PROMPTFLOW_TEST_A="a 鍵"\nB=from-file\nEMPTY=\nNOTHING\nD=a$HOME-${HOME}\n', "utf-8"
    )
    environ = {"B": "from-process", "C": "c"}
    read = read_environment(file, environ)
    assert read == {
        "PROMPTFLOW_TEST_A": "a 鍵",
        "B": "from-process",
        "C": "c",
        "EMPTY": "",
        "D": "a$HOME-${HOME}",
    }
    assert environ == {"B": "from-process", "C": "c"}


def test_no_env_file_is_no_error(tmp_path: Path) -> None:
    assert read_environment(tmp_path / ".env", {"A": "a"}) == {"A": "a"}
    assert read_environment(tmp_path, {"A": "a"}) == {"A": "a"}


def test_an_env_file_of_windows_names_its_first_variable(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=a\r\nB=b\r\n", "utf-8-sig")
    assert read_environment(tmp_path / ".env", {}) == {"A": "a", "B": "b"}


def test_an_env_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env: is not UTF-8"):
        read_environment(tmp_path / ".env", {})


names = st.text(st.characters(categories=["Lu", "Nd"], max_codepoint=127), min_size=1).map("V".__add__)


@given(st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]))))
def test_quoted_values_are_read_as_written(tmp_path_factory: pytest.TempPathFactory, values: dict[str, str]) -> None:
    file = tmp_path_factory.mktemp("env") / ".env"
    escaped = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()}
    file.write_text("".join(f"{name}='{value}'\n" for name, value in escaped.items()), "utf-8")
    assert read_environment(file, {}) == values
