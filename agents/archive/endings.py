"""Counts of replies that ended without a readable answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

from protocols.messages import Outcome

LONGEST = 300
"""Maximum number of characters of a quoted reply."""
HOPELESS = 3
"""Unreadable replies of a critic's or an operator's model, with none that was readable, after which it is no longer
asked: further calls would cost as much and be unreadable, too."""


class Endings(TypedDict):
    """Counts of replies. `truncated`: cut off by the token limit; `unreadable`: no answer could be parsed;
    `textless`: without a text, by what came instead. `quoted`: the beginning of an unreadable reply, "" for none."""

    refused: int
    truncated: int
    unreadable: int
    textless: Mapping[str, int]
    quoted: str


def endings(outcomes: Sequence[Outcome]) -> Endings:
    """Count the endings of some outcomes. The quoted reply is the first unreadable one with a text."""
    unread = [outcome.reply for outcome in outcomes if outcome.answer is None]
    textless = Counter(outcome.instead for outcome in outcomes if outcome.instead is not None)
    return Endings(
        refused=sum(outcome.finish == "refusal" for outcome in outcomes),
        truncated=sum(outcome.finish == "length" for outcome in outcomes),
        unreadable=len(unread),
        textless={str(kind): count for kind, count in sorted(textless.items())},
        quoted=next((reply for reply in unread if reply.strip()), "")[:LONGEST],
    )
