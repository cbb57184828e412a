"""Messages to a person about replies without an answer, and about a first prompt that leaves little to gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.headroom.verdict import Figures, Replies, verdict
from protocols.messages import FIRST, Envelope, Evaluation, mean


def first_evaluation(envelope: Envelope) -> str:
    """A line on the headroom if this is the evaluation of the first prompt and it suffices for a verdict; else "".
    Needs no further calls."""
    match envelope.message:
        case Evaluation(assignment=number) as evaluation if number == FIRST:
            scores = [score for score in evaluation.scores if score is not None]
            first = Replies(
                len(scores),
                evaluation.value,
                mean(evaluation.scores),
                sum(score >= 1.0 for score in scores),
                evaluation.unreadable,
                evaluation.truncated,
                evaluation.refused,
                evaluation.textless,
                evaluation.quoted,
            )
            return verdict(Figures(first)).sentence
    return ""


def unread_value(value: Mapping[str, Any]) -> str:
    """The same for a value as in JSON, but only if its answers cannot be read; else ""."""
    first = Replies(
        value["n"],
        value["value"],
        value["value"],
        round(value["n"] * value["value"]),
        value.get("unreadable", 0),
        value["truncated"],
        value["refused"],
        value.get("textless", {}),
        value.get("quoted", ""),
    )
    said = verdict(Figures(first))
    return said.sentence if said.kind == "wrong form" else ""


def endings(value: Mapping[str, Any]) -> str:
    """Counts of replies that may hold no answer, by kind and in words, from a value as in JSON; "" if there are none.
    Results of earlier releases lack some kinds."""
    counts = {
        "refusals": value["refused"],
        "truncated": value["truncated"],
        "unreadable": value.get("unreadable", 0),
        **{f"without a text ({kind})": count for kind, count in value.get("textless", {}).items()},
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def counted(reasons: Mapping[str, int]) -> str:
    """`2 one, 1 other`."""
    return ", ".join(f"{count} {name}" for name, count in reasons.items())
