"""The limit on a reply: whatever is right has room, and a plain answer that is cut is read as it would have been."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.answers.labels import LabelParser
from protocols.errors import DataError, UnreadableReply
from protocols.kinds.kinds import TASK_KINDS, reasoning
from protocols.kinds.labelled import classification
from protocols.metrics.reply_limits import AROUND, LEAST, tokens_at_most
from protocols.model import Finish
from protocols.task import GENEROUS, Example, Json, KindName

PIECE = re.compile(r" ?[A-Za-z]{1,9}|\d|\s+|[^\w\s]+|.", re.DOTALL)
"""Tokens, about as SmolLM2's tokeniser makes them of English."""
LABELS = [
    ("billing", "shipping", "refund"),
    ("AddToPlaylist", "BookRestaurant", "SearchScreeningEvent"),
    ("top_up_by_cash_or_cheque", "wrong_exchange_rate_for_cash_withdrawal"),
    ("股票", "科技"),
]
WHY = "The message describes a charge that appeared twice on a card, and the customer wants it back, which is"
FORMS = [
    "{}",
    "{}.",
    "**{}**",
    '"{}"',
    "`{}`",
    "Label: {}",
    "**Label:** {}",
    "The label is **{}**.",
    "The label is {}. " + WHY,
    "{}\n\n" + WHY,
    "{} - " + WHY,
    '{"label": "{}"}',
    '{"label": "{}", "reason": "' + WHY + '"}',
    '```json\n{\n  "label": "{}"\n}\n```',
    '```json\n{"label": "{}", "reason": "' + WHY + '"}\n```',
    "<label>{}</label>",
    "\\boxed{{}}",
    "Sure! The label that fits best is:\n\n**{}**",
    "Based on the content of the message, the label that fits best is: {}",
    "The text is about a customer who was charged twice for one order, so the label is: {}",
    "标签：{}",
    "<think>\n\n</think>\n\n{}",
]


def cut(reply: str, tokens: int) -> tuple[str, Finish]:
    pieces = PIECE.findall(reply)
    return "".join(pieces[:tokens]), "stop" if len(pieces) <= tokens else "length"


@pytest.mark.parametrize("labels", LABELS, ids="|".join)
@pytest.mark.parametrize("form", FORMS)
def test_a_plain_answer_is_read_within_the_limit(labels: tuple[str, ...], form: str) -> None:
    kind = classification({"train": tuple(Example(label, {"text": "t"}, label) for label in labels)})
    for label in labels:
        reply = form.replace("{}", label)
        assert LabelParser(labels)(reply) == label
        assert kind.read(*cut(reply, kind.limit)) == label


def test_a_rambling_reply_is_cut_and_never_read_as_another_label() -> None:
    labels = LABELS[0]
    kind = classification({"train": tuple(Example(label, {"text": "t"}, label) for label in labels)})
    for early in (
        "It is about shipping or billing. ",
        "shipping? Perhaps. ",
        "Let me see: billing, shipping, refund. ",
    ):
        reply, finish = cut(early + WHY + " " + WHY + ". The label is refund.", kind.limit)
        assert finish == "length"
        with pytest.raises(UnreadableReply):
            kind.read(reply, finish)


words = st.text(st.sampled_from("ab Z_9.股é"), min_size=1, max_size=60).filter(str.strip)
TARGETS: dict[KindName, st.SearchStrategy[Json]] = {
    "classification": words,
    "ner": st.dictionaries(st.sampled_from(["person", "place", "organisation"]), st.lists(words, max_size=9)),
    "reading": words | st.lists(words, max_size=3),
    "generation": words | st.lists(words, min_size=1, max_size=3) | st.dictionaries(words, words),
    "reasoning": words | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
}


@given(st.data(), st.sampled_from(sorted(TARGETS)))
def test_every_right_reply_of_train_has_room_with_what_stands_around_it(data: st.DataObject, name: KindName) -> None:
    targets = data.draw(st.lists(TARGETS[name], min_size=1, max_size=6))
    examples = tuple(Example(str(n), {"text": str(n)}, target) for n, target in enumerate(targets))
    try:
        kind = TASK_KINDS[name]({"train": examples})
    except DataError:
        return
    longest = max(tokens_at_most(kind.show(target)) for target in targets)
    assert kind.limit >= max(LEAST, longest + AROUND)
    assert kind.limit <= max(GENEROUS, 40 * (longest + AROUND)), "and is no limit that limits nothing"


def test_a_label_has_32_tokens_and_reasoning_its_room() -> None:
    kind = classification({"train": (Example("1", {"text": "t"}, "billing"), Example("2", {"text": "u"}, "refund"))})
    assert (kind.limit, kind.thought > 0) == (32, True)
    kind = reasoning({"train": (Example("1", {"text": "t"}, 5),)})
    assert (kind.limit, kind.thought) == (GENEROUS, 0)


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_bound_on_tokens_adds_up(one: str, other: str) -> None:
    both: Callable[[str], int] = tokens_at_most
    assert max(both(one), both(other)) <= both(one + other) <= both(one) + both(other)
    assert both(one) <= len(one.encode("utf-8", "replace"))
