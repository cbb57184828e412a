"""Worked examples as turns: written and read to the letter, checked when a section is made, sent as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import EditRejected, PromptError
from protocols.files import prompt_file
from protocols.files.prompt_file import read_section, readable, saved_section
from protocols.model import TURN, ChatMessage
from protocols.naming import closed
from protocols.prompt import Form, Prompt, Section, estimate_tokens, fill, names_in, placeholders
from protocols.turns import dump_turns, load_turns
from tests.strategies import (
    FIELDS,
    Near,
    conversations,
    prompts,
    sections,
    sections_of_turns,
    texts,
    texts_of_sections,
)

INPUTS = {"text": "{question}", "question": "?"}


@given(conversations)
def test_turns_are_read_as_they_were_written(said: tuple[ChatMessage, ...]) -> None:
    assert load_turns(dump_turns(said)) == said


def test_the_notation() -> None:
    said = (ChatMessage("user", "a\n\n--- user ---"), ChatMessage("assistant", "--- b\n"))
    assert dump_turns(said) == "--- user ---\na\n\n\\--- user ---\n--- assistant ---\n--- b\n"


WRONG = [
    ("hello\n--- user ---\na\n--- assistant ---\nb", 1, "text before the first turn"),
    ("\n\nhello", 3, "text before the first turn"),
    ("{examples:2}\n{examples:2}", 1, "text before the first turn"),
    ("--- assistant ---\na", 1, "where one of the user belongs"),
    ("--- user ---\na\n--- user ---\nb", 3, "where one of the assistant belongs"),
    ("--- user ---\na", 1, "the assistant's reply is missing"),
    ("--- user ---\na\n--- assistant ---\nb\n--- user ---\nc", 5, "the assistant's reply is missing"),
    ("--- user ---\n \n--- assistant ---\nb", 1, "an empty turn of the user"),
    ("--- user ---\na\n--- assistant ---", 3, "an empty turn of the assistant"),
    ("--- user ---\na\n--- System ---\nb", 3, "not a header of a turn"),
    ("---user---\na\n--- assistant ---\nb", 1, "not a header of a turn"),
]


@pytest.mark.parametrize(("text", "line", "reason"), WRONG)
def test_wrong_turns_are_refused_with_their_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(PromptError, match=rf"^line {line}: .*{reason}"):
        load_turns(text)
    with pytest.raises(PromptError, match=rf"^line {line}: section shots: .*{reason}"):
        Section("shots", "examples", text, form="turns")
    file = f"=== task (task) ===\n{{text}}\n=== shots (examples, turns) ===\n{text}\n"
    with pytest.raises(PromptError, match=rf"^p\.txt:{line + 3}: section shots: .*{reason}"):
        prompt_file.loads(file, "p.txt")
    prompt = Prompt((Section("shots", "examples", "before"),))
    with pytest.raises(EditRejected, match=reason):
        prompt.edit("shots", text, FIELDS, "turns")


@given(texts_of_sections)
def test_only_examples_are_turns(section: Section) -> None:
    if section.kind != "examples":
        with pytest.raises(PromptError, match="only examples can be turns"):
            replace(section, text="", form="turns")


@pytest.mark.parametrize(
    ("words", "section"),
    [
        ("examples", Section("x", "examples")),
        ("examples, system", Section("x", "examples")),
        ("examples, input", Section("x", "examples", form="input")),
        ("examples, turns, frozen", Section("x", "examples", frozen=True, form="turns")),
        ("examples, frozen, input", Section("x", "examples", frozen=True, form="input")),
    ],
)
def test_a_header_says_the_form(words: str, section: Section) -> None:
    assert prompt_file.loads(f"=== x ({words}) ===\n") == Prompt((section,))


@pytest.mark.parametrize(
    "words", ["examples, turn", "examples, input, turns", "examples, frozen, frozen", "task, turns", "examples, "]
)
def test_a_header_with_other_words_is_refused_with_its_line(words: str) -> None:
    with pytest.raises(PromptError, match=r"^p\.txt:2: "):
        prompt_file.loads(f"\n=== x ({words}) ===\n", "p.txt")


@given(sections)
def test_what_is_kept_of_a_section_says_its_form(section: Section) -> None:
    assert read_section(saved_section(section)) == (section.form, section.text)
    if section.form == "system":
        assert readable(section) == section.text
    else:
        assert prompt_file.loads(f"{readable(section)}\n") == Prompt((section,))


@given(st.text("=\\- ()", max_size=5) | texts)
def test_a_bare_text_is_kept_bare(text: str) -> None:
    """Unless it looks like what is kept of a section of another form."""
    kept = saved_section(Section("x", "task", text))
    assert kept == text or text.startswith("===")


def parts(prompt: Prompt, inputs: Mapping[str, str]) -> list[ChatMessage]:
    """What `render` gives, written once more, from the sections alone."""
    system = [s for s in prompt if s.form == "system" and not placeholders(s.text, inputs)]
    user = [s for s in prompt if s.form == "input" or (s.form == "system" and placeholders(s.text, inputs))]
    turns = [s for s in prompt if s.form == "turns"]
    messages = [("system", [s.text for s in system if s.text])]
    for fixed in turns:
        if "{examples:" not in fixed.text or fixed.text.strip()[0] != "{":
            messages += [(turn.speaker, [turn.text]) for turn in load_turns(fixed.text)]
    for near in turns:
        if near.text.strip()[:10] == "{examples:":
            messages += [("user", [f"near {near.text.strip()[1:-1]}"]), ("assistant", ["{text}"])]
    messages.append(("user", [fill(s.text, inputs) for s in user if s.text]))
    return [ChatMessage(speaker, "\n\n".join(said)) for speaker, said in messages if said]  # type: ignore[arg-type]


@given(prompts)
def test_the_order_of_the_messages(prompt: Prompt) -> None:
    names = {name: "!" for name in names_in(prompt)} | INPUTS
    messages = prompt.render(Near(names))
    assert list(messages) == parts(prompt, names)
    template = prompt.template(names)
    assert messages[: len(template.fixed)] == template.fixed


def test_turns_that_are_filled_need_examples() -> None:
    prompt = Prompt((Section("x", "examples", "{examples:2}", form="turns"), Section("i", "task", "{text}")))
    with pytest.raises(PromptError, match=r"\{examples:2\} is filled from training examples"):
        prompt.render({"text": "a"})


@given(sections_of_turns, texts)
def test_nothing_in_turns_is_a_placeholder(section: Section, text: str) -> None:
    prompt = Prompt((replace(section, frozen=False),))
    assert names_in(prompt) == set()
    assert prompt.edit(section.name, "", FIELDS)[section.name].text == ""
    if not placeholders(text, FIELDS):
        edited = prompt.edit(section.name, text, FIELDS, "input")[section.name]
        assert (edited.text, edited.form) == (text, "input")


@given(sections)
def test_a_change_of_the_form_alone_is_an_edit(section: Section) -> None:
    prompt = Prompt((section,))
    other: Form = "input" if section.form == "system" else "system"
    if section.frozen:
        with pytest.raises(EditRejected, match="frozen"):
            prompt.edit(section.name, section.text, FIELDS, other)
    elif section.form != "turns":
        edited = prompt.edit(section.name, section.text, FIELDS, other)
        assert edited != prompt
        assert edited[section.name] == replace(section, form=other)


@given(conversations)
def test_turns_are_as_long_as_they_are_sent(said: tuple[ChatMessage, ...]) -> None:
    section = Section("x", "examples", dump_turns(said), form="turns")
    assert section.tokens == sum(estimate_tokens(turn.text) + TURN for turn in said)


def test_the_headers_of_turns_name_no_label() -> None:
    turns = Section("x", "examples", "--- user ---\na b\n--- assistant ---\nc", form="turns")
    assert turns.said == "a b\n\nc"
    names = closed(["user", "assistant", "c"])
    assert names.missing(Prompt((turns,))) == ["user", "assistant"]
