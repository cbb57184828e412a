"""few_shot: show worked examples from the training split (after Brown et al., arXiv 2005.14165)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np

from agents.operators.forms import FORMS, Form, Prices, Shown, choose_form, shown
from agents.operators.operator import Context, answers, of_kinds
from agents.prompting.requests import show_example, show_inputs
from agents.prompting.shelves import EXAMPLES, places
from memory.experience import Experience
from protocols.embedding import HashedNgrams, Vector
from protocols.errors import InapplicableError
from protocols.messages import Assignment, Outcome
from protocols.prompt import Prompt, estimate_tokens, placeholders
from protocols.task import Task

NOISE = 0.5


class FewShot:
    """Applies to examples sections. No model is asked: the edit is a choice of training examples.

    How many are shown, and how, is drawn from what past edits earned by it (`forms.py`). Examples are taken in turn
    from each target, so that no answer is favoured (majority label bias, Zhao et al., arXiv 2102.09690), and from
    each target the one that is farthest from those already taken, near to a failed input first. Where targets recur,
    none is left out for being few: then there are as many examples as targets. What does not fit into the window of
    the task's model, with its longest inputs, is not shown.
    """

    name = "few_shot"

    def __init__(self, embedder: HashedNgrams | None = None) -> None:
        self._embedder = embedder or HashedNgrams()
        self._embedded: tuple[Task, Vector] | None = None

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """The worked examples."""
        return of_kinds(prompt, "examples")

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """The chosen examples, most useful last, where they are nearest to the input.

        :raises InapplicableError: there is no training example that is not shown already, and no new way to show one,
            or no room for one.
        """
        rng, task, prompt = context.rng, context.task, assignment.prompt
        now = prompt[assignment.section].text
        kept = "" if places(now) else now
        frames = [show_example(prompt, task, example) for example in task.train]
        room = context.shelves.spare_for(prompt, assignment.section, assignment.scores)
        sizes = [estimate_tokens(f"{frame}\n\n") for frame in frames]
        plain = [not placeholders(frame, task.fields) and not places(frame) for frame in frames]
        fixed = [n for n in range(len(frames)) if plain[n] and sizes[n] <= room]
        more = room - estimate_tokens(f"{kept}\n\n")
        added = [n for n in fixed if frames[n] not in kept and sizes[n] <= more] if kept else []
        recalled = [edit.recalled.experience for edit in context.recalled]
        own = [experience for experience in recalled if experience.operator == self.name]
        possible = _possible(now, own, len(fixed), len(added), len(answers(task)))
        if not possible:
            raise InapplicableError("every training example that can be shown is shown already, in every way")
        prices = Prices(context.token_price, context.shelves.each(prompt, EXAMPLES))
        form = choose_form(own, possible, task.name, prices, rng)
        if form.shape == "nearest":
            return self._per_input(form, assignment, context)
        failed = [outcome for outcome in assignment.outcomes if outcome.score < 1.0]
        left, count = fixed, possible[form].count
        if form.shape == "added":
            left, count, room = added, min(form.count, len(added)), more
        chosen = _within(room, self._choose(task, left, failed, count, rng), sizes)
        parts = [kept] * (form.shape == "added") + [frames[index] for index in reversed(chosen)]
        return prompt.edit(assignment.section, "\n\n".join(parts), task.fields)

    def _per_input(self, form: Form, assignment: Assignment, context: Context) -> Prompt:
        """The most examples for each input, up to the form's count, that the longest inputs leave room for.

        :raises InapplicableError: there is no room for one.
        """
        for count in range(form.count, 0, -1):
            text = per_input(replace(form, count=count))
            prompt = assignment.prompt.edit(assignment.section, text, context.task.fields)
            if context.shelves.spare(prompt, assignment.scores) >= 0:
                return prompt
        raise InapplicableError("the model's window has no room for an example beside the longest inputs")

    def _choose(
        self, task: Task, left: Sequence[int], failed: Sequence[Outcome], count: int, rng: Random
    ) -> list[int]:
        """`count` of the indices `left` of training examples, the most useful first."""
        vectors = self._vectors(task)
        wanted = self._nearness(vectors, failed)
        noise = np.array([rng.random() for _ in vectors], np.float32)
        by_target: dict[str, list[int]] = defaultdict(list)
        for index in left:
            by_target[task.kind.show(task.train[index].target)].append(index)
        targets = sorted(by_target, key=lambda target: (-max(wanted[by_target[target]]), rng.random()))
        useful = wanted + NOISE * noise
        closest = np.full(len(vectors), -np.inf, np.float32)  # the similarity to the nearest one taken
        taken: list[int] = []
        while len(taken) < count:
            for candidates in (by_target[target] for target in targets):
                if candidates and len(taken) < count:
                    worth = useful[candidates] - closest[candidates] if taken else useful[candidates]
                    taken.append(candidates.pop(int(worth.argmax())))
                    np.maximum(closest, vectors @ vectors[taken[-1]], out=closest)
        return taken

    def _vectors(self, task: Task) -> Vector:
        """The embedded training inputs, shape (train, dimension); kept for the next edit."""
        if self._embedded is None or self._embedded[0] is not task:
            vectors = np.stack([self._embedder.vector(show_inputs(example.inputs)) for example in task.train])
            self._embedded = (task, vectors)
        return self._embedded[1]

    def _nearness(self, vectors: Vector, failed: Sequence[Outcome]) -> Vector:
        """How near each training example is to an input that failed, shape (train,), in [-1, 1]."""
        if not failed:
            return np.zeros(len(vectors), np.float32)
        lost = np.stack([self._embedder.vector(show_inputs(outcome.inputs)) for outcome in failed])
        nearness: Vector = (vectors @ lost.T).max(axis=1)
        return nearness


def _within(room: float, chosen: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Those of the chosen that fit into the room together, the most useful first."""
    taken: list[int] = []
    for index in chosen:
        if sizes[index] <= room:
            taken.append(index)
            room -= sizes[index]
    return taken


def per_input(form: Form) -> str:
    """What is filled for each input with the examples nearest to it."""
    return f"{{{EXAMPLES}:{form.count}}}"


def _possible(now: str, own: Sequence[Experience], fixed: int, added: int, least: int) -> dict[Form, Shown]:
    """The forms that a section with the text `now` can be given, each with what it then shows. `fixed` and `added`:
    the training examples that there are, and those beside what is shown; `least`: to be chosen afresh."""
    possible = {form: Shown(form.count, nearest=True) for form in _new(now, own)}
    here = shown(now)
    for form in FORMS:
        if form.shape == "fixed" and fixed:
            possible[form] = Shown(min(max(form.count, least), fixed))
        elif form.shape == "added" and added and here is not None:
            possible[form] = Shown(here.count + min(form.count, added), survived=True)
    return possible


def _new(now: str, own: Sequence[Experience]) -> list[Form]:
    """The forms that are filled for each input, but the one that the section has and those that it was given."""
    known = {now, *(past.after for past in own if past.before == now)}
    return [form for form in FORMS if form.shape == "nearest" and per_input(form) not in known]
