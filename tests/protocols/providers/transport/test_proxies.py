"""What of the machine a call is allowed to see: proxies and certificates, by variables; never ~/.netrc."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import AuthenticationFailed, ConfigError, ConnectionFailed, ModelError
from protocols.model import ChatMessage, Request
from protocols.providers.anthropic import AnthropicModel
from protocols.providers.catalogue import ModelSettings, open_embeddings, open_model
from protocols.providers.openai import OpenAIModel
from protocols.providers.transport.http import Endpoint, open_transport
from protocols.providers.transport.proxies import Proxies
from tests.proxy import open_proxy
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
REQUEST = Request((ChatMessage("user", "hello"),))
KEY = "sk-test-0123456789abcdef"
USER = "http://user:pass%20word@"
BASIC = "Basic dXNlcjpwYXNzIHdvcmQ="
URL = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def _netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password for every host, where every program looks for it, and an environment that names no proxy."""
    for name in (".netrc", "_netrc"):
        (tmp_path / name).write_text("default login me password netrc-secret\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("form", ["openai", "anthropic"])
@pytest.mark.parametrize("key", [KEY, None])
@pytest.mark.parametrize(
    ("variables", "goes_through"),
    [
        ({}, False),
        ({"HTTP_PROXY": "{proxy}"}, True),
        ({"http_proxy": "{proxy}"}, True),
        ({"ALL_PROXY": "{proxy}"}, True),
        ({"all_proxy": "{bare}"}, True),
        ({"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "{proxy}"}, True),
        ({"HTTP_PROXY": "{proxy}", "ALL_PROXY": "http://127.0.0.1:9"}, True),
        ({"HTTPS_PROXY": "{proxy}"}, False),
        ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "127.0.0.1"}, False),
        ({"ALL_PROXY": "{proxy}", "no_proxy": "10.0.0.0/8, 127.0.0.0/8"}, False),
        ({"HTTP_PROXY": "{proxy}", "NO_PROXY": "example.com"}, True),
    ],
)
async def test_a_call_goes_where_the_variables_say_and_nobody_gets_a_password(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], goes_through: bool, key: str | None, form: str
) -> None:
    async with WireServer(lambda turns: "hi") as server, open_proxy() as proxy:
        bare = proxy.url.removeprefix("http://")
        for name, value in variables.items():
            monkeypatch.setenv(name, value.replace("{proxy}", proxy.url).replace("{bare}", bare))
        async with open_transport() as transport:
            model = (
                OpenAIModel("m", Endpoint(server.openai_url, key), transport)
                if form == "openai"
                else AnthropicModel("m", Endpoint(server.url, key), transport)
            )
            reply = await model.complete(REQUEST)
        [call] = server.received
    assert reply.text == "hi"
    assert len(proxy.asked) == goes_through
    assert call.headers.find("Authorization") == (f"Bearer {key}" if key else "")
    assert not call.headers.find("Proxy-Authorization")
    assert all("proxy-authorization" not in asked.headers for asked in proxy.asked)


async def test_the_variables_are_those_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the house reads keys: the process's own are not looked at where others are given."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with WireServer(lambda turns: "hi") as server, open_transport({}) as transport:
        await OpenAIModel("m", Endpoint(server.openai_url, KEY), transport).complete(REQUEST)


async def test_a_proxys_password_is_for_the_proxy_alone() -> None:
    async with WireServer(lambda turns: "hi") as server, open_proxy(BASIC) as proxy:
        named = proxy.url.replace("http://", USER)
        async with open_transport({"HTTP_PROXY": named, "HTTPS_PROXY": named}) as transport:
            await OpenAIModel("m", Endpoint(server.openai_url, KEY), transport).complete(REQUEST)
            tunnelled = OpenAIModel("m", Endpoint("https://api.example.com/v1", KEY), transport)
            with pytest.raises(ConnectionFailed, match="502 No tunnel") as caught:
                await tunnelled.complete(REQUEST)
        [call] = server.received
    assert not call.headers.find("Proxy-Authorization")
    assert [asked.line.split()[0] for asked in proxy.asked] == ["POST", "CONNECT"]
    assert {asked.headers["proxy-authorization"] for asked in proxy.asked} == {BASIC}
    assert "authorization" not in proxy.asked[1].headers, "the key goes through the tunnel"
    assert str(caught.value).startswith(
        f"openai/m: no connection to https://api.example.com/v1 through the proxy {proxy.url} of HTTPS_PROXY: "
    )


@pytest.mark.parametrize("url", ["http://api.example.com/v1", "https://api.example.com/v1"])
async def test_a_proxy_that_asks_for_a_password_stops_the_run_and_says_so(url: str) -> None:
    async with (
        open_proxy("Basic another") as proxy,
        open_transport({"ALL_PROXY": proxy.url.replace("http://", USER)}) as transport,
    ):
        with pytest.raises(AuthenticationFailed, match=r"of ALL_PROXY asks for a user and a password") as caught:
            await OpenAIModel("m", Endpoint(url, KEY), transport).complete(REQUEST)
    assert caught.value.fatal
    check_no_secret(caught.value)


async def test_a_proxy_that_is_not_there_is_named() -> None:
    async with open_transport({"ALL_PROXY": f"{USER}127.0.0.1:9"}) as transport:
        for url in ("http://api.example.com/v1", "https://api.example.com/v1"):
            with pytest.raises(ConnectionFailed, match=r"through the proxy http://127\.0\.0\.1:9 of ALL_PROXY") as c:
                await OpenAIModel("m", Endpoint(url, KEY), transport).complete(REQUEST)
            check_no_secret(c.value)


def check_no_secret(error: ModelError) -> None:
    assert not any(secret in repr(error) + str(error) for secret in ("pass word", "pass%20word", "dXNlc", KEY))


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"ALL_PROXY": f"socks5://{USER[7:]}h:1"}, "ALL_PROXY names a SOCKS proxy"),
        ({"https_proxy": "socks5h://127.0.0.1:1080"}, "https_proxy names a SOCKS proxy"),
        ({"HTTPS_PROXY": "ftp://proxy"}, "HTTPS_PROXY names no proxy"),
        ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY names no proxy"),
        ({"HTTPS_PROXY": f"{USER}proxy:port"}, "HTTPS_PROXY names no proxy"),
        ({"HTTPS_PROXY": "http://[::1"}, "HTTPS_PROXY names no proxy"),
        ({"HTTPS_PROXY": "http://user:12/34pass@host:8080"}, "HTTPS_PROXY names no proxy: an @ .* %2F"),
        ({"HTTPS_PROXY": "user:12?34pass@host:8080"}, "HTTPS_PROXY names no proxy: an @ .* %2F"),
        ({"ALL_PROXY": "http://user:12#34pass@host:8080"}, "ALL_PROXY names no proxy: an @ .* %2F"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_one_line_before_anything_is_sent(
    variables: Mapping[str, str], said: str
) -> None:
    environ = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": URL, **variables}
    async with open_transport(environ) as transport:
        with pytest.raises(ConfigError, match=said) as caught:
            open_model("openai/m", ModelSettings(), environ, transport)
        assert "34pass" not in str(caught.value).replace("http://user:password@host:port", "")
        assert USER not in str(caught.value)
        with pytest.raises(ConfigError, match=said):
            open_embeddings("openai/m", ModelSettings(), environ, transport, 3)


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("https://api.example.com", "*", True),
        ("https://api.example.com", "", False),
        ("https://api.example.com", "example.com", True),
        ("https://api.example.com", ".example.com", True),
        ("https://api.example.com", "*.example.com", True),
        ("https://API.Example.com", "EXAMPLE.com", True),
        ("https://api.example.com.", "api.example.com", True),
        ("https://api.example.com", "ample.com", False),
        ("https://api.example.com", "a, api.example.com ,b", True),
        ("https://api.example.com", "a b api.example.com", True),
        ("https://api.example.com", "api.example.com:443", True),
        ("https://api.example.com", "api.example.com:8443", False),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://localhost:8000", "localhost", True),
        ("http://localhost:8000", "other", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3:80", "10.1.2.3:81", False),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.3", "1.2.3", False),
        ("http://[::1]:80", "::1", True),
        ("http://[::1]:80", "[::1]:80", True),
        ("http://[::1]:80", "[::1]:81", False),
        ("http://[fd00::1]", "fd00::/8", True),
        ("http://example.com", "10.0.0.0/8", False),
    ],
)
def test_no_proxy(url: str, no_proxy: str, direct: bool) -> None:
    proxies = Proxies({"ALL_PROXY": "http://proxy:3128", "NO_PROXY": no_proxy})
    assert (proxies.of(url) is None) == direct


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "https://proxy"}, "https://proxy"),
        ({"HTTPS_PROXY": " http://proxy:1/ "}, "http://proxy:1"),
        ({"HTTPS_PROXY": "http://[::1]:1"}, "http://[::1]:1"),
        ({"HTTPS_PROXY": "http://a", "https_proxy": "http://b"}, "http://b"),
        ({"HTTPS_PROXY": "http://a", "https_proxy": ""}, None),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://b"}, "http://b"),
        ({"ALL_PROXY": "socks5://a", "HTTPS_PROXY": "http://b"}, "http://b"),
        ({"HTTP_PROXY": "http://a"}, None),
    ],
)
def test_which_variable_counts(variables: Mapping[str, str], proxy: str | None) -> None:
    found = Proxies(variables).of(URL)
    assert (found and found.url) == proxy


def test_what_a_request_may_have_set_is_no_proxy() -> None:
    """CVE-2016-5385: a CGI script has a request's header `Proxy` in HTTP_PROXY."""
    asked = {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "POST"}
    assert Proxies(asked).of("http://api.example.com") is None
    assert Proxies({**asked, "http_proxy": "http://a"}).of("http://api.example.com")


@given(value=st.text(max_size=40), no_proxy=st.text(max_size=40))
def test_whatever_a_variable_holds_it_is_a_proxy_none_or_one_line(value: str, no_proxy: str) -> None:
    try:
        found = Proxies({"HTTPS_PROXY": value, "NO_PROXY": no_proxy}).of(URL)
    except ConfigError:
        return
    assert found is None or found.url.startswith("http")


@pytest.mark.parametrize(
    ("variable", "content", "said"),
    [
        ("SSL_CERT_FILE", None, "SSL_CERT_FILE names .*, which is not there"),
        ("SSL_CERT_FILE", "no certificate", "SSL_CERT_FILE names .*, which holds no certificates"),
        ("SSL_CERT_DIR", None, "SSL_CERT_DIR names .*, which is not there"),
    ],
)
async def test_certificates_that_cannot_be_read_are_one_line(
    tmp_path: Path, variable: str, content: str | None, said: str
) -> None:
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        async with open_transport({variable: str(path)}):
            pass
