"""What happened inside a program on an example: its calls and notes in order, whole or in a few words; and what a
program is, for those who write its prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agents.programs.calls import Called, Calls, asked, given, is_call
from agents.prompting.asking import program_limit
from agents.prompting.blocks import cut_inside
from agents.prompting.records import ENDS, once
from agents.prompting.requests import indent
from protocols.messages import Outcome
from protocols.program import Step
from protocols.prompt import Prompt, Section, braced, estimate_tokens
from protocols.task import Task

STEPS = 12
"""Most steps of a record: the first half and the last half of them."""
TEXTS = 3
"""Texts of a record that may have as many tokens as its inputs; if there are more, they share that room."""
LEAST = 32
"""Tokens that each text may have in any case."""
SHORT, FEW = 30, 4
"""Most tokens of a reply, and most replies, that are shown on one line."""


def inside(outcome: Outcome, tokens: int) -> list[str]:
    """The lines of a record on the steps: of each call its prompt, what it was rendered with beside the inputs of the
    example, and its reply or error. What was an earlier reply is named and not shown again."""
    steps = outcome.steps
    numbers, count = dict[int, int](), 0
    for place, step in enumerate(steps):
        count += is_call(step)
        numbers[place] = count
    kept = range(len(steps))
    shown = [*kept] if len(steps) <= STEPS else [*kept[: STEPS // 2], *kept[-STEPS // 2 :]]
    texts = sum(1 + len(given(steps[place], outcome.inputs)) for place in shown)
    room = min(tokens, max(LEAST, TEXTS * tokens // max(1, texts)))
    lines = list[str]()
    for before, place in zip([-1, *shown], shown, strict=False):
        if place - before > 1:
            lines.append(f"({place - before - 1} more steps)")
        earlier = {steps[n].reply.strip(): numbers[n] for n in range(place) if is_call(steps[n]) and steps[n].reply}
        lines += _step(steps[place], numbers[place], outcome.inputs, earlier, room)
    return lines


def _step(step: Step, number: int, inputs: Mapping[str, str], earlier: Mapping[str, int], room: int) -> Iterator[str]:
    if not is_call(step):
        yield f"Noted: {indent(cut_inside(once(step.reply), room))}"
        return
    yield f"Call {number}: {step.prompt or 'a model, with none of the prompts'}"
    for name, value in given(step, inputs).items():
        same = earlier.get(value.strip())
        told = f"the reply of call {same}" if same else _deep(value, room)
        yield f"  {name}: {told}"
    if step.messages:
        last = step.messages[-1]
        yield f"  last message, of the {last.speaker}: {_deep(last.text, room)}"
    if step.error:
        yield f"  failed: {_deep(step.error, room)}"
        return
    ended = f" ({ENDS[step.finish]})" if step.finish in ENDS else ""
    yield f"  replied{ended}: {_deep(step.reply, room) or 'nothing'}"


def _deep(text: str, tokens: int) -> str:
    """The text in a line that is indented itself."""
    return indent(indent(cut_inside(once(text), tokens)))


def in_short(outcome: Outcome) -> str:
    """The replies before the answer, on one line; only those that are short."""
    replies = [
        f"{step.prompt or 'a model'}: {' '.join(step.reply.split())}" for step in _before(outcome) if _is_short(step)
    ]
    return " | ".join(replies[:FEW])


def is_long(outcome: Outcome) -> bool:
    """Whether `in_short` leaves out anything."""
    before = [*_before(outcome)]
    return len(before) > FEW or not all(map(_is_short, before))


def _before(outcome: Outcome) -> Iterator[Step]:
    """The calls whose reply is not the answer."""
    told = {outcome.reply.strip(), (outcome.answer or "").strip()}
    return (step for step in asked(outcome.steps) if step.reply.strip() not in told)


def _is_short(step: Step) -> bool:
    return estimate_tokens(step.reply) <= SHORT and not step.error


def told_program(task: Task, prompt: Prompt, calls: Calls) -> str:
    """What the program does, a line for each of its prompts."""
    seen = f", in the order in which it called them on {calls.examples} examples" if calls.examples else ""
    asks = f" As a rule it asks the model {task.model}." if task.model else ""
    lines = [f"A program answers each example.{asks} Its prompts{seen}:"]
    for called in calls.called:
        limit = program_limit(task, called.prompt, prompt.of(called.prompt))
        facts = [_often(called, calls), _rendered(called), _use(called, calls), f"at most {limit} tokens of a reply"]
        lines.append(f"- {called.prompt}: {'; '.join(filter(None, facts))}.")
    return "\n".join(lines)


def _often(called: Called, calls: Calls) -> str:
    if not calls.examples:
        return ""
    if not called.times:
        return "never called on them"
    each = called.times / called.examples
    often = "called once" if each == 1 else f"called {each:.1f} times"
    where = "each" if called.examples == calls.examples else f"{called.examples} of them"
    failed = f", and {called.failed} calls failed" if called.failed else ""
    return f"{often} on {where}{failed}"


def _rendered(called: Called) -> str:
    return f"given {', '.join(called.values)}" if called.values else ""


def _use(called: Called, calls: Calls) -> str:
    if called.prompt == calls.answers:
        return "its reply is the answer" if calls.whole else "its reply holds the answer"
    became = [f"{braced([value])} of {prompt}" for prompt, value in called.becomes]
    if not became:
        return "its reply is read by the program" if called.times else ""
    return f"its reply becomes {' and '.join(became)}"


def place_of(section: Section, calls: Calls | None) -> str:
    """A sentence on the prompt that a part belongs to; "" if there is only one prompt."""
    if calls is None:
        return ""
    called = calls.of(section.prompt)
    belongs = f"The part belongs to the prompt {section.prompt}"
    if not calls.answers:
        return f"{belongs}."
    if not calls.inner(section.prompt):
        return f"{belongs}, whose reply {'is' if calls.whole else 'holds'} the answer that is scored."
    passed = "; ".join(f"it becomes {braced([value])} of {prompt}" for prompt, value in called.becomes)
    return (
        f"{belongs}. Its reply is not scored: the program reads it{f', and {passed}' if passed else ''}. "
        "Make it say what leads the rest of the program to the right answer, in the form that the program reads; "
        f"the answer itself is given by {calls.answers}."
    )
