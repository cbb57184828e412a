"""What a critic is shown of many failures: each cluster, the largest first, nothing twice and nothing cut."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.ring.clusters import FIRST_LOOK, cluster
from protocols.embedding import HashedNgrams
from protocols.messages import Outcome

EMBED = HashedNgrams().vector
mistakes = st.sets(
    st.sampled_from(["yes answered as no", "missed person", "invented person", "too long"]), max_size=3
)
inputs = st.sampled_from(
    ["amber is a resin", "amber is resinous", "the parcel never came", "付款失败", ""]
) | st.text(max_size=9)
failures = st.lists(st.tuples(inputs, mistakes), max_size=40).map(
    lambda rows: [failure(n, text, *made) for n, (text, made) in enumerate(rows)]
)


def failure(number: int, text: str, *made: str) -> Outcome:
    return Outcome(f"t{number}", {"text": text}, "yes", "", "no", 0.0, "", mistakes=dict.fromkeys(made, 1))


@given(failures, st.integers(1, 40))
@settings(deadline=None)
def test_largest_first_each_of_one_mistake_and_as_many_as_there_is_room_for(failed: list[Outcome], most: int) -> None:
    clusters = cluster(failed, most, EMBED)
    shown = [outcome.example for c in clusters for outcome in c.shown]
    assert len(shown) == len(set(shown)) == min(most, len(failed))
    sizes = [c.size for c in clusters]
    assert sizes == sorted(sizes, reverse=True)
    for c in clusters:
        assert set.intersection(*(set(o.mistakes) for o in c.shown)) or not any(o.mistakes for o in c.shown)
        assert len(c.shown) <= c.size
    if most >= len(failed):
        assert sum(sizes) == len(failed)
    everywhere = [min(FIRST_LOOK, c.size) for c in cluster(failed, 1000, EMBED)]
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
    failed = [failure(n, text, "yes answered as no") for n, text in enumerate(texts)]
    clusters = cluster([*failed, failure(4, texts[0], "no answered as yes")], 24, EMBED)
    assert Counter(frozenset(o.example for o in c.shown) for c in clusters) == Counter(
        [frozenset({"t0", "t2", "t3"}), frozenset({"t1"}), frozenset({"t4"})]
    )
    assert clusters[0].size == 3


def test_a_reply_with_several_mistakes_is_put_to_the_commonest() -> None:
    text = "amber is a resin"
    made = [("missed person",), ("missed place", "missed person"), ("missed person", "invented group"), ("too long",)]
    clusters = cluster([failure(n, text, *names) for n, names in enumerate(made)], 24, EMBED)
    assert [{o.example for o in c.shown} for c in clusters] == [{"t0", "t1", "t2"}, {"t3"}]
