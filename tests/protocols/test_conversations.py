"""Conversations and images in a prompt: nothing is lost, the order is kept, and text alone is sent as ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.images.image import Image
from protocols.model import ChatMessage, Speaker, joined, spoken
from protocols.prompt import Prompt, Section, fill
from protocols.providers.wire import alternating
from protocols.turns import OPENING, Conversation, Mixed, images_of, parts_of
from tests.pictures import image, images
from tests.strategies import Near, prompts, texts

speakers = st.sampled_from(["system", "user", "assistant"])
turns = st.builds(ChatMessage, speakers, texts)
shown = st.lists(texts | images, max_size=4).map(lambda parts: spoken("user", parts))
talks = st.lists(turns | shown, max_size=5).map(Conversation.of)
mixed = st.lists(texts | images, max_size=4).map(Mixed)
values = st.one_of(texts, images, mixed, talks)


def solid(text: str) -> str:
    """Without white space, which is not kept at the ends of turns."""
    return "".join(text.split())


@given(prompts, texts, texts)
def test_text_alone_is_sent_as_ever(prompt: Prompt, text: str, question: str) -> None:
    inputs = Near({"text": text, "question": question})
    template = prompt.template(inputs)
    said = [message for place in template.places for message in inputs.turns(place)]
    user = "\n\n".join(fill(part, inputs) for part in template.varying)
    wanted = (*template.fixed, *said, *([ChatMessage("user", user)] if template.varying else []))
    assert prompt.render(inputs) == wanted
    assert prompt.render(Near({"text": Mixed([text]), "question": question})) == wanted


@given(prompts, values, values)
def test_nothing_is_lost_and_the_order_is_kept(prompt: Prompt, text: str, question: str) -> None:
    inputs = Near({"text": text, "question": question})
    template = prompt.template(inputs)
    messages = prompt.render(inputs)[len(template.fixed) + 2 * len(template.places) :]
    said = [part for message in messages for part in parts_of(message) if message.text != OPENING]
    least, most = ([part for one in template.varying for part in walk(one, inputs, names)] for names in (False, True))
    assert [part for part in said if isinstance(part, Image)] == [part for part in least if isinstance(part, Image)]
    assert goes_through(solid("".join(least)), solid("".join(said)))
    assert goes_through(solid("".join(said)), solid("".join(most)))
    if not any(isinstance(value, Conversation) and value.turns for value in inputs.values()):
        assert "".join(said) == "\n\n".join(fill(section, inputs) for section in template.varying)
    for message in messages:
        assert message.parts == (joined(message.parts) if images_of(Mixed(message.parts)) else ())
        assert message.text == "".join(message.parts) or not message.parts


def goes_through(some: str, whole: str) -> bool:
    """Whether all characters are in the other text, in this order."""
    rest = iter(whole)
    return all(character in rest for character in some)


def walk(section: str, inputs: Mapping[str, str], names: bool) -> list[str]:
    """The parts of a filled section, conversations turn by turn, with or without the names of the speakers."""
    for name, value in inputs.items():
        before, found, after = section.partition("{" + name + "}")
        if found:
            turns = value.turns if isinstance(value, Conversation) and not names else (value,)
            middle = [part for turn in turns for part in parts_of(turn)]
            return [*walk(before, inputs, names), *middle, *walk(after, inputs, names)]
    return [section]


def talk(*said: tuple[Speaker, str]) -> Conversation:
    return Conversation.of(ChatMessage(speaker, text) for speaker, text in said)


def sent(frame: str, **inputs: str) -> Sequence[tuple[str, str]]:
    prompt = Prompt((Section("rule", "task", "Decide."), Section("input", "task", frame)))
    return [(message.speaker, message.text) for message in prompt.render(inputs)][1:]


ASKED = talk(("user", "Hi"), ("assistant", "Yes?"), ("user", "Where is it?"))


def test_a_conversation_with_a_line_for_itself_is_turns() -> None:
    assert sent("{talk}", talk=ASKED) == [("user", "Hi"), ("assistant", "Yes?"), ("user", "Where is it?")]
    assert sent("Shop: {shop}\n\n  {talk} \nLabel:", talk=ASKED, shop="x") == [
        ("user", "Shop: x"),
        ("user", "Hi"),
        ("assistant", "Yes?"),
        ("user", "Where is it?"),
        ("user", "Label:"),
    ]


@pytest.mark.parametrize("frame", ["Talk: {talk}", "{talk} Label:", "<talk>{talk}</talk>"])
def test_elsewhere_it_is_a_transcript(frame: str) -> None:
    transcript = "user: Hi\nassistant: Yes?\nuser: Where is it?"
    assert sent(frame, talk=ASKED) == [("user", frame.replace("{talk}", transcript))]


@pytest.mark.parametrize(
    ("said", "frame", "wanted"),
    [
        ([("assistant", "Yes?"), ("user", "Hi")], "{t}", [("user", OPENING), ("assistant", "Yes?"), ("user", "Hi")]),
        ([("assistant", "Yes?"), ("user", "Hi")], "A\n{t}", [("user", "A"), ("assistant", "Yes?"), ("user", "Hi")]),
        ([("user", "Hi"), ("assistant", "Yes")], "A\n{t}\n", [("user", "A\nuser: Hi\nassistant: Yes\n")]),
        ([("user", "Hi"), ("assistant", "Yes")], "{t}\nA", [("user", "Hi"), ("assistant", "Yes"), ("user", "A")]),
        ([("system", "Be"), ("user", "Hi")], "{t}", [("system", "Be"), ("user", "Hi")]),
        ([("user", " "), ("user", "Hi")], "{t}", [("user", "Hi")]),
        ([], "A\n{t}\nB", [("user", "A\n\nB")]),
        ([], "{t}", [("user", "")]),
    ],
)
def test_odd_conversations(said: list[tuple[Speaker, str]], frame: str, wanted: list[tuple[str, str]]) -> None:
    assert sent(frame, t=talk(*said)) == wanted


def test_an_image_stands_where_its_placeholder_does() -> None:
    one, other = image("1.png", grey=1), image("2.png", grey=2)
    [message] = Prompt((Section("a", "task", "See {x}, then {y}."),)).render({"x": one, "y": Mixed(["two:", other])})
    assert message.parts == ("See ", one, ", then two:", other, ".")


@given(st.lists(turns | shown, max_size=6))
def test_alternating_turns_alternate_and_say_the_same(messages: list[ChatMessage]) -> None:
    said = list(alternating(messages))
    after = [message.speaker for message in said]
    first = next((n for n, speaker in enumerate(after) if speaker != "system"), len(after))
    assert "system" not in after[first:]
    assert all(one != other for one, other in zip(after[first:], after[first + 1 :], strict=False))
    whole = solid("".join(message.text for message in said)).replace("System:", "")
    assert whole == solid("".join(message.text for message in messages)).replace("System:", "")
    assert [i for m in said for i in m.images] == [i for m in messages for i in m.images]
    assert [i for m in alternating(messages, fold=True) for i in m.images] == [i for m in messages for i in m.images]


def test_copies_are_the_same_value() -> None:
    for value in (image(), Mixed(["a", image()]), ASKED):
        assert deepcopy({"x": value})["x"] is value
