"""The phase that shrinks the result: what it may cost, and whom it asks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agents.prompting.forward import Concurrency, Forward
from agents.ring.controller import SearchSettings
from agents.ring.evaluator import Evaluator, RaceSettings
from protocols.messages import SHRINK, Assignment, Candidate, Conclude, Critique, Evaluation, Finished
from protocols.prompt import Prompt, Section
from tests.world import FIRST_PROMPT, NO_CORPUS, TASK, WORDS, Oracle, Ring, value

pytestmark = pytest.mark.anyio
NEEDLESS = "\n".join(f"Keep in mind that point {n} matters to whoever reads this." for n in range(12))
HEAD = Section("head", "format", "Answer.", frozen=True)
PADDED = Prompt((*FIRST_PROMPT, HEAD, Section("rest", "reminders", NEEDLESS)))


@pytest.mark.parametrize("prefer", ["short", "balanced", "best"])
async def test_what_does_nothing_is_gone_and_no_more_is_asked_than_the_races(prefer: str) -> None:
    settings = SearchSettings(width=2, assignments=12, prefer=prefer, shrink=6)  # type: ignore[arg-type]
    search = Ring(settings=settings, first=PADDED)
    assert await search.run() == "assignments"
    said = [envelope.message for envelope in search.log]
    cuts = [m.assignment for m in said if isinstance(m, Assignment) and m.operator == SHRINK]
    result = search.controller.archive.best()
    assert not result.prompt["rest"].text
    assert result.candidate in cuts
    assert cuts == list(range(13, 13 + len(cuts)))
    assert len(cuts) <= 6
    assert [type(m) for m in said if isinstance(m, Conclude | Finished)] == [Conclude, Finished]
    critiques = [m for m in said if isinstance(m, Critique) and m.assignment in cuts]
    assert all(not m.gradients and not m.evaluation.outcomes for m in critiques)
    before = max(m.value for m in search.controller.archive.members)
    assert value(result.prompt) == result.value
    if prefer == "best":
        assert result.value == before
    assert set(search.endings().values()) == {1}


@pytest.mark.parametrize(("words", "survives"), [(8, True), (1, False)])
async def test_a_cut_is_raced_for_being_no_worse(words: int, survives: bool) -> None:
    """Against a prompt that knows all words, on 16 examples."""
    known = FIRST_PROMPT.edit("rule", f"Know: {' '.join(WORDS[:words])}", ())
    long = FIRST_PROMPT.edit("rule", f"Know: {' '.join(WORDS)}. {NEEDLESS}", ())
    model = Oracle()
    race = replace(RaceSettings(critique=6), max_unanswered=0.5)
    scores = (1.0,) * len(TASK.validation)
    found = []
    for number in range(1, 9):
        evaluator = Evaluator(Forward(model, TASK, NO_CORPUS, Concurrency(4)), TASK, race, number)
        [evaluation] = await evaluator.handle(Candidate(number, known, scores, long.tokens, shrunk=True))
        assert isinstance(evaluation, Evaluation)
        assert not evaluation.outcomes
        found.append(evaluation.survived)
    assert set(found) == {survives}
