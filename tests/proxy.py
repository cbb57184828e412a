"""A forward proxy on loopback for tests: plain HTTP is passed on, tunnels are refused, all is on record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream


@dataclass
class Asked:
    """One request: its first line, and its headers by lower-case names."""

    line: str
    headers: dict[str, str]


@dataclass
class ForwardProxy:
    """`url` of the proxy, and what it was `asked`. `password`: the value of Proxy-Authorization without which it
    answers 407; "" for none."""

    password: str = ""
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    async def serve(self, client: SocketStream) -> None:
        async with client:
            stream = BufferedByteReceiveStream(client)
            head = (await stream.receive_until(b"\r\n\r\n", 65536)).decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            self.asked.append(Asked(head[0], headers))
            body = await stream.receive_exactly(int(headers.get("content-length", 0)))
            if self.password and headers.get("proxy-authorization") != self.password:
                await client.send(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            elif head[0].startswith("CONNECT"):
                await client.send(b"HTTP/1.1 502 No tunnel\r\nContent-Length: 0\r\n\r\n")
            else:
                await self._pass_on(client, head, body)

    async def _pass_on(self, client: SocketStream, head: list[str], body: bytes) -> None:
        method, url, version = head[0].split(" ")
        host, _, path = url.removeprefix("http://").partition("/")
        lines = [line for line in head[1:] if not line.lower().startswith(("proxy-authorization", "connection"))]
        request = "\r\n".join([f"{method} /{path} {version}", *lines, "Connection: close"]) + "\r\n\r\n"
        name, _, port = host.partition(":")
        async with await anyio.connect_tcp(name, int(port)) as server:
            await server.send(request.encode("latin-1") + body)
            async for chunk in server:
                await client.send(chunk)


@asynccontextmanager
async def open_proxy(password: str = "") -> AsyncIterator[ForwardProxy]:
    """A proxy while the block runs."""
    proxy = ForwardProxy(password)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        proxy.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, proxy.serve)
        yield proxy
        tasks.cancel_scope.cancel()
