"""The embedded model writes from the records of a request: templates, merging, bounds, samples."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.providers.embedded.features import length_in_words
from tests.protocols.embedded.invented import FORM, Language, accuracy, ask, language, listed, pseudo_words

END = "Reply with the new text between <new> and </new>."


def failures(pairs: Sequence[tuple[str, str]], answered: str = "none") -> str:
    return "\n\n".join(f"Input: {text}\nExpected: {label}\nAnswered: {answered}" for text, label in pairs)


def edit(
    current: str, pairs: Sequence[tuple[str, str]], instruction: str, more: str = "", temperature: float = 0
) -> str:
    """What stands between the tags of the reply to a request for a new section."""
    blocks = f'<section name="hints">\n{current}\n</section>\n\n<failures>\n{failures(pairs)}\n</failures>\n{more}'
    (reply,) = ask("You edit prompts.", [f"{blocks}\n\n{instruction}\n{END}"], temperature=temperature)
    assert reply.startswith("<new>")
    assert reply.endswith("</new>")
    return reply[len("<new>") : -len("</new>")]


def spoken(seed: int = 5) -> tuple[Language, random.Random]:
    return language(seed)


def test_a_template_makes_a_line_for_each_value_with_its_own_words() -> None:
    tongue, rng = spoken()
    pairs = tongue.texts(60, rng)
    lines = edit("", pairs, "- <Expected>: <4 words of Input>").split("\n")
    assert {line.split(":")[0].removeprefix("- ") for line in lines} == set(tongue.labels)
    for line in lines:
        label, told = line.removeprefix("- ").split(": ")
        assert len(told.split(", ")) == 4
        assert len(set(told.split(", ")) & set(tongue.topics[label])) >= 3


def test_records_of_a_single_word_can_be_told_apart_or_not() -> None:
    assert edit("", [("amber", "yes")], "- <Expected>: <words of Input>") == "- yes: amber"
    assert edit("", [("amber", "yes"), ("amber", "no")], "- <Expected>: <words of Input>").count("- ") == 2


def test_what_it_writes_teaches_it() -> None:
    tongue, rng = spoken()
    written = edit("", tongue.texts(36, rng), "- <Expected>: <words of Input>")
    asked = tongue.texts(200, rng)
    bare = accuracy(f"{listed(tongue.labels)}\n\n{FORM}", asked, tongue.labels)
    assert accuracy(f"{listed(tongue.labels)}\n\n{written}\n\n{FORM}", asked, tongue.labels) > bare + 0.2


def test_a_sentence_around_slots_is_copied() -> None:
    tongue, rng = spoken()
    lines = edit("", tongue.texts(24, rng), "Where <2 words of Input> stand, think of <Expected>!").split("\n")
    assert len(lines) == len(tongue.labels)
    for line in lines:
        assert re.fullmatch(r"Where \w+, \w+ stand, think of \w+!", line)


def test_the_outer_slot_may_come_from_other_records() -> None:
    tongue, rng = spoken()
    parts = "<parts>\nPart: head\n\nPart: tail\n</parts>"
    template = "[<Part>] <Expected> is told by <2 words of Input>"
    (reply,) = ask("", [f"{parts}\n<failures>\n{failures(tongue.texts(24, rng))}\n</failures>\n{template}\n{END}"])
    lines = reply.removeprefix("<new>").removesuffix("</new>").split("\n")
    heads = [line.split("]")[0] for line in lines]
    assert heads == sorted(heads)
    assert set(heads) == {"[head", "[tail"}
    assert 2 <= len(lines) <= 2 * len(tongue.labels)


def test_a_template_of_several_lines_copies_whole_records() -> None:
    tongue, rng = spoken()
    pairs = tongue.texts(12, rng)
    blocks = edit("", pairs, "Text: <Input>\nKind: <Expected>").split("\n\n")
    assert {tuple(block.split("\n")) for block in blocks} == {(f"Text: {t}", f"Kind: {k}") for t, k in pairs}


def test_a_line_of_the_same_key_is_renewed_in_its_place() -> None:
    tongue, rng = spoken()
    first, second, *_ = tongue.labels
    pairs = [(tongue.text(first, rng), first) for _ in range(4)] + [
        (tongue.text(second, rng), second) for _ in range(4)
    ]
    current = f"- {second}: seventh\nRead {{text}} with care.\n- other: heaven"
    lines = edit(current, pairs, "- <Expected>: <3 words of Input>").split("\n")
    assert lines[0].startswith(f"- {second}: ")
    assert lines[0].endswith(", seventh")
    assert lines[1:3] == ["Read {text} with care.", "- other: heaven"]
    assert lines[3].startswith(f"- {first}: ")
    assert len(lines) == 4


def test_advice_makes_its_words_weigh_more() -> None:
    tongue, rng = spoken()
    label = tongue.labels[0]
    pairs = tongue.texts(36, rng)
    plain = edit("", pairs, "- <Expected>: <words of Input>")
    line = next(line for line in plain.split("\n") if label in line)
    last = line.split(", ")[-1]
    advised = edit("", pairs, "- <Expected>: <words of Input>", f"<advice>\nMind {last}.\n</advice>")
    renewed = next(line for line in advised.split("\n") if label in line)
    assert renewed.split(": ")[1].split(", ").index(last) < line.split(": ")[1].split(", ").index(last)


def test_quoted_and_unbound_template_lines_are_added_once() -> None:
    tongue, rng = spoken()
    instruction = 'Add the line "Cues: <what matters here>" and then\nKind: <the kind>'
    text = edit("Be brief.", tongue.texts(6, rng), instruction)
    assert text.split("\n") == ["Be brief.", "Cues: <what matters here>", "Kind: <the kind>"]
    assert edit(text, tongue.texts(6, rng), instruction) == text


def test_samples_differ_and_a_request_repeats_itself() -> None:
    tongue, rng = spoken()
    pairs = tongue.texts(36, rng)
    blocks = f"<failures>\n{failures(pairs)}\n</failures>\n- <Expected>: <3 words of Input>\n{END}"
    first, again = ask("", [blocks, blocks], temperature=1.0)
    assert first == again
    assert len({ask("", [blocks], temperature=1.0, sample=i)[0] for i in range(4)}) > 1
    assert len({ask("", [blocks], sample=i)[0] for i in range(4)}) == 1


def test_chinese_records_fill_chinese_lines() -> None:
    pairs = [("球队赢了比赛", "体育"), ("球队输了比赛", "体育"), ("股市今天大涨", "财经"), ("股市今天大跌", "财经")]
    lines = edit("", pairs, "<Expected>：<2 words of Input>").split("\n")
    assert {line.split("：")[0] for line in lines} == {"体育", "财经"}
    for line in lines:
        assert all(
            any(part in text for text, label in pairs if label in line) for part in line.split("：")[1].split("、")
        )


line_texts = st.text(st.sampled_from("abc deéß汉字 ,.:!?{}[]<>-'\"\t"), max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.lists(line_texts, max_size=8), st.integers(1, 40), st.booleans())
def test_bounds_hold_and_placeholders_stay(lines: list[str], bound: int, records: bool) -> None:
    pairs = [("alpha beta", "x"), ("gamma delta", "y")] if records else []
    current = "\n".join(
        [*(line.replace("{", "").replace("<", "") for line in lines), "Read {text} now.", "{ question }"]
    )
    text = edit(current, pairs, f"Use at most {bound} words.")
    assert text.count("{text}") == current.count("{text}")
    assert "Read {text} now." in text.split("\n")
    assert length_in_words(text) <= max(bound, length_in_words("Read {text} now.\n{ question }"))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(5, 60))
def test_a_shorter_text_is_made_of_the_words_of_the_longer(seed: int, bound: int) -> None:
    rng = random.Random(seed)
    vocabulary = pseudo_words(rng, 40)
    current = "\n".join(" ".join(rng.choices(vocabulary, k=rng.randint(1, 9))) + "." for _ in range(8))
    text = edit(current, [], f"Use at most {bound} words.")
    assert 0 < length_in_words(text) <= bound
    assert set(text.replace(".", "").split()) <= set(vocabulary)


def test_what_the_records_speak_of_survives_shortening() -> None:
    tongue, rng = spoken()
    label = tongue.labels[0]
    useful = f"It is {label} with {' '.join(tongue.topics[label])}."
    useless = [f"{' '.join(pseudo_words(rng, 14))}." for _ in range(6)]
    current = "\n".join([*useless[:3], useful, *useless[3:]])
    pairs = [(tongue.text(label, rng), label) for _ in range(12)]
    assert edit(current, pairs, "Use at most 20 words.") == useful
