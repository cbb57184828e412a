"""Replying: turns a reading and a question into a reply in the form that the prompt asks for.

The slots of the template are filled one after the other; the last one gets the answer. Another kind of answer (a
span, a number) would need another way to fill it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from protocols.providers.embedded.answering import Question, Reading
from protocols.providers.embedded.attention import Memory, query
from protocols.providers.embedded.features import Array, fold, joined, words
from protocols.providers.embedded.reading import Step

UNSURE = 0.02  # margin below which a free answer names two answers
RETHOUGHT = 0.5  # weight of a second query with the words that the reply has picked out
PICKED = 6  # words that a reasoning step writes
SPREAD = 0.05  # noise at temperature 1, in the units of the scores


def reply(reading: Reading, question: Question, temperature: float, rng: np.random.Generator | None) -> str:
    """The reply, written step by step; each step reads the text of the previous one."""
    if not reading.answers:
        return "The text names no possible answers, so I cannot give one."
    text = reading.asked(question)
    queries = [(query(text), 1.0)]
    steps = _steps(reading.steps, question.cue)
    if not steps:
        return _free(reading, reading.memory.scores(*queries), temperature, rng)
    written: list[str] = []
    for step in steps[:-1]:
        picked = _pick(reading.memory, text)
        if picked:
            queries = [queries[0], (query(*picked), RETHOUGHT)]
        written.append(f"{step.before}{joined(picked)}{step.after}")
    best = _draw(reading.memory.scores(*queries), temperature, rng)[0]
    written.append(f"{steps[-1].before}{reading.answers[best]}{steps[-1].after}")
    return "\n".join(written)


def _steps(steps: Sequence[Step], cue: str) -> list[Step]:
    """The template without the words that the cue already says; a cue alone is a template of one slot."""
    if not cue:
        return list(steps)
    if not steps:
        return [Step("", cue, "")]
    said = fold(steps[0].before.strip(" :：")) == fold(cue)
    return [replace(steps[0], before="") if said else steps[0], *steps[1:]]


def _pick(memory: Memory, text: str) -> list[str]:
    """The most distinctive words of the question, in their order."""
    distinct = list(dict.fromkeys(words(text)))[:400]
    saliences = {word: memory.salience(word) for word in distinct}
    ranked = sorted(distinct, key=lambda word: -saliences[word])[:PICKED]
    return [word for word in distinct if word in ranked and saliences[word] > 0]


def _draw(scores: Array, temperature: float, rng: np.random.Generator | None) -> list[int]:
    """Answers from best to worst; with a temperature, Gumbel noise makes the order a draw from their softmax."""
    if rng is not None:
        scores = scores + SPREAD * temperature * rng.gumbel(size=len(scores))
    return [int(i) for i in np.argsort(-scores, kind="stable")]


def _free(reading: Reading, scores: Array, temperature: float, rng: np.random.Generator | None) -> str:
    order = _draw(scores, temperature, rng)
    first = reading.answers[order[0]]
    if len(order) > 1 and scores[order[0]] - scores[order[1]] < UNSURE:
        return f"This could be {first} or {reading.answers[order[1]]}; both fit."
    return f"I would say that this is {first}."
