"""What a critic is shown of many failures: each cluster, the largest first, nothing twice and nothing cut."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ring.clusters import FIRST_LOOK, cluster
from protocols.messages import Outcome

answers = st.sampled_from(["yes", "no", None])
inputs = st.sampled_from(
    ["amber is a resin", "amber is resinous", "the parcel never came", "付款失败", ""]
) | st.text(max_size=9)
failures = st.lists(st.tuples(inputs, answers, answers), max_size=40).map(
    lambda rows: [
        Outcome(f"t{n}", {"text": text}, target, "", answer, 0.0, "") for n, (text, target, answer) in enumerate(rows)
    ]
)


@given(failures, st.integers(1, 40))
@settings(deadline=None)
def test_largest_first_each_of_one_confusion_and_as_many_as_there_is_room_for(
    failed: list[Outcome], most: int
) -> None:
    clusters = cluster(failed, most)
    shown = [outcome.example for c in clusters for outcome in c.shown]
    assert len(shown) == len(set(shown)) == min(most, len(failed))
    sizes = [c.size for c in clusters]
    assert sizes == sorted(sizes, reverse=True)
    for c in clusters:
        assert len({(outcome.target, outcome.answer) for outcome in c.shown}) == 1
        assert len(c.shown) <= c.size
    if most >= len(failed):
        assert sum(sizes) == len(failed)
    everywhere = [min(FIRST_LOOK, c.size) for c in cluster(failed, 1000)]
    if most >= sum(everywhere):
        assert len(clusters) == len(everywhere), "every cluster is shown before one is shown at length"
        assert all(len(c.shown) >= least for c, least in zip(clusters, everywhere, strict=True))


def test_inputs_that_are_alike_come_together() -> None:
    texts = [
        "refund my card payment 1",
        "the parcel never arrived",
        "refund my card payment 2",
        "refund my card payment 3",
    ]
    failed = [Outcome(str(n), {"text": t}, "yes", "", "no", 0.0, "") for n, t in enumerate(texts)]
    clusters = cluster([*failed, Outcome("4", {"text": texts[0]}, "no", "", "yes", 0.0, "")], 24)
    assert Counter(frozenset(o.example for o in c.shown) for c in clusters) == Counter(
        [frozenset("023"), frozenset("1"), frozenset("4")]
    )
    assert clusters[0].size == 3
