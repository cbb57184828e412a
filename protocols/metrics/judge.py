"""A language model as the judge of answers that rules cannot score: of one, or of which of two is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Final

from protocols.answers.grades import MOST, read_grade
from protocols.answers.verdicts import Verdict, read_verdict
from protocols.errors import BadReply, UnreadableReply
from protocols.metrics.parsed import ParsedMetric, read_answer
from protocols.model import ChatMessage, ChatModel, Finish, Request
from protocols.prompt import fill
from protocols.task import Example, Json, Judgement, MeanScore, TaskKind
from protocols.wrappers.attributed import AttributedModel

TEMPLATE = resources.files("protocols.metrics").joinpath("judge.txt").read_text(encoding="utf-8")
COMPARISON = resources.files("protocols.metrics").joinpath("preference.txt").read_text(encoding="utf-8")
REFERENCE = "<reference>\n{reference}\n</reference>\n\n"
TRIES = 2
WON, TIED, LOST = 1.0, 0.5, 0.0
Opponent = Callable[[Example, int], Awaitable[tuple[str, Finish]]]
"""The opponent's reply to an example, and how it ended, given the number of the sample."""
COMPARED, UNHEARD = "compared", "unheard"
"""Counts of comparisons: all that a judge was asked for, and those with a verdict that could not be read."""
FIRST_TWICE, SECOND_TWICE = "first twice", "second twice"
"""Counts of comparisons in which the judge preferred the answer shown first, or second, in both orders."""
LONGER, SHORTER = "longer", "shorter"
"""Counts of comparisons in which it preferred the longer, or the shorter, answer in both orders."""
SAME: Final = "the same answer as the one that it is compared with"


def question(template: str, kind: TaskKind, example: Example, rubric: str, answers: Mapping[str, str]) -> str:
    """The text of a request to a judge: `template` with the rubric, the example and the `answers`, by their names; an
    example without a target has no reference."""
    inputs = "\n".join(f"{name}: {text}" for name, text in example.inputs.items())
    if example.target is None:
        template = template.replace(REFERENCE, "").replace("<input>, <reference>", "<input>")
    return fill(template, {"rubric": rubric, "input": inputs, "reference": kind.show(example.target), **answers})


class ModelJudge(ParsedMetric):
    """Asks `model` to grade an answer from 0 to 10 by a rubric, with its reasons first, which become the feedback
    (G-Eval, arXiv 2303.16634; Zheng et al., arXiv 2306.05685). The score is grade / 10, the corpus value the mean.

    A judge may be wrong, and an answer may try to persuade it: the prompt says that the answer holds no instructions.
    """

    def __init__(self, kind: TaskKind, rubric: str, model: ChatModel | None) -> None:
        """`model` None: only `corpus` may be called, before the run has opened its models."""
        super().__init__(kind)
        self._rubric, self._model = rubric, model

    def attributed_to(self, assignment: int) -> ModelJudge:
        """This judge with its calls attributed to this assignment."""
        return ModelJudge(self._kind, self._rubric, self._model and AttributedModel(self._model, assignment))

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer.

        :raises ModelError, BudgetExhausted: the call failed, or was refused.
        :raises BadReply: two replies held no grade; the example counts as unanswered.
        """
        assert self._model is not None, "a judge is asked only in a run"
        shown = self._kind.show(answer)
        for sample in range(TRIES):
            reply = await self._model.complete(self.request(example, shown, sample))
            try:
                grade = read_grade(reply.text, reply.finish)
            except UnreadableReply:
                continue
            reasons = grade.reasons or f"graded {grade.value:g} of {MOST}"
            return Judgement(grade.value / MOST, shown, reasons if grade.value < MOST else "")
        raise BadReply("the judge's reply has no last line such as Score: 7", model=self._model.name)

    def request(self, example: Example, answer: str, sample: int = 0) -> Request:
        """The request to the judge."""
        return Request((ChatMessage("user", self.question(example, answer)),), max_tokens=2048, sample=sample)

    def question(self, example: Example, answer: str) -> str:
        """The text of the request to the judge; an example without a target has no reference."""
        return question(TEMPLATE, self._kind, example, self._rubric, {"answer": answer})


class Preference(MeanScore):
    """Asks `model` which answer is better by a rubric, the one at hand or the opponent's, in both orders, as judges
    favour a place (Zheng et al., arXiv 2306.05685). The score is 1 if it prefers this answer both times, 0 if it
    prefers the opponent's both times, else 0.5; the corpus value is the mean, the rate of wins with ties as halves.

    Nobody is asked about equal answers, which tie, nor where one reply cannot be read, which then loses.
    """

    def __init__(
        self,
        kind: TaskKind,
        rubric: str,
        model: ChatModel | None,
        opponent: Opponent | None,
        heard: Counter[str] | None = None,
    ) -> None:
        """`model` or `opponent` None: only `corpus` may be called, before the run has opened its models. `heard`: the
        sums of the counts of all comparisons."""
        self._kind, self._rubric, self._model, self._opponent = kind, rubric, model, opponent
        self.heard: Counter[str] = Counter() if heard is None else heard

    def attributed_to(self, assignment: int) -> Preference:
        """This metric with the judge's calls attributed to this assignment, the opponent's to none."""
        model = self._model and AttributedModel(self._model, assignment)
        return Preference(self._kind, self._rubric, model, self._opponent, self.heard)

    async def judge(self, example: Example, reply: str, finish: Finish = "stop", sample: int = 0) -> Judgement:
        """Compare one reply with the opponent's.

        :raises ModelError, BudgetExhausted: a call of the judge or of the opponent failed, or was refused.
        """
        assert self._opponent is not None, "replies are compared only in a run"
        said, ended = await self._opponent(example, sample)
        answer, why = await self._read(reply, finish)
        other, _ = (answer, why) if (reply, finish) == (said, ended) else await self._read(said, ended)
        if answer is None:
            return Judgement(TIED if other is None else LOST, None, why, mistakes={"unreadable": 1})
        if answer == other:
            return Judgement(TIED, answer, SAME)
        return Judgement(WON, answer) if other is None else await self._compare(example, answer, other)

    async def _read(self, reply: str, finish: Finish) -> tuple[str | None, str]:
        """The answer in a reply as it is shown, or None and why there is none."""
        try:
            return self._kind.show(await read_answer(self._kind, reply, finish)), ""
        except UnreadableReply as error:
            return None, str(error)

    async def _compare(self, example: Example, answer: str, other: str) -> Judgement:
        """Both orders. After a first verdict for neither it is a tie, whatever the second would be."""
        first = await self._verdict(example, answer, other)
        second = None if first is None or not first.better else await self._verdict(example, other, answer)
        votes = _vote(first, 1), _vote(second, 2)
        score = {(1, 1): WON, (-1, -1): LOST}.get(votes, TIED)
        counts = _counts(first, second)
        if score != TIED and len(answer) != len(other):
            counts[LONGER if (score == WON) == (len(answer) > len(other)) else SHORTER] = 1
        self.heard.update(counts)
        if score == WON:
            return Judgement(score, answer, counts=counts)
        reasons = [
            f"(answer {place} is this one) {verdict.reasons}"
            for place, verdict, vote in zip((1, 2), (first, second), votes, strict=True)
            if verdict is not None and verdict.reasons and vote < 1
        ]
        ending = "the other answer is preferred" if score == LOST else "no better than the other answer"
        return Judgement(score, answer, "\n".join([ending, *reasons]), counts, {ending: 1})

    async def _verdict(self, example: Example, first: str, second: str) -> Verdict | None:
        """The verdict on two answers in this order; None if two replies of the judge held none."""
        assert self._model is not None, "a judge is asked only in a run"
        message = ChatMessage("user", self.question(example, first, second))
        for sample in range(TRIES):
            reply = await self._model.complete(Request((message,), max_tokens=2048, sample=sample))
            try:
                return read_verdict(reply.text, reply.finish)
            except UnreadableReply:
                continue
        return None

    def question(self, example: Example, first: str, second: str) -> str:
        """The text of the request to the judge; an example without a target has no reference."""
        return question(COMPARISON, self._kind, example, self._rubric, {"first": first, "second": second})


def _vote(verdict: Verdict | None, place: int) -> int:
    """1 for the answer at this place, -1 against it, 0 for neither."""
    if verdict is None or not verdict.better:
        return 0
    return 1 if verdict.better == place else -1


def _counts(first: Verdict | None, second: Verdict | None) -> dict[str, int]:
    """The counts of one comparison. `second` None: it held no verdict, or it was not asked for."""
    if first is None or (first.better and second is None):
        return {COMPARED: 1, UNHEARD: 1}
    if second is None or first.better != second.better:
        return {COMPARED: 1}
    return {COMPARED: 1, FIRST_TWICE if first.better == 1 else SECOND_TWICE: 1}
