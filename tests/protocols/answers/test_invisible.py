"""Labels are compared without characters that nobody sees; two that differ in these alone are refused."""

from __future__ import annotations

import pytest

from protocols.answers.spelling import Spellings
from protocols.errors import DataError
from protocols.text import fold

HIDDEN = [*map(chr, range(0x200B, 0x2010)), "\u2060", "\ufeff", "\u00ad", "\u202e"]


@pytest.mark.parametrize("mark", HIDDEN)
def test_labels_that_differ_in_one_alone_are_refused_and_shown_by_their_characters(mark: str) -> None:
    for hidden in (f"billing{mark}", f"{mark}billing", f"bill{mark}ing"):
        with pytest.raises(DataError, match="which look the same") as caught:
            Spellings(["billing", "shipping", hidden])
        assert ascii(hidden) in str(caught.value)
        assert str(caught.value).isascii()


@pytest.mark.parametrize("mark", HIDDEN)
def test_a_label_is_found_with_or_without_one(mark: str) -> None:
    hidden = f"bill{mark}ing{mark}"
    for label, reply in (("billing", hidden), (hidden, "Billing"), (hidden, f"{mark}{hidden}.")):
        spellings = Spellings([label, "shipping"])
        assert spellings.alone(spellings.prepared(reply)) == label


def test_composed_and_decomposed_letters_look_the_same() -> None:
    with pytest.raises(DataError, match=r"'caf\\xe9' and 'cafe\\u0301', which look the same"):
        Spellings(["caf\u00e9", "cafe\u0301"])


def test_labels_that_look_different_are_shown_as_they_are() -> None:
    with pytest.raises(DataError, match="'Café' and 'café' apart"):
        Spellings(["Café", "café"])


def test_folding_ends_with_the_first_time() -> None:
    for mark in HIDDEN:
        once = fold(f"a {mark} b{mark}\u0301")
        assert fold(once) == once
