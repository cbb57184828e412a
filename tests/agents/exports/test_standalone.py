"""What an exported file of Python carries with it does what our own rooms do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.exports.formats import write_as
from agents.exports.literals import literal
from agents.exports.portable import Portable
from agents.exports.standalone.retrieving import Nearest
from agents.results.saved import SavedPrompt
from memory.retrieval import Shelf
from protocols.model import ChatMessage
from protocols.prompt import Prompt, Section
from protocols.providers.openai import message_of
from tests.renderers import python
from tests.strategies import texts

alike = st.lists(st.sampled_from(["a", "b", " ", "付", "款", "é", "😀", "ﬁ", "x1", "_", "."]), max_size=12).map(
    "".join
)
plain = st.recursive(
    texts | st.booleans() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(alike | texts, max_size=30), alike, st.integers(1, 8), st.data())
@settings(deadline=None, max_examples=60)
def test_the_same_items_are_the_nearest(keys: list[str], query: str, k: int, data: st.DataObject) -> None:
    """Also among many that are as near as each other."""
    query = data.draw(st.sampled_from([query, *keys]))
    numbers = list(range(len(keys)))
    assert Nearest(keys, numbers).nearest(query, k) == Shelf(keys, numbers).nearest(query, k)


@given(plain)
@settings(deadline=None, max_examples=60)
def test_a_literal_is_the_value(value: Any) -> None:
    names: dict[str, Any] = {}
    exec(compile(f"value = {literal(value)}", "literal", "exec"), names)
    assert names["value"] == value


PIXEL = "data:image/gif;base64,R0lGODlhAgADAAAAADs="
SAID = [{"role": "user", "content": "It broke {x}"}, {"role": "assistant", "content": " When? "}]
SEEN: list[dict[str, Any]] = [{"type": "text", "text": "This one:"}, {"type": "image", "image": PIXEL}]
VALUES: list[Any] = [
    "a text {hours}",
    [],
    SAID,
    [*SAID, {"role": "user", "content": SEEN}],
    [{"role": "developer", "content": "Be brief."}, *SAID, {"role": "user", "content": ""}],
    SAID[1:],
    {"image": PIXEL},
    {"image": "https://example.org/a%20b/receipt%20%5B1%5D.png?x=1", "detail": "low"},
    {"image": "dot.gif"},
    SEEN,
    [{"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}}, {"type": "text", "text": "\n{chat} 付款"}],
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(
    "layout", ["{chat}", "Chat: {chat}", "{hours}\n{chat}\n", "  {chat}\nAnswer {chat} now.\n{chat}", "{hours}"]
)
def test_conversations_and_images_are_sent_as_the_search_sends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, layout: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dot.gif").write_bytes(b"GIF89a\x02\x00\x03\x00\x00\x00\x00;")
    prompt = Prompt(
        (Section("task", "task", "Help."), Section("in", "task", layout), Section("end", "task", "End {hours}"))
    )
    saved = SavedPrompt(prompt, {}, ("chat", "hours"))
    portable = Portable("chat", saved, ("chat", "hours"), texts=False)
    exported = python(write_as("python", portable, "exported").files["exported.py"])
    given = {"chat": value, "hours": "9 to 5 {chat}"}
    sent: tuple[ChatMessage, ...] = saved.render(given)
    assert exported["render"](given) == [message_of(message) for message in sent]


def test_a_wrong_input_is_one_line() -> None:
    portable = Portable("p", SavedPrompt(Prompt((Section("in", "task", "{text}"),)), {}, ("text",)), ("text",))
    render = python(write_as("python", portable, "exported").files["exported.py"])["render"]
    for wrong in ({}, {"text": 3}, {"text": "x", "other": "y"}):
        with pytest.raises(ValueError, match="the fields are text"):
            render(wrong)
