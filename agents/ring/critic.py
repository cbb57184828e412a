"""The Critic: measures what the sections of a survivor are worth, reads what it got wrong, error by error, and says
why: a diagnosis of the whole prompt, in it a textual gradient for each section that should change."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agents.archive.credit import LeaveOneOut, show_credit
from agents.archive.endings import HOPELESS
from agents.prompting.blocks import remark
from agents.prompting.material import USES, error_blocks, right_blocks, task_block
from agents.prompting.requests import complete, compose, filled, instruction, read_tagged, show_prompt
from agents.prompting.wording import reading_clause
from protocols.embedding import HashedNgrams
from protocols.errors import (
    AlwaysRefused,
    BadRequest,
    BudgetExhausted,
    ModelError,
    TooLong,
    UnreadableReply,
)
from protocols.messages import Credit, Critique, Evaluation, Message, Missing
from protocols.model import ChatModel, Reply, Request
from protocols.prompt import Prompt
from protocols.task import Task
from protocols.wrappers.attributed import OnBehalf

INPUTS = 4096
"""Embedded inputs that are kept: the same training examples fail again and again."""
SECTION = re.compile(r"\s*(?:(?:[-*•]|\d{1,3}[.)]|#{1,6})\s+)?\*{0,2}\[([^\]]+)\](?:\*\*)?[:：]?(?:\*\*)?\s*")
"""What names a section at the start of a line."""
MEASURED = "Say which sentences do nothing and could go, as far as leaving out a part says so."
REPLY_FORM = (
    "Think first. Then write this between <critique> and </critique>. If expected answers seem wrong, write the ids "
    "of these examples after it between <doubtful> and </doubtful>."
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a critic's reply says: all of it, by section what should change there, and the ids of examples whose
    expected answers seem wrong."""

    diagnosis: str
    gradients: Mapping[str, str]
    doubtful: tuple[str, ...]


NOTHING = Said("", {}, ())


class Critic:
    """Textual gradients after ProTeGi (arXiv 2305.03495), by section. A loser passes through without a call.

    `credit` None: what sections are worth is not measured. `own`: an instruction of the user's, in place of ours.
    """

    address = "critic"
    accepts: tuple[type[Message], ...] = (Evaluation,)

    def __init__(self, model: ChatModel, task: Task, credit: LeaveOneOut | None, own: str = "") -> None:
        self._model, self._task, self._credit, self._own = model, task, credit, own
        self._read, self._unread = 0, 0
        self._embed = lru_cache(INPUTS)(HashedNgrams().vector)

    async def handle(self, message: Message) -> Sequence[Message]:
        """A critique. A call that failed, was refused for good or by a cap, or a reply that is no critique leaves it
        without gradients, and says so: what the evaluation cost is not thrown away for that. A cap that ends the
        search is named, so that the critique is made good once the cap is raised; the critic's own cap is not, for
        then there are no more critiques.

        :raises ModelError: a fatal one.
        """
        assert isinstance(message, Evaluation)
        credit: Mapping[str, Credit] = {}
        said, cut = NOTHING, ""
        missing: Missing = ""
        try:
            credit = await self._credit(message) if self._credit is not None else {}
            if not message.survived:
                return [Critique(message.assignment, message, {})]
            said, missing = await self._say(message, credit)
        except BudgetExhausted as error:
            missing, cut = "budget" if message.survived else "", error.name if error.ends_search else ""
        kept = credit if message.survived else {}
        return [
            Critique(message.assignment, message, said.gradients, kept, cut, missing, said.diagnosis, said.doubtful)
        ]

    async def _say(self, evaluation: Evaluation, credit: Mapping[str, Credit]) -> tuple[Said, Missing]:
        """What there is to say, and why there is nothing where there should be something."""
        nothing_free = all(section.frozen for section in evaluation.prompt)
        if nothing_free or all(outcome.score >= 1.0 for outcome in evaluation.outcomes):
            return NOTHING, ""
        if self._unread >= HOPELESS and not self._read:
            return NOTHING, "unreadable"
        try:
            model = OnBehalf(self._model, evaluation.assignment)
            _, reply = await complete(model, lambda: self._request(evaluation, credit))
            return self._said_in(reply, evaluation), ""
        except (ModelError, UnreadableReply) as error:
            if isinstance(error, ModelError) and error.fatal and not isinstance(error, AlwaysRefused):
                raise
            return NOTHING, why(error)

    def _said_in(self, reply: Reply, evaluation: Evaluation) -> Said:
        """:raises UnreadableReply: it is no critique."""
        self._unread += 1
        diagnosis = read_tagged(reply.text, "critique", reply.finish)
        self._read, self._unread = self._read + 1, self._unread - 1
        doubtful = read_doubtful(reply, {outcome.example for outcome in evaluation.outcomes})
        return Said(diagnosis, read_gradients(diagnosis, evaluation.prompt), doubtful)

    def _request(self, evaluation: Evaluation, credit: Mapping[str, Credit]) -> Request:
        prompt, outcomes = evaluation.prompt, evaluation.outcomes
        blocks = [
            task_block(self._task, prompt, evaluation.scores),
            show_prompt(prompt, self._task.fields),
            *error_blocks(outcomes, self._embed),
            *right_blocks(outcomes),
            remark("left_out", show_credit(credit)),
        ]
        free = [section for section in prompt if not section.frozen]
        parts = [f"{s.name} ({USES[s.kind]}{'' if s.text else '; empty'})" for s in free]
        values = {
            "first": free[0].name,
            "parts": "; ".join(parts),
            "clause": reading_clause(self._task),
            "measured": MEASURED if show_credit(credit) else "",
        }
        text = filled(self._own or instruction("agents.ring", "critic.txt"), values)
        return compose(blocks, f"{text}\n{REPLY_FORM}", evaluation.assignment, model=self._model)


class Silent:
    """No critic: an evaluation passes through with no gradient, no credit and no call."""

    address = Critic.address
    accepts = Critic.accepts

    async def handle(self, message: Message) -> Sequence[Message]:
        """A critique that says nothing."""
        assert isinstance(message, Evaluation)
        return [Critique(message.assignment, message, {})]


def why(error: Exception) -> Missing:
    """What an error leaves a critique without gradients for."""
    match error:
        case TooLong():
            return "too long"
        case BadRequest():
            return "refused"
        case UnreadableReply():
            return "unreadable"
        case _:
            return "call"


def read_doubtful(reply: Reply, known: Collection[str]) -> tuple[str, ...]:
    """The ids among the known ones of examples whose expected answers are doubted; none where none is."""
    try:
        text = read_tagged(reply.text, "doubtful", reply.finish)
    except UnreadableReply:
        return ()
    lines = {line.strip() for line in text.splitlines()}  # an id may have spaces
    named = {word.strip("`'\"*:") for word in re.split(r"[\s,;()\[\]]+", text)}
    return tuple(sorted((named | lines) & set(known)))


def read_gradients(text: str, prompt: Prompt) -> dict[str, str]:
    """What follows each `[section]` at the start of a line, for the sections that may be edited; the mark of a list
    or of emphasis may stand before it.

    Another text in brackets at the start of a line is part of what is said.
    """
    names = {section.name for section in prompt}
    gradients: dict[str, list[str]] = {section.name: [] for section in prompt if not section.frozen}
    current: list[str] = []
    for line in text.splitlines():
        match = SECTION.match(line)
        if match and match[1].strip() in names:
            current = gradients.get(match[1].strip(), [])
            line = line[match.end() :]
        if line.strip():
            current.append(line.rstrip())
    return {name: "\n".join(lines) for name, lines in gradients.items() if lines}
