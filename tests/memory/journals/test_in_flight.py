"""The calls in flight are on record, whatever ends first: they, the process, or the room on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.journals.in_flight import SLOT, Begun, left_behind, open_in_flight
from protocols.errors import StorageFailed
from tests.memory.helpers import directory


def begun(number: int) -> Begun:
    """Every fourth has a name that no slot holds."""
    model = "openai/größer" + "]" * SLOT * (number % 4 == 0) * (number % 3)
    return Begun(number, 1.5, None if number % 3 else number, "task", model, 10 * number)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_what_is_in_flight_is_in_the_file_whose_slots_are_used_again(steps: list[int]) -> None:
    """A step begins a call, or ends one of those in flight. A call that has ended may be there still."""
    with directory() as folder, open_in_flight(folder / "begun") as record:
        flying: list[int] = []
        for number, step in enumerate(steps, start=1):
            if step < 3 or not flying:
                record.begin(begun(number))
                flying.append(number)
            else:
                record.end(flying.pop(step % len(flying)))
            found = left_behind(folder / "begun")
            assert {begun(number) for number in flying} <= set(found)
        bound = (folder / "begun").stat().st_size
        for number in [*flying]:
            record.end(number)
            record.begin(begun(number))
        assert (folder / "begun").stat().st_size == bound


def test_no_file_is_no_call_and_a_torn_one_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "begun"
    assert left_behind(path) == []
    with open_in_flight(path) as record:
        for number in (1, 2):
            record.begin(begun(number))
    path.write_bytes(path.read_bytes()[: SLOT + 20])
    assert left_behind(path) == [begun(1)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is of Linux")
def test_a_full_disk_is_one_line() -> None:
    with (
        open_in_flight(Path("/dev/full")) as record,
        pytest.raises(StorageFailed, match="/dev/full: the disk is full"),
    ):
        record.begin(begun(1))


def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="cannot be used"), open_in_flight(tmp_path):
        pass
