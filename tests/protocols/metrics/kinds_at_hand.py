"""A small task of each kind, by its name and by what its targets are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from protocols.kinds.kinds import LABELLED, TASK_KINDS
from protocols.task import Example, Json, KindName, TaskKind
from tests.strategies import texts

filled = (texts | st.text(max_size=12)).filter(str.strip)
TYPES = ("person", "地址", "group")
ORDER = ("bad", "fair", "good")
LABELS = ("card", "card arrival", "退款")


@dataclass(frozen=True)
class Given:
    """A kind with targets of its train split; `targets` draws one that fits."""

    name: KindName
    train: Sequence[Json]
    targets: st.SearchStrategy[Json]
    labels: tuple[str, ...] = ()

    def kind(self) -> TaskKind:
        split = tuple(Example(str(n), {"text": str(n)}, target) for n, target in enumerate(self.train))
        splits = dict.fromkeys(("train", "validation", "test"), split)
        return LABELLED[self.name](splits, self.labels) if self.labels else TASK_KINDS[self.name](splits)


entities: st.SearchStrategy[Json] = st.dictionaries(st.sampled_from(TYPES), st.lists(filled, max_size=3), max_size=3)
levels = st.integers(1, 5)
label_lists: st.SearchStrategy[Json] = st.lists(st.sampled_from(LABELS), max_size=3)
lines = filled.filter(lambda text: len(text.split()) > 0 and "\n" not in text)
plain = st.text("bcd 付款", min_size=1, max_size=12).filter(str.strip)
numbers = st.integers(-(10**9), 10**9) | st.decimals(-1000, 1000, places=2)
leaves: st.SearchStrategy[Json] = (
    st.none() | st.booleans() | st.integers(-9, 9) | filled | st.lists(filled, max_size=2)
)
GIVEN = {
    "classification": Given("classification", LABELS, st.sampled_from(LABELS)),
    "multilabel": Given("multilabel", [[label] for label in LABELS] + [[]], label_lists),
    "ratings": Given("ordinal", [1, "5"], levels | levels.map(str) | levels.map(float)),
    "ordered": Given("ordinal", ORDER, st.sampled_from(ORDER), ORDER),
    "ner": Given("ner", [{kind: ["x"]} for kind in TYPES], entities),
    "reading": Given("reading", ["Ada", []], st.lists(plain, max_size=3)),
    "reading, chinese": Given("reading", ["阿达", []], st.lists(plain, max_size=3)),
    "generation": Given("generation", ["Ada"], filled),
    "objects": Given(
        "generation", [{"name": "Ada", "tags": []}], st.dictionaries(filled, leaves, min_size=1, max_size=3)
    ),
    "numbers": Given("reasoning", ["1", "-2,000.5"], numbers.map(str)),
    "options": Given("reasoning", ["(A)", "(B)"], st.sampled_from(["(A)", "(C)", "(Z)"])),
    "yes or no": Given("reasoning", ["Yes", "No"] * 4, st.sampled_from(["Yes", "No"])),
    "words": Given("reasoning", ["erg fluent", "berra hen"], st.lists(plain, min_size=1, max_size=3)),
}
