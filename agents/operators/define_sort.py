"""define_sort: put the items of the definitions, or the sections of the prompt, into another order.

No model is asked: an order is a permutation, and a permutation computed here loses nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from random import Random

from agents.operators.operator import WHOLE, Context, of_kinds
from agents.operators.rewriting import failures
from protocols.errors import InapplicableError
from protocols.messages import Assignment
from protocols.prompt import Prompt
from protocols.task import Task


class DefineSort:
    """Applies to definitions of two items or more, and to the prompt as a whole.

    Items: those whose answer failed most come last, nearest to the input; where they stand so already, another order
    is drawn. Sections: one that is not frozen moves to another place.
    """

    name = "define_sort"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Definitions of two items or more, and the whole prompt if two sections of it may be moved."""
        whole = [WHOLE] if len(_movable(prompt)) > 1 else []
        definitions = of_kinds(prompt, "definitions")
        return whole + [name for name in definitions if len(_items(prompt[name].text)) > 1]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: there are not two things to put into another order."""
        if assignment.section == WHOLE:
            return assignment.prompt.reorder(_moved(assignment.prompt, context.rng))
        items = _items(assignment.prompt[assignment.section].text)
        failed = Counter(outcome.target for outcome in failures(assignment.outcomes))
        ordered = sorted(items, key=lambda item: failed[_answer(item, list(failed))])
        if ordered == items:
            context.rng.shuffle(ordered)
        return assignment.prompt.edit(assignment.section, "\n".join(ordered), context.task.fields)


def _items(text: str) -> list[str]:
    """A line that is not indented begins an item; what follows it, blank lines too, belongs to it."""
    return re.split(r"\n(?=\S)", text)


def _answer(item: str, answers: Sequence[str]) -> str:
    """The answer that stands first in an item, the longest of several at one place; "" for none."""
    found = [(item.find(answer), -len(answer), answer) for answer in answers if answer and answer in item]
    return min(found)[2] if found else ""


def _movable(prompt: Prompt) -> list[str]:
    return [section.name for section in prompt if not section.frozen and section.text]


def _moved(prompt: Prompt, rng: Random) -> list[str]:
    names = [section.name for section in prompt]
    movable = _movable(prompt)
    if len(movable) < 2:
        raise InapplicableError("the prompt has not two sections that may be moved")
    name = rng.choice(movable)
    places = [place for place in range(len(names)) if place != names.index(name)]
    names.remove(name)
    names.insert(rng.choice(places), name)
    return names
