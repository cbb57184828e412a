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
from protocols.prompt import KINDS, Prompt, Section, placeholders
from protocols.task import Task

USUAL = 0.5


class DefineSort:
    """Applies to definitions of two items or more, and to the prompt as a whole.

    Items: those whose answer was missed most come last, nearest to the input, and those whose answer was wrongly
    given first, for models lean to what they read last (Zhao et al., arXiv 2102.09690); where they stand so already,
    another order is drawn. Sections: one that is not frozen moves to the place of another that is read with it; every
    other time it is the one that stands farthest from where its kind usually does, in the order of `KINDS`.
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
        missed = Counter[str]()
        for outcome in failures(assignment.outcomes):
            missed[outcome.target] += 1
            missed[outcome.answer or ""] -= 1
        ordered = sorted(items, key=lambda item: missed[_answer(item, list(missed))])
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


def _read_together(prompt: Prompt, fields: Collection[str]) -> list[list[Section]]:
    """What is read before the input, and what shows it (`Prompt.render`): within each the order can be told. Empty
    sections are not read."""
    shown = [section for section in prompt if placeholders(section.text, fields)]
    return [[section for section in prompt if section.text and section not in shown], shown]


def _moves(prompt: Prompt, fields: Collection[str]) -> list[tuple[str, str]]:
    """Every section that may be moved, with each other whose place it can take so that another order is read."""
    groups = _read_together(prompt, fields)
    return [(a.name, b.name) for group in groups for a in group for b in group if a != b and not a.frozen]


def _misplaced(prompt: Prompt, fields: Collection[str]) -> list[tuple[str, str]]:
    """The moves that bring a section to where one of its kind usually stands, the farthest first."""
    farthest = []
    for group in _read_together(prompt, fields):
        usual = sorted(group, key=lambda section: KINDS.index(section.kind))
        for place, section in enumerate(group):
            distance = abs(place - usual.index(section))
            if distance and not section.frozen:
                farthest.append((distance, (section.name, group[usual.index(section)].name)))
    return [move for _, move in sorted(farthest, key=lambda far: -far[0])]


def _moved(prompt: Prompt, context: Context) -> Prompt:
    moves = _moves(prompt, context.task.fields)
    if not moves:
        raise InapplicableError("no section may be moved past another that is read with it")
    misplaced = _misplaced(prompt, context.task.fields)
    name, other = misplaced[0] if misplaced and context.rng.random() < USUAL else context.rng.choice(moves)
    names = [section.name for section in prompt]
    place = names.index(other)
    names.remove(name)
    names.insert(place, name)
    return prompt.reorder(names)
