"""contract: write what a reply must look like, so that its answer is always found."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context
from agents.operators.writing import Writer
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Prompt


class Contract(Writer):
    """Applies to the output format, where replies could not be read, were cut off or broke the form."""

    name = "contract"
    kinds = ("format",)
    file = "contract.txt"

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """A reply could not be read, or was cut off."""
        return any(_broke(outcome) for outcome in outcomes)

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: all replies could be read, and none was cut off."""
        if not self.mends(assignment.outcomes):
            raise InapplicableError("every reply of the minibatch could be read")
        return await self.write(assignment, context)


def _broke(outcome: Outcome) -> bool:
    return outcome.answer is None or outcome.finish != "stop"
