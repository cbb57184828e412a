"""How a worked example is shown, and how a reply between tags is read."""

from __future__ import annotations

import pytest

from agents.prompting.requests import read_tagged, show_example
from protocols.errors import UnreadableReply
from protocols.model import Finish
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


TAGGED: list[tuple[str, str | None]] = [
    ("<new>Be brief.</new>", "Be brief."),
    ("<new>\nBe brief.\n</new>", "Be brief."),
    ("Sure!\n<new>\nBe brief.\n</new>\nThat is all.", "Be brief."),
    ("<think>\nPerhaps <new>a draft</new>.\n</think>\n\n<new>Be brief.</new>", "Be brief."),
    ("Perhaps <new>a draft</new>.\n</think>\n\n<new>Be brief.</new>", "Be brief."),
    ("Sure.\n<think><new>a draft</new></think>\n<new>Be brief.</new>", "Be brief."),
    ("<think>Perhaps <new>a draft</new></think>\nI cannot.", None),
    ("<think>Perhaps <new>a draft</new>", None),
    ("Perhaps <new>a draft</new> </think>\nI cannot.", None),
    ("<new>Think in <think> and </think>, then answer.</new>", "Think in <think> and </think>, then answer."),
    ("<new>\n<think>\nwhy\n</think>\nLabel:\n</new>", "<think>\nwhy\n</think>\nLabel:"),
    (
        "<think>hm</think><new>Write <think>why</think> first.</new>",
        "Write <think>why</think> first.",
    ),
    ("```\n<new>\nBe brief.\n</new>\n```", "Be brief."),
    ("```xml\n<new>Be brief.</new>\n```", "Be brief."),
    ("<new>\n```\nBe brief.\n```\n</new>", "Be brief."),
    ("<new>\n```text\nBe brief.\n```\n</new>", "Be brief."),
    ("<new>\n~~~\nBe brief.\n~~~\n</new>", "Be brief."),
    ("<new>`Be brief.`</new>", "Be brief."),
    ("`<new>`Be brief.`</new>`", "Be brief."),
    ("I put it between `<new>` and `</new>`:\n<new>Be brief.</new>", "Be brief."),
    ("<new>A draft.</new>\nBetter:\n<new>Be brief.</new>", "Be brief."),
    ("<new>\nReply so:\n```json\n{}\n```\n</new>", "Reply so:\n```json\n{}\n```"),
    ("<new>\n```json\n{}\n```\nand no more.\n</new>", "```json\n{}\n```\nand no more."),
    ("<new>\n```\na\n```\nor\n```\nb\n```\n</new>", "```\na\n```\nor\n```\nb\n```"),
    ("<new>\n````\nReply so:\n```json\n{}\n```\n````\n</new>", "Reply so:\n```json\n{}\n```"),
    ("<new>Say `yes` or `no`.</new>", "Say `yes` or `no`."),
    ("<new>`yes` or `no`</new>", "`yes` or `no`"),
    ("<new>\n```\n```\n</new>", None),
    ("<new>Be bri", None),
    ("<new> </new>", None),
    ("Be brief.", None),
]


@pytest.mark.parametrize(("reply", "text"), TAGGED)
def test_a_text_between_tags_without_what_frames_it(reply: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(UnreadableReply):
            read_tagged(reply, "new")
    else:
        assert read_tagged(reply, "new") == text


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_reply_that_ended_inside_its_thought_holds_no_text(finish: Finish) -> None:
    with pytest.raises(UnreadableReply):
        read_tagged("<think>\nSo <critique>\n[task] no\n</critique> or", "critique", finish)
