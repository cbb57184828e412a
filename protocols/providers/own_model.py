"""A user's own model: an object with `async def complete(request)`, or such a function."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio

from protocols.errors import CallTimeout, ConfigError, ConnectionFailed
from protocols.files.named import Named
from protocols.files.own_code import check_method
from protocols.files.users_code import users_code
from protocols.model import Reply, Request, Usage
from protocols.providers.responses.figures import Told, count, mended, used
from protocols.text import LONGEST_REASON, one_line

OWN = "own"
PAGE = "docs/python.md"
Complete = Callable[[Request], Awaitable[Reply | str]]


def own_name(named: Named) -> str:
    """Its model string in reports, prices and limits."""
    return f"{OWN}/{named.use.strip('<>')}{named.parameters.key}"


def open_own(named: Named, key: str, timeout: float) -> OwnModel:
    """Open the model given by a table, a class, an instance or a function. `timeout`: seconds for one call.

    :raises ConfigError: it cannot be found, or has no method `complete`.
    """
    found, name = named.found(key), own_name(named)
    if inspect.iscoroutinefunction(found):
        complete: Complete = named.function(key, "request")
        return OwnModel(name, complete, timeout)
    model = named.made(key, {}, "complete")
    check_method(model, "complete", named.use, key, "request", waits=True, page=PAGE)
    return OwnModel(name, model.complete, timeout)


class OwnModel:
    """Calls `complete`, which returns a `Reply` or only a text. Tokens that it does not count are estimated."""

    def __init__(self, name: str, complete: Complete, timeout: float) -> None:
        self.name, self._complete, self._timeout = name, complete, timeout

    async def complete(self, request: Request) -> Reply:
        """:raises CallTimeout: it has not answered in time.
        :raises ConnectionFailed: it raised an OSError.
        :raises ConfigError: it returned something else, or raised a cancellation of its own.
        :raises Exception: whatever else it raises.
        """
        begun = time.perf_counter()
        try:
            with anyio.fail_after(self._timeout), users_code(f"model {self.name}"):
                said: object = await self._complete(request)
        except TimeoutError:
            raise CallTimeout(f"no reply within {self._timeout:g} s", model=self.name) from None
        except OSError as error:
            reason = one_line(f"{type(error).__name__}: {error}", LONGEST_REASON)
            raise ConnectionFailed(reason, model=self.name) from error
        reply = Reply(said) if isinstance(said, str) else said
        if not (isinstance(reply, Reply) and isinstance(reply.text, str)):
            what = type(said).__name__
            if isinstance(reply, Reply):
                what += f" whose text is {type(reply.text).__name__}"
            raise ConfigError(f"model {self.name}: complete returned {what}; return a Reply or a text")
        usage = _usage(reply, request)
        took = (
            float(reply.latency) if isinstance(reply.latency, int | float) and 0 < reply.latency < math.inf else 0.0
        )
        text: Any = mended(reply.text)
        return replace(
            reply,
            text=text,
            usage=usage,
            latency=took or time.perf_counter() - begun,
            model=reply.model or self.name,
            instead=reply.instead or (None if text or reply.calls or reply.finish == "refusal" else "nothing"),
        )


def _usage(reply: Reply, request: Request) -> Usage:
    """The usage that the user's code reports, estimated where it counts nothing or what cannot be."""
    counts = [count(getattr(reply.usage, name, None)) for name in ("input", "output", "cached", "written")]
    told = Told(*counts)
    if None in counts or not (reply.usage.estimated or (told.input and told.output)):
        return used(replace(told, output=told.output or None), request, reply.said)
    tokens_in, tokens_out, cached, written = (part or 0 for part in counts)
    return Usage(tokens_in, tokens_out, cached, written, int(bool(reply.usage.estimated)))
