"""self_reflection, chain_of_thought, repeat_instructions: rewrite a section, given failures and the critique. They
differ in the purpose of the section: to state the task and the definitions, to reason (after Wei et al., arXiv
2201.11903), or to repeat near the end the instructions that failures show to be forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from agents.operators.operator import Context
from agents.operators.writing import Writer, explains, failures, inner
from agents.programs.calls import calls_of
from agents.prompting.blocks import Block
from agents.prompting.material import data_block
from agents.prompting.wording import explained
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Prompt


class Rewriter(Writer):
    """Rewrites sections of its `kinds`; a clause of the instruction depends on the section's use."""

    file = "rewrite.txt"
    may_be_empty = True

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether an example failed."""
        return bool(failures(outcomes))

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: nothing failed."""
        if not failures(assignment.outcomes):
            raise InapplicableError("no training example of the minibatch failed")
        return await self.write(assignment, context, lambda: self._data(assignment, context))

    @staticmethod
    def _data(assignment: Assignment, context: Context) -> list[Block]:
        """Training examples of every answer, for a part that is to explain the answers and has no text yet: the
        failures show few of the answers."""
        section, calls = assignment.prompt[assignment.section], calls_of(assignment.prompt, assignment.outcomes)
        explaining = explains(section, assignment.prompt) and not inner(section, calls)
        if section.text or not explaining or not explained(context.task):
            return []
        return [data_block(context.task, {outcome.example for outcome in assignment.outcomes})]


class SelfReflection(Rewriter):
    """Applies to task and definitions sections, and to descriptions of tools."""

    name = "self_reflection"
    kinds = ("task", "definitions", "tool")


class ChainOfThought(Rewriter):
    """Applies to reasoning sections."""

    name = "chain_of_thought"
    kinds = ("reasoning",)


class RepeatInstructions(Rewriter):
    """Applies to reminders."""

    name = "repeat_instructions"
    kinds = ("reminders",)
