"""The Proposer: one per operator, each with its own model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random

from agents.archive.archive import best_parent
from agents.operators.operator import ENTIRE, Context, Operator, part, saved
from agents.operators.writing import check_names
from agents.prompting.retrieval_slots import RetrievalSlots
from memory.experience import Where, situation
from memory.judgement import MEASURED, Judged, judge
from memory.store import Memory
from protocols.concurrency.threads import in_thread
from protocols.errors import EditRejected, ModelError
from protocols.files.prompt_file import saved_section
from protocols.files.users_code import users_code
from protocols.messages import Assignment, Candidate, Failure, Message
from protocols.model import ChatModel
from protocols.prompt import Prompt
from protocols.wrappers.attributed import AttributedModel

RECALLED = 32
"""Maximum number of experiences that are recalled for an edit; `judge` compares these with each other."""


class Proposer:
    """Applies its operator. `memory` None: nothing is recalled. `token_price`: see SearchSettings. `clock` gives Unix
    seconds, for the ages of experiences."""

    accepts: tuple[type[Message], ...] = (Assignment,)

    def __init__(
        self,
        operator: Operator,
        model: ChatModel,
        slots: RetrievalSlots,
        memory: Memory | None,
        seed: int,
        token_price: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._operator, self._model, self._task, self._slots = operator, model, slots.task, slots
        self._memory, self._seed, self._token_price, self._clock = memory, seed, token_price, clock
        self.address = f"proposer/{operator.name}"

    async def handle(self, message: Message) -> Sequence[Message]:
        """Make the edit, and return the candidate, or a failure if it would be too long.

        :raises EditRejected: the edit changes nothing, breaks a placeholder, changes a frozen section, loses a name
            that the parser needs, or has failed before on this very text.
        """
        assert isinstance(message, Assignment)
        recalled = await self._recall(message)
        rng = Random(f"{self._seed}/{self.address}/{message.assignment}")
        model = AttributedModel(self._model, message.assignment)
        context = Context(self._task, model, recalled, rng, self._slots, self._token_price)
        with users_code(f"operator {self._operator.name}"):
            made = await self._operator.edit(message, context)
        drafts = [made] if isinstance(made, Prompt) else list(made)
        kept, refused = await self._usable(message, drafts)
        if not kept:
            raise refused[0]
        return [await in_thread(self._candidate, message, kept, recalled)]

    def _candidate(
        self, assignment: Assignment, kept: Sequence[Prompt], recalled: Sequence[Judged]
    ) -> Candidate | Failure:
        rival = best_parent(kept[0], assignment)
        reasons = [self._slots.too_long(draft, rival.scores) for draft in kept]
        fitting = tuple(draft for draft, reason in zip(kept, reasons, strict=True) if not reason)
        if not fitting:
            return outgrown(assignment, kept[0], reasons[0])
        return Candidate(
            assignment.assignment,
            fitting[0],
            rival.scores,
            self._slots.tokens(rival.prompt),
            tuple(edit.recalled.experience.id for edit in recalled),
            assignment.section,
            drafts=fitting[1:],
            known=tuple(outcome.example for outcome in assignment.outcomes),
        )

    async def _usable(
        self, assignment: Assignment, drafts: Sequence[Prompt]
    ) -> tuple[list[Prompt], list[EditRejected]]:
        """The drafts that may be evaluated, and the errors of the others."""
        kept: list[Prompt] = []
        refused: list[EditRejected] = []
        for draft in drafts:
            try:
                if draft == assignment.prompt:
                    raise EditRejected("the edit changes nothing")
                check_frozen(draft, assignment)
                check_names(draft, assignment, self._task, part(draft, assignment.section).text)
                await self._check_new(assignment, draft)
                kept.append(draft)
            except EditRejected as error:
                refused.append(error)
        return kept, refused or [EditRejected("the operator made no draft")]

    async def _recall(self, assignment: Assignment) -> list[Judged]:
        """Past edits of similar sections, those judged most successful first; none if the query cannot be embedded,
        since an edit can be made without them. Edits of whole prompts are recalled only for whole prompts.

        :raises ModelError: a fatal one.
        """
        if self._memory is None:
            return []
        section = part(assignment.prompt, assignment.section)
        query = situation(section.kind, assignment.gradient, saved_section(section))
        where = Where(kinds=frozenset({section.kind}), outcomes=MEASURED)
        try:
            found = await self._memory.recall(query, 2 * RECALLED, where)
        except ModelError as error:
            if error.fatal:
                raise
            return []
        alike = [r for r in found if (r.experience.section == ENTIRE) is (section.name == ENTIRE)]
        return judge(alike[:RECALLED], self._clock())

    async def _check_new(self, assignment: Assignment, prompt: Prompt) -> None:
        """:raises EditRejected: the memory has this edit of this text, and it has never survived, or a person has
        rejected it."""
        if self._memory is None:
            return
        name = part(assignment.prompt, assignment.section).name
        before, after = saved(assignment.prompt, assignment.section), saved(prompt, assignment.section)
        endings = await self._memory.tried(self._task.name, name, before, after)
        if endings and ("survived" not in endings or "declined" in endings):
            known = ", ".join(f"{ending} {count}×" for ending, count in sorted(endings.items()))
            raise EditRejected(f"tried before: {known}", text=after)


def outgrown(assignment: Assignment, child: Prompt, reason: str) -> Failure:
    """The failure of an edit that makes the prompt too long. `reason`: why it is too long."""
    return Failure(assignment.assignment, "too long", reason, saved(child, assignment.section))


def check_frozen(child: Prompt, assignment: Assignment) -> None:
    """:raises EditRejected: a frozen section has a text that it has neither in the parent nor in a partner."""
    known = [assignment.prompt, *(partner.prompt for partner in assignment.partners)]
    texts = {(section.name, section.text, section.form) for prompt in known for section in prompt}
    for section in assignment.prompt:
        if section.frozen and not any(s.name == section.name and (s.name, s.text, s.form) in texts for s in child):
            raise EditRejected(f"section {section.name} is frozen")
