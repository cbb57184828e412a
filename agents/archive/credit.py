"""Section credit: what each section of a prompt is worth to it, measured by leaving it out, and along a lineage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from agents.archive.race import compare
from agents.prompting.forward import Forward
from protocols.errors import BudgetExhausted
from protocols.messages import Assignment, Credit, Critique, Evaluation, Outcome
from protocols.prompt import Prompt, placeholders

LEAST = 8
"""The fewest examples: a difference over fewer says too little to be paid for."""
SURE = 2.0
"""Standard errors beyond which a difference is told as one."""
UNKNOWN = 0.5
"""The standard error of a text that nothing is known of: half of all that a score can be."""


class LeaveOneOut:
    """Runs a survivor without one section after the other, on training examples that it was run on with it.

    The rule that says when: the questions asked for it are never more than `share` >= 0 of those that the evaluations
    so far have asked. Both are counted from the evaluations, and not from the ledger, so that a run that goes on
    measures what it would have measured. Room is shared alike by the sections; nothing is measured where it is not
    enough for `LEAST` examples each.
    """

    def __init__(self, forward: Forward, share: float) -> None:
        self._forward, self._share = forward, share
        self._examples = {example.id: example for example in forward.task.train}
        self._asked = self._measured = 0

    def plan(self, evaluation: Evaluation) -> tuple[Sequence[str], Sequence[Outcome]]:
        """Count an evaluation, once, and say which sections are to be left out on which examples; the questions of
        that count as asked from now on."""
        self._asked += evaluation.asked
        outcomes = unseen(evaluation.prompt, evaluation.outcomes)
        names = removable(evaluation.prompt, outcomes) if evaluation.survived else []
        room = math.floor(self._share * self._asked) - self._measured
        count = min(len(outcomes), room // len(names)) if names else 0
        if count < LEAST:
            return (), ()
        self._measured += count * len(names)
        return names, outcomes[:count]

    async def __call__(self, evaluation: Evaluation) -> dict[str, Credit]:
        """The credit of each section that has a text and shows no input, frozen ones too; nothing where the rule or
        the cap of credit alone forbids it. Calls that failed are left out of the comparison.

        :raises ModelError: a fatal one.
        :raises BudgetExhausted: a cap that ends the search.
        """
        names, asked = self.plan(evaluation)
        examples = [self._examples[outcome.example] for outcome in asked]
        without = [(left_out(evaluation.prompt, name), example) for name in names for example in examples]
        try:
            answers = await self._forward.on_behalf(evaluation.assignment).each(without)
        except BudgetExhausted as error:
            if error.ends_search:
                raise
            return {}
        scores = [answer.score if isinstance(answer, Outcome) else None for answer in answers]
        parts = [scores[place * len(asked) : (place + 1) * len(asked)] for place in range(len(names))]
        measured = {name: _credit(asked, part) for name, part in zip(names, parts, strict=True)}
        return {name: credit for name, credit in measured.items() if credit is not None}


def believed(critique: Critique, assignment: Assignment | None) -> dict[str, Credit]:
    """What is believed of every section of a survivor: what its lineage says, pooled with what was measured.

    Both say how much better the score is with this text than with none, and each has what the other lacks. The gains
    of a lineage come from all of validation, but they survived for being high, and begin with a text of the first
    prompt that nothing is known of. A measurement by leaving out is on few examples, but nothing chose it, and it
    sees what the other sections have come to say by themselves. So neither wins: each weighs by its precision.

    `assignment` None: the first prompt, which has no lineage.
    """
    if assignment is None:
        lineage = {s.name: Credit(0.0, UNKNOWN if s.text else 0.0) for s in critique.evaluation.prompt}
    else:
        lineage = inherited(critique.evaluation, assignment)
    return {name: pooled(credit, critique.credit.get(name)) for name, credit in lineage.items()}


def inherited(evaluation: Evaluation, assignment: Assignment) -> dict[str, Credit]:
    """By section, what is believed of the text where it comes from, the parent or a partner; of a new text what is
    believed of the parent's, and the paired gain; no text is worth nothing."""
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
    """The mean of two independent estimates weighted by their precisions (1 / error²), and its error."""
    if other is None or not one.error:
        return one
    precision, more = 1 / one.error**2, 1 / other.error**2
    value = (one.value * precision + other.value * more) / (precision + more)
    return Credit(value, (precision + more) ** -0.5)


def left_out(prompt: Prompt, name: str) -> Prompt:
    """The prompt with nothing in this section, which may be frozen."""
    return Prompt(tuple(replace(section, text="") if section.name == name else section for section in prompt))


def removable(prompt: Prompt, outcomes: Sequence[Outcome]) -> list[str]:
    """The sections that can be left out and leave a question: they have a text, and no input is shown in them."""
    fields = {field for outcome in outcomes for field in outcome.inputs}
    return [section.name for section in prompt if section.text and not placeholders(section.filled, fields)]


def unseen(prompt: Prompt, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those whose inputs do not stand in the prompt: what it shows solved, it is right on for no good reason."""
    shown = " ".join(word for section in prompt for word in section.said.split())
    return [outcome for outcome in outcomes if not all(" ".join(v.split()) in shown for v in outcome.inputs.values())]


def show_credit(credit: Mapping[str, Credit]) -> str:
    """For a critic: what leaving out a section does to the score, where the difference is no matter of chance."""
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
    """As `Reward` has it: n equal differences are no proof that there is no other."""
    return max(error, 1 / n) if n else UNKNOWN
