"""define_sort: reorder the items of the definitions, or the sections of the prompt.

No model is asked: computing a permutation here loses nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from agents.operators.operator import WHOLE, Context, of_kinds, saved
from agents.operators.writing import failures
from agents.prompting.itemised import Itemised, itemised
from agents.prompting.requests import HEADINGS, sent_in
from protocols.concurrency.threads import in_thread
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Credit, Outcome
from protocols.prompt import Prompt, Section
from protocols.task import Task

MESSAGES = tuple(where for where in HEADINGS if where != "tools")
"""Where the sections of messages are sent."""
WORTH = 0.02
"""Prior credit of a text, before anything is measured."""
TRIES = 32
"""Maximum number of orders of the items that are generated to find one that was not tried."""


class DefineSort:
    """Applies to definitions of two items or more, and to the prompt as a whole.

    Items: lines with a list mark, or that begin with an answer, with the lines after them. Items whose answer was
    missed most often come last, nearest to the input, and items whose answer was given wrongly most often come first,
    because models favour what they read last (Zhao et al., arXiv 2102.09690). Text before the first item stays there,
    and the marks keep their order. Sections: a section that is not frozen moves before others of the same message, so
    that those with the most credit come nearest to the input, where models use text best (Liu et al., arXiv
    2307.03172). If all such orders were tried, random ones follow.
    """

    name = "define_sort"
    silent = True

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Definitions of two items or more, and the whole prompt if reordering its sections changes what is sent."""
        whole = [WHOLE] if _moves(prompt, task.placeholders) else []
        definitions = of_kinds(prompt, "definitions")
        return whole + [name for name in definitions if len(_list(prompt[name].text, task).items) > 1]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """The first order that no recalled edit has tried; the last one if all were tried.

        :raises InapplicableError: there are fewer than two things to reorder.
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
    """The list in a text, found by the answers of the task and those of failed examples."""
    seen = {answer for outcome in failed for answer in (outcome.target, outcome.answer) if answer}
    return itemised(text, task.answers.keys() | seen)


def _definitions(
    there: Itemised, failed: Sequence[Outcome], assignment: Assignment, context: Context
) -> Iterator[Prompt]:
    """Orders of the items: first by their misses, then at random."""
    missed = Counter[str]()
    for outcome in failed:
        missed[outcome.target] += 1
        missed[outcome.answer or ""] -= 1
    ordered = sorted(there.items, key=lambda item: missed[item.answer] if item.answer else 0)
    for _ in range(TRIES):
        if ordered != there.items:
            yield assignment.prompt.edit(assignment.section, there.of(ordered), context.task.placeholders)
        context.rng.shuffle(ordered)


def _sections(assignment: Assignment, context: Context) -> Iterator[Prompt]:
    """Orders of the sections: first those that move credit nearer to the input, then others at random."""
    prompt, fields = assignment.prompt, context.task.placeholders
    moves = _moves(prompt, fields)
    context.rng.shuffle(moves)
    for name, other in (*_nearer(prompt, assignment.credit, fields), *moves):
        names = [section.name for section in prompt]
        place = names.index(other)
        names.remove(name)
        names.insert(place, name)
        yield prompt.reorder(names)


def _read_together(prompt: Prompt, fields: Collection[str]) -> list[list[Section]]:
    """The sections by message (`Prompt.render`), the system message first: only order within a message matters. Empty
    sections are left out. The messages of each prompt of a program are its own."""
    return [
        [s for s in prompt.of(name) if s.text and sent_in(s, fields) == where]
        for name in prompt.names
        for where in MESSAGES
    ]


def _moves(prompt: Prompt, fields: Collection[str]) -> list[tuple[str, str]]:
    """Every section that may be moved, with each other section of its message, whose place it can take."""
    groups = _read_together(prompt, fields)
    return [(a.name, b.name) for group in groups for a in group for b in group if a != b and not a.frozen]


def _nearer(prompt: Prompt, credit: Mapping[str, Credit], fields: Collection[str]) -> list[tuple[str, str]]:
    """The moves of a section before others that bring credit nearer to the input, sorted by the gain in credit times
    characters, largest first. WORTH is added to each credit, so that long sections move first while few are known."""
    won: dict[tuple[str, str], float] = {}
    for group in _read_together(prompt, fields)[:: len(MESSAGES)]:
        worth = [WORTH + (credit[section.name].value if section.name in credit else 0.0) for section in group]
        length = [len(section.text) for section in group]
        won |= {
            (section.name, group[first].name): length[last] * sum(worth[first:last])
            - worth[last] * sum(length[first:last])
            for last, section in enumerate(group)
            if not section.frozen
            for first in range(last)
        }
    return sorted((move for move in won if won[move] > 0), key=lambda move: -won[move])
