"""How a worked example is shown."""

from __future__ import annotations

import pytest

from agents.prompting.requests import show_example
from protocols.prompt import Prompt, Section
from protocols.task import Example
from tests.world import TASK


@pytest.mark.parametrize(
    ("frame", "text", "shown"),
    [
        ("Text: {text}\nLabel:", "a card", "Text: a card\nLabel: yes"),
        ("文：{text}\n标签：", "卡", "文：卡\n标签： yes"),
        ("Which?\nText: {text}", "a card", "Text: a card\nAnswer: yes"),
        ("Text: {text}", "sort these:", "Text: sort these:\nAnswer: yes"),
        ("Text: {text}\nLabel:", "two\n\nparts", "Text: two\nparts\nLabel: yes"),
        ("Text: {text}\n\nOne word.\n \nLabel:", "a card", "Text: a card\nOne word.\nLabel: yes"),
    ],
)
def test_the_answer_follows_the_cue_of_the_frame_whatever_the_input_ends_with(
    frame: str, text: str, shown: str
) -> None:
    prompt = Prompt((Section("rule", "task", "Be brief."), Section("input", "task", frame)))
    assert show_example(prompt, TASK, Example("1", {"text": text}, "yes")) == shown
    assert "\n\n" not in show_example(prompt, TASK, Example("1", {"text": text}, "yes\n\nand more"))
