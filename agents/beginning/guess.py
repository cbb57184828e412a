"""Guesses from the columns of a data file which one is the answer, which are the input, and the kind of task."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.beginning.columns import Column
from protocols.answers.json_objects import is_structured
from protocols.data.mapping import NO_ID
from protocols.data.values.names import ANSWERS, ASIDE, INPUTS
from protocols.errors import ConfigError
from protocols.task import KindName
from protocols.text import fold, one_line

QUESTIONS = frozenset({"question", "problem", "query", "instruction", "prompt", "puzzle", "frage", "问题"})
CONTEXTS = frozenset({"context", "passage", "paragraph", "document", "article", "story", "text"})
IDS = frozenset({"id", "idx", "uuid", "guid", "index", "nr", "key"})
SCALES = frozenset(
    {
        "rating",
        "ratings",
        "stars",
        "star",
        "grade",
        "level",
        "severity",
        "priority",
        "urgency",
        "likert",
        "note",
        "sterne",
    }
)
"""Words in names of columns whose numbers have an order."""
SEPARATORS = (";", "|", "\n", ",", "；", "，", "、")
UNSURE = ("/", "+", "\t")
"""What may stand between the labels of a cell, the surest first; UNSURE: only where the person says so."""
SURE = 5.0
LABEL, MOST_LABELS, FEW = 60, 400, 10
"""Most characters of a label, most labels, and most numbers that are labels (stars from 1 to 5)."""
OPTION = re.compile(r"\(?[A-Z]\)?")
SENTENCE = re.compile(r"[.!?。！？]\s*$|\n")
WHOLE = re.compile(r"-?\d{1,18}")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person has said: columns of the answer, the input and the ids, and the kind; None or empty: guess."""

    target: str | None = None
    inputs: tuple[str, ...] = ()
    id: str | None = None
    kind: KindName | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """`inputs`: the columns that a model sees; `id` None: there is none; `others`: columns that are left out, and
    `rivals` those that could be the answer as well. `why`: the reason for the kind, in words. `sure`: the name of the
    target, or its values, leave little doubt. `separator`: stands between the labels of a target that is a text."""

    target: Column
    inputs: tuple[Column, ...]
    id: str | None
    kind: KindName
    why: str
    metric: str | None
    others: tuple[str, ...]
    rivals: tuple[str, ...]
    sure: bool
    separator: str | None = None


def guess(columns: Sequence[Column], wishes: Wishes, file: Path) -> Guess:
    """The best guess, with the person's wishes in it.

    :raises ConfigError: a wish names no column, one is both answer and input, or no column looks like either.
    """
    named = {column.name: column for column in columns}
    for name in (wishes.target, *wishes.inputs, None if wishes.id == NO_ID else wishes.id):
        if name is not None and name not in named:
            raise ConfigError(f"{file} has no column {one_line(name, 60)}; it has {_listed(list(named))}")
    if wishes.target is not None and any(_within(name, wishes.target) for name in wishes.inputs):
        raise ConfigError(f"{file}: {one_line(wishes.target, 60)} is the answer, and cannot be an --input, too")
    identity = wishes.id or _identity(columns)
    scores = {c.name: _score(c, c is columns[-1], c.name == identity) for c in columns}
    target, sure, rivals = _target(columns, scores, wishes, file)
    inputs = _inputs(columns, target, identity, wishes, file)
    kind, why = (wishes.kind, "you said so") if wishes.kind else kind_of(target, inputs)
    separator = separator_of(target, sure=wishes.kind is not None) if kind == "multilabel" else None
    used = {target.name, identity, *(column.name for column in inputs)}
    return Guess(
        target=target,
        inputs=inputs,
        id=identity,
        kind=kind,
        why=why,
        metric=_metric(kind, target),
        others=tuple(name for name in named if not any(_within(name, each) for each in used if each)),
        rivals=rivals,
        sure=sure,
        separator=separator,
    )


def _within(name: str, used: str) -> bool:
    """Whether one of two columns is the other, or part of it."""
    return name == used or name.startswith(f"{used}.") or used.startswith(f"{name}.")


def _target(
    columns: Sequence[Column], scores: dict[str, float], wishes: Wishes, file: Path
) -> tuple[Column, bool, tuple[str, ...]]:
    """The column of the answer, whether that is sure, and the other ones that it could be."""
    if wishes.target is not None:
        return next(column for column in columns if column.name == wishes.target), True, ()
    allowed = [column for column in columns if column.name not in wishes.inputs]
    best = max(allowed, key=lambda column: scores[column.name], default=None)
    if best is None or scores[best.name] < 3:
        names = _listed([column.name for column in columns])
        raise ConfigError(f"{file}: no column looks like the answer; name it with --target: {names}")
    wordy = [column for column in allowed if column.form == "text" and _says_the_same(column, best)]
    if best.form == "number" and wordy:  # `label_name` beside the class numbers of `label`
        best = wordy[0]
    rivals = [
        column.name
        for column in allowed
        if column is not best and scores[column.name] >= min(scores[best.name], SURE) - 1
        if not _says_the_same(column, best)
    ]
    sure = scores[best.name] >= SURE
    return best, sure, () if sure else tuple(rivals)


def _score(column: Column, last: bool, identity: bool) -> float:
    """How much a column looks like the answer."""
    count, there = len(column.distinct), len(column.there)
    if identity or column.form in ("empty", "turns") or count < 2:
        return 0.0
    ranks = [ANSWERS.index(word) for word in column.words if word in ANSWERS]
    score = (8 if len(column.words) == 1 else 6) - min(ranks) / len(ANSWERS) if ranks else 0.0
    score -= 4.0 * bool(column.words & ASIDE) + 3.0 * (2 * there < len(column.values))
    score += 6.0 * _entities(column) + 3.0 * (is_closed(column) or bool(_several_labels(column)))
    return score + last


def _says_the_same(one: Column, other: Column) -> bool:
    """Whether each value of one column always stands beside the same value of the other, and there are few."""
    if one is other or not (is_closed(one) and is_closed(other)):
        return False
    pairs = {
        (str(a), str(b)) for a, b in zip(one.values, other.values, strict=True) if a is not None and b is not None
    }
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) > 1


def _identity(columns: Sequence[Column]) -> str | None:
    """The column of ids: its name says so, and no value occurs twice."""
    for column in columns:
        whole = all(isinstance(value, str) or WHOLE.fullmatch(str(value)) for value in column.there)
        unique = len(column.distinct) == len(column.there) == len(column.values) > 1
        if column.words & IDS and column.form in ("text", "number", "mixed") and whole and unique:
            return column.name
    return None


def _inputs(
    columns: Sequence[Column], target: Column, identity: str | None, wishes: Wishes, file: Path
) -> tuple[Column, ...]:
    if wishes.inputs:
        return tuple(next(column for column in columns if column.name == name) for name in wishes.inputs)
    fit = [
        column
        for column in columns
        if not _within(column.name, target.name) and column.name != identity
        if column.form in ("text", "turns") and len(column.distinct) > 1 and not column.words & ASIDE
        if not _says_the_same(column, target) and not _copies(column, target)
    ]
    named = [column for column in fit if column.words & INPUTS]
    if not named and fit:
        longest = max(column.length for column in fit)
        named = [c for c in fit if c.length * 3 >= longest and (c.length == longest or not is_closed(c))]
    if not named:
        names = _listed([column.name for column in columns if column is not target])
        raise ConfigError(f"{file}: no column looks like the input; name it with --input: {names}")
    return tuple(named)


def _copies(column: Column, target: Column) -> bool:
    """Whether the column holds the answer in other words: its name has the target's word, as `answer_short` has."""
    return bool(column.words & target.words & set(ANSWERS)) and not column.words & INPUTS


def kind_of(target: Column, inputs: Sequence[Column]) -> tuple[KindName, str]:
    """The kind of task that the answers look like, and why."""
    asks = any(column.words & QUESTIONS for column in inputs)
    context = next((column for column in inputs if len(inputs) > 1 and column.words & CONTEXTS), None)
    number, n = len(target.distinct), len(target.there)
    if _entities(target):
        return "ner", "the answers are objects of lists, such as entities by their types"
    if why := _several_labels(target):
        return "multilabel", why
    if target.form in ("object", "mixed") or _structured(target):
        return "generation", "the answers are JSON"
    if target.form == "list":
        return ("reading", "the answers are lists of accepted texts") if context else (
            "reasoning", "the answers are lists, which are taken as accepted final answers"
        )  # fmt: skip
    if target.form == "number" and (number > FEW or asks):
        return "reasoning", "the answers are numbers"
    if all(OPTION.fullmatch(text) for text in target.distinct):
        return "reasoning", "the answers are options such as (A)"
    if (
        target.form == "number"
        and number > 2
        and target.words & SCALES
        and all(map(WHOLE.fullmatch, target.distinct))
    ):
        return "ordinal", f"{number} numbers recur that are levels of a scale"
    if is_closed(target):
        if asks and not target.words & {"label", "class", "category", "intent", "topic"} and number <= FEW:
            return "reasoning", f"{number} answers recur to questions"
        labels = len({fold(text) for text in target.distinct})
        return "classification", f"{labels} labels recur in {n:,} rows"
    return _free(target, context, asks)


def _free(target: Column, context: Column | None, asks: bool) -> tuple[KindName, str]:
    """The kind of a task whose answers are all different."""
    if context is not None and asks and _quoted(target, context):
        return "reading", f"most answers stand in {context.name} word for word"
    whole = sum(bool(SENTENCE.search(text)) for text in target.texts)
    if asks and target.length <= 100 and 4 * whole < len(target.texts):
        return "reasoning", "the answers are short, and each question has its own"
    return "generation", "the answers are texts of their own"


def _entities(column: Column) -> bool:
    """Whether the values are objects of lists of texts."""
    found = [value for value in column.there if isinstance(value, dict)]
    lists = [one for value in found for one in value.values()]
    return len(found) == len(column.there) and bool(lists) and all(
        isinstance(one, list) and all(isinstance(text, str) for text in one) for one in lists
    )  # fmt: skip


def _several_labels(column: Column) -> str:
    """How the values are lists of few labels that recur, several in some; "" if they are none."""
    items = [str(item) for value in column.there if isinstance(value, list) for item in value]
    several = any(len(value) > 1 for value in column.there if isinstance(value, list))
    if column.form == "list" and several and 4 * len(set(items)) <= len(items):
        return "the answers are lists of labels that recur"
    if separator := separator_of(column):
        return f"the answers are labels that recur, with {separator!r} between them"
    return ""


def separator_of(column: Column, sure: bool = False) -> str | None:
    """What stands between the labels of cells such as `billing; refund`; None where cells are no such lists. `sure`:
    they are lists of labels, whatever they look like.

    Labels recur in cells with others, so that there are no more labels than different cells: "Home, Garden" that
    always stands so is one label.
    """
    if column.form not in ("text", "mixed") and not sure:
        return None
    cells = [text for text in column.texts if text.strip()]
    if sure:
        likeliest = max((*SEPARATORS, *UNSURE), key=lambda separator: sum(separator in text for text in cells))
        return likeliest if all(isinstance(value, str) for value in column.there) else None
    return next((separator for separator in SEPARATORS if _recur(cells, separator)), None)


def _recur(cells: Sequence[str], separator: str) -> bool:
    """Whether cells are lists of short labels that recur, several of them of more than one."""
    lists = [[part.strip() for part in text.split(separator) if part.strip()] for text in cells]
    labels = Counter(label for each in lists for label in each)
    several = sum(len(each) > 1 for each in lists) > 1
    few = len(labels) <= min(MOST_LABELS, len(set(cells))) and 4 * len(labels) <= labels.total()
    return several and few and max(map(len, labels)) <= LABEL


def is_closed(column: Column) -> bool:
    """Whether few short values recur, as labels do."""
    number, n = len(column.distinct), len(column.there)
    if column.form not in ("text", "number", "mixed") or not 2 <= number <= MOST_LABELS:
        return False
    short = column.length <= LABEL and max(map(len, column.distinct)) <= 2 * LABEL
    return short and 2 * number <= n


def _quoted(target: Column, context: Column) -> bool:
    pairs = [(a, b) for a, b in zip(target.values, context.values, strict=True) if a is not None and b is not None]
    return 2 * sum(str(answer) in str(text) for answer, text in pairs) > len(pairs)


def _metric(kind: KindName, target: Column) -> str | None:
    """The metric, None for the usual one of the kind."""
    if kind == "generation" and _structured(target):
        return "json_f1"
    return "macro_f1" if kind == "classification" and _uneven(target) else None


def _structured(column: Column) -> bool:
    """Whether the values are objects, or lists with objects or lists in them."""
    return column.form in ("object", "list") and any(map(is_structured, column.there))


def _uneven(target: Column) -> bool:
    """Whether a rare label would hardly count in the accuracy: the most frequent one is ten times the rarest, and
    most of the rows."""
    counts = list(target.distinct.values())
    return len(counts) > 1 and counts[0] >= 10 * counts[-1] and 2 * counts[0] > sum(counts)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(one_line(name, 40) for name in names[:12]) + more
