"""differential_evolution: combine two versions of a section into a third.

After EvoPrompt's differential evolution (arXiv 2309.08532), which finds the differences between two prompts and
applies a similar change to a third. Here the differences of their answers are shown, too, as a reason to keep one
difference and to drop another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from agents.operators.operator import Context
from agents.operators.writing import Writer
from agents.prompting.blocks import EXAMPLE, Block, Piece
from agents.prompting.material import example_line
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Partner
from protocols.prompt import Prompt
from protocols.task import Example, Task

MOST = 6
"""Maximum number of examples shown of each kind."""


class DifferentialEvolution(Writer):
    """Applies to any section with a text, except worked examples, once another member has another text there."""

    name = "differential_evolution"
    file = "contrast.txt"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """All sections with a text, except worked examples."""
        return [section.name for section in prompt if section.kind != "examples" and section.text]

    def combines(self, prompt: Prompt, section: str, partners: Sequence[Partner]) -> bool:
        """Whether another member has another text in the section."""
        now = prompt[section].text
        return any((text := partner.prompt[section].text) and text != now for partner in partners)

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: no other member of the archive differs in this section."""
        others = _others(assignment.prompt, assignment.section, assignment.partners)
        if not others:
            raise InapplicableError("the archive has no other text of this section")
        mine = {outcome.example: outcome.score for outcome in assignment.outcomes}
        shared = [len(mine.keys() & partner.trained.keys()) + 1 for partner in others]
        partner = context.rng.choices(others, shared)[0]
        return await self.write(assignment, context, partial(contrast, assignment, partner, context.task))


def contrast(assignment: Assignment, partner: Partner, task: Task) -> list[Block]:
    """Blocks with the partner's text of the section (first) and the parent's (second), and the training examples that
    both were run on, by which of the two was right."""
    mine = {outcome.example: outcome.score for outcome in assignment.outcomes}
    both = [example for example in task.train if example.id in mine and example.id in partner.trained]
    by: dict[str, list[Example]] = {"only_first_right": [], "only_second_right": [], "both_wrong": []}
    for example in both:
        first, second = partner.trained[example.id], mine[example.id]
        if first != second:
            by["only_first_right" if first > second else "only_second_right"].append(example)
        elif first < 1.0:
            by["both_wrong"].append(example)
    texts = {"first": partner.prompt[assignment.section].text, "second": assignment.prompt[assignment.section].text}
    return [
        *(Block(tag, [Piece(text)]) for tag, text in texts.items()),
        *(
            Block(
                tag,
                [Piece(example_line(e, task), EXAMPLE, "\n") for e in examples[:MOST]],
                {"examples": f"{len(examples)} of {len(both)}"},
            )
            for tag, examples in by.items()
        ),
    ]


def _others(prompt: Prompt, section: str, partners: Sequence[Partner]) -> list[Partner]:
    """The first partner for each distinct text of the section other than the prompt's."""
    found: dict[str, Partner] = {}
    for partner in partners:
        if (text := partner.prompt[section].text) and text != prompt[section].text:
            found.setdefault(text, partner)
    return list(found.values())
