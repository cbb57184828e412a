"""The Critic: measures what the sections of a survivor are worth, reads what it got wrong, cluster by cluster, and
writes a textual gradient for each section."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from agents.prompting.blocks import Block, examples, remark
from agents.prompting.requests import block, complete, compose, instruction, read_tagged, records_of, show_prompt
from agents.ring.clusters import cluster
from agents.ring.credit import LeaveOneOut, show_credit
from agents.ring.endings import HOPELESS
from protocols.embedding import HashedNgrams
from protocols.errors import (
    AlwaysRefused,
    BadRequest,
    BudgetExhausted,
    ModelError,
    TooLong,
    UnreadableReply,
)
from protocols.messages import Credit, Critique, Evaluation, Message, Missing, Outcome
from protocols.model import ChatModel, Reply, Request
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
        gradients: Mapping[str, str] = {}
        missing: Missing = ""
        cut = ""
        try:
            credit = await self._credit(message) if self._credit is not None else {}
            if not message.survived:
                return [Critique(message.assignment, message, {})]
            gradients, missing = await self._gradients(message, credit)
        except BudgetExhausted as error:
            missing, cut = "budget" if message.survived else "", error.name if error.ends_search else ""
        return [Critique(message.assignment, message, gradients, credit if message.survived else {}, cut, missing)]

    async def _gradients(
        self, evaluation: Evaluation, credit: Mapping[str, Credit]
    ) -> tuple[dict[str, str], Missing]:
        """By section, and why there are none."""
        failed = [outcome for outcome in evaluation.outcomes if outcome.score < 1.0]
        if not failed:
            return {}, ""
        if self._unread >= HOPELESS and not self._read:
            return {}, "unreadable"
        try:
            model = OnBehalf(self._model, evaluation.assignment)
            _, reply = await complete(model, lambda: self._request(evaluation, failed, credit))
            gradients = self._gradients_in(reply, evaluation.prompt)
            return gradients, "" if gradients else "unreadable"
        except (ModelError, UnreadableReply) as error:
            if isinstance(error, ModelError) and error.fatal and not isinstance(error, AlwaysRefused):
                raise
            return {}, why(error)

    def _gradients_in(self, reply: Reply, prompt: Prompt) -> dict[str, str]:
        """:raises UnreadableReply: it is no critique."""
        self._unread += 1
        gradients = read_gradients(read_tagged(reply.text, "critique", reply.finish), prompt)
        if gradients:
            self._read, self._unread = self._read + 1, self._unread - 1
        return gradients

    def _request(self, evaluation: Evaluation, failed: Sequence[Outcome], credit: Mapping[str, Credit]) -> Request:
        clusters = cluster(failed, OUTCOMES, self._embed)
        sections = "\n\n".join(f"Section: {s.name}\nKind: {s.kind}" for s in evaluation.prompt if not s.frozen)
        blocks: list[str | Block] = [
            show_prompt(evaluation.prompt, {field for outcome in failed for field in outcome.inputs}),
            *(examples("failures", records_of(c.shown, replies=True), alike=str(c.size)) for c in clusters),
            remark("credit", show_credit(credit)),
            block("sections", sections),
        ]
        question = instruction("agents.ring", "critic.txt", {})
        return compose(blocks, question, evaluation.assignment, model=self._model)


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
