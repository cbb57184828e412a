"""define_sort: put the items of the definitions, or the sections of the prompt, into another order.

No model is asked: an order is a permutation, and a permutation computed here loses nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from agents.operators.operator import WHOLE, Context, of_kinds, part
from agents.operators.rewriting import failures
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Credit
from protocols.prompt import Prompt, Section, placeholders
from protocols.task import Task

WORTH = 0.02
"""What a text is taken to be worth to its prompt before anything is known."""
TRIES = 32
"""Orders of the items that are looked at for one that was not tried."""


class DefineSort:
    """Applies to definitions of two items or more, and to the prompt as a whole.

    Items: those whose answer was missed most come last, nearest to the input, and those whose answer was wrongly
    given first, for models lean to what they read last (Zhao et al., arXiv 2102.09690). Sections: one that is not
    frozen moves before others that are read with it, so that what is worth most comes nearest to the input: models
    use best what stands there (Liu et al., arXiv 2307.03172). Where all such orders were tried, others are drawn.
    """

    name = "define_sort"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Definitions of two items or more, and the whole prompt if another order of it reads differently."""
        whole = [WHOLE] if _moves(prompt, task.fields) else []
        definitions = of_kinds(prompt, "definitions")
        return whole + [name for name in definitions if len(_items(prompt[name].text)) > 1]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """The first order that no recalled edit has had.

        :raises InapplicableError: there are not two things to put into another order.
        """
        orders = _sections if assignment.section == WHOLE else _definitions
        tried = {edit.recalled.experience.after for edit in context.recalled}
        order = None
        for order in orders(assignment, context):
            if part(order, assignment.section).text not in tried:
                return order
        if order is None:
            raise InapplicableError("there are no two things whose order can be told")
        return order


def _definitions(assignment: Assignment, context: Context) -> Iterator[Prompt]:
    """Orders of the items, that by their misses first."""
    items = _items(assignment.prompt[assignment.section].text)
    missed = Counter[str]()
    for outcome in failures(assignment.outcomes):
        missed[outcome.target] += 1
        missed[outcome.answer or ""] -= 1
    ordered = sorted(items, key=lambda item: missed[_answer(item, list(missed))])
    for _ in range(TRIES):
        if ordered != items:
            yield assignment.prompt.edit(assignment.section, "\n".join(ordered), context.task.fields)
        context.rng.shuffle(ordered)


def _sections(assignment: Assignment, context: Context) -> Iterator[Prompt]:
    """Orders of the sections, those that something speaks for first."""
    prompt, fields = assignment.prompt, context.task.fields
    moves = _moves(prompt, fields)
    context.rng.shuffle(moves)
    for name, other in (*_nearer(prompt, assignment.credit, fields), *moves):
        names = [section.name for section in prompt]
        place = names.index(other)
        names.remove(name)
        names.insert(place, name)
        yield prompt.reorder(names)


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


def _nearer(prompt: Prompt, credit: Mapping[str, Credit], fields: Collection[str]) -> list[tuple[str, str]]:
    """The moves of a section before others by which credit comes nearer to the input, the most of it first, in credit
    times characters. Each section has WORTH beside its credit: where little is known, what is long moves first."""
    group, _ = _read_together(prompt, fields)
    worth = [WORTH + (credit[section.name].value if section.name in credit else 0.0) for section in group]
    length = [len(section.text) for section in group]
    won = {
        (section.name, group[first].name): length[last] * sum(worth[first:last])
        - worth[last] * sum(length[first:last])
        for last, section in enumerate(group)
        if not section.frozen
        for first in range(last)
    }
    return sorted((move for move in won if won[move] > 0), key=lambda move: -won[move])
