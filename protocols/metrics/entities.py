"""Named entities: how they are written, how they are read, and what they score."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from protocols.answers.json_objects import placed
from protocols.errors import ConfigError, UnreadableReply
from protocols.metrics.parsed import ParsedMetric
from protocols.model import Finish
from protocols.task import Array, Counts, Example, Json, Judgement, show_text
from protocols.text import fold
from protocols.thought import INCOMPLETE, without_thought

Entity = tuple[str, str]
"""Type and text."""


def show_entities(target: Json) -> str:
    """One line of JSON, the types sorted: {"person": ["Ada", "Bob"]}; {} for none."""
    if not isinstance(target, Mapping):
        return show_text(target)
    return json.dumps({kind: target[kind] for kind in sorted(target) if target[kind]}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class EntityParser:
    """Reads the last JSON object of a reply whose values are lists of texts; `types` are known.

    A single text stands for a list of one, null for none, and a type may be written in another case. A type that is
    not known is kept, for it is an invention.
    """

    types: tuple[str, ...]

    def __call__(self, reply: str, finish: Finish = "stop") -> Json:
        """The entities by type.

        :raises UnreadableReply: there is no such object, or another was begun when the reply was cut off.
        """
        text = without_thought(reply, finish)
        there = list(placed(text))
        found = [entities for _, _, value in there if (entities := self._entities(value)) is not None]
        if not found:
            raise UnreadableReply("the reply holds no JSON object that lists entities by type")
        if finish in INCOMPLETE and "{" in text[there[-1][1] :]:
            raise UnreadableReply("the reply was cut off inside its JSON object")
        return found[-1]

    def _entities(self, value: Mapping[str, Json]) -> dict[str, list[str]] | None:
        known = {fold(kind): kind for kind in self.types}
        entities: dict[str, list[str]] = {}
        for name, listed in value.items():
            texts = [listed] if isinstance(listed, str) else listed or []
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                return None
            entities.setdefault(known.get(fold(name), name), []).extend(map(str, texts))
        return entities if not entities or not known.keys().isdisjoint(map(fold, entities)) else None


class EntityF1(ParsedMetric):
    """Micro-averaged F1 over the distinct (type, text) of each example, strict in both, as CLUENER 2020 scores
    (Xu et al., arXiv 2001.04351). An example without entities is perfect when none is named."""

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """F1 of the one example, and the counts of the corpus."""
        gold, said = _pairs(example.target), _pairs(answer)
        right = len(gold & said)
        missed, invented = sorted(gold - said), sorted(said - gold)
        score = 2 * right / (len(gold) + len(said)) if gold or said else 1.0
        words, mistakes = _explain(missed, invented)
        counts = {"tp": right, "fn": len(missed), "fp": len(invented)}
        return Judgement(score, self._kind.show(answer), words, counts, mistakes)

    def missed(self, target: Json) -> Counts:
        """All of them."""
        return {"tp": 0, "fn": len(_pairs(target)), "fp": 0}

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """2 tp / (2 tp + fp + fn); 1 where there was nothing to find and nothing was named."""
        tp, wrong = totals["tp"], totals["fp"] + totals["fn"]
        both = 2 * tp + wrong
        return np.where(both > 0, 2 * tp, 1.0) / np.where(both > 0, both, 1.0)


def _explain(missed: Sequence[Entity], invented: Sequence[Entity]) -> tuple[str, Counts]:
    """What went wrong in words, and how often each kind of mistake did; a missed entity and an invented one that
    stand for each other are one mistake: the wrong type, or the wrong boundaries."""
    words, mistakes = [], Counter[str]()
    left = list(missed)
    for kind, text in invented:
        if other := next((m for m in left if m[1] == text), None):
            words.append(f"{text} is {other[0]}, not {kind}")
            mistakes[f"{other[0]} taken for {kind}"] += 1
        elif other := next((m for m in left if m[0] == kind and (m[1] in text or text in m[1])), None):
            words.append(f"answered {kind}: {text}, expected {other[1]}")
            mistakes[f"wrong boundaries of {kind}"] += 1
        else:
            words.append(f"invented {kind}: {text}")
            mistakes[f"invented {kind}"] += 1
            continue
        left.remove(other)
    words += [f"missed {kind}: {text}" for kind, text in left]
    mistakes.update(f"missed {kind}" for kind, _ in left)
    return "; ".join(words), dict(mistakes)


def _pairs(entities: Json) -> set[Entity]:
    """The distinct (type, text), white space collapsed."""
    if not isinstance(entities, Mapping):
        raise ConfigError("entity_f1 needs a parser that gives entities by type")
    pairs = {(kind, " ".join(str(text).split())) for kind, texts in entities.items() for text in _listed(texts)}
    return {(kind, text) for kind, text in pairs if text}


def _listed(texts: Json) -> Sequence[Json]:
    return texts if isinstance(texts, list | tuple) else ()
