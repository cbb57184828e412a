"""Writes, reads and scores named entities."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from protocols.answers.json_objects import placed
from protocols.errors import ConfigError, UnreadableReply
from protocols.metrics.parsed import ParsedMetric, micro_f1
from protocols.model import Finish
from protocols.task import Array, Counts, Example, Json, Judgement, show_text
from protocols.text import fold
from protocols.thought import INCOMPLETE, without_thought

Entity = tuple[str, str]
"""(type, text)."""


def show_entities(target: Json) -> str:
    """One line of JSON with sorted types: {"person": ["Ada", "Bob"]}; {} if there are no entities."""
    if not isinstance(target, Mapping):
        return show_text(target)
    return json.dumps({kind: target[kind] for kind in sorted(target) if target[kind]}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class EntityParser:
    """Reads the last JSON object of a reply whose values are lists of texts. `types`: the known types.

    A single text means a list of one, null an empty list, and types are matched ignoring case. Unknown types are
    kept, so that they count as inventions.
    """

    types: tuple[str, ...]

    def __call__(self, reply: str, finish: Finish = "stop") -> Json:
        """The entities by type.

        :raises UnreadableReply: there is no such object, or the reply was cut off inside a later one.
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
    """Micro-averaged F1 over the distinct (type, text) pairs of each example, strict in both, as in CLUENER 2020
    (Xu et al., arXiv 2001.04351). An example without entities scores 1 if the reply names none."""

    async def compare(self, example: Example, answer: Json) -> Judgement:
        """The F1 of one example, and its counts for the corpus metric."""
        gold, said = _pairs(example.target), _pairs(answer)
        right = len(gold & said)
        missed, invented = sorted(gold - said), sorted(said - gold)
        score = 2 * right / (len(gold) + len(said)) if gold or said else 1.0
        words, mistakes = _explain(missed, invented)
        counts = {"tp": right, "fn": len(missed), "fp": len(invented)}
        return Judgement(score, self._kind.show(answer), words, counts, mistakes)

    def missed(self, target: Json) -> Counts:
        """All entities are false negatives."""
        return {"tp": 0, "fn": len(_pairs(target)), "fp": 0}

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """2 tp / (2 tp + fp + fn); 1 if there was nothing to find and nothing was named."""
        return micro_f1(totals)


def _explain(missed: Sequence[Entity], invented: Sequence[Entity]) -> tuple[str, Counts]:
    """The mistakes in words, and the count of each kind. A missed and an invented entity with the same text are one
    mistake (wrong type), as are two of the same type of which one text contains the other (wrong boundaries)."""
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
    """The distinct (type, text) pairs, with white space collapsed.

    :raises ConfigError: the answers are not entities by type.
    """
    if not isinstance(entities, Mapping):
        raise ConfigError("entity_f1 needs a parser that gives entities by type")
    pairs = {(kind, " ".join(str(text).split())) for kind, texts in entities.items() for text in _listed(texts)}
    return {(kind, text) for kind, text in pairs if text}


def _listed(texts: Json) -> Sequence[Json]:
    return texts if isinstance(texts, list | tuple) else ()
