"""The kinds of task whose answers are labels of a closed set: one, several, or one of an order."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial

from protocols.answers.label_lists import LabelListParser
from protocols.answers.labels import LabelParser
from protocols.answers.ratings import RatingParser, level_of, levels_of
from protocols.data.checks import Splits, check_labels
from protocols.errors import DataError
from protocols.metrics.reply_limits import THOUGHT, limit_of
from protocols.naming import closed
from protocols.task import Json, TaskKind, labels_of

REPLIES = 1024
"""Number of replies whose labels are cached, because most replies are only a label and recur."""
LEAST_LIST = 64
"""Lower bound of the token limit of a list of labels, of which a reply may name too many."""
LISTED = 4
"""A scale of at least so many successive whole numbers is described by its ends."""


def classification(splits: Splits, labels: Sequence[str] = ()) -> TaskKind:
    """A target is one of the `labels`, or, if none are given, of those of the train split.

    :raises DataError: a target is none of them, or is no label.
    """
    check_labels(splits, "classification", labels)
    known = tuple(labels) or tuple(sorted({str(example.target) for example in splits["train"]}))
    read = LabelParser(known)
    return _one_of(
        known,
        "label",
        read,
        TaskKind(
            "classification",
            instruction="Choose the one label that fits.",
            format="Reply with exactly one of these labels.\n" + show_labels(known),
            cue="Label:",
            show=str,
            metric="accuracy",
        ),
    )


def multilabel(splits: Splits, labels: Sequence[str] = ()) -> TaskKind:
    """A target is a list of some of the `labels`, in any order, or of those of the train split; [] for none.

    :raises DataError: a target is no such list.
    """
    check_labels(splits, "multilabel", labels)
    train = splits["train"]
    known = tuple(labels) or tuple(sorted({label for example in train for label in labels_of(example.target)}))
    if not known:
        raise DataError("no target of the train split names a label")
    empty = any(example.target in ([], ()) for example in train)
    shape = json.dumps(list(known[:2]), ensure_ascii=False)
    read = LabelListParser(known)

    def show(target: Json) -> str:
        there = labels_of(target)
        listed = [label for label in known if label in there]
        return json.dumps([*listed, *(label for label in there if label not in known)], ensure_ascii=False)

    return TaskKind(
        "multilabel",
        instruction=f"Choose every label that fits; there may be several{', or none' * empty}.",
        format=(
            f"Reply with one line of JSON: the list of the labels that fit, such as {shape}."
            f"{' Reply [] if none fits.' * empty}\n{show_labels(known)}"
        ),
        cue="Labels:",
        show=show,
        parse=read,
        parse_cut=partial(read, finish="length"),
        metric="micro_f1",
        names=closed(known, optional=("JSON", "[]"), loose=True),
        labels=known,
        limit=limit_of([show(example.target) for example in train], LEAST_LIST, 2),
        thought=THOUGHT,
        reads="a list of labels, as JSON, after words such as Labels:, or alone on lines; [] or none for none",
    )


def ordinal(splits: Splits, labels: Sequence[str] = ()) -> TaskKind:
    """A target is a level of a scale: one of the `labels`, the lowest first, or, if none are given, a number. Whole
    numbers are levels from the lowest of the train split to the highest.

    :raises DataError: a target is no level, or the levels have no known order.
    """
    check_labels(splits, "ordinal", labels)
    levels = tuple(map(level_of, labels)) or levels_of(level_of(example.target) for example in splits["train"])
    read = RatingParser(levels)
    low, high = levels[0], levels[-1]
    if (
        len(levels) >= LISTED
        and levels == levels_of(levels)
        and all(level.lstrip("-").isdecimal() for level in levels)
    ):
        form = f"Reply with exactly one whole number from {low} to {high}."
    else:
        form = f"Reply with exactly one of these ratings; the lowest comes first.\n{show_labels(levels, 'Ratings')}"
    return _one_of(
        levels,
        "rating",
        read,
        TaskKind(
            "ordinal",
            instruction="Give the rating that fits.",
            format=form,
            cue="Rating:",
            show=level_of,
            metric="mae",
        ),
    )


def _one_of(labels: tuple[str, ...], noun: str, read: LabelParser | RatingParser, kind: TaskKind) -> TaskKind:
    """The kind, whose answers are one of the labels, each of them a `noun`."""
    return replace(
        kind,
        parse=lru_cache(REPLIES)(read),
        parse_cut=partial(read, finish="length"),
        names=closed(labels, loose=True),
        labels=labels,
        limit=limit_of(labels),
        thought=THOUGHT,
        reads=f"the {noun} that the reply gives or ends with; one that leaves several open, or names none, is wrong",
    )


def show_labels(labels: tuple[str, ...], called: str = "Labels") -> str:
    """The labels on one line; one per line if a label contains a comma or semicolon."""
    if any(re.search(r"[,，、;；]", label) for label in labels):
        return f"{called}:\n" + "\n".join(f"- {label}" for label in labels)
    return f"{called}: {', '.join(labels)}"
