"""What holds of every metric and parser: totality, order, what a perfect reply is worth, the sums of a corpus."""

from __future__ import annotations

import anyio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.config.metrics import PLAIN, suits
from protocols.errors import UnreadableReply
from protocols.metrics.formats import JsonSchema, Pattern
from protocols.metrics.own import Own
from protocols.metrics.weighted import Weighted
from protocols.task import Counts, Example, Json, Metric, TaskKind, corpus_value, tally
from tests.direct import now
from tests.protocols.metrics.kinds_at_hand import GIVEN, plain
from tests.strategies import texts

CUES = ["Answer:", "the answer is", "####", "\\boxed{", "答案：", "No answer", "card", "Yes", "(A)"]
MARKS = ["\n", " ", "=", "-", "**", "}", "{", '{"person": ["Ada"]}', '{"person": ', '"\\ud800"', "[" * 50]
NUMBERS = ["7/0", "1,5", "9" * 5000, "１２", "½"]
pieces = st.sampled_from([*CUES, *MARKS, *NUMBERS])
replies = st.lists(pieces | texts, max_size=8).map("".join)


def metrics(name: str) -> list[Metric]:
    """Every metric that suits a kind, and all of them with weights."""
    kind = GIVEN[name].kind()
    plain = [make(kind) for metric, make in PLAIN.items() if suits(metric, kind.name)]
    own = Own(kind, lambda example, answer: float(answer == example.target), "mine:f")
    found: list[Metric] = [*plain, own, Pattern(kind, "[a-c]"), JsonSchema(kind, {"type": "object"}, "schema.json")]
    return [*found, Weighted([(str(n), (n + 1) / 10, metric) for n, metric in enumerate(found)])]


def usual(kind: TaskKind) -> Metric:
    return PLAIN[kind.metric](kind)


@pytest.mark.parametrize("name", GIVEN)
@given(data=st.data())
@settings(max_examples=40)
def test_no_reply_raises_and_none_leaves_the_unit_interval(name: str, data: st.DataObject) -> None:
    example = Example("1", {"text": "x"}, data.draw(GIVEN[name].targets))
    reply = data.draw(replies)
    for metric in metrics(name):
        judged = anyio.run(metric.judge, example, reply)
        assert 0 <= judged.score <= 1
        assert bool(judged.feedback) == (judged.score < 1)
        f"{judged}".encode()


@pytest.mark.parametrize("name", GIVEN)
@given(data=st.data())
@settings(max_examples=40)
def test_a_perfect_reply_scores_1_however_it_was_reasoned(name: str, data: st.DataObject) -> None:
    kind, target = GIVEN[name].kind(), data.draw(GIVEN[name].targets)
    example, shown = Example("1", {"text": "x"}, target), kind.show(target)
    reasons = "Let me see: either this or that.\n" if kind.name != "generation" else ""
    cue = "Answer: " if kind.name in ("reading", "reasoning") else ""
    for reply in (shown, kind.replied(target), f"{reasons}{cue}{shown}", f"{reasons}{cue}{shown}\n"):
        judged = now(usual(kind).judge(example, reply))
        assert (judged.score, judged.feedback, judged.mistakes) == (1, "", {}), reply
        assert corpus_value(usual(kind), [(judged.score, judged.counts)]) == 1


@pytest.mark.parametrize("name", GIVEN)
@given(data=st.data())
@settings(max_examples=40)
def test_a_whole_reply_has_the_form_that_the_prompt_asks_for(name: str, data: st.DataObject) -> None:
    kind, target = GIVEN[name].kind(), data.draw(GIVEN[name].targets)
    lines = f"{kind.format}\n".split("\n")
    mark = next((line.removesuffix("<the final answer>") for line in lines if line.endswith("answer>")), "")
    assert kind.replied(target) == mark + kind.show(target)


@pytest.mark.parametrize("name", GIVEN)
@given(data=st.data())
@settings(max_examples=12)
def test_a_corpus_is_a_function_of_the_sums(name: str, data: st.DataObject) -> None:
    """In [0, 1], the same in any order, and the same for totals that are stacked as one by one."""
    pairs = data.draw(st.lists(st.tuples(GIVEN[name].targets, st.booleans(), replies), min_size=1, max_size=8))
    kind = GIVEN[name].kind()
    for metric in metrics(name):
        judged: list[tuple[float, Counts]] = []
        for target, right, reply in pairs:
            one = anyio.run(metric.judge, Example("1", {}, target), kind.show(target) if right else reply)
            judged.append((one.score, one.counts))
        value = corpus_value(metric, judged)
        assert 0 <= value <= 1 + 1e-12
        assert corpus_value(metric, data.draw(st.permutations(judged))) == pytest.approx(value)
        subsets = [judged[: n + 1] for n in range(len(judged))]
        totals = [tally(subset) for subset in subsets]
        names = sorted({count for total in totals for count in total})
        stacked = metric.corpus({count: np.array([total.get(count, 0.0) for total in totals]) for count in names})
        assert stacked.tolist() == pytest.approx([corpus_value(metric, subset) for subset in subsets])


@pytest.mark.parametrize("name", GIVEN)
@given(reply=replies)
@settings(max_examples=100)
def test_a_parser_answers_or_says_why_it_cannot(name: str, reply: str) -> None:
    try:
        answer = GIVEN[name].kind().parse(reply)
    except UnreadableReply as error:
        answer = str(error)
    assert answer not in (None, "")


ANSWERS: dict[str, type | tuple[type, ...]] = {
    "multilabel": list,
    "ner": dict,
    "reading": (str, list),
}
"""The table of docs/metrics.md: what a metric of one's own is given; a text for the other kinds."""


@pytest.mark.parametrize("name", GIVEN)
@given(data=st.data())
@settings(max_examples=10)
def test_what_a_metric_of_ones_own_is_given(name: str, data: st.DataObject) -> None:
    kind, seen = GIVEN[name].kind(), list[object]()

    def score(example: Example, answer: Json) -> float:
        seen.append(answer)
        return 1.0

    own = Own(kind, score, "mine:f")
    target = data.draw(GIVEN[name].targets)
    now(own.judge(Example("1", {}, target), kind.replied(target)))
    assert [isinstance(answer, ANSWERS.get(kind.name, str)) for answer in seen] == [True]
    now(own.judge(Example("1", {}, target), "<think>and so on"))
    assert len(seen) == 1


@given(plain, plain)
def test_a_reply_that_holds_no_answer_is_worth_nothing_and_says_so(target: str, reply: str) -> None:
    kind = TaskKind(parse=lambda reply: None)
    judged = now(usual(kind).judge(Example("1", {}, target), reply))
    assert (judged.score, judged.answer) == (0, None)
    assert judged.feedback == f"the reply holds no answer; expected {target}"


def test_weights_scale_to_one_and_every_part_keeps_its_own_counts() -> None:
    kind = GIVEN["classification"].kind()
    parts = [("accuracy", 3.0, PLAIN["accuracy"](kind)), ("macro_f1", 1.0, PLAIN["macro_f1"](kind))]
    metric = Weighted(parts)
    said = [("card", "card"), ("card", "card"), ("card", "退款"), ("退款", "退款")]
    judged = [now(metric.judge(Example("1", {}, target), reply)) for target, reply in said]
    accuracy, macro = 3 / 4, (4 / 5 + 2 / 3) / 2
    assert corpus_value(metric, [(j.score, j.counts) for j in judged]) == pytest.approx((3 * accuracy + macro) / 4)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_perfect_in_every_part_is_perfect(weights: list[float]) -> None:
    """To the last digit: what scores less is a failure that a critic reads."""
    kind = GIVEN["words"].kind()
    metric = Weighted([(str(n), weight, PLAIN["exact"](kind)) for n, weight in enumerate(weights)])
    judged = now(metric.judge(Example("1", {}, "x"), "x"))
    assert judged.score == corpus_value(metric, [(judged.score, judged.counts)]) == 1.0
