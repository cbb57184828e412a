"""Examples without an answer, over a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.archive.unanswered import Unanswered
from agents.prompting.forward import Result
from protocols.errors import CallTimeout, RunFailed, ServerFailed
from protocols.messages import Outcome

ANSWER = Outcome("1", {}, "yes", "yes", "yes", 1.0, "")
results = st.sampled_from([ANSWER, ServerFailed("down", model="m"), CallTimeout("slow", model="m")])


@given(st.lists(st.lists(results, max_size=20), max_size=20), st.floats(0, 1), st.integers(1, 100))
def test_a_run_fails_as_soon_as_its_share_is_passed(passes: list[list[Result]], most: float, least: int) -> None:
    unanswered, asked, errors = Unanswered(most, least), 0, 0
    for each in passes:
        asked += len(each)
        errors += sum(result is not ANSWER for result in each)
        if errors > most * max(asked, least):
            unanswered.count(each)
            with pytest.raises(RunFailed, match=f"{errors} of {asked} "):
                unanswered.check()
            return
        unanswered.count(each)
        unanswered.check()
    assert (unanswered.asked, unanswered.reasons.total()) == (asked, errors)


def test_a_short_burst_early_in_a_run_is_forgiven_and_a_dead_service_is_not() -> None:
    unanswered = Unanswered(0.05, 1000)
    down = ServerFailed("down", model="m")
    unanswered.count([ANSWER] * 60 + [down] * 40)
    unanswered.check()
    unanswered.count([*[ANSWER] * 900, *[down] * 20])
    with pytest.raises(RunFailed, match=r"60 of 1020 .*60 ServerFailed.*m: down"):
        unanswered.check()


def test_the_reasons_are_counted_the_commonest_first() -> None:
    unanswered = Unanswered(1, 1)
    unanswered.count([CallTimeout("slow", model="m"), *[ServerFailed("down", model="m")] * 2])
    assert "(2 ServerFailed, 1 CallTimeout)" in str(unanswered)
    assert "\n" not in str(unanswered)
