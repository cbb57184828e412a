"""The Critic: measures what the sections of a survivor are worth, reads what it got wrong, cluster by cluster, and
writes a textual gradient for each section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from agents.prompting.requests import block, compose, instruction, read_tagged, show_outcomes, show_prompt
from agents.ring.clusters import cluster
from agents.ring.credit import LeaveOneOut, show_credit
from protocols.embedding import HashedNgrams
from protocols.errors import BudgetExhausted, ModelError, UnreadableReply
from protocols.messages import Credit, Critique, Evaluation, Message
from protocols.model import ChatModel
from protocols.prompt import Prompt
from protocols.wrappers.on_behalf import OnBehalf

OUTCOMES = 24
INPUTS = 4096
"""Embedded inputs that are kept: the same training examples fail again and again."""


class Critic:
    """Textual gradients after ProTeGi (arXiv 2305.03495), by section. A loser passes through without a call.

    `credit` None: what sections are worth is not measured.
    """

    address = "critic"
    accepts: tuple[type[Message], ...] = (Evaluation,)

    def __init__(self, model: ChatModel, credit: LeaveOneOut | None) -> None:
        self._model, self._credit = model, credit
        self._embed = lru_cache(INPUTS)(HashedNgrams().vector)

    async def handle(self, message: Message) -> Sequence[Message]:
        """A critique. A call that failed, a cap or a reply that is no critique leaves it without gradients: what
        the evaluation cost is not thrown away for that.

        :raises ModelError: a fatal one.
        """
        assert isinstance(message, Evaluation)
        credit = await self._credit(message) if self._credit is not None else {}
        if not message.survived:
            return [Critique(message.assignment, message, {})]
        return [Critique(message.assignment, message, await self._gradients(message, credit), credit)]

    async def _gradients(self, evaluation: Evaluation, credit: Mapping[str, Credit]) -> dict[str, str]:
        failed = [outcome for outcome in evaluation.outcomes if outcome.score < 1.0]
        if not failed:
            return {}
        clusters = cluster(failed, OUTCOMES, self._embed)
        sections = "\n\n".join(f"Section: {s.name}\nKind: {s.kind}" for s in evaluation.prompt if not s.frozen)
        blocks = [
            show_prompt(evaluation.prompt),
            *(block("failures", show_outcomes(c.shown, replies=True), alike=str(c.size)) for c in clusters),
            block("credit", show_credit(credit)),
            block("sections", sections),
        ]
        request = compose(blocks, instruction("agents.ring", "critic.txt", {}), evaluation.assignment)
        try:
            reply = await OnBehalf(self._model, evaluation.assignment).complete(request)
            return read_gradients(read_tagged(reply.text, "critique", reply.finish), evaluation.prompt)
        except ModelError as error:
            if error.fatal:
                raise
            return {}
        except (UnreadableReply, BudgetExhausted):
            return {}


class Silent:
    """No critic: an evaluation passes through with no gradient, no credit and no call."""

    address = Critic.address
    accepts = Critic.accepts

    async def handle(self, message: Message) -> Sequence[Message]:
        """A critique that says nothing."""
        assert isinstance(message, Evaluation)
        return [Critique(message.assignment, message, {})]


def read_gradients(text: str, prompt: Prompt) -> dict[str, str]:
    """What follows each `[section]` at the start of a line, for the sections that may be edited.

    Another text in brackets at the start of a line is part of what is said.
    """
    names = {section.name for section in prompt}
    gradients: dict[str, list[str]] = {section.name: [] for section in prompt if not section.frozen}
    current: list[str] = []
    for line in text.splitlines():
        match = re.match(r"\s*\[([^\]]+)\][:：]?\s*", line)
        if match and match[1].strip() in names:
            current = gradients.get(match[1].strip(), [])
            line = line[match.end() :]
        if line.strip():
            current.append(line.rstrip())
    return {name: "\n".join(lines) for name, lines in gradients.items() if lines}
