"""A language model as the judge of answers that rules cannot score."""

from __future__ import annotations

from importlib import resources

from protocols.answers.grades import MOST, read_grade
from protocols.errors import BadReply, UnreadableReply
from protocols.metrics.parsed import ParsedMetric
from protocols.model import ChatMessage, ChatModel, Request
from protocols.prompt import fill
from protocols.task import Example, Json, Judgement, TaskKind
from protocols.wrappers.attributed import AttributedModel

TEMPLATE = resources.files("protocols.metrics").joinpath("judge.txt").read_text(encoding="utf-8")
WITHOUT_REFERENCE = TEMPLATE.replace("<reference>\n{reference}\n</reference>\n\n", "").replace(
    "<input>, <reference> and <answer>", "<input> and <answer>"
)
"""The question about an example without a target."""
TRIES = 2


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
        """The text of the request to the judge; an example without a target has no reference."""
        inputs = "\n".join(f"{name}: {text}" for name, text in example.inputs.items())
        reference = self._kind.show(example.target)
        template = TEMPLATE if example.target is not None else WITHOUT_REFERENCE
        return fill(template, {"rubric": self._rubric, "input": inputs, "reference": reference, "answer": answer})
