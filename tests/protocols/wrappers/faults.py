"""Failures of a scripted model, for tests."""

from __future__ import annotations

from collections.abc import Callable

from protocols.errors import ModelError, ServerFailed
from protocols.model import ChatMessage, Request

REQUEST = Request((ChatMessage("system", "amber"), ChatMessage("user", "Text: v 1 amber")))
ModelFault = Callable[[Request], ModelError | None]


def in_turn(*errors: ModelError | None) -> ModelFault:
    """These errors one after the other, then none."""
    left = list(errors)
    return lambda request: left.pop(0) if left else None


def failure(kind: type[ModelError] = ServerFailed, retry_after: float | None = None) -> ModelError:
    return kind("scripted", model="scripted", retry_after=retry_after)
