"""The Critic: measures the credit of a survivor's sections, and has a model diagnose its errors: the diagnosis is of
the whole prompt, and contains a textual gradient for each section that should change."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from agents.archive.credit import NOTHING_MEASURED, LeaveOneOut, Measured, show_credit
from agents.archive.endings import HOPELESS
from agents.programs.calls import calls_of
from agents.prompting.blocks import Block, remark
from agents.prompting.material import USES, data_block, error_blocks, right_blocks, task_block
from agents.prompting.requests import (
    PROGRAM_ROLE,
    ROLE,
    complete,
    compose,
    filled,
    instruction,
    read_tagged,
    show_prompt,
)
from agents.prompting.wording import explained, reading_clause
from protocols.embedding import HashedNgrams
from protocols.errors import (
    AlwaysRefused,
    BadRequest,
    BudgetExhausted,
    ModelError,
    TooLong,
    UnreadableReply,
)
from protocols.messages import Critique, Evaluation, Message, Missing, Outcome
from protocols.model import ChatModel, Reply, Request
from protocols.prompt import Prompt
from protocols.task import Task
from protocols.wrappers.attributed import AttributedModel

INPUTS = 4096
"""Size of the cache of embedded inputs: the same training examples fail again and again."""
SECTION = re.compile(r"\s*(?:(?:[-*•]|\d{1,3}[.)]|#{1,6})\s+)?\*{0,2}\[([^\]]+)\](?:\*\*)?[:：]?(?:\*\*)?\s*")
"""The name of a section in brackets at the start of a line."""
MEASURED = "Say which sentences do nothing and could go, as far as leaving out a part says so."
REPLY_FORM = "Think first. Then write this between <critique> and </critique>."
DOUBTS = (
    " If expected answers seem wrong, write the ids of these examples after it between <doubtful> and </doubtful>."
)


@dataclass(frozen=True, slots=True)
class Said:
    """The content of a critic's reply: the whole diagnosis, the part for each section that should change, and the ids
    of examples whose expected answers seem wrong."""

    diagnosis: str
    gradients: Mapping[str, str]
    doubtful: tuple[str, ...]


NOTHING = Said("", {}, ())


class Critic:
    """Textual gradients after ProTeGi (arXiv 2305.03495), by section. For a candidate that lost, no call is made.

    `credit` None: section credit is not measured. `own`: the user's instruction, in place of the built-in one.
    """

    address = "critic"
    accepts: tuple[type[Message], ...] = (Evaluation,)

    def __init__(self, model: ChatModel, task: Task, credit: LeaveOneOut | None, own: str = "") -> None:
        self._model, self._task, self._credit, self._own = model, task, credit, own
        self._read, self._unread = 0, 0
        self._embed = lru_cache(INPUTS)(HashedNgrams().vector)

    async def handle(self, message: Message) -> Sequence[Message]:
        """Criticise an evaluation. If the call fails, or is refused by the provider or a cap, or the reply cannot be
        read, the critique has no gradients and gives the reason: the paid evaluation is kept. A cap that ends the
        search is named, so that the critique is repeated once the cap is raised; the critic's own cap is not named,
        since no more critiques follow it.

        :raises ModelError: a fatal one.
        """
        assert isinstance(message, Evaluation)
        credit = NOTHING_MEASURED
        said, cut = NOTHING, ""
        missing: Missing = ""
        try:
            credit = await self._credit(message) if self._credit is not None else credit
            if not message.survived:
                return [Critique(message.assignment, message, {})]
            said, missing = await self._say(message, credit)
        except BudgetExhausted as error:
            missing, cut = "budget" if message.survived else "", error.name if error.ends_search else ""
        kept = credit if message.survived else NOTHING_MEASURED
        return [
            Critique(
                message.assignment,
                message,
                said.gradients,
                kept.credit,
                cut,
                missing,
                said.diagnosis,
                said.doubtful,
                kept.swaps,
            )
        ]

    async def _say(self, evaluation: Evaluation, credit: Measured) -> tuple[Said, Missing]:
        """The diagnosis, and the reason if it is missing; "" if none is missing."""
        nothing_free = all(section.frozen for section in evaluation.prompt)
        if nothing_free or all(outcome.score >= 1.0 for outcome in evaluation.outcomes):
            return NOTHING, ""
        if self._unread >= HOPELESS and not self._read:
            return NOTHING, "unreadable"
        try:
            model = AttributedModel(self._model, evaluation.assignment)
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

    def _request(self, evaluation: Evaluation, credit: Measured) -> Request:
        prompt, outcomes = evaluation.prompt, evaluation.outcomes
        if calls := calls_of(prompt, outcomes):
            prompt = calls.ordered(prompt)
        blocks = [
            task_block(self._task, prompt, evaluation.scores, calls=calls),
            show_prompt(prompt, self._task.placeholders),
            *error_blocks(outcomes, self._embed, calls),
            *right_blocks(outcomes, calls),
            self._data(outcomes),
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
        first = instruction("agents.ring", "critic_program.txt") if calls else ""
        role = PROGRAM_ROLE if calls else ROLE
        form = REPLY_FORM + DOUBTS * self._task.has_targets
        return compose(blocks, f"{first}{text}\n{form}", evaluation.assignment, model=self._model, role=role)

    def _data(self, outcomes: Sequence[Outcome]) -> Block:
        """Training examples of every answer, if there are answers to explain that no outcome expects: what is known
        of these is only here, and a convention of the data looks like a slip where it is seen once."""
        unseen = [name for name in explained(self._task) if not any(name in outcome.target for outcome in outcomes)]
        return data_block(self._task, {outcome.example for outcome in outcomes}) if unseen else Block("data", [])


class Silent:
    """No critic: an evaluation passes through with no gradient, no credit and no call."""

    address = Critic.address
    accepts = Critic.accepts

    async def handle(self, message: Message) -> Sequence[Message]:
        """An empty critique."""
        assert isinstance(message, Evaluation)
        return [Critique(message.assignment, message, {})]


def why(error: Exception) -> Missing:
    """The reason, after this error, why a critique has no gradients."""
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
    """The ids, of the `known` ones, of examples whose expected answers the reply doubts."""
    try:
        text = read_tagged(reply.text, "doubtful", reply.finish)
    except UnreadableReply:
        return ()
    lines = {line.strip() for line in text.splitlines()}  # an id may have spaces
    named = {word.strip("`'\"*:") for word in re.split(r"[\s,;()\[\]]+", text)}
    return tuple(sorted((named | lines) & set(known)))


def read_gradients(text: str, prompt: Prompt) -> dict[str, str]:
    """The text after each `[section]` at the start of a line, for the sections that may be edited. A list mark or a
    mark of emphasis may precede the bracket. In a program, a section's name without its prompt's counts if no other
    prompt has such a section.

    Any other text in brackets at the start of a line is part of the text.
    """
    names = addresses(prompt)
    gradients: dict[str, list[str]] = {section.name: [] for section in prompt if not section.frozen}
    current: list[str] = []
    for line in text.splitlines():
        match = SECTION.match(line)
        if match and (name := names.get(match[1].strip())):
            current = gradients.get(name, [])
            line = line[match.end() :]
        if line.strip():
            current.append(line.rstrip())
    return {name: "\n".join(lines) for name, lines in gradients.items() if lines}


def addresses(prompt: Prompt) -> dict[str, str]:
    """The names of sections by what a critic may call them: their names, and without those of their prompts where
    these are not needed."""
    bare = Counter(section.name.rpartition(".")[2] for section in prompt)
    short = {name.rpartition(".")[2]: name for name in (section.name for section in prompt)}
    alone = {called: name for called, name in short.items() if bare[called] == 1}
    return alone | {section.name: section.name for section in prompt}
