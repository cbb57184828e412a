"""contract: rewrite the output format, so that the answer can be parsed from every reply."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context
from agents.operators.writing import Writer, failures
from agents.programs.calls import asked, calls_of
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Prompt


class Contract(Writer):
    """Applies to the output format, if replies could not be parsed, or ended other than normally. For a prompt of a
    program whose reply is not the answer, any error will do: nobody else tells what its replies should hold."""

    name = "contract"
    kinds = ("format",)
    file = "contract.txt"
    inner_file = "contract_inner.txt"

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether a reply could not be parsed, or ended other than normally; or an example of a program failed."""
        return any(_broke(outcome) or (outcome.steps and outcome.score < 1.0) for outcome in outcomes)

    def fits(self, prompt: Prompt, section: str, outcomes: Sequence[Outcome]) -> bool:
        """Whether there is something to mend in this section."""
        name, calls = prompt[section].prompt, calls_of(prompt, outcomes)
        if calls is not None and calls.inner(name):
            return bool(failures(outcomes))
        cut = calls is not None and any(step.finish != "stop" for o in outcomes for step in asked(o.steps, name))
        return cut or any(_broke(outcome) for outcome in outcomes)

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: all replies could be parsed, and ended normally."""
        if not self.fits(assignment.prompt, assignment.section, assignment.outcomes):
            raise InapplicableError("every reply of the minibatch could be read")
        return await self.write(assignment, context)


def _broke(outcome: Outcome) -> bool:
    return outcome.answer is None or outcome.finish != "stop"
