"""self_consistency: write drafts that differ in approach; the one that scores best on training examples is raced.

After Wang et al. (arXiv 2203.11171), who sample several ways of reasoning and keep the majority's answer. Prompts can
be tested, so the drafts are tested instead of put to a vote, which kept the most ordinary one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from agents.operators.operator import Context, of_kinds
from agents.operators.writing import Writer, ask, edited, failures
from agents.prompting.requests import read_drafts
from protocols.concurrency.threads import in_thread
from protocols.errors import EditRejected, InapplicableError, UnreadableReply
from protocols.messages import Assignment, Outcome
from protocols.model import Reply
from protocols.prompt import Prompt
from protocols.task import Task


class SelfConsistency(Writer):
    """Applies to task, definitions and reasoning sections, and to descriptions of tools."""

    name = "self_consistency"
    file = "drafts.txt"
    texts = 3
    form = (
        "Think first. Then write each of the three versions between <new> and </new>, the whole text of the part "
        "every time."
    )

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The sections of these kinds."""
        return of_kinds(prompt, "task", "definitions", "reasoning", "tool")

    def mends(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether an example failed."""
        return bool(failures(outcomes))

    async def edit(self, assignment: Assignment, context: Context) -> Sequence[Prompt]:
        """The drafts that can be used.

        :raises InapplicableError: nothing failed.
        :raises UnreadableReply, EditRejected: no draft can be used.
        """
        if not failures(assignment.outcomes):
            raise InapplicableError("no training example of the minibatch failed")
        question = await in_thread(self.question, assignment, context)

        def read(reply: Reply) -> list[Prompt]:
            drafts: list[Prompt] = []
            for text in (texts := read_drafts(reply.text, reply.finish)):
                with suppress(UnreadableReply, EditRejected):
                    drafts.append(edited(text, question, assignment, context))
            return drafts or [edited(texts[-1], question, assignment, context)]  # raises the reason

        return await ask(self.composed(assignment, context, question), question, read, context)
