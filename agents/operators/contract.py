"""contract: rewrite the output format, so that the answer can be parsed from every reply."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context
from agents.operators.writing import Writer
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Prompt


class Contract(Writer):
    """Applies to the output format, if replies could not be parsed, or ended other than normally."""

    name = "contract"
    kinds = ("format",)
    file = "contract.txt"

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether a reply could not be parsed, or ended other than normally."""
        return any(_broke(outcome) for outcome in outcomes)

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: all replies could be parsed, and ended normally."""
        if not self.mends(assignment.outcomes):
            raise InapplicableError("every reply of the minibatch could be read")
        return await self.write(assignment, context)


def _broke(outcome: Outcome) -> bool:
    return outcome.answer is None or outcome.finish != "stop"
