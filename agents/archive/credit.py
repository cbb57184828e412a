"""Section credit: how much each section adds to the score, measured by ablation and estimated along a lineage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents.archive.race import compare
from agents.programs.demonstrations import seen_in
from agents.prompting.forward import Forward
from protocols.errors import BudgetExhausted
from protocols.messages import Assignment, Credit, Critique, Evaluation, Outcome
from protocols.prompt import Prompt, placeholders
from protocols.task import Task

LEAST = 8
"""Minimum number of examples: a difference over fewer says too little to be worth its cost."""
SURE = 2.0
"""Standard errors beyond which a difference is reported."""
UNKNOWN = 0.5
"""Standard error of the credit of an unmeasured text: half the range of a score."""


class LeaveOneOut:
    """Runs a survivor without each of its sections in turn, on training examples that it was run on in full.

    The questions asked for this are never more than a share `share` >= 0 of those asked by the evaluations so far.
    Both are counted from the evaluations, not from the ledger, so that a resumed run measures the same. All sections
    get the same number of examples; nothing is measured if that would be fewer than `LEAST`.
    """

    def __init__(self, forward: Forward, share: float) -> None:
        self._forward, self._share = forward, share
        self._examples = {example.id: example for example in forward.task.train}
        self._asked = self._measured = 0

    def plan(self, evaluation: Evaluation) -> tuple[Sequence[str], Sequence[Outcome]]:
        """Count an evaluation; call it once for each. Returns the sections to leave out and the examples to use; the
        questions for these are counted as asked."""
        self._asked += evaluation.asked
        outcomes = unseen(evaluation.prompt, evaluation.outcomes)
        names = removable(evaluation.prompt, self._forward.task) if evaluation.survived else []
        room = math.floor(self._share * self._asked) - self._measured
        count = min(len(outcomes), room // len(names)) if names else 0
        if count < LEAST:
            return (), ()
        self._measured += count * len(names)
        return names, outcomes[:count]

    async def __call__(self, evaluation: Evaluation) -> dict[str, Credit]:
        """The credit of each section that has a text and shows no input, including frozen ones; empty if `plan` or
        the cap on the role credit allows no calls. Failed calls are left out of the comparison.

        :raises ModelError: a fatal one.
        :raises BudgetExhausted: a cap that ends the search.
        """
        names, asked = self.plan(evaluation)
        examples = [self._examples[outcome.example] for outcome in asked]
        without = [(left_out(evaluation.prompt, name), example) for name in names for example in examples]
        try:
            answers = await self._forward.attributed_to(evaluation.assignment).each(without)
        except BudgetExhausted as error:
            if error.ends_search:
                raise
            return {}
        scores = [answer.score if isinstance(answer, Outcome) else None for answer in answers]
        parts = [scores[place * len(asked) : (place + 1) * len(asked)] for place in range(len(names))]
        measured = {name: _credit(asked, part) for name, part in zip(names, parts, strict=True)}
        return {name: credit for name, credit in measured.items() if credit is not None}


def believed(critique: Critique, assignment: Assignment | None) -> dict[str, Credit]:
    """The estimated credit of every section of a survivor: the estimate along its lineage, pooled with the ablation.

    Both estimate how much better the score is with this text than with none, and each makes up for the other's
    weakness. The gains along a lineage are measured on all of validation, but are biased upwards, since only high
    ones survive, and they start from a text of the first prompt whose credit is unknown. The ablation uses few
    examples, but is not biased by selection, and takes into account what the other sections say by now. So each is
    weighted by its precision.

    `assignment` None: the first prompt, which has no lineage.
    """
    if assignment is None:
        lineage = {s.name: Credit(0.0, UNKNOWN if s.text else 0.0) for s in critique.evaluation.prompt}
    else:
        lineage = inherited(critique.evaluation, assignment)
    return {name: pooled(credit, critique.credit.get(name)) for name, credit in lineage.items()}


def inherited(evaluation: Evaluation, assignment: Assignment) -> dict[str, Credit]:
    """The credit of each section along the lineage: an inherited text has that of its parent or partner; a new text
    has that of the parent's text plus the paired gain; an empty section has 0."""
    sources = [(assignment.prompt, assignment.credit), *((p.prompt, p.credit) for p in assignment.partners)]
    gain = Credit(evaluation.gain, _at_least(evaluation.error, evaluation.paired))
    credit = {}
    for section in evaluation.prompt:
        before = assignment.credit.get(section.name, Credit(0.0, UNKNOWN))
        after = Credit(before.value + gain.value, math.hypot(before.error, gain.error))
        known = (worth[section.name] for prompt, worth in sources if section in prompt and section.name in worth)
        credit[section.name] = next(known, after) if section.text else Credit(0.0, 0.0)
    return credit


def pooled(one: Credit, other: Credit | None) -> Credit:
    """The mean of two independent estimates, weighted by their precisions (1 / error²), and its standard error."""
    if other is None or not one.error:
        return one
    precision, more = 1 / one.error**2, 1 / other.error**2
    value = (one.value * precision + other.value * more) / (precision + more)
    return Credit(value, (precision + more) ** -0.5)


def left_out(prompt: Prompt, name: str) -> Prompt:
    """The prompt with this section empty; it may be a frozen one."""
    return Prompt(tuple(replace(section, text="") if section.name == name else section for section in prompt))


def removable(prompt: Prompt, task: Task) -> list[str]:
    """The sections that can be left out: those that have a text and show no input, and nothing that is computed."""
    shown = task.placeholders
    return [section.name for section in prompt if section.text and not placeholders(section.filled, shown)]


def unseen(prompt: Prompt, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes whose inputs the prompt does not contain: on its own worked examples it is right without merit. In
    a program, the same holds for what each prompt was rendered with."""
    shown = " ".join(word for section in prompt for word in section.said.split())
    new = [outcome for outcome in outcomes if not all(" ".join(v.split()) in shown for v in outcome.inputs.values())]
    return new if len(prompt.names) < 2 else [outcome for outcome in new if not seen_in(prompt, outcome)]


def show_credit(credit: Mapping[str, Credit]) -> str:
    """The effects of leaving out sections, in words for the Critic; only those beyond `SURE` standard errors."""
    sure = {name: worth for name, worth in credit.items() if abs(worth.value) > SURE * worth.error}
    return "\n".join(
        f"Without {name} the score {'falls' if worth.value > 0 else 'rises'} by {abs(worth.value):.3f} "
        f"± {worth.error:.3f}."
        for name, worth in sure.items()
    )


def _credit(asked: Sequence[Outcome], without: Sequence[float | None]) -> Credit | None:
    paired = compare(tuple(outcome.score for outcome in asked), tuple(without))
    return Credit(paired.gain, _at_least(paired.error, paired.n)) if paired.n else None


def _at_least(error: float, n: int) -> float:
    """A standard error of at least 1 / n: n equal differences do not prove that the next is equal, too."""
    return max(error, 1 / n) if n else UNKNOWN
