"""The embedded model learns from the prompt, by mechanism: every part of a prompt has its effect on unseen text."""

from __future__ import annotations

import random

import pytest

from tests.protocols.embedded.invented import (
    FORM,
    Language,
    accuracy,
    ask,
    definitions,
    language,
    listed,
    named,
    pseudo_words,
    shots,
)

CHANCE = 1 / 6


def prompt(*parts: str) -> str:
    return "\n\n".join(parts)


def prose(rng: random.Random, lines: int) -> str:
    """Lines that name no label."""
    vocabulary = pseudo_words(rng, 80)
    return "\n".join(" ".join(rng.choices(vocabulary, k=12)) + "." for _ in range(lines))


@pytest.fixture(params=[1, 2], scope="module")
def task(request: pytest.FixtureRequest) -> tuple[Language, random.Random]:
    return language(int(request.param))


Task = tuple[Language, random.Random]


def test_opaque_labels_alone_are_chance(task: Task) -> None:
    spoken, rng = task
    assert accuracy(prompt(listed(spoken.labels), FORM), spoken.texts(300, rng), spoken.labels) < CHANCE + 0.12


def test_without_a_prompt_nothing_is_known(task: Task) -> None:
    spoken, rng = task
    assert accuracy("", spoken.texts(60, rng), spoken.labels) == 0


def test_definitions_teach(task: Task) -> None:
    spoken, rng = task
    taught = prompt(listed(spoken.labels), definitions(spoken), FORM)
    assert accuracy(taught, spoken.texts(200, rng), spoken.labels) > CHANCE + 0.3


def test_examples_teach_and_more_teach_more(task: Task) -> None:
    spoken, rng = task
    asked = spoken.texts(200, rng)
    few, many = (
        accuracy(prompt(listed(spoken.labels), shots(spoken.texts(n, rng)), FORM), asked, spoken.labels)
        for n in (12, 60)
    )
    assert CHANCE + 0.1 < few < many - 0.1


def test_examples_with_wrong_labels_do_not_teach(task: Task) -> None:
    spoken, rng = task
    pairs = spoken.texts(60, rng)
    wrong = [(text, rng.choice(spoken.labels)) for text, _ in pairs]
    asked = spoken.texts(200, rng)
    right = accuracy(prompt(shots(pairs), FORM), asked, spoken.labels)
    assert accuracy(prompt(shots(wrong), FORM), asked, spoken.labels) < right - 0.2


def test_of_two_contradicting_lines_the_later_wins(task: Task) -> None:
    spoken, rng = task
    first, second, *_ = spoken.labels
    followed = 0
    for _ in range(30):
        text = spoken.text(first, rng)
        between = prose(rng, 20)
        early = prompt(listed(spoken.labels), shots([(text, first)]), between, shots([(text, second)]), FORM)
        late = prompt(listed(spoken.labels), shots([(text, second)]), between, shots([(text, first)]), FORM)
        followed += named(ask(early, [text])[0], spoken.labels) == [second]
        followed += named(ask(late, [text])[0], spoken.labels) == [first]
    assert followed > 54


def test_repetition_wins_over_order(task: Task) -> None:
    spoken, rng = task
    first, second, *_ = spoken.labels
    followed = 0
    for _ in range(30):
        text = spoken.text(first, rng)
        others = [pair for pair in spoken.texts(24, rng) if pair[1] not in (first, second)]
        pairs = [*others, (text, first), (text, first), (text, first), (text, second)]
        followed += named(ask(prompt(listed(spoken.labels), shots(pairs), FORM), [text])[0], spoken.labels) == [first]
    assert followed > 27


def test_long_prompts_dilute(task: Task) -> None:
    """Lines that tell nothing cost certainty: a free answer hedges more, and a formatted one is wrong more often."""
    spoken, rng = task
    asked = spoken.texts(200, rng)
    core = prompt(listed(spoken.labels), definitions(spoken, 9))
    long = prompt(core, prose(rng, 200))
    assert accuracy(long, asked, spoken.labels) < accuracy(core, asked, spoken.labels) - 0.3
    assert accuracy(prompt(long, FORM), asked, spoken.labels) < accuracy(prompt(core, FORM), asked, spoken.labels)


def test_a_format_makes_every_reply_readable(task: Task) -> None:
    spoken, rng = task
    core = prompt(listed(spoken.labels), definitions(spoken))
    questions = [text for text, _ in spoken.texts(200, rng)]
    free = ask(core, questions)
    formed = ask(prompt(core, FORM), questions)
    assert all(len(named(reply, spoken.labels)) == 1 and reply.startswith("Kind: ") for reply in formed)
    assert any(len(named(reply, spoken.labels)) == 2 for reply in free)


def test_a_cue_is_continued_with_the_answer_alone(task: Task) -> None:
    spoken, rng = task
    core = prompt(listed(spoken.labels), shots(spoken.texts(12, rng)))
    replies = ask(core, [f"Text: {text}\nKind:" for text, _ in spoken.texts(60, rng)])
    assert set(replies) <= set(spoken.labels)
    assert len(set(replies)) > 1


def test_a_reasoning_step_quotes_the_question_and_is_read_again(task: Task) -> None:
    """The step writes telling words of the question; what it wrote changes some answers, and not for the worse."""
    spoken, rng = task
    asked = spoken.texts(300, rng)
    core = prompt(listed(spoken.labels), definitions(spoken), shots(spoken.texts(24, rng)))
    reasoned = prompt(core, "Answer in this form:\nCues: <what matters>\nKind: <kind>")
    telling = {word for words in spoken.topics.values() for word in words if word in core}
    found = total = 0
    replies = ask(reasoned, [text for text, _ in asked])
    for reply, (text, _) in zip(replies, asked, strict=True):
        first, last = reply.split("\n")
        cues = first.removeprefix("Cues: ").split(", ")
        assert last.startswith("Kind: ")
        assert set(cues) <= set(text.split())
        found += len(set(cues) & telling & set(text.split()))
        total += len(telling & set(text.split()))
    assert found > 0.8 * total
    direct = ask(prompt(core, FORM), [text for text, _ in asked])
    assert any(a.split("\n")[-1] != b for a, b in zip(replies, direct, strict=True))
    assert accuracy(reasoned, asked, spoken.labels) > accuracy(prompt(core, FORM), asked, spoken.labels) - 0.03


@pytest.mark.parametrize("rotation", [1, 2, 5])
def test_permuted_labels_permute_the_answers(task: Task, rotation: int) -> None:
    spoken, rng = task
    pairs, questions = spoken.texts(36, rng), [text for text, _ in spoken.texts(120, rng)]
    names = "甲乙丙丁戊己"  # without likeness to any text, but for the collisions of hashing
    label = dict(zip(spoken.labels, names, strict=True))
    turned = dict(zip(spoken.labels, names[rotation:] + names[:rotation], strict=True))
    again = dict(zip(names, names[rotation:] + names[:rotation], strict=True))
    before = ask(prompt(shots([(text, label[kind]) for text, kind in pairs]), FORM), questions)
    after = ask(prompt(shots([(text, turned[kind]) for text, kind in pairs]), FORM), questions)
    same = sum(f"Kind: {again[old[-1]]}" == new for old, new in zip(before, after, strict=True))
    assert same > 0.88 * len(questions)
    assert len(set(after)) == len(names)


def test_renamed_labels_rename_the_answers(task: Task) -> None:
    spoken, rng = task
    core = prompt(listed(spoken.labels), definitions(spoken), shots(spoken.texts(24, rng)), FORM)
    questions = [text for text, _ in spoken.texts(120, rng)]
    renamed = dict(zip(spoken.labels, ["甲乙", "丙", "丁戊", "己", "庚辛", "壬"], strict=True))
    other = core
    for old, new in renamed.items():
        other = other.replace(old, new)
    pairs = zip(ask(core, questions), ask(other, questions), strict=True)
    assert sum(f"Kind: {renamed[a.removeprefix('Kind: ')]}" == b for a, b in pairs) > 0.8 * len(questions)


def test_a_likeness_to_the_label_itself_helps() -> None:
    names = "card_arrival, exchange_rate, lost_phone"
    questions = {"when will my card arrive": "card_arrival", "a bad rate of exchange": "exchange_rate"}
    replies = ask(f"Topics: {names}\n\nTopic: <topic>", list(questions))
    assert replies == [f"Topic: {topic}" for topic in questions.values()]
