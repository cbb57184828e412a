"""How a worked example and a prompt are shown, and how a reply between tags is read."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.prompting.requests import (
    HEADINGS,
    read_drafts,
    read_parts,
    read_tagged,
    sent_in,
    show_example,
    show_prompt,
    show_turns,
)
from protocols.errors import UnreadableReply
from protocols.model import ChatMessage, Finish
from protocols.prompt import Prompt, Section
from protocols.task import Example
from tests.strategies import Near, prompts, sections, texts
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


tags = [
    "<new>",
    "</new>",
    "\n<new>",
    "<think>",
    "</think>",
    "```",
    "`",
    '<part name="rule">',
    "<part name='rule'>",
    "</part>",
]
said = st.lists(
    st.sampled_from([*tags, "{text}", '{"a": 1}', "付款", "\ud83d", "\n", "- "]) | texts, max_size=12
).map("".join)


@given(said, st.sampled_from(["stop", "length"]), st.booleans())
def test_any_reply_is_read_or_unreadable(reply: str, finish: Finish, empty: bool) -> None:
    """What is read is a text of the reply without surrogates, and not blank unless it may be."""
    with suppress(UnreadableReply):
        text = read_tagged(reply, "new", finish, empty)
        assert text in reply
        assert text.strip() or (empty and not text)
    with suppress(UnreadableReply):
        drafts = read_drafts(reply, finish)
        assert len(drafts) == len(set(drafts)) > 0
        assert all(draft.strip() and draft in reply for draft in drafts)
        "".join(drafts).encode()
    with suppress(UnreadableReply):
        parts = read_parts(reply, ["rule", "other"], finish)
        assert parts.keys() == {"rule"}
        assert parts["rule"] in reply
        parts["rule"].encode()


written = st.text("ab {}<>付\n`", max_size=12).map(str.strip).filter(lambda text: "`" not in text)


@given(
    st.dictionaries(st.sampled_from(["rule", "input", "other"]), written, min_size=1), st.sampled_from(['"', "'", ""])
)
def test_written_parts_are_read_back_by_the_names_that_are_asked_for(parts: dict[str, str], quote: str) -> None:
    reply = "\n".join(f"<part name={quote}{name}{quote}>\n{text}\n</part>" for name, text in parts.items())
    wanted = {name: text for name, text in parts.items() if name != "other"}
    if wanted:
        assert read_parts(f"<think>hm</think>{reply}", ["rule", "input"]) == wanted
    else:
        with pytest.raises(UnreadableReply):
            read_parts(reply, ["rule", "input"])


@given(st.lists(written.filter(bool), min_size=1, max_size=4))
def test_written_drafts_are_read_back_and_tags_that_are_spoken_of_are_none(drafts: list[str]) -> None:
    reply = "\n".join(f"{n}. <new>{text}</new>" for n, text in enumerate(drafts, start=1))
    assert read_drafts(f"I put them between <new> and </new>.\n{reply}") == list(dict.fromkeys(drafts))


FRAME = Section("input", "task", "Text: {text}\nLabel:", frozen=True)
INPUTS = st.fixed_dictionaries({"text": texts})


@given(st.lists(sections, max_size=4, unique_by=lambda section: section.name), INPUTS, texts)
def test_a_users_turn_is_the_user_message_of_the_prompt(
    drawn: list[Section], inputs: dict[str, str], reply: str
) -> None:
    """Of one that has no worked examples before the input, and no passages."""
    prompt = Prompt((*(section for section in drawn if section.name != "input"), FRAME))
    example = Example("1", inputs, "yes")
    user, assistant = show_turns(prompt, TASK, example, reply)
    before = [s for s in prompt if s.kind != "examples" or sent_in(s, ["text"]) != "user"]
    assert user == Prompt(tuple(before)).render(Near(inputs))[-1]
    assert assistant == ChatMessage("assistant", reply)
    assert show_turns(prompt, TASK, example)[1] == ChatMessage("assistant", "yes")


def test_a_users_turn_is_without_places_and_what_is_nothing_else() -> None:
    prompt = Prompt(
        (
            Section("facts", "knowledge", "Know:\n{passages:2}"),
            Section("hint", "definitions", "Mind {this}.", form="input"),
            Section("shots", "examples", "{examples:2}\n{text}"),
            Section("input", "task", "{passages:1}\n\nSee {examples:2}: {text}\n{examples:3} {passages:1}\n\nLabel:"),
        )
    )
    user, _ = show_turns(prompt, TASK, Example("1", {"text": "{passages:1} a "}, "yes"))
    assert user.text == "Mind {this}.\n\nSee : {passages:1} a \n\nLabel:"


@given(prompts, st.data())
def test_a_prompt_is_shown_as_it_is_sent_with_the_marked_part_in_its_place(
    prompt: Prompt, data: st.DataObject
) -> None:
    """Also where that part is empty."""
    marked = data.draw(st.sampled_from([section.name for section in prompt]))
    shown = str(show_prompt(prompt, ("text", "question"), marked))
    there = [section for section in prompt if section.text or section.name == marked]
    position = 0
    for where, heading in HEADINGS.items():
        sections = [section for section in there if sent_in(section, ("text", "question")) == where]
        if sections:
            position = shown.index(f"{heading}\n", position)
        for section in sections:
            name, kind = section.name, section.kind
            opening = f'<part name="{name}" kind="{kind}">\n' if name == marked else f"[{name}]\n"
            position = shown.index(opening, position)
    assert shown.count(f'<part name="{marked}"') == 1


def test_a_model_is_shown_which_part_of_a_prompt_is_sent_where() -> None:
    turns = "--- user ---\nText: a\n\nb\n--- assistant ---\nyes\n--- user ---\nText: c\n--- assistant ---\nno"
    prompt = Prompt(
        (
            FRAME,
            Section("near", "examples", "{examples:2}", form="turns"),
            Section("rule", "task", "Decide."),
            Section("shots", "examples", turns, form="turns"),
            Section("hint", "reminders", "Be brief.", form="input"),
        )
    )
    block = show_prompt(prompt, ["text"])
    assert str(block) == (
        "<prompt>\n--- system message ---\n[rule]\nDecide.\n"
        "--- turns of the chat, the same for every input ---\n[shots]\n"
        "--- user ---\nText: a\n\nb\n--- assistant ---\nyes\n\n"
        "--- user ---\nText: c\n--- assistant ---\nno\n"
        "--- turns of the chat, filled for each input ---\n[near]\n{examples:2}\n"
        "--- user message ---\n[input]\nText: {text}\nLabel:\n[hint]\nBe brief.\n</prompt>"
    )
    assert [piece.text for piece in block.pieces if piece.rank is not None] == [
        "--- user ---\nText: a\n\nb\n--- assistant ---\nyes",
        "--- user ---\nText: c\n--- assistant ---\nno",
        "{examples:2}",
    ]
