"""Examples that came later: none is lost, none is known, and the earlier ones stand before them as they were."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from protocols.data import add, check_splits
from protocols.data.cutting import LEAST
from protocols.task import Example

OLD = {
    name: tuple(Example(f"{start + n}", {"text": f"{name} {n}"}, "a") for n in range(size))
    for name, start, size in (("train", 0, 8), ("validation", 100, 6), ("test", 200, 6))
}
texts = st.sampled_from([*(f"new {n}" for n in range(40)), "train 0", "validation 1", "test 2"])
rows = st.lists(st.tuples(st.sampled_from(["0", "100", "x", "y"]), texts, st.sampled_from("ab")), max_size=60)


@given(rows, st.integers(0, 3), st.sampled_from(["classification", "generation"]))
def test_every_example_is_added_once_or_left_out_for_a_reason(
    rows: list[tuple[str, str, str]], seed: int, kind: str
) -> None:
    more = [Example(identity, {"text": text}, target) for identity, text, target in rows]
    added = add(OLD, more, "more-1", Random(seed), kind)  # type: ignore[arg-type]
    assert added == add(OLD, more, "more-1", Random(seed), kind)  # type: ignore[arg-type]
    check_splits(added.splits)
    new = [one for part in added.new.values() for one in part]
    assert len(new) + len(added.known) + len(added.conflicts) == len(more)
    for name, examples in OLD.items():
        assert added.splits[name] == (*examples, *added.new[name])
    everything = [one for part in added.splits.values() for one in part]
    target = {one.inputs["text"]: one.target for one in everything}
    assert len(target) == len(everything)
    assert all(target[one.inputs["text"]] == one.target for one in added.known)
    assert all(one.inputs == other.inputs and one.target != other.target for one, other in added.conflicts)
    assert not added.new["test"] or min(len(added.new["test"]), len(added.new["validation"])) >= LEAST
    assert len(new) < 20 or added.new["test"]
