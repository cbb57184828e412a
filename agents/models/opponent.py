"""The fixed prompt whose replies a judge compares with others'."""

from __future__ import annotations

from agents.prompting.forward import Forward
from protocols.model import Finish
from protocols.prompt import Prompt
from protocols.task import Example


class Replying:
    """Asks a prompt for its reply to an example when that is first compared with another, and keeps it. The requests
    are those of the prompt's own evaluation, so both are paid for once."""

    def __init__(self, forward: Forward, prompt: Prompt, repeats: int) -> None:
        self._forward, self._prompt, self._repeats = forward, prompt, repeats
        self._replies: dict[tuple[object, ...], tuple[str, Finish]] = {}

    async def __call__(self, example: Example, sample: int) -> tuple[str, Finish]:
        """The reply, and how it ended. Samples beyond the repeats of the search are compared with the first.

        :raises ModelError, BudgetExhausted: a call failed, or was refused.
        """
        sample = sample if sample < self._repeats else 0
        key = example.id, *example.inputs.values(), sample
        if key not in self._replies:
            reply = await self._forward.reply(self._prompt, example, sample)
            self._replies[key] = reply.said, reply.finish
        return self._replies[key]
