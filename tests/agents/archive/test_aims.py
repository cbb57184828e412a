"""A search that ends because it is good enough, or because nothing comes of it any more."""

from __future__ import annotations

import math
from collections.abc import Sequence

import anyio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.archive.aims import SETTINGS, Aims
from agents.history.fold import Fold, fold
from agents.ring.controller import SearchSettings
from agents.ring.team import Tell
from memory.journals.journal import open_journal
from protocols.messages import Assignment, Change, Critique, Envelope, Failure, Finished, Resumed
from tests.memory.helpers import directory as temporary
from tests.world import FIRST_PROMPT, TASK, Ring, value

LIMIT = 14
aims = st.builds(Aims, st.none() | st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0]), st.none() | st.integers(1, 6))
changes = st.builds(Change, st.just("budget.target"), st.none() | st.floats(0, 1), st.none()) | st.builds(
    Change, st.just("budget.patience"), st.none() | st.integers(1, 9), st.none()
)


def ring(begun: Aims, seed: int, last: int = 0) -> Ring:
    return Ring(settings=SearchSettings(2, LIMIT, aims=begun), seed=seed, last=last)


def expected_end(log: Sequence[Envelope], begun: Aims) -> tuple[str, int | None]:
    """What ends the search by what the Controller was told, counted anew, and the envelope at which that was so."""
    wanted, best, idle, made = begun, -math.inf, 0, 0
    for envelope in log:
        match envelope.message:
            case Assignment():
                made += 1
                continue
            case Change(setting, number):
                wanted = wanted.changed(setting, number)
            case Critique(assignment=number, evaluation=evaluation):
                better = evaluation.survived and evaluation.value > best
                idle = 0 if better else idle + 1
                best = evaluation.value if better else best
            case Failure():
                idle += 1
            case _:
                continue
        if made < LIMIT and wanted.target is not None and best >= wanted.target:
            return "target", envelope.id
        if made < LIMIT and wanted.patience is not None and idle >= wanted.patience:
            return "patience", envelope.id
    return "assignments", None


@given(begun=aims, seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_a_search_ends_when_its_aim_is_reached_and_issues_nothing_after(begun: Aims, seed: int) -> None:
    search = ring(begun, seed)
    stopped_by = anyio.run(search.run)
    kind, at = expected_end(search.log, begun)
    assert stopped_by.partition(": ")[0] == kind
    assert all(f"budget.{kind}" in stopped_by for _ in [at] if at is not None)
    issued = [e for e in search.log if isinstance(e.message, Assignment)]
    assert at is None or all(e.cause is not None and e.cause < at for e in issued)
    assert set(search.endings().values()) <= {1}
    assert isinstance(search.log[-1].message, Finished)


def test_a_first_prompt_that_is_good_enough_ends_the_search_at_once() -> None:
    search = ring(Aims(target=value(FIRST_PROMPT)), 0)
    assert anyio.run(search.run).startswith("target: 0.125")
    assert search.controller.issued == 0
    assert search.model.calls <= len(TASK.validation) + len(TASK.train) + 1


@example(begun=Aims(None, 1), then=Aims(0.0, None), seed=0, share=1.0)
@given(begun=aims, then=aims, seed=st.integers(0, 99), share=st.floats(0, 1))
@settings(max_examples=6, deadline=None)
def test_a_run_that_is_killed_goes_on_to_the_same_aims_or_to_others(
    begun: Aims, then: Aims, seed: int, share: float
) -> None:
    """A new Controller that is told the same decides the same, whatever the aims are by then."""

    async def main() -> None:
        search = ring(begun, seed)
        await search.run()
        before = search.log[: int(share * (len(search.log) + 1))]
        last = before[-1].id if before else 0
        with temporary() as path:
            async with open_journal(path / "journal") as journal:
                for envelope in before:
                    await journal.append(envelope)
            later = ring(begun, seed, last)
            resumed = Resumed(0.0, target=then.target, patience=then.patience)
            opening = await fold(path / "journal", later.controller, FIRST_PROMPT, last + 1, going_on=resumed)
        await later.bus.note(resumed, sender="team")
        stopped_by = await later.team.run(opening)
        best = later.controller.archive.best().value
        kind = stopped_by.partition(": ")[0]
        assert kind != "target" or (then.target is not None and best >= then.target)
        assert kind != "patience" or then.patience is not None
        assert kind != "assignments" or later.controller.issued == LIMIT
        assert later.controller.aims == then
        again = ring(begun, seed)
        again.bus.close()
        log = [*before, *later.log]
        folded = Fold(again.controller, log)
        for envelope in log:
            await folded.take(envelope)
        assert not folded.said
        assert again.controller.issued == later.controller.issued

    anyio.run(main)


@given(begun=aims, said=st.lists(changes, max_size=5), seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_aims_that_change_meanwhile_hold_from_then_on(begun: Aims, said: list[Change], seed: int) -> None:
    async def main() -> None:
        search = ring(begun, seed)

        async def person(tell: Tell) -> None:
            for change in said:
                for _ in range(9):
                    await anyio.lowlevel.checkpoint()
                await tell(change)

        stopped_by = await search.run(person)
        kind, at = expected_end(search.log, begun)
        issued = [e.cause for e in search.log if isinstance(e.message, Assignment) and e.cause is not None]
        assert kind == "assignments" or stopped_by.partition(": ")[0] in SETTINGS.values() or max(issued) > (at or 0)
        assert sum(isinstance(e.message, Finished) for e in search.log) == 1
        again = ring(begun, seed)
        again.bus.close()
        folded = Fold(again.controller, search.log)
        for envelope in search.log:
            await folded.take(envelope)
        assert not folded.said

    anyio.run(main)
