"""A run's document as Markdown: the same figures as its page, for a pull request or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from agents.views.live.terminal import dollars
from agents.views.page.run_summary import Json
from protocols.text import one_line

SPECIAL = re.compile(r"([\\`*_\[\]<>|#~!&])")


def markdown(document: Json) -> str:
    """The document in GitHub's Markdown; text of models and people is escaped, so that it shows as plain text."""
    parts = [f"# {_text(document['title'])}", _text(document["state"]["words"])]
    parts += [_table(("", ""), document["figures"]), *(_text(line) for line in document["remarks"])]
    parts += ["## What each operator earned, by section", _table(VALUES, map(_value, document["values"]))]
    for part in document.get("parts", ()):
        parts += [f"## The {_text(part['name'])} on {_text(part['split'])}, {part['n']} examples"]
        parts += [", ".join(f"{group['n']} {group['words']}" for group in part["groups"])]
        parts += [_table(("metric", "value"), ((name, f"{value:.4f}") for name, value in part["metrics"]))]
        parts += [_table(LABELS, map(_label, part["labels"])), _table(PAIRS, map(_pair, part["pairs"][:MOST]))]
    parts += ["## Cost and latency by role", _table(ROLES, map(_role, document["roles"]))]
    parts += ["## How the best prompt came about", _table(EDITS, _lineage(document))]
    if document.get("sections"):
        parts += ["## First prompt and best prompt", *_changes(document["sections"])]
    if examples := document["examples"]:
        parts += ["## Test examples"]
        parts += [f"{_ids('Gained', examples['gained'])}\n\n{_ids('Lost', examples['lost'])}"]
    if document["failures"]:
        rows = [(row["kind"], row["count"], row["last"]) for row in document["failures"]]
        parts += ["## What went wrong", _table(("what", "times", "the last of them"), rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


VALUES = ("operator", "section", "measured", "mean gain", "95 % interval", "survived", "failed")
ROLES = ("role", "model", "calls", "failed", "tokens in", "tokens out", "estimated", "cost", "mean latency")
LABELS = ("label", "expected", "right", "precision", "recall", "F1")
PAIRS, MOST = ("expected", "answered instead", "times"), 40
"""Headings, and most rows, of what was answered instead."""
EDITS = ("candidate", "operator", "section", "gain", "value", "tokens")


def _value(cell: Json) -> Sequence[object]:
    gain = "" if cell["gain"] is None else f"{cell['gain']:+.3f}"
    interval = "" if cell["interval"] is None else "{:+.3f} to {:+.3f}".format(*cell["interval"])
    counts = (cell["survived"], cell["failed"])
    return (cell["operator"], cell["section"], cell["measured"], gain, interval, *counts)


def _label(label: Json) -> Sequence[object]:
    shares = (f"{label[name]:.3f}" for name in ("precision", "recall", "f1"))
    return (label["label"], label["expected"], label["right"], *shares)


def _pair(pair: Json) -> Sequence[object]:
    return (pair["expected"], "no answer" if pair["answered"] is None else pair["answered"], pair["n"])


def _role(role: Json) -> Sequence[object]:
    latency = "" if role["latency"] is None else f"{role['latency']:.3f} s"
    names = ("role", "model", "calls", "failed", "input", "output", "estimated")
    return (*(role[name] for name in names), dollars(role["dollars"]), latency)


def _lineage(document: Json) -> Iterator[Sequence[object]]:
    points = {point["assignment"]: point for point in document["points"]}
    for number in document["lineage"]:
        if point := points.get(number):
            edit = (point["operator"] or "the first prompt", point["section"], f"{point['gain']:+.3f}")
            yield (number, *edit, f"{point['value']:.3f}", point["tokens"])


def _changes(sections: Sequence[Json]) -> Iterator[str]:
    for section in sections:
        yield f"### {_text(section['section'])} ({_text(section['kind'])}): {section['change']}"
        if section["change"] != "same":
            yield _code("\n".join(f"{' ' if mark == '=' else mark} {line}" for mark, line in section["lines"]))


def _code(text: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}diff\n{text}\n{fence}"


def _ids(name: str, ids: Sequence[str]) -> str:
    return f"{name} ({len(ids)}): {_text(', '.join(ids), 4000) or 'none'}"


def _table(headings: Sequence[str], rows: Any) -> str:
    lines = [[_text(cell) for cell in row] for row in rows]
    if not lines:
        return ""
    rule = ["---"] * len(headings)
    return "\n".join(f"| {' | '.join(line)} |" for line in [headings, rule, *lines])


def _text(value: object, most: int = 300) -> str:
    """The value as one line, escaped so that Markdown shows it as plain text."""
    shown = f"{value:,}" if isinstance(value, int) else str(value)
    return SPECIAL.sub(r"\\\1", one_line(shown, most))
