"""Several models in the place of one: one for each prompt of a program, or all of a task for each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protocols.model import ChatModel, Reply, Request
from protocols.wrappers.window import spare


class RoutedModel:
    """Asks the model of the prompt that a request is for; `model` answers all other requests."""

    def __init__(self, model: ChatModel, by_prompt: Mapping[str, ChatModel]) -> None:
        self.name = model.name
        self._model, self._by_prompt = model, by_prompt

    async def complete(self, request: Request) -> Reply:
        """The reply of the prompt's model.

        :raises ModelError, BudgetExhausted: as that model.
        """
        return await self._by_prompt.get(request.prompt, self._model).complete(request)

    def spare(self, request: Request) -> float:
        """See `Windowed`: of the smallest window, because any of the prompts may be the longest."""
        return min(spare(model, request) for model in (self._model, *self._by_prompt.values()))


class Panel:
    """All the `models` of a task, each of which answers every example; the forward pass asks them one by one."""

    def __init__(self, models: Sequence[ChatModel]) -> None:
        self.name = " + ".join(model.name for model in models)
        self.models = tuple(models)

    async def complete(self, request: Request) -> Reply:
        """No single reply is that of all models."""
        raise AssertionError("each model of a task with several is asked by itself")

    def spare(self, request: Request) -> float:
        """See `Windowed`: of the smallest window, since all models are sent the same."""
        return min(spare(model, request) for model in self.models)
