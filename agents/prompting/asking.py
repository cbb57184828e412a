"""What an example is asked as: the one place where the task's requests are made."""

from __future__ import annotations

import re

from protocols.model import ChatMessage, Request
from protocols.prompt import Prompt, Section, estimate_tokens
from protocols.task import TaskKind

TEMPERATURE = 0.0
"""The likeliest answer: what is to be told apart are prompts, and a draw would hide their difference."""
SHOWN = frozenset({"examples", "knowledge"})
"""Kinds of sections that hold material, and tell the model to do nothing."""
THINKS = re.compile(
    r"\b(?:think|reason|expla(?:in|nation)|justif|analy[sz]e|analysis|rationale|step[ -]by[ -]step|steps?\s*\d"
    r"|chain[ -]of[ -]thought)|\bfirst,|思考|推理|解释|说明理由|分析|一步一步|逐步",
    re.IGNORECASE,
)
"""How a section may ask for thought. Where that is not meant, a reply may be longer, and is no worse."""
FORBIDS = re.compile(
    r"(?:\b(?:not|never|without|no)\b|n['’]t\b)(?:\s+\w+)?\s+(?:think|reason|expla|justif|analy|give reasons)\w*"
    r"|(?:不要|不必|不需要?|无需|请勿)[^，。；！：、\s]{0,2}(?:思考|推理|解释|说明理由|分析)",
    re.IGNORECASE,
)
"""How it forbids it: with the very words, next to each other."""
REASONED = re.compile(
    r"^\W*(?:thought|thinking|reasoning|rationale|explanation|analysis|思考|推理|分析)s?\s*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
"""How worked examples in a text show that a reply reasons. Their inputs may speak of anything."""


def task_request(kind: TaskKind, prompt: Prompt, messages: tuple[ChatMessage, ...]) -> Request:
    """The request for one example; `messages` are `prompt`, rendered for it. Whoever asks the same question makes the
    same request, or the reply cache does not find the answer."""
    return Request(messages, TEMPERATURE, reply_limit(kind, prompt))


def reply_limit(kind: TaskKind, prompt: Prompt) -> int:
    """Tokens that a reply to `prompt` may have: as the kind and what it asks for say, and no fewer than twice those
    of the longest reply that it shows as a turn; what the user has set holds whatever the prompt asks for."""
    if not kind.thought:
        return kind.limit
    shown = [estimate_tokens(turn.text) for section in prompt for turn in section.turns[1::2]]
    return max(kind.limit + kind.thought * any(map(_asks_for_thought, prompt)), 2 * max(shown, default=0))


def _asks_for_thought(section: Section) -> bool:
    if section.kind == "reasoning":
        return bool(section.text.strip())
    if section.kind == "examples":
        return section.form != "turns" and REASONED.search(section.text) is not None
    return section.kind not in SHOWN and THINKS.search(FORBIDS.sub(" ", section.text)) is not None
