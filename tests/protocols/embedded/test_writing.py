"""The embedded model writes by the kind of a part, from the examples that a request shows: lines, bounds, drafts."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.model import ChatMessage, Request
from protocols.providers.embedded import EmbeddedModel
from protocols.providers.embedded.features import length_in_words
from tests.protocols.embedded.invented import FORM, Language, accuracy, ask, language, listed, pseudo_words

END = "Think first. Then write the whole new text of the part between <new> and </new>."
DRAFTS = "Then write each of the three versions between <new> and </new>."
CRITIQUE = (
    "Think first. Then write this between <critique> and </critique>, and ids between <doubtful> and </doubtful>."
)
Pairs = Sequence[tuple[str, str]]


def errors(pairs: Pairs) -> str:
    records = [
        f"Input: {text}\nExpected: {label}\nAnswered: none\nReplied: I see:\n  \n  none\nExample: n-{number}"
        for number, (text, label) in enumerate(pairs)
    ]
    return f'<errors group="1" examples="{len(pairs)}">\n' + "\n\n".join(records) + "\n</errors>"


def lined(tag: str, pairs: Pairs) -> str:
    return f"<{tag}>\n" + "\n".join(f"- {text} → {label}" for text, label in pairs) + f"\n</{tag}>"


def requested(
    current: str, blocks: str, instruction: str = "At most 1000 words.", kind: str = "definitions", end: str = END
) -> str:
    marked = (
        f'<part name="hints" kind="{kind}">\n{current}\n</part>'
        if current
        else f'<part name="hints" kind="{kind}">\n</part>'
    )
    prompt = f"<prompt>\n--- system message ---\n[task]\nWhich kind?\n{marked}\n</prompt>"
    return f"{prompt}\n\n{blocks}\n\nRewrite the part hints.\n{instruction}\n{end}"


def new(reply: str) -> list[str]:
    return re.findall(r"<new>\n(.*?)\n</new>", reply, re.DOTALL)


def edit(
    current: str, pairs: Pairs, instruction: str = "At most 1000 words.", more: str = "", kind: str = "definitions"
) -> str:
    """The new text of a part, from errors."""
    blocks = f"{errors(pairs)}\n\n{more}" if pairs else more
    (text,) = new(ask("You write prompts.", [requested(current, blocks, instruction, kind)])[0])
    return text


def spoken(seed: int = 5) -> tuple[Language, random.Random]:
    return language(seed)


def test_definitions_get_a_line_for_each_answer_with_its_own_words() -> None:
    tongue, rng = spoken()
    for line in edit("", tongue.texts(60, rng)).split("\n"):
        label, told = line.removeprefix("- ").split(": ")
        assert len(set(told.split(", ")[:4]) & set(tongue.topics[label])) >= 3


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("task", r"- (?P<answer>\w+): [\w, ]+"),
        ("reasoning", r"If the input speaks of [\w, ]+, think of (?P<answer>\w+)\."),
        ("reminders", r"Remember that [\w, ]+ mean (?P<answer>\w+)\."),
        ("knowledge", r"Texts about [\w, ]+ belong to (?P<answer>\w+)\."),
    ],
)
def test_each_kind_has_its_lines_and_what_stands_there_stays(kind: str, form: str) -> None:
    tongue, rng = spoken()
    first, *lines = edit("Read {text} with care.", tongue.texts(36, rng), kind=kind).split("\n")
    assert first == "Read {text} with care."
    found = [re.fullmatch(form, line) for line in lines]
    assert {match["answer"] for match in found if match} == set(tongue.labels)
    assert len(found) == len(tongue.labels)


@pytest.mark.parametrize("kind", ["format", "examples"])
def test_a_form_and_examples_keep_their_text(kind: str) -> None:
    tongue, rng = spoken()
    assert edit(FORM, tongue.texts(36, rng), kind=kind) == FORM


def test_records_of_a_single_word_can_be_told_apart_or_not() -> None:
    assert edit("", [("amber", "yes")]) == "- yes: amber"
    assert edit("", [("amber", "yes"), ("amber", "no")]) == ""


def test_an_answer_of_several_lines_is_none_of_several() -> None:
    assert edit("", [("amber", "a story\n  of two lines"), ("red", "x" * 80), ("green", "go")]) == "- go: green"


@pytest.mark.parametrize("tag", ["data", "right"])
def test_what_it_writes_from_lines_teaches_it(tag: str) -> None:
    tongue, rng = spoken()
    request = requested("", lined(tag, tongue.texts(36, rng)))
    (written,) = new(ask("", [request])[0])
    asked = tongue.texts(200, rng)
    bare = accuracy(f"{listed(tongue.labels)}\n\n{FORM}", asked, tongue.labels)
    assert accuracy(f"{listed(tongue.labels)}\n\n{written}\n\n{FORM}", asked, tongue.labels) > bare + 0.2


def test_what_is_right_and_alike_is_set_against_errors_and_counts_once() -> None:
    shared = "\nRight, and alike: - amber stone → no\n</errors>"
    request = requested(
        "",
        errors([("amber sea", "yes")]).replace("\n</errors>", shared)
        + "\n\n"
        + lined("right", [("amber stone", "no")]),
    )
    assert new(ask("", [request])[0]) == ["- yes: sea\n- no: stone"]


def test_further_errors_are_read_from_their_lines() -> None:
    further = "no → yes (2)\n- amber sea → no, expected yes (t-1)\n- amber stone → yes, no, expected no (t-2)"
    request = requested("", f"<more_errors>\n{further}\n</more_errors>")
    assert new(ask("", [request])[0]) == ["- yes: sea\n- no: stone"]


def test_every_field_of_an_input_is_read() -> None:
    records = (
        "Input (title): red amber\nInput (body): blue sea\nExpected: yes\n\n"
        "Input (title): red amber\nInput (body): stone\n  sand\nExpected: no"
    )
    request = requested("", f"<errors>\n{records}\n</errors>")
    assert new(ask("", [request])[0]) == ["- yes: blue, sea\n- no: stone, sand"]


def test_a_line_of_the_same_answer_is_renewed_in_its_place() -> None:
    tongue, rng = spoken()
    first, second, *_ = tongue.labels
    pairs = [(tongue.text(label, rng), label) for label in (first, second) for _ in range(4)]
    lines = edit(f"- {second}: seventh\nRead {{text}} with care.\n- other: heaven", pairs).split("\n")
    assert lines[0].startswith(f"- {second}: ")
    assert lines[0].endswith(", seventh")
    assert lines[1:3] == ["Read {text} with care.", "- other: heaven"]
    assert lines[3].startswith(f"- {first}: ")
    assert len(lines) == 4


def test_a_diagnosis_makes_its_words_weigh_more() -> None:
    tongue, rng = spoken()
    label = tongue.labels[0]
    pairs = tongue.texts(36, rng)

    def told(more: str = "") -> list[str]:
        lines = edit("", pairs, more=more).split("\n")
        return next(line for line in lines if label in line).split(": ")[1].split(", ")

    last = told()[-1]
    assert told(f"<diagnosis>\nMind {last}.\n</diagnosis>").index(last) < told().index(last)


def test_three_drafts_differ() -> None:
    tongue, rng = spoken()
    request = requested("", errors(tongue.texts(36, rng)), end=DRAFTS)
    assert len(set(new(ask("", [request])[0]))) == 3


def test_a_critique_speaks_of_the_parts_that_are_listed_and_of_what_was_missed() -> None:
    tongue, rng = spoken()
    missed = tongue.labels[0]
    blocks = (
        errors([(tongue.text(missed, rng), missed) for _ in range(6)])
        + "\n\n"
        + lined("right", tongue.texts(24, rng))
    )
    request = requested(
        "",
        blocks,
        "The parts are task (what is wanted); hints (what it means; empty). At most 300 words.",
        end=CRITIQUE,
    )
    reply = ask("", [request])[0].split("\n")
    assert (reply[0], reply[-1]) == ("<critique>", "</critique>")
    for name, line in zip(("task", "hints"), reply[1:-1], strict=True):
        told = re.fullmatch(rf"\[{name}\] inputs about (.*) must lead to {missed} \(n-0, n-1, n-2, n-3, n-4\)", line)
        assert told
        assert len(set(told[1].split(", ")) & set(tongue.topics[missed])) >= 3


def test_all_parts_of_a_prompt_are_written_within_their_bounds() -> None:
    tongue, rng = spoken()
    system, user = "[task]\nWhich kind?\n[output]\nKind: <kind>", "[input]\n{text}"
    prompt = f"<prompt>\n--- system message ---\n{system}\n--- user message ---\n{user}\n</prompt>"
    told = (
        "meaning (what each answer means; at most 60 words); "
        "output (what the reply must look like; at most 40 words); "
        "last (what is most often forgotten; at most 30 words); how (how to think before answering; at most 50 words)"
    )
    end = f'These may be written: {told}.\nThink first. Write every part as <part name="meaning">…</part>.'
    reply = ask("", [f"{prompt}\n\n{errors(tongue.texts(36, rng))}\n\n{end}"])[0]
    parts = dict(re.findall(r'<part name="(\w+)">\n(.*?)\n</part>', reply, re.DOTALL))
    assert parts["output"] == "Kind: <kind>"
    for name, beginning, most in (("meaning", "- ", 60), ("last", "Remember", 30), ("how", "If", 50)):
        assert all(line.startswith(beginning) for line in parts[name].split("\n"))
        assert 0 < length_in_words(parts[name]) <= most


def test_a_request_that_is_made_again_has_the_material_of_the_first() -> None:
    tongue, rng = spoken()
    pairs = tongue.texts(12, rng)
    request = requested("", errors(pairs))
    again = f"That cannot be used: it is too long. Once more:\n\nRewrite the part hints.\nAt most 12 words.\n{END}"
    messages = (ChatMessage("user", request), ChatMessage("assistant", "(nothing)"), ChatMessage("user", again))
    reply = anyio.run(EmbeddedModel().complete, Request(messages, 0.0)).text
    assert 0 < length_in_words(new(reply)[0]) <= 12


def test_samples_differ_and_a_request_repeats_itself() -> None:
    tongue, rng = spoken()
    request = requested("", errors(tongue.texts(36, rng)))
    first, again = ask("", [request, request], temperature=1.0)
    assert first == again
    assert len({ask("", [request], temperature=1.0, sample=i)[0] for i in range(4)}) > 1
    assert len({ask("", [request], sample=i)[0] for i in range(4)}) == 1


def test_chinese_records_fill_chinese_lines() -> None:
    pairs = [("球队赢了比赛", "体育"), ("球队输了比赛", "体育"), ("股市今天大涨", "财经"), ("股市今天大跌", "财经")]
    lines = edit("", pairs).split("\n")
    assert {line.removeprefix("- ").split(": ")[0] for line in lines} == {"体育", "财经"}
    for line in lines:
        assert all(
            any(part in text for text, label in pairs if label in line) for part in line.split(": ")[1].split("、")
        )


line_texts = st.text(st.sampled_from("abc deéß汉字 ,.:!?{}[]<>-'\"\t"), max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.lists(line_texts, max_size=8), st.integers(1, 40), st.booleans())
def test_bounds_hold_and_placeholders_stay(lines: list[str], bound: int, records: bool) -> None:
    pairs = [("alpha beta", "x"), ("gamma delta", "y")] if records else []
    current = "\n".join(
        [*(line.replace("{", "").replace("<", "") for line in lines), "Read {text} now.", "{ question }"]
    )
    text = edit(current, pairs, f"At most {bound} words.")
    assert text.count("{text}") == current.count("{text}")
    assert "Read {text} now." in text.split("\n")
    assert length_in_words(text) <= max(bound, length_in_words("Read {text} now.\n{ question }"))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60))
def test_a_shorter_text_is_made_of_the_words_of_the_longer(seed: int, bound: int) -> None:
    rng = random.Random(seed)
    vocabulary = pseudo_words(rng, 40)
    current = "\n".join(" ".join(rng.choices(vocabulary, k=rng.randint(1, 9))) + "." for _ in range(8))
    text = edit(current, [], f"At most {bound} words.")
    assert 0 < length_in_words(text) <= bound
    assert set(text.replace(".", "").split()) <= set(vocabulary)


def test_what_the_records_speak_of_survives_shortening() -> None:
    tongue, rng = spoken()
    label = tongue.labels[0]
    useful = f"It is {label} with {' '.join(tongue.topics[label])}."
    useless = [f"{' '.join(pseudo_words(rng, 14))}." for _ in range(6)]
    current = "\n".join([*useless[:3], useful, *useless[3:]])
    pairs = [(tongue.text(label, rng), label) for _ in range(12)]
    assert edit(current, pairs, "At most 20 words.") == useful
