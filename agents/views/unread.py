"""What a person is told when the replies of a run hold no answer that can be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.ring.endings import mostly_unreadable
from agents.views.plain import one_line
from protocols.messages import FIRST, Envelope, Evaluation

QUOTED = 100
"""Characters of a reply that are shown."""


def first_evaluation(envelope: Envelope) -> str:
    """One line if this is the evaluation of the first prompt and most of its replies could not be read; else ""."""
    match envelope.message:
        case Evaluation(assignment=number) as evaluation if number == FIRST:
            n = sum(score is not None for score in evaluation.scores)
            return warning(evaluation.unreadable, n, evaluation.textless, evaluation.quoted)
    return ""


def warning(unreadable: int, n: int, textless: Mapping[str, int], quoted: str) -> str:
    """The line, "" where most of `n` replies could be read: what came instead of answers, and what to do."""
    if not mostly_unreadable(unreadable, n):
        return ""
    said = f", such as “{one_line(quoted, QUOTED)}”" if quoted else ""
    none = f" ({counted(textless)} instead of a text)" if textless else ""
    return (
        f"{unreadable} of {n} replies hold no answer that can be read{none}{said}: say in the prompt what an answer "
        "looks like, or look at the model, its reply_tokens and task.reply_tokens"
    )


def endings(value: Mapping[str, Any]) -> str:
    """How the replies ended that may be no answers, of a value as JSON holds it, in words; "" where all are answers.
    Results of earlier releases do not know all of it."""
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
