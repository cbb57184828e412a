"""Corpus values against those of seqeval, of scikit-learn, and of SQuAD's definition written anew."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2
from sklearn.metrics import accuracy_score, f1_score

from protocols.answers.labels import LabelParser
from protocols.answers.parsers import span
from protocols.metrics.entities import EntityF1, EntityParser, show_entities
from protocols.metrics.match import Accuracy, MacroF1
from protocols.metrics.overlap import SquadEM, SquadF1
from protocols.task import Example, Json, Metric, TaskKind, corpus_value
from tests.direct import now

unhurried = settings(max_examples=60)
TYPES = ("person", "place")
LABELS = ("a", "b", "c")


def value(metric: Metric, said: Sequence[tuple[Json, str]]) -> float:
    judged = [now(metric.judge(Example("1", {}, target), reply)) for target, reply in said]
    return corpus_value(metric, [(one.score, one.counts) for one in judged])


tags = st.lists(st.sampled_from(["O", *(f"{where}-{kind}" for where in "BI" for kind in TYPES)]), max_size=8)


def spans(sentence: Sequence[str]) -> dict[str, list[str]]:
    """The entities of a sentence in strict IOB2, each word its own place, so that no two entities read the same."""
    found: dict[str, list[str]] = {}
    previous = "O"
    for place, tag in enumerate(sentence):
        where, _, kind = tag.partition("-")
        if where == "B":
            found.setdefault(kind, []).append(f"w{place}")
        elif where == "I" and previous[2:] == kind:
            found[kind][-1] += f" w{place}"
        previous = tag
    return found


def proper(sentence: Sequence[str]) -> list[str]:
    """An I that continues nothing begins an entity."""
    fixed: list[str] = []
    for tag in sentence:
        continues = bool(fixed) and tag[:1] == "I" and fixed[-1][2:] == tag[2:]
        fixed.append(tag if continues or tag == "O" else f"B{tag[1:]}")
    return fixed


@given(st.lists(tags.flatmap(lambda gold: st.tuples(st.just(gold), st.permutations(gold))), min_size=1, max_size=6))
@unhurried
def test_entity_f1_is_that_of_seqeval(sentences: list[tuple[list[str], list[str]]]) -> None:
    gold, said = ([proper(pair[side]) for pair in sentences] for side in (0, 1))
    assume(any(tag != "O" for sentence in gold for tag in sentence))
    metric = EntityF1(TaskKind("ner", show=show_entities, parse=EntityParser(TYPES)))
    ours = value(metric, [(spans(g), show_entities(spans(s))) for g, s in zip(gold, said, strict=True)])
    assert ours == pytest.approx(seqeval_f1(gold, said, mode="strict", scheme=IOB2))


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "?"])), min_size=1, max_size=12))
@unhurried
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(said: list[tuple[str, str]]) -> None:
    """A reply that names no label is a missed label, and no label of its own."""
    kind = TaskKind("classification", parse=LabelParser(LABELS))
    gold, answers = [target for target, _ in said], [answer for _, answer in said]
    assert value(Accuracy(kind), said) == pytest.approx(accuracy_score(gold, answers))
    known = sorted(set(gold + answers) - {"?"})
    expected = f1_score(gold, answers, labels=known, average="macro", zero_division=0.0)
    assert value(MacroF1(kind), said) == pytest.approx(expected)


def official(prediction: str, golds: Sequence[str]) -> Mapping[str, float]:
    """A second implementation of SQuAD's two numbers, from the papers' words (1606.05250 section 6.1: "ignore
    punctuations and articles"; 1806.03822: no answer scores 1 for no answer, else 0), character by character."""

    def words(text: str) -> list[str]:
        kept = "".join(" " if c.isspace() else c for c in text.lower() if c not in string.punctuation)
        parts = re.findall(r"\w+|[^\w\s]+|\s+", kept)
        return "".join(" " if part in ("a", "an", "the") else part for part in parts).split()

    def f1(said: list[str], gold: list[str]) -> float:
        left, common = list(gold), 0
        for word in said:
            if word in left:
                left.remove(word)
                common += 1
        if not said or not gold:
            return float(not said and not gold)
        if not common:
            return 0.0
        precision, recall = common / len(said), common / len(gold)
        return 2 * precision * recall / (precision + recall)

    wanted = [gold for gold in map(words, golds) if gold] or [[]]
    said = words(prediction)
    return {
        "em": max(float(" ".join(said) == " ".join(gold)) for gold in wanted),
        "f1": max(f1(said, gold) for gold in wanted),
    }


word = st.sampled_from(
    ["the", "The", "a", "cat", "cat's", "U.S.", "an-other", "1,000", "É", "“cat”", "sat", "-", "the.", "a1"]
)
phrases = st.lists(word, min_size=1, max_size=5).map(" ".join)


@given(st.lists(phrases, max_size=3), phrases)
@settings(max_examples=200)
def test_squad_is_scored_as_it_is_defined(golds: list[str], reply: str) -> None:
    kind = TaskKind("reading", parse=str)
    expected = official(reply, golds)
    assert value(SquadEM(kind), [(golds, reply)]) == expected["em"]
    assert value(SquadF1(kind), [(golds, reply)]) == pytest.approx(expected["f1"])
    silent = TaskKind("reading", parse=span)
    assert value(SquadF1(silent), [(golds, "no answer")]) == official("", golds)["f1"]
