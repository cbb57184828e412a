"""Makes the requests to the task model, for all callers; and those that a program is expected to make."""

from __future__ import annotations

import re
from collections.abc import Mapping

from agents.programs.bound import INPUTS, Fill, Values
from protocols.model import ChatMessage, Request
from protocols.prompt import Prompt, Section, estimate_tokens
from protocols.task import GENEROUS, Task, TaskKind

TEMPERATURE = 0.0
"""Greedy decoding: random replies would hide the difference between prompts."""
SHOWN = frozenset({"examples", "knowledge"})
"""Kinds of sections that hold material and no instructions."""
THINKS = re.compile(
    r"\b(?:think|reason|expla(?:in|nation)|justif|analy[sz]e|analysis|rationale|step[ -]by[ -]step|steps?\s*\d"
    r"|chain[ -]of[ -]thought)|\bfirst,|思考|推理|解释|说明理由|分析|一步一步|逐步",
    re.IGNORECASE,
)
"""Phrases with which a section asks for reasoning. A false match only allows a longer reply, which does no harm."""
FORBIDS = re.compile(
    r"(?:\b(?:not|never|without|no)\b|n['’]t\b)(?:\s+\w+)?\s+(?:think|reason|expla|justif|analy|give reasons)\w*"
    r"|(?:不要|不必|不需要?|无需|请勿)[^，。；！：、\s]{0,2}(?:思考|推理|解释|说明理由|分析)",
    re.IGNORECASE,
)
"""Phrases with which a section forbids reasoning: a negation next to the phrase."""
REASONED = re.compile(
    r"^\W*(?:thought|thinking|reasoning|rationale|explanation|analysis|思考|推理|分析)s?\s*[:：]",
    re.IGNORECASE | re.MULTILINE,
)
"""Labels in worked examples that show a reply with reasoning. Other words do not count: inputs may hold any words."""


def task_request(kind: TaskKind, prompt: Prompt, messages: tuple[ChatMessage, ...]) -> Request:
    """The request for one example; `messages`: `prompt` rendered for it. All callers use this function, since the
    reply cache finds a reply only if the request is equal."""
    return Request(messages, TEMPERATURE, reply_limit(kind, prompt), offer=kind.offer(prompt))


def likely_requests(task: Task, prompt: Prompt, inputs: Mapping[str, str], fill: Fill) -> list[Request]:
    """One request without a program, else one for each of its prompts (`Request.prompt`), in which the names of
    values that the program computes stand for the values."""
    if task.program is None:
        return [task_request(task.kind, prompt, prompt.render(fill(prompt, inputs)))]
    values = {name: f"{{{name}}}" for name in task.program.computed} | {INPUTS: Values(inputs)[INPUTS]} | dict(inputs)
    made = []
    for name, part in task.program.parts(prompt).items():
        filled = fill(part, values)
        messages = part.template(filled).render(filled)
        made.append(Request(messages, TEMPERATURE, program_limit(task, name, part), prompt=name))
    return made


def reply_limit(kind: TaskKind, prompt: Prompt) -> int:
    """Most tokens of a reply to `prompt`: the kind's limit, more if the prompt asks for reasoning, and at least twice
    the longest reply that it shows as a turn. A limit set by the user applies in any case."""
    if not kind.thought:
        return kind.limit
    shown = [estimate_tokens(turn.text) for section in prompt for turn in section.turns[1::2]]
    return max(kind.limit + kind.thought * any(map(_asks_for_thought, prompt)), 2 * max(shown, default=0))


def program_limit(task: Task, name: str, part: Prompt) -> int:
    """Most tokens of a reply to the prompt `name` of the task's program."""
    prompts: Mapping[str, int | None] = task.program.prompts if task.program else {}
    return prompts.get(name) or (GENEROUS if len(prompts) > 1 else reply_limit(task.kind, part))


def _asks_for_thought(section: Section) -> bool:
    if section.kind == "reasoning":
        return bool(section.text.strip())
    if section.kind == "examples":
        return section.form != "turns" and REASONED.search(section.text) is not None
    return section.kind not in SHOWN and THINKS.search(FORBIDS.sub(" ", section.text)) is not None
