"""Adds the parameters that the user has set for a role to each of its requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from protocols.model import ChatModel, Parameters, Reply, Request
from protocols.providers.parameters import UNSET
from protocols.wrappers.window import spare

TEMPERATURE: Final = "temperature"
SAMPLING: Final = ("top_p", "top_k", "min_p")
"""If the user sets one of these, a temperature of ours is left out, because it would undo the user's choice."""

OWN: Final = ("stop", "stream_options")
"""Fields that adapters send by default, unless they are set otherwise."""


def settles_temperature(asked: Mapping[str, object]) -> bool:
    """Whether the user's fields settle the temperature, so that a request's own is ignored: by naming it, by another
    sampling parameter, or by enabling thinking, which excludes a temperature (Anthropic)."""
    if TEMPERATURE in asked or any(asked.get(name, UNSET) != UNSET for name in SAMPLING):
        return True
    match asked.get("thinking"):
        case {"type": "enabled" | "adaptive" | "between_tools"}:
            return True
    return False


class AskingModel:
    """Adds the user's fields of the body, `asked`, to every request; they override the request's own. `UNSET` fields
    are passed on only if adapters would otherwise send a default of their own (`OWN`)."""

    def __init__(self, inner: ChatModel, asked: Mapping[str, object]) -> None:
        self.name = inner.name
        self._inner = inner
        fields = {name: value for name, value in asked.items() if value != UNSET or name in OWN}
        self._settled = settles_temperature(asked)
        self._temperature: float | None = None
        match fields.get(TEMPERATURE):
            case int() | float() as number if not isinstance(number, bool):
                self._temperature = number
                del fields[TEMPERATURE]
        self._parameters = Parameters(fields)

    async def complete(self, request: Request) -> Reply:
        """Answer one request."""
        temperature = self._temperature if self._settled else request.temperature
        return await self._inner.complete(replace(request, temperature=temperature, parameters=self._parameters))

    def spare(self, request: Request) -> float:
        """See `Windowed`."""
        return spare(self._inner, request)
