"""Examples with their replies as text records: input, expected answer and answer, with long texts cut."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from agents.prompting.blocks import ROOM, cut, cut_inside
from agents.prompting.requests import indent, show_inputs
from protocols.messages import Outcome
from protocols.prompt import estimate_tokens
from protocols.text import one_line

REPEATED = re.compile(r"(.{4,200}?)\1{3,}", re.DOTALL)
"""A text of 4 to 200 characters that is repeated at least four times in a row."""
LINE = 80
"""Most characters shown of the answer of another model."""
NO_ANSWER = "nothing that could be read"
ENDS = {"length": "the reply was cut off at its longest", "refusal": "the model refused"}
BEGUN = 200
"""Most characters that are kept of the answer of each of several models."""


def record_of(outcome: Outcome, tokens: int = ROOM, inside: Sequence[str] = (), doubted: bool = False) -> str:
    """A record of the input, the expected answer and the answer; the whole reply and the metric's feedback, if they
    say more; the scores of several models; and the example's id. The inputs together, the answer and the reply are
    cut at `tokens` each. `inside`: lines on the calls of a program, after the input; the reply is not shown again if
    it is the last call's. `doubted`: the Critic doubts the expected answer."""
    answer = outcome.answer or (NO_ANSWER if outcome.reply.strip() else "nothing")
    record = {"Expected": outcome.target, "Answered": cut(once(answer), tokens)}
    last = outcome.steps[-1].reply.strip() if inside and outcome.steps else ""
    if outcome.reply.strip() not in (answer.strip(), "", last):
        record["Returned" if inside else "Replied"] = cut_inside(once(outcome.reply), tokens)
    instead = outcome.instead and f"the model gave no text ({outcome.instead})"
    said = (_why(outcome), ENDS.get(outcome.finish), instead)
    record["Why"] = "; ".join(one for one in said if one)
    if outcome.models:
        record["Models"] = f"that was {outcome.model}; the scores are {', '.join(_of_models(outcome))}"
    if doubted:
        record["Doubted"] = "the critic takes the expected answer for wrong"
    record["Example"] = outcome.example
    lines = [f"{key}: {indent(value)}" for key, value in record.items() if value]
    return "\n".join([show_inputs(shortened(outcome.inputs, tokens, outcome.target)), *inside, *lines])


def _of_models(outcome: Outcome) -> Iterator[str]:
    """The score of each of several models, with its answer where that is not the one of the record."""
    for name, of in outcome.models.items():
        other = of.answer is not None and of.answer != (outcome.answer or "")[:BEGUN]
        yield f"{name} {of.value:.2f}" + (f", which answered {one_line(once(of.answer or ''), LINE)}" * other)


def _why(outcome: Outcome) -> str:
    """The metric's feedback, without the answer and the expected answer, which have their own lines."""
    wanted = f"expected {outcome.target}"
    for known in (f"answered {answered_with(outcome)}, {wanted}", f"; {wanted}"):
        if outcome.feedback.endswith(known):
            return outcome.feedback.removesuffix(known).rstrip(": ")
    return outcome.feedback


def once(text: str) -> str:
    """The text with repetitions in a row shown once: small models repeat themselves until the token limit."""
    return REPEATED.sub(lambda found: f"{found[1]} [… said again and again]", text)


def shortened(inputs: Mapping[str, str], tokens: int, answer: str = "") -> dict[str, str]:
    """The inputs with at most `tokens` tokens together: the longest are cut, so that short ones, such as a question
    about a text, stay whole. If there are several, an input that contains the answer is cut around it. A single input
    also asks the question and may contain the answer by chance, so it is cut at its end."""
    left, kept = tokens, dict(inputs)
    answer = answer if len(inputs) > 1 else ""
    by_length = sorted(kept, key=lambda name: estimate_tokens(kept[name]))
    for place, name in enumerate(by_length):
        share = left // (len(by_length) - place)
        kept[name] = around(kept[name], answer, share)
        left -= min(share, estimate_tokens(kept[name]))
    return kept


def around(text: str, answer: str, tokens: int) -> str:
    """`text` cut to at most `tokens` tokens, around the answer if it contains it, else at its end."""
    found = text.find(answer) if answer else -1
    if estimate_tokens(text) <= tokens or found < 0:
        return cut(text, max(1, tokens))
    share = tokens / estimate_tokens(text)
    start = max(0, round(found + len(answer) / 2 - share * len(text) / 2))
    start = text.find(" ", start, found) + 1 or start  # begin at a word, in scripts with spaces
    return ("[…] " if start else "") + cut(text[start:], max(1, tokens))


def answered_with(outcome: Outcome) -> str:
    """The answer read from the reply, or the whole reply if none could be read."""
    return outcome.answer if outcome.answer is not None else outcome.reply or "nothing"
