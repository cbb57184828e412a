"""Images: their size is read from every format, and their labels and tokens say what they are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.images.headers import read_header
from protocols.images.image import FEWEST, MOST, Image, digest_of
from tests.pictures import FORMATS, image, png

sides = st.integers(1, 9000)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30)
@given(width=sides, height=sides)
def test_the_header_of_every_format_is_read(name: str, width: int, height: int) -> None:
    make = (lambda w, h: png(w, 1)[:16] + w.to_bytes(4) + h.to_bytes(4)) if name == "image/png" else FORMATS[name]
    assert read_header(make(width, height)) == (name.split()[0], (width, height))


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.data())
def test_what_is_cut_off_or_unknown_is_refused_in_words(name: str, data: st.DataObject) -> None:
    whole = FORMATS[name](300, 200)
    cut = whole[: data.draw(st.integers(0, len(whole)))] + data.draw(st.binary(max_size=4))
    said = name.split()[0]
    try:
        said, _ = read_header(cut)
    except ValueError as error:
        said = name.split()[0] if "PNG" in str(error) or "damaged" in str(error) else ""
    assert said == name.split()[0]


@given(st.text(), st.binary(max_size=8), st.binary(max_size=8))
def test_labels_are_one_line_and_differ_with_the_bytes(name: str, one: bytes, other: bytes) -> None:
    first, second = (Image(name, "data:,", digest_of(content)) for content in (one, other))
    assert (first == second) == (one == other)
    assert len(first.splitlines()) == 1
    assert not set("{}").intersection(first)
    assert first.count("[") == first.count("]") == 1
    assert len(first) < 70


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [(1, 1, FEWEST), (1024, 1024, 37 * 37), (1092, 1092, 39 * 39), (9000, 9000, MOST), (0, 0, 56 * 56)],
)
def test_tokens_are_patches_within_bounds(width: int, height: int, tokens: int) -> None:
    assert Image("a", "https://a/b", "0", size=(width, height)).tokens == tokens


def test_data_is_what_the_url_holds() -> None:
    shown = image()
    assert shown.url == f"data:image/png;base64,{shown.data}"
    assert Image("a", "https://a/b,c", "0").data == ""
