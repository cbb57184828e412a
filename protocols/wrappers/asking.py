"""What the user has set for a role goes into each of its requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from protocols.model import ChatModel, Parameters, Reply, Request
from protocols.providers.parameters import UNSET
from protocols.wrappers.window import spare

TEMPERATURE: Final = "temperature"
SAMPLING: Final = ("top_p", "top_k", "min_p")
"""Who sets one of these has chosen how to draw: a temperature of ours beside it would undo it."""

OWN: Final = ("stop", "stream_options")
"""What adapters send unless something else is set."""


def settles_temperature(asked: Mapping[str, object]) -> bool:
    """Whether the user has decided on the temperature, so that a request's own is of no matter: by its name, by
    another way to draw, or by letting the model think, which takes none (Anthropic)."""
    if TEMPERATURE in asked or any(asked.get(name, UNSET) != UNSET for name in SAMPLING):
        return True
    match asked.get("thinking"):
        case {"type": "enabled" | "adaptive" | "between_tools"}:
            return True
    return False


class AskingModel:
    """A model of which is asked what the user has set, whatever a request says: `asked` holds fields of the body.
    Of those that are `UNSET` the adapters hear only where they would send one of their own."""

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
