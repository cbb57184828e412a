"""The proxy of a URL, from the variables that curl and Python's standard library read.

`HTTPS_PROXY` or `HTTP_PROXY` by the URL's scheme, else `ALL_PROXY`, and none for the hosts of `NO_PROXY`. ~/.netrc is
not read, because its passwords are for other programs.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from protocols.errors import ConfigError

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, named by the environment variable `variable`. `url`: without user and password, which are in
    `authorization`, the value of a header."""

    url: str
    variable: str
    authorization: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"the proxy {self.url} of {self.variable}"


class Proxies:
    """The proxies that an environment names. A lower-case variable takes precedence over its upper-case twin, and an
    empty one means no proxy. As in the standard library, `HTTP_PROXY` is ignored in CGI scripts (`REQUEST_METHOD` is
    set), because a request may have set it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        _, without = self._read("no_proxy")
        self._direct = [name for name in re.split(r"[\s,]+", without) if name]
        self._known: dict[str, Proxy | None] = {}

    def of(self, url: str) -> Proxy | None:
        """The proxy for calls to an http or https URL; None: direct calls.

        :raises ConfigError: a variable names a proxy that cannot be used.
        """
        if url not in self._known:
            self._known[url] = self._find(urlsplit(url))
        return self._known[url]

    def _find(self, url: SplitResult) -> Proxy | None:
        variable, value = self._read(f"{url.scheme}_proxy")
        if not value:
            variable, value = self._read("all_proxy")
        host = (url.hostname or "").rstrip(".")
        port = url.port or PORTS[url.scheme]
        if not value or any(goes_round(host, port, name) for name in self._direct):
            return None
        return read_proxy(variable, value, host)

    def _read(self, name: str) -> tuple[str, str]:
        """The variable that takes precedence, and its value; "" if none is set."""
        for variable in self._twins(name):
            if variable in self._environ:
                return variable, self._environ[variable].strip()
        return name, ""

    def _twins(self, name: str) -> Iterator[str]:
        yield name
        if name != "http_proxy" or "REQUEST_METHOD" not in self._environ:
            yield name.upper()


def goes_round(host: str, port: int, name: str) -> bool:
    """Whether an entry of NO_PROXY matches this host: `*`, a name with its subdomains (`example.com`, `.example.com`
    or `*.example.com`), an address, a network (`10.0.0.0/8`), or one of these with a port. Case is ignored."""
    if name == "*":
        return True
    name, _, only = name.rpartition(":") if re.fullmatch(r"(\[.*\]|[^:]*):\d+", name) else (name, "", "")
    if only and int(only) != port:
        return False
    host, name = host.lower(), name.strip("[]").lower().removeprefix("*").strip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        return address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def read_proxy(variable: str, value: str, host: str) -> Proxy:
    """The proxy in a variable, for calls to `host`.

    :raises ConfigError: it is not an HTTP proxy. The message does not show the value, which may hold a password.
    """
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        usable, port = bool(parts.hostname), parts.port
    except ValueError:
        raise ConfigError(f"{variable} names no proxy; write http://host:port") from None
    if parts.scheme.startswith("socks"):
        raise ConfigError(
            f"{variable} names a SOCKS proxy, and only HTTP proxies can be used: set HTTPS_PROXY (or HTTP_PROXY, "
            f"for a base URL with http) to one, or add {host} to NO_PROXY to call it directly"
        )
    if "@" in parts.path + parts.query + parts.fragment:
        raise ConfigError(
            f"{variable} names no proxy: an @ stands behind the host; write http://user:password@host:port, with %2F "
            "for /, %3F for ? and %23 for # in the password"
        )
    if parts.scheme not in PORTS or not usable:
        raise ConfigError(f"{variable} names no proxy; write http://host:port")
    name = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    authorization = None
    if parts.username or parts.password:
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(pair.encode()).decode()}"
    return Proxy(f"{parts.scheme}://{name}" + (f":{port}" if port else ""), variable, authorization)
