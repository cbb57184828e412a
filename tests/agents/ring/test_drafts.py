"""Drafts of one edit are tried on training examples; child and parent are criticised on examples that they share."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.archive.unanswered import Unanswered
from agents.operators.operator import Context
from agents.prompting.forward import Concurrency, Forward
from agents.ring.evaluator import DRAFTED, Evaluator, RaceSettings
from agents.ring.proposer import Proposer
from protocols.budget.budget_scope import Caps
from protocols.budget.ledger import Ledger
from protocols.errors import BudgetExhausted, EditRejected, ModelError, ServerFailed
from protocols.messages import FIRST, Assignment, Candidate, Evaluation
from protocols.model import Request
from protocols.prompt import Prompt, Section
from protocols.wrappers.metered import MeteredModel
from tests.agents.ring.test_handling import ASSIGNMENT, Says, scores_of
from tests.world import FIRST_PROMPT, NO_CORPUS, TASK, WORDS, Oracle

pytestmark = pytest.mark.anyio
rules = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(
    lambda words: FIRST_PROMPT.edit("rule", " ".join(words), ())
)
IDS = [example.id for example in TASK.train]


async def evaluated(candidate: Candidate, critique: int, model: Oracle, evaluator: list[Evaluator]) -> Evaluation:
    forward = Forward(model, TASK, NO_CORPUS, Concurrency(4))
    evaluator.append(Evaluator(forward, TASK, RaceSettings(critique=critique, max_unanswered=1.0), seed=1))
    [evaluation] = await evaluator[0].handle(candidate)
    assert isinstance(evaluation, Evaluation)
    return evaluation


@given(st.lists(rules, min_size=2, max_size=4, unique=True), st.sets(st.sampled_from(WORDS[:3])))
@settings(max_examples=40, deadline=None)
def test_the_draft_that_is_best_on_training_examples_races_of_equals_the_shortest(
    drafts: list[Prompt], failing: set[str]
) -> None:
    """What it takes is counted as asked; a draft without an answer has lost, and is no example left unanswered."""

    def fault(request: Request) -> ModelError | None:
        return ServerFailed("no", model="m") if request.messages[-1].text.split()[-1] in failing else None

    model, evaluator = Oracle(fault=fault), list[Evaluator]()
    candidate = Candidate(3, drafts[0], scores_of(FIRST_PROMPT), 1, drafts=tuple(drafts[1:]))
    try:
        evaluation = anyio.run(evaluated, candidate, 48, model, evaluator)
    except ModelError:
        return  # of all that was looked at nothing was answered
    assert len(TASK.train) <= DRAFTED, "all of them are drawn"

    def answered(prompt: Prompt) -> int:
        return sum(
            e.inputs["text"].split()[-1] in prompt["rule"].text and e.inputs["text"].split()[-1] not in failing
            for e in TASK.train
        )

    best = max(drafts, key=lambda draft: (answered(draft), -draft.tokens, -drafts.index(draft)))
    assert evaluation.prompt == best
    assert evaluation.drafted == len(drafts) * len(TASK.train)
    assert evaluation.asked >= evaluation.drafted + evaluation.paired
    going_on = Unanswered(1.0, 1)
    going_on.take_up(evaluation)
    live = evaluator[0].unanswered
    assert (going_on.asked, going_on.reasons.total()) == (live.asked, live.reasons.total())


async def test_a_cap_ends_the_choice_among_drafts() -> None:
    metered = MeteredModel(Oracle(), Ledger(Caps(calls=5), {}, lambda: 0.0), "task")
    evaluator = Evaluator(Forward(metered, TASK, NO_CORPUS, Concurrency(4)), TASK, RaceSettings(), seed=1)
    other = FIRST_PROMPT.edit("rule", "dune", ())
    with pytest.raises(BudgetExhausted):
        await evaluator.handle(Candidate(3, other, scores_of(FIRST_PROMPT), 1, drafts=(FIRST_PROMPT,)))


@given(st.sets(st.sampled_from([*IDS, "unknown"])), st.integers(1, 20), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_half_of_what_a_child_is_criticised_on_its_parent_was_run_on(
    known: set[str], critique: int, number: int
) -> None:
    """As far as there are so many of each, and as many in all as were asked for."""
    candidate = Candidate(number, FIRST_PROMPT, known=tuple(sorted(known)))
    evaluation = anyio.run(evaluated, candidate, critique, Oracle(), [])
    drawn = [outcome.example for outcome in evaluation.outcomes]
    count = min(critique, len(IDS))
    assert len(drawn) == len(set(drawn)) == count
    old, new = known & set(IDS), set(IDS) - known
    shared = len(known & set(drawn))
    assert shared == min(len(old), max(count // 2, count - len(new)))
    assert shared >= min(len(old), count // 2)


class Drafts:
    """An operator that makes several drafts."""

    name = "drafts"

    def __init__(self, *made: Prompt) -> None:
        self._made = made

    def targets(self, prompt: Prompt, task: object) -> list[str]:
        return ["rule"]

    async def edit(self, assignment: Assignment, context: Context) -> tuple[Prompt, ...]:
        return self._made


async def test_drafts_that_may_not_be_tried_are_left_out() -> None:
    one, two = (FIRST_PROMPT.edit("rule", text, ()) for text in ("amber birch", "cedar"))
    thawed = Prompt((FIRST_PROMPT["rule"], Section("input", "task", "Text: {text} now")))

    async def proposed(*made: Prompt) -> Candidate:
        [candidate] = await Proposer(Drafts(*made), Says(), NO_CORPUS, None, 1, 0.0).handle(ASSIGNMENT)
        assert isinstance(candidate, Candidate)
        return candidate

    candidate = await proposed(FIRST_PROMPT, one, thawed, two)
    assert (candidate.prompt, candidate.drafts) == (one, (two,))
    assert candidate.known == tuple(outcome.example for outcome in ASSIGNMENT.outcomes)
    assert (await proposed(two)).drafts == ()
    with pytest.raises(EditRejected, match="changes nothing"):
        await proposed(FIRST_PROMPT, thawed)
    with pytest.raises(EditRejected, match="no draft"):
        await proposed()


async def test_the_first_prompt_has_no_drafts_and_asks_nothing_more() -> None:
    model = Oracle()
    evaluation = await evaluated(Candidate(FIRST, FIRST_PROMPT), 6, model, [])
    assert (evaluation.drafted, evaluation.asked, model.calls) == (0, 22, 22)
