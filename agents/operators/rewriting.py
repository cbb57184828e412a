"""What the operators that ask a model for a new text of a section have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from agents.operators.operator import Context
from agents.prompting.blocks import Block, cut, examples, remark
from agents.prompting.requests import block, complete, compose, instruction, read_tagged, records_of, show_prompt
from agents.prompting.shelves import places
from memory.judgement import Judged
from protocols.errors import EditRejected, UnreadableReply
from protocols.messages import Assignment, Outcome
from protocols.model import ChatMessage, Reply, Request
from protocols.prompt import Prompt, braced, estimate_tokens
from protocols.wrappers.window import spare

OUTCOMES = 24
"""Examples that are shown of those that came out wrong, and of those that came out right."""
SHOWN = 2
"""Past edits that worked which the model is told of, and as many that did not."""
TAGS = re.compile(
    r'</?(?:new|prompt|advice|failures|right|experience|section|first|second|best)>|<section name="[^"\n]*">'
)
WORDS = 250
"""A text may have so many, and as many as it has: one that is long already need not lose anything."""
LEAST = 20
"""Characters of a sentence of the instruction that is recognised in a text; shorter ones anybody may write."""


async def rewrite(
    assignment: Assignment, context: Context, meta_prompt: str, blocks: Sequence[str] = (), **values: str
) -> Prompt:
    """Ask the proposer's model for the section's new text.

    `meta_prompt` names the file of instructions beside the operators, `blocks` is more material for it, and `values`
    fill its placeholders.

    :raises UnreadableReply, EditRejected: see `ask`.
    """
    return await ask(lambda: rewrite_request(assignment, context, meta_prompt, blocks, values), assignment, context)


async def ask(composed: Callable[[], Request], assignment: Assignment, context: Context) -> Prompt:
    """The parent with the text that the model replies with. A reply that is no edit is shown to the model once, with
    the reason, and asked for again.

    :raises UnreadableReply: no text between the tags, or one that repeats the instruction.
    :raises EditRejected: the text loses or invents a placeholder, or loses a name that replies are read for.
    """
    request, reply = await complete(context.model, composed)
    try:
        return _edited(reply, request, assignment, context)
    except (UnreadableReply, EditRejected) as error:
        reason = f"That cannot be used: {error}. Once more:\n\n{_question(request)}"
        said = ChatMessage("assistant", reply.text.strip() or "(nothing)"), ChatMessage("user", reason)
    again = replace(request, messages=(*request.messages, *said))
    if (over := -spare(context.model, again)) > 0:
        shorter = cut(said[0].text, max(1, estimate_tokens(said[0].text) - int(over)))
        again = replace(request, messages=(*request.messages, ChatMessage("assistant", shorter), said[1]))
    return _edited(await context.model.complete(again), request, assignment, context)


def rewrite_request(
    assignment: Assignment,
    context: Context,
    meta_prompt: str,
    blocks: Sequence[str | Block] = (),
    values: Mapping[str, str] = MappingProxyType({}),
    sample: int | None = None,
) -> Request:
    """The prompt, what failed, the critic's advice, what past edits earned and the section; then the instruction."""
    section = assignment.prompt[assignment.section]
    material = [
        show_prompt(assignment.prompt, context.task.fields),
        remark("advice", assignment.gradient),
        examples("failures", records_of(to_show(assignment))),
        examples("right", records_of([o for o in assignment.outcomes if o.score == 1.0][:OUTCOMES])),
        remark("experience", show_recalled(context.recalled)),
        *blocks,
        block("section", section.text, name=section.name),
    ]
    known = {"section": section.name, "kind": section.kind, "words": str(max(WORDS, count_words(section.text)))}
    question = instruction("agents.operators", meta_prompt, {**known, **values})
    draw = assignment.assignment if sample is None else sample
    return compose(material, question, draw, longest=estimate_tokens(section.text), model=context.model)


def failures(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that did not score in full, worst first."""
    return sorted((o for o in outcomes if o.score < 1.0), key=lambda outcome: outcome.score)


def to_show(assignment: Assignment) -> list[Outcome]:
    """The failures that are shown: first those that the critic's advice names, then the worst."""
    named = set(re.findall(r"[^\s(),;]+", assignment.gradient))
    failed = failures(assignment.outcomes)
    return sorted(failed, key=lambda outcome: outcome.example not in named)[:OUTCOMES]


def show_recalled(recalled: Sequence[Judged]) -> str:
    """Past edits with what they are believed to earn."""
    shown = []
    worked = [edit for edit in recalled if edit.value > 0]
    failed = [edit for edit in recalled if edit.value < 0]
    for edit in [*worked[:SHOWN], *failed[-SHOWN:]]:
        past, verb = edit.recalled.experience, "earned" if edit.value > 0 else "cost"
        shown.append(f"An edit by {past.operator} {verb} {edit.value:+.3f}. It wrote:\n{past.after}")
    return "\n\n".join(shown)


def count_words(text: str) -> int:
    """The words of a text; eight characters are one in a script without spaces."""
    return max(len(text.split()), len(text) // 8)


def _edited(reply: Reply, request: Request, assignment: Assignment, context: Context) -> Prompt:
    text, before = read_tagged(reply.text, "new", reply.finish), assignment.prompt[assignment.section].text
    if leaked := _leaked(text, before, request):
        raise UnreadableReply(f"the text repeats the instruction: {leaked!r}")
    if lost := places(before) - places(text):
        raise EditRejected(f"section {assignment.section}: the edit loses {braced(lost)}", text=text)
    if invented := places(text) - places(before):
        raise EditRejected(f"section {assignment.section}: the edit invents {braced(invented)}", text=text)
    edited = assignment.prompt.edit(assignment.section, text, context.task.fields)
    context.task.kind.names.check(assignment.prompt, edited, text)
    return edited


def _question(request: Request) -> str:
    """The instruction of a request that `compose` made: its last paragraph."""
    return request.messages[-1].text.rpartition("\n\n")[2]


def _leaked(text: str, before: str, request: Request) -> str:
    """A tag of the request's blocks, or a sentence of its instruction, that came into the text; "" for none."""
    lines = _question(request).split("\n")
    sentences = [*lines, *(sentence for line in lines for sentence in re.split(r"(?<=[.?:])\s", line))]
    signs = [*TAGS.findall(text), *(sentence for sentence in sentences if len(sentence) >= LEAST)]
    return next((sign for sign in signs if sign in text and sign not in before), "")
