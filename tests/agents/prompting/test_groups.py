"""Failures are put together by what was wrong with the answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.prompting.groups import grouped
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


@given(failures, st.lists(inputs, max_size=6))
@settings(deadline=None)
def test_each_failure_is_in_one_group_of_its_mistake_the_largest_first(
    failed: list[Outcome], right: list[str]
) -> None:
    good = [replace(failure(n, text), example=f"r{n}", score=1.0) for n, text in enumerate(right)]
    groups = grouped([*good, *failed], EMBED)
    assert Counter(o.example for group in groups for o in group.members) == Counter(o.example for o in failed)
    sizes = [len(group.members) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert len({group.mistake for group in groups}) == len(groups)
    for group in groups:
        assert all(group.mistake in o.mistakes or not (group.mistake or o.mistakes) for o in group.members)
        answers = {answer for o in group.members for answer in (o.target, o.answer)}
        assert group.right is None or (group.right in good and group.right.target in answers)
    shown = [group.right.example for group in groups if group.right is not None]
    assert len(set(shown)) == len(shown) == min(len(good), len(groups)), "each only once, the largest group's first"


def test_what_is_right_beside_a_group_looks_like_its_most_typical_failure() -> None:
    texts = ["refund my card payment", "refund the card payment please", "my card payment, refund it", "the weather"]
    failed = [failure(n, text, "yes answered as no") for n, text in enumerate(texts)]
    good = [
        replace(failed[0], example=name, inputs={"text": text}, score=1.0)
        for name, text in (("a", "a parcel that never came"), ("b", "the card payment was refunded"))
    ]
    [group] = grouped([*failed, *good], EMBED)
    assert group.right == good[1]
    assert group.members[0].example != "t3"
    assert group.members[1].example == "t3", "as unlike the first as there is"


def test_a_reply_with_several_mistakes_is_put_to_the_commonest() -> None:
    text = "amber is a resin"
    made = [("missed person",), ("missed place", "missed person"), ("missed person", "invented group"), ("too long",)]
    groups = grouped([failure(n, text, *names) for n, names in enumerate(made)], EMBED)
    assert [{o.example for o in g.members} for g in groups] == [{"t0", "t1", "t2"}, {"t3"}]
