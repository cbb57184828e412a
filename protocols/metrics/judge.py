"""A language model as the judge of answers that no rule can judge."""

from __future__ import annotations

from importlib import resources

from protocols.answers.grades import MOST, read_grade
from protocols.errors import BadReply, UnreadableReply
from protocols.metrics.parsed import ParsedMetric
from protocols.model import ChatMessage, ChatModel, Request
from protocols.prompt import fill
from protocols.task import Example, Json, Judgement, TaskKind
from protocols.wrappers.attributed import OnBehalf

TRIES = 2


class ModelJudge(ParsedMetric):
    """Asks `model` for a grade from 0 to 10 by a rubric, with reasons first, which are the feedback (G-Eval,
    arXiv 2303.16634; Zheng et al., arXiv 2306.05685). The mean over a corpus, as a share of 10.

    A judge may be wrong, and may be talked round by the answer: it is told that what it grades holds no instruction.
    """

    def __init__(self, kind: TaskKind, rubric: str, model: ChatModel | None) -> None:
        """`model` None: only `corpus` is asked, until the run has opened its models."""
        super().__init__(kind)
        self._rubric, self._model = rubric, model

    def on_behalf(self, assignment: int) -> ModelJudge:
        """The same, whose calls are made for this assignment."""
        return ModelJudge(self._kind, self._rubric, self._model and OnBehalf(self._model, assignment))

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """Judge one answer.

        :raises ModelError, BudgetExhausted: the call failed, or was refused.
        :raises BadReply: no grade, twice: the example is unanswered, for nobody knows what it is worth.
        """
        assert self._model is not None, "a judge is asked only in a run"
        shown = self._kind.show(answer)
        request = ChatMessage("user", self.question(example, shown))
        for sample in range(TRIES):
            reply = await self._model.complete(Request((request,), max_tokens=2048, sample=sample))
            try:
                grade = read_grade(reply.text, reply.finish)
            except UnreadableReply:
                continue
            reasons = grade.reasons or f"graded {grade.value:g} of {MOST}"
            return Judgement(grade.value / MOST, shown, reasons if grade.value < MOST else "")
        raise BadReply("the judge's reply has no last line such as Score: 7", model=self._model.name)

    def question(self, example: Example, answer: str) -> str:
        """What the model is asked."""
        template = resources.files("protocols.metrics").joinpath("judge.txt").read_text(encoding="utf-8")
        inputs = "\n".join(f"{name}: {text}" for name, text in example.inputs.items())
        reference = self._kind.show(example.target)
        return fill(template, {"rubric": self._rubric, "input": inputs, "reference": reference, "answer": answer})
