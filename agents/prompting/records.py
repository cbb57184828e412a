"""Examples that were run, as records: what was asked, expected and answered; what is long is cut to what it says."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agents.prompting.blocks import ROOM, cut, cut_inside
from agents.prompting.requests import indent, show_inputs
from protocols.messages import Outcome
from protocols.prompt import estimate_tokens

REPEATED = re.compile(r"(.{4,200}?)\1{3,}", re.DOTALL)
"""What is said four times in a row, or more often."""
NO_ANSWER = "nothing that could be read"
ENDS = {"length": "the reply was cut off at its longest", "refusal": "the model refused"}


def record_of(outcome: Outcome, tokens: int = ROOM) -> str:
    """A record of what was asked, expected and answered, of the whole reply and of what the metric said where these
    say more, and of the example's id. What is long is cut: the inputs together, the answer and the reply have no more
    than `tokens` each."""
    answer = outcome.answer or (NO_ANSWER if outcome.reply.strip() else "nothing")
    record = {"Expected": outcome.target, "Answered": cut(once(answer), tokens)}
    if outcome.reply.strip() not in (answer.strip(), ""):
        record["Replied"] = cut_inside(once(outcome.reply), tokens)
    instead = outcome.instead and f"the model gave no text ({outcome.instead})"
    said = (_why(outcome), ENDS.get(outcome.finish), instead)
    record["Why"] = "; ".join(one for one in said if one)
    record["Example"] = outcome.example
    lines = [f"{key}: {indent(value)}" for key, value in record.items() if value]
    return "\n".join([show_inputs(shortened(outcome.inputs, tokens, outcome.target)), *lines])


def _why(outcome: Outcome) -> str:
    """What the metric said, without the answer and what was expected, which have lines of their own."""
    wanted = f"expected {outcome.target}"
    for known in (f"answered {answered_with(outcome)}, {wanted}", f"; {wanted}"):
        if outcome.feedback.endswith(known):
            return outcome.feedback.removesuffix(known).rstrip(": ")
    return outcome.feedback


def once(text: str) -> str:
    """The text with what is said over and over in a row said once: small models repeat themselves to their limit."""
    return REPEATED.sub(lambda found: f"{found[1]} [… said again and again]", text)


def shortened(inputs: Mapping[str, str], tokens: int, answer: str = "") -> dict[str, str]:
    """The inputs with no more than so many tokens together: the longest are cut and short ones, such as the question
    about a text, stay whole. A text beside others is cut around the answer where it holds it; one that stands alone
    says what is asked, too, and may hold the answer by chance: its beginning stays."""
    left, kept = tokens, dict(inputs)
    answer = answer if len(inputs) > 1 else ""
    by_length = sorted(kept, key=lambda name: estimate_tokens(kept[name]))
    for place, name in enumerate(by_length):
        share = left // (len(by_length) - place)
        kept[name] = around(kept[name], answer, share)
        left -= min(share, estimate_tokens(kept[name]))
    return kept


def around(text: str, answer: str, tokens: int) -> str:
    """`text` if it has no more than so many tokens, else that many of it around the answer, or else its beginning."""
    found = text.find(answer) if answer else -1
    if estimate_tokens(text) <= tokens or found < 0:
        return cut(text, max(1, tokens))
    share = tokens / estimate_tokens(text)
    start = max(0, round(found + len(answer) / 2 - share * len(text) / 2))
    start = text.find(" ", start, found) + 1 or start  # where words have spaces, none is cut
    return ("[…] " if start else "") + cut(text[start:], max(1, tokens))


def answered_with(outcome: Outcome) -> str:
    """The answer that was read, or else the reply."""
    return outcome.answer if outcome.answer is not None else outcome.reply or "nothing"
