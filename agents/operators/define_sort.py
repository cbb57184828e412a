"""define_sort: put the items of the definitions, or the sections of the prompt, into another order.

No model is asked: an order is a permutation, and a permutation computed here loses nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

from agents.operators.operator import WHOLE, Context, of_kinds
from agents.operators.rewriting import failures
from protocols.errors import InapplicableError
from protocols.messages import Assignment
from protocols.prompt import Prompt, placeholders
from protocols.task import Task


class DefineSort:
    """Applies to definitions of two items or more, and to the prompt as a whole.

    Items: those whose answer failed most come last, nearest to the input; where they stand so already, another order
    is drawn. Sections: one that is not frozen moves to the place of another that is read with it.
    """

    name = "define_sort"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Definitions of two items or more, and the whole prompt if another order of it reads differently."""
        whole = [WHOLE] if _moves(prompt, task.fields) else []
        definitions = of_kinds(prompt, "definitions")
        return whole + [name for name in definitions if len(_items(prompt[name].text)) > 1]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """:raises InapplicableError: there are not two things to put into another order."""
        if assignment.section == WHOLE:
            return _moved(assignment.prompt, context)
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


def _moves(prompt: Prompt, fields: Collection[str]) -> list[tuple[str, str]]:
    """Every section that may be moved, with each other whose place it can take so that the prompt reads differently:
    empty sections are not read, and those that show the input come after all others anyway (`Prompt.render`)."""
    shows = {section.name: bool(placeholders(section.text, fields)) for section in prompt if section.text}
    return [
        (section.name, other)
        for section in prompt
        if section.name in shows and not section.frozen
        for other, varying in shows.items()
        if other != section.name and varying == shows[section.name]
    ]


def _moved(prompt: Prompt, context: Context) -> Prompt:
    moves = _moves(prompt, context.task.fields)
    if not moves:
        raise InapplicableError("no section may be moved past another that is read with it")
    name, other = context.rng.choice(moves)
    names = [section.name for section in prompt]
    place = names.index(other)
    names.remove(name)
    names.insert(place, name)
    return prompt.reorder(names)
