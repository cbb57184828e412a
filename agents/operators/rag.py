"""rag: put passages of the user's corpus into the knowledge section (after Lewis et al., arXiv 2005.11401)."""

from __future__ import annotations

from collections import Counter

from agents.operators.operator import Context, of_kinds
from agents.operators.writing import failures
from agents.programs.calls import asked
from agents.prompting.requests import show_inputs
from agents.prompting.retrieval_slots import PASSAGES, places
from protocols.concurrency.threads import in_thread
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Prompt, placeholders
from protocols.task import Task

FIXED = (1, 2, 4)
PER_INPUT = (1, 2, 4)
NEAREST = 4


class Rag:
    """Applies to knowledge sections; it is not offered if the task has no corpus. No model is asked.

    Half of the edits insert the passages that are nearest to the most failed inputs; the others insert a placeholder
    that is filled, for each input, with the passages nearest to it.
    """

    name = "rag"
    silent = True

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The knowledge sections."""
        return of_kinds(prompt, "knowledge")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: the task has no corpus, nothing failed, every passage near a failed input has a
        placeholder in it, or no passage fits beside the prompt and the longest inputs.
        """
        return await in_thread(self._edit, assignment, context)

    def _edit(self, assignment: Assignment, context: Context) -> Prompt:
        slot = context.slots.passages
        if not slot.items:
            raise InapplicableError("the task has no corpus; name one as task.corpus")
        if context.rng.random() < 0.5:
            count = context.rng.choice(PER_INPUT)
            texts = [f"{{{PASSAGES}:{k}}}" for k in range(count, 0, -1)]
        else:
            votes: Counter[str] = Counter()
            name = assignment.prompt[assignment.section].prompt
            for query in (text for outcome in failures(assignment.outcomes) for text in _queries(outcome, name)):
                for place, passage in enumerate(slot.nearest(query, NEAREST)):
                    if not placeholders(passage, context.task.placeholders) and not places(passage):
                        votes[passage] += NEAREST - place
            if not votes:
                raise InapplicableError("nothing failed, or every passage near to what did has a placeholder in it")
            chosen = [passage for passage, _ in votes.most_common(context.rng.choice(FIXED))]
            texts = ["\n\n".join(reversed(chosen[:k])) for k in range(len(chosen), 0, -1)]
        for text in texts:
            prompt = assignment.prompt.edit(assignment.section, text, context.task.placeholders)
            if context.slots.spare(prompt, assignment.scores) >= 0:
                return prompt
        raise InapplicableError("there is no room for a passage beside the prompt and the longest inputs")


def _queries(outcome: Outcome, prompt: str) -> list[str]:
    """The inputs of the example; for a prompt of a program what it was rendered with, where it was called."""
    rendered = [step.values for step in asked(outcome.steps, prompt) if step.values] if prompt else []
    return [show_inputs(values) for values in rendered or [outcome.inputs]]
