"""What the traces of some examples tell of a program: which of its prompts it calls, in which order, with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from agents.programs.trace import middle
from protocols.messages import Outcome
from protocols.program import Step
from protocols.prompt import Prompt

TELLING = 12
"""Characters of a reply that stand in a longer text for a reason; a shorter reply may do so by chance."""


@dataclass(frozen=True, slots=True)
class Called:
    """The calls of one prompt. `times`: how many, on `examples` of the examples, `failed` of them in vain. `values`:
    names of what it was rendered with. `becomes`: the prompts and values that its replies became, such as
    `("decide", "facts")`."""

    prompt: str
    times: int
    examples: int
    failed: int
    values: tuple[str, ...]
    becomes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of a program with several prompts on so many `examples`. `called`: its prompts in the order in which
    they were called first, then those never called. `answers`: the prompt whose reply is the answer, or holds it; ""
    if none does. `whole`: its replies are the program's answers, with nothing added or taken away."""

    examples: int
    called: tuple[Called, ...]
    answers: str
    whole: bool

    def of(self, prompt: str) -> Called:
        """The calls of the prompt of this name."""
        return next(called for called in self.called if called.prompt == prompt)

    def ordered(self, prompt: Prompt) -> Prompt:
        """The prompts in the order of `called`."""
        return Prompt(tuple(section for called in self.called for section in prompt.of(called.prompt)))

    def inner(self, prompt: str) -> bool:
        """Whether the replies to this prompt are read by the program and are not its answers."""
        return bool(self.answers) and prompt != self.answers


def calls_of(prompt: Prompt, outcomes: Sequence[Outcome]) -> Calls | None:
    """The calls behind these outcomes; None if the prompt is not one of several prompts."""
    if len(prompt.names) < 2:
        return None
    answers, whole = _answering(outcomes)
    known = answers if answers in prompt.names else ""
    called = [_called(name, outcomes) for name in prompt.names]
    first = {name: _first(name, outcomes) for name in prompt.names}
    ordered = sorted(called, key=lambda one: first[one.prompt])
    return Calls(len(outcomes), tuple(ordered), known, whole and bool(known))


def answering(prompt: Prompt, outcomes: Sequence[Outcome]) -> str:
    """The name of the prompt whose reply is the answer; "" if the prompt stands alone, or if no trace tells."""
    calls = calls_of(prompt, outcomes)
    return calls.answers if calls is not None else ""


def scored(prompt: Prompt, answers: str) -> Prompt:
    """The prompt whose replies are read for the answer: the one of the name `answers`, or the whole if it is ""."""
    return prompt.of(answers) if answers else prompt


def asked(steps: Sequence[Step], prompt: str = "") -> Iterator[Step]:
    """The calls among the steps; those of one prompt if it is named."""
    return (step for step in steps if is_call(step) and prompt in ("", step.prompt))


def is_call(step: Step) -> bool:
    """Whether the step is a call, of a prompt or of none, and no note."""
    return bool(step.prompt or step.messages)


def given(step: Step, inputs: Mapping[str, str]) -> dict[str, str]:
    """What a call was rendered with beside the inputs of the example."""
    known = {middle(str(value)) for value in inputs.values()}
    return {name: value for name, value in step.values.items() if value not in known}


def _answering(outcomes: Sequence[Outcome]) -> tuple[str, bool]:
    """The prompt whose reply is the answer on most examples, and whether it is the whole answer on all of these."""
    votes = Counter[str]()
    partly = set[str]()
    for outcome in outcomes:
        name, whole = _answer_of(outcome)
        votes[name] += bool(name)
        partly |= set() if whole else {name}
    [(name, count)] = votes.most_common(1) or [("", 0)]
    return (name, name not in partly) if count else ("", False)


def _answer_of(outcome: Outcome) -> tuple[str, bool]:
    """The prompt of the last call whose reply is the program's answer; else of the last one whose reply is a part of
    it or holds it. And whether it is the whole answer."""
    told, answer = middle(outcome.reply).strip(), (outcome.answer or "").casefold()
    calls = [(step.prompt, step.reply.strip()) for step in asked(outcome.steps) if step.reply.strip()]
    for name, reply in reversed(calls):
        if reply == told:
            return name, True
    for name, reply in reversed(calls):
        if told and (reply in told or told in reply or (answer and answer in reply.casefold())):
            return name, False
    return "", False


def _first(name: str, outcomes: Sequence[Outcome]) -> float:
    """The mean place of its first call among the calls of an example; infinite if it is never called."""
    called = [[step.prompt for step in asked(outcome.steps)] for outcome in outcomes]
    places = [prompts.index(name) for prompts in called if name in prompts]
    return mean(places) if places else float("inf")


def _called(name: str, outcomes: Sequence[Outcome]) -> Called:
    mine = [step for outcome in outcomes for step in asked(outcome.steps, name)]
    values = dict.fromkeys(value for step in mine for value in step.values)
    becomes = dict.fromkeys(pair for outcome in outcomes for pair in _becomes(name, outcome.steps))
    examples = sum(any(asked(outcome.steps, name)) for outcome in outcomes)
    failed = sum(bool(step.error) for step in mine)
    return Called(name, len(mine), examples, failed, tuple(values), tuple(becomes))


def _becomes(name: str, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """The prompts and values that a reply to the prompt stands in."""
    said = set[str]()
    for step in asked(steps):
        for value, text in step.values.items():
            if any(reply == text.strip() or (len(reply) >= TELLING and reply in text) for reply in said):
                yield step.prompt, value
        if step.prompt == name and step.reply.strip():
            said.add(step.reply.strip())
