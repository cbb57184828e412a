"""Replies as models write them, and what is read out of them: unreadable is right where nothing decides, wrong never.

One table for each kind of answer; a row that went wrong belongs here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocols.answers.grades import read_grade
from protocols.answers.labels import FinalLabelParser, LabelParser
from protocols.answers.numbers import NUMBER, equal_numbers, is_number, number_of, plain_digits
from protocols.answers.parsers import final_answer, number, option, span, whole
from protocols.errors import BadReply, UnreadableReply
from protocols.kinds.kinds import TASK_KINDS
from protocols.metrics.entities import EntityParser
from protocols.metrics.formats import JsonSchema
from protocols.metrics.judge import ModelJudge
from protocols.model import Finish, Reply, Request
from protocols.task import Example, Json, TaskKind
from protocols.thought import without_thought
from tests.direct import now
from tests.protocols.answers.label_readings import LABELS

Read = Callable[[str], Json]


def reading(parse: Read, reply: str) -> Json:
    """None where it is unreadable."""
    try:
        return parse(reply)
    except UnreadableReply:
        return None


@pytest.mark.parametrize(
    ("labels", "reply", "label"), [(labels, *row) for labels, rows in LABELS.items() for row in rows]
)
def test_labels(labels: tuple[str, ...], reply: str, label: str | None) -> None:
    assert reading(LabelParser(labels), reply) == label


DEPARTMENTS = ("billing", "shipping", "refund")


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("Label: billing\n\nExplanation: the mess", "billing"),
        ("billing\n\nBecause the", "billing"),
        ("billing", "billing"),
        ('{"label": "billing"}\nThe mess', "billing"),
        ("Okay, so the labels are billing, shipping. The message says", None),
        ("The message is about billing", None),
        ("Labels:\nbilling\nship", None),
        ('{"label": "bill', None),
        ("<think>\nThe label is billing", None),
        ("<think>\nhm\n</think>\n\nThe message is about billing and", None),
    ],
)
@pytest.mark.parametrize("finish", ["length", "refusal"])
def test_a_reply_that_was_cut_off_names_no_label_that_it_only_mentions(
    reply: str, label: str | None, finish: Finish
) -> None:
    assert reading(partial(LabelParser(DEPARTMENTS), finish=finish), reply) == label


def test_a_label_that_was_cut_off_is_not_the_shorter_one() -> None:
    parse = LabelParser(("card", "card_arrival"))
    assert reading(partial(parse, finish="length"), "Label: card") is None
    assert reading(parse, "Label: card") == "card"


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("The answer is not yes", None),
        ("Answer: No, they do not", "No"),
        ("Yes, it is not wrong", "Yes"),
        ('{"answer": "No"}', "No"),
        ("<think>yes</think>\nNo", "No"),
        ("<think>yes", None),
        ("```\nNo\n```", "No"),
    ],
)
def test_a_closed_set_of_final_answers(reply: str, label: str | None) -> None:
    assert reading(FinalLabelParser(("Yes", "No")), reply) == label


# -- closed under negation, prefixes and separators ---------------------------------------------------------------

words = st.sampled_from(["spam", "toxic", "card", "payment", "fee", "valid", "entailment", "positive"])
bases = st.lists(words, min_size=1, max_size=3, unique=True).map("_".join)
PREFIXES = ("not_", "non_", "very_", "card_")
SPELLINGS: list[Callable[[str], str]] = [
    str,
    str.upper,
    str.title,
    lambda label: label.replace("_", " "),
    lambda label: label.replace("_", "-"),
    lambda label: label.replace("_", "‑"),
    lambda label: label.replace("_", "  "),
]
FRAMES = ["{}", "{}.", "**{}**", "`{}`", "```\n{}\n```", "Label: {}", "标签：{}", "“{}”", "「{}」", "- {}", "1. {}"]
FRAMES += ["<answer>{}</answer>", '{"label": "{}"}', "_{}_", "{}!", "The label is {}.", "\\boxed{{}}"]


@st.composite
def closed_sets(draw: st.DrawFn) -> tuple[str, ...]:
    """Labels with those that deny or lengthen them."""
    some = draw(st.lists(bases, min_size=1, max_size=3, unique=True))
    more = [draw(st.sampled_from(PREFIXES)) + label for label in some]
    labels = list(dict.fromkeys([*some, *more]))
    assume(len({label.replace("_", "") for label in labels}) == len(labels))
    return tuple(labels)


@given(closed_sets(), st.sampled_from(SPELLINGS), st.sampled_from(FRAMES), st.data())
def test_a_reply_that_is_a_label_in_any_spelling_reads_as_it(
    labels: tuple[str, ...], spell: Callable[[str], str], frame: str, data: st.DataObject
) -> None:
    label = data.draw(st.sampled_from(labels))
    assert LabelParser(labels)(frame.replace("{}", spell(label))) == label


@given(closed_sets(), st.sampled_from(["not", "It is not", "This isn't", "never", "neither", "no"]), st.data())
def test_a_denial_is_never_what_it_denies(labels: tuple[str, ...], denial: str, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(labels))
    read = reading(LabelParser(labels), f"{denial} {label.replace('_', ' ')}.")
    assert read in (None, f"not_{label}", f"non_{label}")


# -- thought -------------------------------------------------------------------------------------------------------

THOUGHTS = [
    ("<think>\n{}\n</think>\n\n", "think"),
    ("{}\n</think>\n\n", "a template opened it"),
    ("<thinking>{}</thinking>", "thinking"),
    ("[THINK]{}[/THINK]", "magistral"),
    ("◁think▷{}◁/think▷", "kimi"),
    ("<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>", "harmony"),
    ("analysisWe should see. {}assistantfinal", "harmony without its tokens"),
    ("<|channel>thought\n{}<channel|>", "gemma"),
    ("<|START_THINKING|>{}<|END_THINKING|>", "command"),
    ("<reasoning>{}</reasoning>\n", "reasoning"),
    ("<seed:think>{}</seed:think>", "seed"),
    ("Sure.\n<think>{}</think>\n", "after a word"),
    ("<think>{}</think>\n<think>\n\n</think>\n", "twice"),
]
QUOTED = [
    "",
    "shipping",
    "Label: shipping",
    '{"label": "shipping", "score": 3, "person": ["Bob"]}',
    "Answer: 7",
    "(A)",
]
QUOTED += [
    "<new>no</new> <critique>[task] no</critique>",
    "\\boxed{7}",
    "Score: 3",
    "I close with </think> then",
    "```",
]
QUOTED += ["I open with <think> and go on", "billing or shipping? 3/10"]
ANSWERS: list[tuple[Read, str, Json]] = [
    (LabelParser(DEPARTMENTS), "billing", "billing"),
    (LabelParser(DEPARTMENTS), '{"label": "billing"}', "billing"),
    (LabelParser(DEPARTMENTS), "I'd say this is about billing.", "billing"),
    (FinalLabelParser(("Yes", "No")), "No.", "No"),
    (number, "Answer: 18", "18"),
    (number, "18", "18"),
    (option, "(B)", "(B)"),
    (option, "\\boxed{B}", "(B)"),
    (span, "Paris", "Paris"),
    (span, "no answer", []),
    (whole, "Paris, of course.", "Paris, of course."),
    (final_answer, "Answer: Paris", "Paris"),
    (EntityParser(("person",)), '{"person": ["Ada"]}', {"person": ["Ada"]}),
    (lambda reply: read_grade(reply).value, "It is short.\nScore: 8", 8.0),
]


@pytest.mark.parametrize("form", [form for form, _ in THOUGHTS], ids=[name for _, name in THOUGHTS])
@pytest.mark.parametrize("quoted", QUOTED)
def test_a_thought_is_no_part_of_an_answer(form: str, quoted: str) -> None:
    for parse, reply, answer in ANSWERS:
        assert parse(form.replace("{}", quoted) + reply) == answer, reply


@given(st.text(), st.sampled_from(ANSWERS))
def test_what_stands_before_the_end_of_a_thought_never_changes_the_reading(
    before: str, case: tuple[Read, str, Json]
) -> None:
    parse, reply, answer = case
    assert parse(f"{before}</think>\n{reply}") == answer
    assert parse(f"<think>{before}\n</think>\n\n{reply}") == answer


@pytest.mark.parametrize(
    "opened", ["<think>\n", "<thinking>", "[THINK]", "◁think▷", "<|channel|>analysis<|message|>"]
)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_reply_that_ends_inside_its_thought_is_unreadable(opened: str, finish: Finish) -> None:
    for parse, reply, _ in ANSWERS:
        assert reading(parse, f"{opened}Let me see: {reply}") is None
        assert reading(partial(without_thought, finish=finish), f"{opened}Let me see: {reply}") is None


REASONS_LAST = [
    "{}\n<reasoning>because it says {other}</reasoning>",
    "{}\n\n<think>\n{other}?\n</think>\n",
    "<think>{other}?</think>\n{}\n<reasoning>not {other}</reasoning>",
    "{}\n<reasoning>one</reasoning>\n<reflection>{other}</reflection>",
]


@pytest.mark.parametrize("form", REASONS_LAST)
@pytest.mark.parametrize("other", ["shipping", "Score: 3", "Answer: 7", "(A)", "Label: shipping"])
def test_reasons_after_an_answer_are_no_part_of_it(form: str, other: str) -> None:
    for parse, reply, answer in ANSWERS:
        assert reading(parse, form.replace("{other}", other).replace("{}", reply)) == answer, reply


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        ("<think>billing</think>", "stop"),
        ("billing</think>", "stop"),
        ("<think>a</think>\n<think>billing</think>\n", "stop"),
        ("<|start|>assistant<|channel|>analysis<|message|>billing<|end|><|start|>assistant<|channel|>final", "stop"),
        ("Sure, let me think.\n<think>billing", "length"),
        ("Sure, let me think.\n<think>billing</think>", "length"),
        ("billing\n<think>hm </think> hm</think>", "stop"),
    ],
)
def test_a_reply_that_is_all_thought_holds_no_answer(reply: str, finish: Finish) -> None:
    with pytest.raises(UnreadableReply, match="thought"):
        without_thought(reply, finish)


@pytest.mark.parametrize(
    "frame",
    ["```\n{}\n```", "```text\n{}\n```", "````\n```\n{}\n```\n````", "~~~\n{}\n~~~", "{}</s>", "{}<|im_end|>"],
)
def test_a_fence_never_changes_the_reading(frame: str) -> None:
    for parse, reply, answer in ANSWERS:
        assert parse is whole or parse(frame.replace("{}", reply)) == answer, reply


@pytest.mark.parametrize(
    "text", ["Use <think> tags.", "Write `</think>` at the end.", "I think </b> so", "analysis of it"]
)
def test_a_tag_that_is_spoken_of_is_no_thought(text: str) -> None:
    assert without_thought(text) == text


@pytest.mark.parametrize("name", ["classification", "ner", "reading", "generation", "reasoning"])
def test_how_a_reply_ended_reaches_every_kind_of_task(name: str) -> None:
    target: Json = {"person": ["Ada"]} if name == "ner" else "Ada"
    split = (Example("1", {"text": "x"}, target), Example("2", {"text": "y"}, target))
    kind = TASK_KINDS[name](dict.fromkeys(("train", "validation", "test"), split))  # type: ignore[index]
    reply = f"<think>\nIt may be {kind.show(target)}"
    with pytest.raises(UnreadableReply, match="thought"):
        kind.read(reply, "length")


# -- numbers -------------------------------------------------------------------------------------------------------

NUMBERS: list[tuple[str, str | None]] = [
    (r"\boxed{18{,}000}", "18000"),
    (r"\boxed{18\,000}", "18000"),
    (r"\boxed{\text{18}}", "18"),
    (r"\boxed{\boxed{18}}", "18"),
    (r"\boxed{\dfrac{3}{4}}", "0.75"),
    (r"\boxed{-\frac{1}{2}}", "-0.5"),
    (r"\boxed{\frac{1}{2}} or so", "0.5"),
    (r"\boxed{x = 5}", "5"),
    (r"\boxed{5 \text{ km}}", "5"),
    (r"The answer is $\boxed{2^{10}}$.", "1024"),
    ("Answer: 1.8e4", "18000"),
    ("Answer: 1.8E+4", "18000"),
    ("Answer: 1.8 × 10^-3", "0.0018"),
    (r"Answer: $1.8 \times 10^{-3}$", "0.0018"),
    ("Answer: 1.8×10⁻³", "0.0018"),
    ("Answer: 2 x 10^3", "2000"),
    ("Answer: 10^4", "10000"),
    ("Answer: 18 000", "18000"),
    ("Answer: 18\u2009000", "18000"),
    ("Answer: 18\u00a0000", "18000"),
    ("Answer: 18\u202f000.5", "18000.5"),
    ("Answer: 1'234'567", "1234567"),
    (r"Answer: $18\,000$", "18000"),
    ("Answer: 1,234.5", "1234.5"),
    ("Answer: 1.234,5", "1234.5"),
    ("Answer: 3,5", "3.5"),
    ("Answer: 12,34,567", "1234567"),
    ("Answer: –7", "-7"),
    ("Answer: −7", "-7"),
    ("Answer: ‒7", "-7"),
    ("#### –7", "-7"),
    ("–7", "-7"),
    ("Answer: +5", "5"),
    ("Answer: $5", "5"),
    ("Answer: -$5", "-5"),
    ("Answer: $-5", "-5"),
    ("Answer: 5 dollars", "5"),
    ("Answer: USD 500", "500"),
    ("Answer: 25%", "25"),
    ("Answer: ½", "0.5"),
    ("Answer: 1½", "1.5"),
    ("Answer: 1.8 million", "1800000"),
    ("Answer: 10k", "10000"),
    ("Answer: 5万", "50000"),
    ("Answer: 1024 = 2^10", "1024"),
    ("1024 = 2^10", "1024"),
    ("Answer: 10 = 2 + 8", "10"),
    ("Answer: 2 + 8 = 10", "10"),
    ("So 9 * 2 = $18.", "18"),
    ('{"answer": 18}', "18"),
    ('```json\n{"answer": "18,000"}\n```', "18000"),
    ("<answer>18</answer>", "18"),
    ("**Answer:** **18**", "18"),
    ("答案是：１８", "18"),
    ("The total is 3,000.", "3000"),
    ("Answer: 5.", "5"),
    ("Answer: 0.00001", "0.00001"),
    ("Answer: 25000000000000001", "25000000000000001"),
    ("Answer: minus 5", "-5"),
    ("Answer: negative 5", "-5"),
    ("The answer is minus 5.", "-5"),
    (r"\boxed{\text{negative } 5}", "-5"),
    ("minus 5", "-5"),
    ("答案是负5", "-5"),
    (r"Answer: \frac{1}{\sqrt{2}} = 0.707", "0.707"),
    ("Answer: (1,234)", "1234"),
    ("Answer: (5)", "5"),
    # No number, or not one number:
    ("Answer: 10 minus 5", None),
    (r"\boxed{\frac{1}{\sqrt{2}}}", None),
    (r"\boxed{\frac{\sqrt{3}}{2}}", None),
    (r"\boxed{\frac{3\pi}{4}}", None),
    (r"\boxed{\frac{x}{2}}", None),
    (r"\boxed{\frac{\frac{1}{2}}{x}}", None),
    (r"\boxed{2\frac{\sqrt{3}}{2}}", None),
    (r"\boxed{2 \cdot \sqrt 3}", None),
    (r"\boxed{\sqrt[3]{5}}", None),
    ("Answer: 2*sqrt(3)", None),
    ("Answer: 1/√2", None),
    (r"\boxed{\log 5}", None),
    (r"\boxed{\pm 5}", None),
    ("Answer: ±5", None),
    (r"\boxed{(2,3)}", None),
    (r"\boxed{\left(2, 3\right)}", None),
    (r"\boxed{[2,3]}", None),
    (r"\boxed{\{2,3\}}", None),
    (r"\boxed{(-2,5)}", None),
    ("Answer: (0.5,1)", None),
    ("Answer: x=5 or x=6", None),
    ("x = 5 or x = 6", None),
    ("Answer: x = 5, x = 6", None),
    ("Answer: 20 30", None),
    ("20 30", None),
    ("Answer: between 3 and 5", None),
    ("Answer: between 3 and 5 km", None),
    ("Answer: from 3 to 5", None),
    ("Answer: between 3 km and 5 km", None),
    ("Answer: 12/25/2024", None),
    ("Answer: 10:30", None),
    ("Answer: 3-5", None),
    ("Answer: 3–5", None),
    ("Answer: 1.2.3.4", None),
    ("Answer: 2024-05-01", None),
    ("Answer: 1,5,7", None),
    ("Answer: 5 or 6", None),
    ("Answer: 12 + 6", None),
    ("Answer: x = 5, y = 3", None),
    ("Answer: H2O", None),
    ("Answer: " + "9" * 5000, None),
    (r"\boxed{2\sqrt{3}}", None),
    ("Answer: unknown", None),
    ("Answer: 3 hours 20 minutes", None),
    ("Answer: 3 and a half", None),
    ("Answer: 1 234 567,89", "1234567.89"),
    (r"\boxed{7^\circ}", "7"),
]


@pytest.mark.parametrize(("reply", "value"), NUMBERS)
def test_numbers(reply: str, value: str | None) -> None:
    read = reading(number, reply)
    assert (read is None) == (value is None), read
    assert value is None or number_of(str(read)) == number_of(value)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Answer: 18\n\nSince", "18"),
        (r"\boxed{18}", "18"),
        ("Answer: 18", None),
        ("First there are 18", None),
        ("16 - 3 = 13\n13 * 2 = 2", None),
    ],
)
def test_a_number_that_was_cut_off_is_none(reply: str, value: str | None) -> None:
    assert reading(partial(number, finish="length"), reply) == value


def grouped(sign: str) -> Callable[[int], str]:
    return lambda value: f"{value:,}".replace(",", sign)


WRITTEN: list[Callable[[int], str]] = [
    str,
    *map(grouped, [",", " ", "\u2009", "\u00a0", "\u202f", r"\,", "{,}", "'"]),
]
WRITTEN += [lambda value: str(value).replace("-", "−"), lambda value: str(value).replace("-", "–")]
WRITTEN += [
    lambda value: f"{value}e0",
    lambda value: f"{value} × 10^0",
    lambda value: f"{value}.0",
    lambda v: f"{v}/1",
]
AROUND = [
    "Answer: {}",
    "Answer: {}.",
    "**{}**",
    r"\boxed{{}}",
    "#### {}",
    "Answer: ${}$",
    "Answer: {} km",
    "= {}",
    "`{}`",
]


@given(st.integers(-(10**15), 10**15), st.sampled_from(WRITTEN), st.sampled_from(AROUND))
def test_a_number_reads_as_itself_however_it_is_written(value: int, write: Callable[[int], str], around: str) -> None:
    read = number(around.replace("{}", write(value)))
    assert number_of(read) == value
    assert equal_numbers(read, str(value))
    assert not equal_numbers(read, str(value + 1))


@given(st.text("0123456789.,/-^e× ", min_size=1, max_size=12))
def test_no_number_is_the_front_part_of_another(text: str) -> None:
    plain = plain_digits(text)
    if found := NUMBER.search(plain):
        assert not re.search(r"\d[.,/]?\Z", plain[: found.start()])
        assert not re.match(r"[.,/^]?\d", plain[found.end() :])


@pytest.mark.parametrize(
    ("target", "shown"),
    [(0.00001, "0.00001"), (25000000000000000, "25000000000000000"), (2.5e16, "25000000000000000"), (0.5, "0.5")],
)
def test_a_target_that_is_a_number_is_shown_and_compared_in_full(target: float, shown: str) -> None:
    split = (Example("1", {"text": "x"}, target), Example("2", {"text": "y"}, 7))
    kind = TASK_KINDS["reasoning"](dict.fromkeys(("train", "validation", "test"), split))
    assert (kind.show(target), kind.metric) == (shown, "numeric")
    assert is_number(shown)
    assert equal_numbers(str(kind.parse(f"Answer: {shown}")), kind.show(target))


# -- options and entities ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        (r"\boxed{\text{B}}", "(B)"),
        (r"\boxed{\mathrm{(B)}}", "(B)"),
        (r"\boxed{\text{(B) } 5}", "(B)"),
        ("Answer: （B）", "(B)"),
        ("Answer: B because A is wrong", "(B)"),
        ("The answer is (B), not (A)", "(B)"),
        ("Answer: not (A), but (B)", "(B)"),
        ('{"answer": "B"}', "(B)"),
        ("```\nB\n```", "(B)"),
        ("答案：B", "(B)"),
        ("I choose B", "(B)"),
        ("Answer: A, B", None),
        ("Answer: (A) or (B)", None),
        ("Answer: not (A)", None),
        ("It is not (A)", None),
        ("A circle", None),
        ("(A) " * 12_000, None),
        ("(A) " * 12_000 + "\nAnswer: (B)", "(B)"),
    ],
)
def test_options(reply: str, letter: str | None) -> None:
    assert reading(option, reply) == letter


@pytest.mark.parametrize(
    ("reply", "entities"),
    [
        ('<think>{"person": ["Bob"]}</think>\n{"person": ["Ada"]}', {"person": ["Ada"]}),
        ('<think>{"person": ["Bob"]}', None),
        ('{"person": ["Bob"]}, but rather {"person": ["Ad', None),
    ],
)
def test_entities(reply: str, entities: Json) -> None:
    assert reading(partial(EntityParser(("person",)), finish="length"), reply) == entities


@pytest.mark.parametrize(
    "reply",
    [
        '<think>\nlike {"label": 1}\n</think>\n\n{"label": "x"}',
        '```json\n{"label": "x"}\n```',
        '{"label": "x ``` y"}',
        '```json {"label": "x"}```',
        'Here:\n````json\n{"label": "```\\nx\\n```"}\n````',
    ],
)
def test_json_by_a_schema(reply: str) -> None:
    schema: dict[str, object] = {"required": ["label"], "properties": {"label": {"type": "string"}}}
    metric = JsonSchema(TaskKind(parse=whole), schema, "s.json")
    assert now(metric.judge(Example("1", {}, None), reply)).score == 1.0


# -- grades --------------------------------------------------------------------------------------------------------

GRADES: list[tuple[str, float | None]] = [
    ("Score: 8", 8),
    ("8 out of 10", 8),
    ("I would give it 8 out of 10.", 8),
    ("8/10", 8),
    ("Final Score: 8", 8),
    ("**Final Score: 8/10**", 8),
    ("**Score:** 8", 8),
    ("### Score\n8", 8),
    ("Score: **8**", 8),
    ("Overall score: 8 out of 10", 8),
    ('{"score": 8, "reason": "It misses a date."}', 8),
    ('```json\n{"score": "8/10", "reasoning": "3 of 5 facts"}\n```', 8),
    ('{"reason": "scores 3 elsewhere", "rating": 7.5}', 7.5),
    ("Rating: 7.5", 7.5),
    ("Grade: 7,5", 7.5),
    ("评分：8", 8),
    ("得分：8分", 8),
    ("8", 8),
    ("Score: 8 - two facts of 5 are missing", 8),
    ("Score: 8. Because 3 of 5 facts are there.", 8),
    ("It has 3 of 5 facts and 2 errors.\nScore: 8", 8),
    ("Accuracy: 9/10\nStyle: 6/10\nScore: 7", 7),
    ("Score: 3 would be harsh.\nScore: 8", 8),
    ("I give it a score of 8.", 8),
    ("<think>Score: 3</think>\nScore: 8", 8),
    ("Score: 3 </think> 8/10", 8),
    ("Score: 7\n<reasoning>good, though 3 of 5</reasoning>", 7),
    ("Score (0-10): 8", 8),
    ("Score: [8]", 8),
    ("<score>8</score>", 8),
    ("I'd rate this an 8.", 8),
    ("I would score it 6/10, at most 7/10.", None),
    ("Score: 10", 10),
    ("Score: 0", 0),
    ("<think>Score: 3", None),
    ("Score: 11", None),
    ("Score: 100", None),
    ("Score: -3", None),
    ("Score: 80/100", None),
    ("Score: 4/5", None),
    ("Score: 8-9", None),
    ("Score: 8 or 9", None),
    ("Score: eleven", None),
    ('{"score": 80}', None),
    ('{"score": true}', None),
    ("Accuracy: 9/10\nStyle: 6/10", None),
    ("It has 3 of 5 facts.", None),
    ("", None),
]


@pytest.mark.parametrize(("reply", "grade"), GRADES)
def test_grades(reply: str, grade: float | None) -> None:
    assert reading(lambda text: read_grade(text).value, reply) == grade


class Says:
    """A judge that says one thing, and ends so."""

    name = "judge"

    def __init__(self, text: str, finish: Finish) -> None:
        self._reply = Reply(text, finish=finish)

    async def complete(self, request: Request) -> Reply:
        return self._reply


def test_a_judge_that_was_cut_off_gave_no_grade() -> None:
    example, kind = Example("1", {"text": "x"}, "y"), TaskKind(parse=whole)
    judged = now(ModelJudge(kind, "r", Says("<think>Score: 3</think>\nVague.\nScore: 8", "stop")).judge(example, "a"))
    assert (judged.score, judged.feedback) == (0.8, "Vague.")
    for text in ("<think>\nScore: 3", "Score: 1"):
        with pytest.raises(BadReply):
            now(ModelJudge(kind, "r", Says(text, "length")).judge(example, "a"))
