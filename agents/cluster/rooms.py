"""Rooms on the machine of the command: plain objects, each in an actor of its own, and how searches reach them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from agents.books.shipments import Heard, Opened, Shipment
from protocols.errors import PromptFlowError, StorageFailed
from protocols.text import one_line

CLOSING = 10.0
"""Seconds that a room has to close its files."""


class Room:
    """An async actor around what `opening` opens. Ray starts it anew if its process ends, and repeats the calls that
    were under way; what it serves takes a repeated call for the same."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._opening = opening
        self._served: Any = None
        self._ready, self._closing, self._closed = anyio.Event(), anyio.Event(), anyio.Event()
        self._failed: PromptFlowError | None = None

    async def serve(self) -> None:
        """Open what is served, and close it after `close`."""
        try:
            async with self._opening() as self._served:
                self._ready.set()
                await self._closing.wait()
        except PromptFlowError as error:
            self._failed = error
        finally:
            self._ready.set()
            self._closed.set()

    async def close(self) -> None:
        """Close what is served."""
        self._closing.set()
        await self._closed.wait()

    async def call(self, method: str, arguments: Sequence[Any]) -> Any:
        """The outcome of a method; an error of ours is a value, since Ray would wrap one that is raised."""
        await self._ready.wait()
        if self._failed is not None:
            return self._failed
        try:
            return await getattr(self._served, method)(*arguments)
        except PromptFlowError as error:
            return error


class Reached:
    """The other side of a `Room`: calls its methods from another process."""

    def __init__(self, name: str, actor: Any) -> None:
        self._name, self._actor = name, actor

    async def call(self, method: str, *arguments: Any) -> Any:
        """:raises PromptFlowError: as the method.
        :raises StorageFailed: the room cannot be reached.
        """
        try:
            outcome = await self._actor.call.remote(method, arguments)
        except RayError as error:
            raise StorageFailed(f"cannot be reached: {one_line(str(error), 200)}", file=self._name) from None
        if isinstance(outcome, PromptFlowError):
            raise outcome
        return outcome


class ReachedBooks(Reached):
    """`agents.books.shipments.Head` over Ray."""

    async def open(self, directory: str) -> Opened:
        opened: Opened = await self.call("open", directory)
        return opened

    async def write(self, directory: str, incarnation: int, number: int, shipments: Sequence[Shipment]) -> None:
        await self.call("write", directory, incarnation, number, shipments)

    async def commands(self, directory: str, incarnation: int, after: int) -> Heard:
        heard: Heard = await self.call("commands", directory, incarnation, after)
        return heard

    async def close(self, directory: str, incarnation: int) -> None:
        await self.call("close", directory, incarnation)


@asynccontextmanager
async def opened_room(opening: Callable[[], AbstractAsyncContextManager[Any]]) -> AsyncIterator[Any]:
    """A room on the node of this command, which ends with the block or with the command. Yields its actor."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "scheduling_strategy": here, "max_restarts": -1, "max_task_retries": -1}
    made = ray.remote(Room).options(**options)
    actor: Any = made.remote(opening)
    served = actor.serve.remote()
    try:
        yield actor
    finally:
        with anyio.move_on_after(CLOSING, shield=True):
            await actor.close.remote()
            await served
        ray.kill(actor)
