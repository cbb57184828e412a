"""define_sort: put the items of the definitions, or the sections of the prompt, into another order.

No model is asked: an order is a permutation, and a permutation computed here loses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from agents.operators.operator import WHOLE, Context, of_kinds, saved
from agents.operators.writing import failures
from agents.prompting.itemised import Itemised, itemised
from agents.prompting.requests import HEADINGS, sent_in
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Credit, Outcome
from protocols.prompt import Prompt, Section
from protocols.task import Task
from protocols.threads import in_thread

WORTH = 0.02
"""What a text is taken to be worth to its prompt before anything is known."""
TRIES = 32
"""Orders of the items that are looked at for one that was not tried."""


class DefineSort:
    """Applies to definitions of two items or more, and to the prompt as a whole.

    Items: lines with a mark of a list, or that begin with an answer, and what follows them. Those whose answer was
    missed most come last, nearest to the input, and those whose answer was wrongly given first, for models lean to
    what they read last (Zhao et al., arXiv 2102.09690). What stands before the first item stays there, and the marks
    stay in their order. Sections: one that is not frozen moves before others that are read with it, so that what is
    worth most comes nearest to the input: models use best what stands there (Liu et al., arXiv 2307.03172). Where all
    such orders were tried, others are drawn.
    """

    name = "define_sort"

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Definitions of two items or more, and the whole prompt if another order of it reads differently."""
        whole = [WHOLE] if _moves(prompt, task.fields) else []
        definitions = of_kinds(prompt, "definitions")
        return whole + [name for name in definitions if len(_list(prompt[name].text, task).items) > 1]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """The first order that no recalled edit has had.

        :raises InapplicableError: there are not two things to put into another order.
        """
        return await in_thread(self._edit, assignment, context)

    def _edit(self, assignment: Assignment, context: Context) -> Prompt:
        if assignment.section == WHOLE:
            orders = _sections(assignment, context)
        else:
            failed = failures(assignment.outcomes)
            there = _list(assignment.prompt[assignment.section].text, context.task, failed)
            orders = _definitions(there, failed, assignment, context)
        tried = {edit.recalled.experience.after for edit in context.recalled if edit.same_model}
        order = None
        for order in orders:
            if saved(order, assignment.section) not in tried:
                return order
        if order is None:
            raise InapplicableError("there are no two things whose order can be told")
        return order


def _list(text: str, task: Task, failed: Sequence[Outcome] = ()) -> Itemised:
    """The list that a text holds, by the answers of the task and those of what failed."""
    seen = {answer for outcome in failed for answer in (outcome.target, outcome.answer) if answer}
    return itemised(text, task.answers.keys() | seen)


def _definitions(
    there: Itemised, failed: Sequence[Outcome], assignment: Assignment, context: Context
) -> Iterator[Prompt]:
    """Orders of the items, that by their misses first."""
    missed = Counter[str]()
    for outcome in failed:
        missed[outcome.target] += 1
        missed[outcome.answer or ""] -= 1
    ordered = sorted(there.items, key=lambda item: missed[item.answer] if item.answer else 0)
    for _ in range(TRIES):
        if ordered != there.items:
            yield assignment.prompt.edit(assignment.section, there.of(ordered), context.task.fields)
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


def _read_together(prompt: Prompt, fields: Collection[str]) -> list[list[Section]]:
    """What is sent together (`Prompt.render`), the system message first: within each the order can be told. Empty
    sections are not read."""
    return [[s for s in prompt if s.text and sent_in(s, fields) == where] for where in HEADINGS]


def _moves(prompt: Prompt, fields: Collection[str]) -> list[tuple[str, str]]:
    """Every section that may be moved, with each other whose place it can take so that another order is read."""
    groups = _read_together(prompt, fields)
    return [(a.name, b.name) for group in groups for a in group for b in group if a != b and not a.frozen]


def _nearer(prompt: Prompt, credit: Mapping[str, Credit], fields: Collection[str]) -> list[tuple[str, str]]:
    """The moves of a section before others by which credit comes nearer to the input, the most of it first, in credit
    times characters. Each section has WORTH beside its credit: where little is known, what is long moves first."""
    group = _read_together(prompt, fields)[0]
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
