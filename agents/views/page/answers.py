"""What a candidate was asked and answered, by split, and scores taken apart into cells that have examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from agents.history.wrong import exchanges_of, order
from agents.results.breakdown import ITEMS, by_label, confusion, has_confusion, items_of
from agents.views.page.changes import fit
from memory.journals.exchanges import Exchange
from protocols.messages import FIRST, Outcome
from protocols.program import Step
from protocols.task import KindName, SplitName
from protocols.text import one_line, printable

Json = dict[str, Any]
SPLITS: tuple[SplitName, ...] = ("test", "validation", "train")
STEPS, STEP = 8, 500
"""Most steps of a program on one example, and most characters of a text of a step, where texts are bounded."""
SAMPLES, SAMPLED = 3, 200
"""Examples of each cell that a report has beside the worst, and most of all cells together."""
NAME = 80
"""Most characters of a label."""
GROUPS = {
    "wrong": "less than right",
    "unreadable": "without an answer that can be read",
    "refused": "refused",
    "truncated": "cut off at the limit of tokens",
    "textless": "without a text",
    "unanswered": "not answered: the call failed",
}
"""Groups of examples by how they ended, in words."""


class Answers:
    """Makes the rows of one candidate. `most`: most characters of a text, None for whole texts. `texts`: the
    messages' texts, which the rows name by their place, since most of them are shared."""

    def __init__(self, kind: KindName, most: int | None) -> None:
        self._kind, self._most = kind, most
        self._places: dict[str, int] = {}

    @property
    def texts(self) -> list[str]:
        return [*self._places]

    def split(self, name: SplitName, exchanges: Sequence[Exchange], rows: int | None, spread: bool) -> Json:
        """The examples of a split, the worst first, and then those without an answer. `rows`: how many; None: all.
        `spread`: besides, some of each cell."""
        ordered = sorted(exchanges, key=lambda each: (bool(each.error), each.score, order(each.example)))
        shown = ordered[:rows]
        if spread and rows is not None:
            shown += islice(self._spread(ordered, rows), SAMPLED)
        answered = [each for each in exchanges if not each.error]
        return {
            "split": name,
            "n": len(exchanges),
            "wrong": sum(each.score < 1.0 for each in answered),
            "unanswered": len(exchanges) - len(answered),
            "rows": [self._row(each) for each in shown],
        }

    def _spread(self, ordered: Sequence[Exchange], rows: int) -> Iterator[Exchange]:
        there = Counter(cell for each in ordered[:rows] for cell in cells(self._kind, each))
        for each in ordered[rows:]:
            found = cells(self._kind, each)
            if any(there[cell] < SAMPLES for cell in found):
                there.update(found)
                yield each

    def _row(self, each: Exchange) -> Json:
        most = self._most
        return {
            "id": each.example,
            "example": printable(each.example),
            "score": None if each.error else each.score,
            "inputs": [[printable(name), fit(text, most)] for name, text in each.inputs.items()],
            "messages": [[speaker, self._place(fit(text, most))] for speaker, text in each.messages],
            "reply": fit(each.reply, most),
            "target": fit(each.target, most),
            "answer": None if each.answer is None else fit(each.answer, most),
            "feedback": fit(each.feedback, most),
            "ended": ended(each),
            "model": printable(each.model),
            "error": fit(each.error, most),
            "input": each.usage.input,
            "output": each.usage.output,
            "seconds": each.seconds,
            "cached": each.cached,
            "steps": [step_row(step, most) for step in each.steps[: STEPS if most is not None else None]],
            "made": len(each.steps),
            "cells": cells(self._kind, each),
        }

    def _place(self, text: str) -> int:
        return self._places.setdefault(text, len(self._places))


def asked(
    directory: Path,
    kind: KindName,
    number: int,
    outcomes: Sequence[Outcome],
    most: int | None = None,
    rows: int | None = None,
    spread: bool = False,
) -> Json:
    """What a candidate was asked and answered: `splits` as from `Answers.split`, and their `texts`. `outcomes`: of
    the training examples that its critic read, for runs that keep no messages.

    :raises MemoryMismatch, StorageFailed: the journal is damaged, or of another version.
    """
    made, splits = Answers(kind, most), []
    for name in SPLITS:
        exchanges = exchanges_of(directory, number, name)
        if name == "train" and not exchanges:
            exchanges = [as_exchange(outcome) for outcome in outcomes]
        if exchanges:
            splits.append(made.split(name, exchanges, rows, spread))
    return {"splits": splits, "texts": made.texts}


def as_exchange(outcome: Outcome) -> Exchange:
    """An outcome without the messages, which an outcome does not have."""
    return Exchange(
        example=outcome.example,
        messages=(),
        reply=outcome.reply,
        finish=outcome.finish,
        instead=outcome.instead,
        usage=outcome.usage,
        target=outcome.target,
        answer=outcome.answer,
        score=outcome.score,
        feedback=outcome.feedback,
        inputs=outcome.inputs,
        steps=outcome.steps,
        model=outcome.model,
    )


def step_row(step: Step, most: int | None) -> Json:
    """A call or a note of a program. In a report its texts are short, since there may be thousands of them."""
    longest = None if most is None else min(most, STEP)
    return {
        "prompt": printable(step.prompt),
        "values": [[printable(name), fit(text, longest)] for name, text in step.values.items()],
        "messages": [[message.speaker, fit(message.text, longest)] for message in step.messages],
        "reply": fit(step.reply, longest),
        "error": fit(step.error, longest),
        "input": step.usage.input,
        "output": step.usage.output,
        "seconds": step.seconds,
    }


def ended(each: Exchange) -> str:
    """How the reply to one example ended, in words; "" if it has an answer and nothing is unusual."""
    named = [GROUPS[group] for group in _groups(each) if group in ("unreadable", "refused", "truncated")]
    return "; ".join([*named, *([f"{each.instead} instead of a text"] if each.instead else [])])


def cells(kind: KindName, each: Exchange) -> list[str]:
    """The keys of the groups and of the cells, of `taken_apart`, that an example belongs to."""
    found = list(_groups(each))
    if each.error or kind not in ITEMS:
        return found
    expected, answered = items_of(kind, each.target), items_of(kind, each.answer)
    found += sorted({_key("missed", label) for label, _ in expected - answered})
    found += sorted({_key("added", label) for label, _ in answered - expected})
    return [*found, _key("pair", each.target, each.answer)] if has_confusion(kind) else found


def _groups(each: Exchange) -> Iterator[str]:
    if each.error:
        yield "unanswered"
        return
    if each.score < 1.0:
        yield "wrong"
    if each.answer is None:
        yield "unreadable"
    if each.finish == "refusal":
        yield "refused"
    if each.finish == "length":
        yield "truncated"
    if each.instead is not None:
        yield "textless"


def _key(*parts: str | None) -> str:
    return orjson.dumps(parts).decode("utf-8")


def taken_apart(directory: Path, kind: KindName, result: Mapping[str, Any] | None, best: int | None) -> list[Json]:
    """The scores of the first prompt and of the best one by label or entity type, by pair of an expected and another
    answer, by metric, and by how replies ended: on the test split, or on validation if the test split was not read.

    A cell or group has a key, which the rows of its examples have, too. Empty if there is nothing to take apart.

    :raises MemoryMismatch, StorageFailed: the journal is damaged, or of another version.
    """
    test = result["test"] if result else None
    winner = result["candidate"] if result else best
    scores = {FIRST: test["first_score"], winner: test["best_score"]} if test else {}
    split: SplitName = "test" if test else "validation"
    numbers = [] if winner is None else [FIRST] if winner == FIRST else [FIRST, winner]
    parts = (_taken_apart(directory, kind, number, split, scores.get(number)) for number in numbers)
    return [part for part in parts if part["groups"] or part["labels"] or part["metrics"]]


def _taken_apart(
    directory: Path, kind: KindName, number: int, split: SplitName, score: Mapping[str, Any] | None
) -> Json:
    exchanges = exchanges_of(directory, number, split)
    known = score["breakdown"] if score else {}
    kept = [each for each in exchanges if not each.error]
    labels, pairs = known.get("labels") or [], known.get("confused") or []
    several = bool(known.get("models")) or any(each.model for each in kept)
    if not score and kind in ITEMS:
        items = [(items_of(kind, each.target), items_of(kind, each.answer)) for each in kept]
        labels = [asdict(each) for each in by_label(items)]
        pairs = [asdict(each) for each in confusion(kept)] if has_confusion(kind) else []
    return {
        "candidate": number,
        "name": f"{'first' if number == FIRST else 'best'} prompt{', by the worst reply of all models,' * several}",
        "split": split,
        "n": score["n"] if score else len(kept),
        "kept": bool(exchanges),
        "metrics": [[one_line(name, NAME), value] for name, value in (known.get("metrics") or {}).items()],
        "labels": [_label(label, kind) for label in sorted(labels, key=lambda row: (-row["expected"], row["label"]))],
        "pairs": [_pair(pair) for pair in pairs],
        "groups": _counted(exchanges, score),
    }


def _counted(exchanges: Sequence[Exchange], score: Mapping[str, Any] | None) -> list[Json]:
    """The groups with their sizes: by what the journal keeps, or else by the score."""
    counts: Counter[str] = Counter(group for each in exchanges for group in _groups(each))
    if not exchanges and score:
        counts.update({name: score[name] for name in ("unreadable", "refused", "truncated")})
        counts.update({"textless": sum(score["textless"].values()), "unanswered": score["errors"]})
    return [{"key": key, "words": words, "n": counts[key]} for key, words in GROUPS.items() if counts[key]]


def _label(label: Mapping[str, Any], kind: KindName) -> Json:
    name, right = label["label"], label["right"]
    return {
        **label,
        "label": one_line(name, NAME),
        "missed": {"key": _key("missed", name), "n": label["expected"] - right},
        "added": {"key": _key("added", name), "n": label["answered"] - right},
        "same": {"key": _key("pair", name, name) if has_confusion(kind) else "", "n": right},
    }


def _pair(pair: Mapping[str, Any]) -> Json:
    expected, answered = pair["expected"], pair["answered"]
    return {
        "expected": one_line(expected, NAME),
        "answered": None if answered is None else one_line(answered, NAME),
        "n": pair["n"],
        "key": _key("pair", expected, answered),
    }
