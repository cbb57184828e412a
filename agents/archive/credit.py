"""Credit: how much each section adds to the score, measured by ablation and estimated along a lineage; and what the
prompts of a program are worth, measured by swapping them between two survivors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from agents.archive.race import compare
from agents.programs.demonstrations import seen_in
from agents.prompting.forward import Forward
from protocols.errors import BudgetExhausted
from protocols.messages import Assignment, Credit, Critique, Evaluation, Outcome, Swap
from protocols.prompt import Prompt, differing, placeholders, with_prompt
from protocols.task import Task

LEAST = 8
"""Minimum number of examples: a difference over fewer says too little to be worth its cost."""
SURE = 2.0
"""Standard errors beyond which a difference is reported."""
OTHERS = 4
"""Survivors, the best, with whose prompts a survivor may be run."""
UNKNOWN = 0.5
"""Standard error of the credit of an unmeasured text: half the range of a score."""


@dataclass(frozen=True, slots=True)
class Run:
    """A survivor changed in one way: without the section `name`, or with the prompt `name` of `candidate`."""

    name: str
    prompt: Prompt
    candidate: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """The credit of sections by name, and the swaps of prompts."""

    credit: Mapping[str, Credit] = field(default_factory=dict)
    swaps: tuple[Swap, ...] = ()


NOTHING_MEASURED = Measured()


class LeaveOneOut:
    """Runs a survivor without each of its sections in turn, on training examples that it was run on in full. In a
    program of several prompts, it is run with prompts of another survivor instead, where that makes a combination
    that is new.

    The questions asked for this are never more than a share `share` >= 0 of those asked by the evaluations so far.
    Both are counted from the evaluations, not from the ledger, so that a resumed run measures the same. All runs
    get the same number of examples; nothing is measured if that would be fewer than `LEAST`.
    """

    def __init__(self, forward: Forward, share: float) -> None:
        self._forward, self._share = forward, share
        self._examples = {example.id: example for example in forward.task.train}
        self._asked = self._measured = 0
        self._survivors: list[Evaluation] = []
        self._combined: set[Prompt] = set()

    def plan(self, evaluation: Evaluation) -> tuple[Sequence[Run], Sequence[Outcome]]:
        """Count an evaluation; call it once for each. Returns the runs to make and the examples to use; the questions
        for these are counted as asked."""
        self._asked += evaluation.asked
        if not evaluation.survived:
            return (), ()
        outcomes = unseen(evaluation.prompt, evaluation.outcomes)
        runs = self._swaps(evaluation) or leaving_out(evaluation.prompt, self._forward.task)
        room = math.floor(self._share * self._asked) - self._measured
        count = min(len(outcomes), room // len(runs)) if runs else 0
        if count < LEAST:
            return (), ()
        self._measured += count * len(runs)
        self._combined.update(run.prompt for run in runs if run.candidate is not None)
        return runs, outcomes[:count]

    def _swaps(self, evaluation: Evaluation) -> list[Run]:
        """The runs with prompts of the best earlier survivor that makes any new combination, and remember this one.
        Prompts that are as in the first prompt are not put back: a lineage's gains say what its edits are worth."""
        prompt = evaluation.prompt
        if len(prompt.names) == 1:
            return []
        known = {other.prompt for other in self._survivors} | self._combined
        first = self._survivors[0].prompt if self._survivors else prompt
        best = sorted(self._survivors, key=lambda other: (-other.value, other.assignment))[:OTHERS]
        self._survivors.append(evaluation)
        for other in best:
            changed = [name for name in differing(prompt, other.prompt) if other.prompt.of(name) != first.of(name)]
            made = [Run(name, with_prompt(prompt, other.prompt, name), other.assignment) for name in changed]
            if runs := [run for run in made if run.prompt not in known]:
                return runs
        return []

    async def __call__(self, evaluation: Evaluation) -> Measured:
        """The credit of each section that has a text and shows no input, including frozen ones, or the swaps; nothing
        if `plan` or the cap on the role credit allows no calls. Failed calls are left out of the comparison.

        :raises ModelError: a fatal one.
        :raises BudgetExhausted: a cap that ends the search.
        """
        runs, asked = self.plan(evaluation)
        examples = [self._examples[outcome.example] for outcome in asked]
        questions = [(run.prompt, example) for run in runs for example in examples]
        try:
            answers = await self._forward.attributed_to(evaluation.assignment).each(questions)
        except BudgetExhausted as error:
            if error.ends_search:
                raise
            return NOTHING_MEASURED
        scores = [answer.score if isinstance(answer, Outcome) else None for answer in answers]
        parts = [scores[place * len(asked) : (place + 1) * len(asked)] for place in range(len(runs))]
        worths = [(run, _credit(asked, part)) for run, part in zip(runs, parts, strict=True)]
        return Measured(
            {run.name: worth for run, worth in worths if worth is not None and run.candidate is None},
            tuple(
                Swap(run.candidate, run.name, Credit(-worth.value, worth.error))
                for run, worth in worths
                if worth is not None and run.candidate is not None
            ),
        )


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


def leaving_out(prompt: Prompt, task: Task) -> list[Run]:
    """The runs without a section each, of those that can be left out: those that have a text and show no input, and
    nothing that is computed. A prompt of a program keeps one text: it cannot be asked without any."""
    shown, texts = task.placeholders, Counter(section.prompt for section in prompt if section.text)
    alone = len(prompt.names) == 1
    return [
        Run(section.name, left_out(prompt, section.name))
        for section in prompt
        if section.text and not placeholders(section.filled, shown) and (alone or texts[section.prompt] > 1)
    ]


def unseen(prompt: Prompt, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes whose inputs the prompt does not contain: on its own worked examples it is right without merit. In
    a program, the same holds for what each prompt was rendered with."""
    shown = " ".join(word for section in prompt for word in section.said.split())
    new = [outcome for outcome in outcomes if not all(" ".join(v.split()) in shown for v in outcome.inputs.values())]
    return new if len(prompt.names) < 2 else [outcome for outcome in new if not seen_in(prompt, outcome)]


def show_credit(measured: Measured) -> str:
    """The effects of leaving out sections, or of swapping prompts, in words for the Critic; only those beyond `SURE`
    standard errors."""
    changes = [(f"Without {name}", -worth.value, worth.error) for name, worth in measured.credit.items()]
    changes += [
        (f"With another text of the prompt {s.prompt}, which was tried before,", s.worth.value, s.worth.error)
        for s in measured.swaps
    ]
    return "\n".join(
        f"{change} the score {'rises' if gain > 0 else 'falls'} by {abs(gain):.3f} ± {error:.3f}."
        for change, gain, error in changes
        if abs(gain) > SURE * error
    )


def _credit(asked: Sequence[Outcome], without: Sequence[float | None]) -> Credit | None:
    paired = compare(tuple(outcome.score for outcome in asked), tuple(without))
    return Credit(paired.gain, _at_least(paired.error, paired.n)) if paired.n else None


def _at_least(error: float, n: int) -> float:
    """A standard error of at least 1 / n: n equal differences do not prove that the next is equal, too."""
    return max(error, 1 / n) if n else UNKNOWN
