"""Refuses to connect to another machine, or to ask for its address, and writes down who was to be reached."""

from __future__ import annotations

import errno
import os
import sys
from ipaddress import IPv6Address, ip_address


def is_here(host: object) -> bool:
    """Whether an address is one of this machine: loopback, a Unix socket, or none at all."""
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host in (None, "", "localhost"):
        return True
    try:
        address = ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified


def refuse(event: str, values: tuple[object, ...]) -> None:
    """An audit hook: https://docs.python.org/3/library/audit_events.html."""
    match event, values:
        case ("socket.connect" | "socket.sendto" | "socket.sendmsg", (_, (host, *_))):
            pass
        case ("socket.getaddrinfo" | "socket.gethostbyname", (host, *_)):
            pass
        case _:
            return
    if is_here(host):
        return
    with open(os.environ["PROMPTFLOW_TESTS_REACHED"], "a", encoding="utf-8") as reached:
        reached.write(f"{event} {host!r}\n")
    raise OSError(errno.ENETUNREACH, f"a test may reach no host but this machine: {host}")


if "PROMPTFLOW_TESTS_REACHED" in os.environ:
    sys.addaudithook(refuse)
