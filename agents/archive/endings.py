"""How replies ended that may be no answer, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypedDict

from protocols.messages import Outcome

LONGEST = 300
"""Characters of a reply that is quoted."""
HOPELESS = 3
"""Replies of a critic's or an operator's model, none of which could be read, after which it is asked no more: others
would be paid for as much, and be read as little."""


class Endings(TypedDict):
    """Replies that were refusals, that were cut off, out of which no answer could be read, and that had no text, by
    what came instead; and one that could not be read, cut, "" for none."""

    refused: int
    truncated: int
    unreadable: int
    textless: Mapping[str, int]
    quoted: str


def endings(outcomes: Sequence[Outcome]) -> Endings:
    """Of some outcomes. The reply that is quoted is the first with a text, if one has."""
    unread = [outcome.reply for outcome in outcomes if outcome.answer is None]
    textless = Counter(outcome.instead for outcome in outcomes if outcome.instead is not None)
    return Endings(
        refused=sum(outcome.finish == "refusal" for outcome in outcomes),
        truncated=sum(outcome.finish == "length" for outcome in outcomes),
        unreadable=len(unread),
        textless={str(kind): count for kind, count in sorted(textless.items())},
        quoted=next((reply for reply in unread if reply.strip()), "")[:LONGEST],
    )
