"""Measures headroom: runs the first prompt, the same prompt with worked examples in each form, and the first prompt
again, all on the same few validation examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from agents.archive.endings import endings
from agents.headroom.verdict import Again, Figures, Replies, Shown
from agents.operators.few_shot import CHATTER, FewShot, are_read, bare_replies, worked_out
from agents.operators.operator import Context
from agents.prompting.asking import TEMPERATURE, likely_requests
from agents.prompting.forward import Forward
from agents.prompting.retrieval_slots import RetrievalSlots
from agents.prompting.shot_policy import ShotPolicy, shown
from agents.ring.evaluator import value_of
from protocols.errors import InapplicableError
from protocols.files.prompt_file import saved_section
from protocols.messages import FIRST, Assignment, Outcome
from protocols.metrics.bootstrap import interval
from protocols.model import Reply, Request
from protocols.prompt import Form, Prompt, Section, estimate_turn
from protocols.task import MANY, Example, Metric, Task

EXAMPLES: Final = 30
LEAST: Final = 10
"""Least examples: with fewer, the figures would not be worth their calls."""
DRAWS: Final = 3
SEED: Final = "headroom"
COUNTS: Final = (8, 4)
"""Worked examples shown: the first count, or the second if the first would take more than `LONG` tokens."""
LONG: Final = 1024
"""Most tokens of worked examples in one prompt, at the larger of `COUNTS`."""
TRACED: Final = 16
"""Training examples that are run for full replies to show, if bare answers are no use."""
WAYS: Final[Mapping[tuple[Form, bool], str]] = {
    ("turns", True): "nearest examples as turns of the chat",
    ("turns", False): "examples as turns of the chat",
    ("system", False): "examples as text in the system message",
    ("input", False): "examples as text before the input",
}
SECTION: Final = Section("examples", "examples")
"""The section added to a prompt that has no editable section of worked examples."""
Tell = Callable[[str], object]


def quiet(line: str) -> None:
    """Discards the line."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls of a probe on the `examples`: `first` twice as in a search, and `draws` times at the model's default
    temperature; each of `ways` once. `traced`: training examples that are run first for full replies to show, () if
    bare answers suffice. `place`: the section of worked examples in `prompt`, which is `first` with such a
    section. For a program with several prompts there are no `ways`, and `place` is ""."""

    examples: tuple[Example, ...]
    first: Prompt
    prompt: Prompt
    place: str
    ways: tuple[ShotPolicy, ...]
    draws: int
    traced: tuple[Example, ...]

    def of(self, most: int) -> Plan:
        """The plan for only the first `most` examples."""
        return replace(self, examples=self.examples[:most])

    @property
    def each(self) -> int:
        """Replies per example."""
        return 2 + self.draws + len(self.ways)

    @property
    def replies(self) -> int:
        """All replies of the task model; a judge is asked as often."""
        return self.each * len(self.examples) + len(self.traced)


@dataclass(frozen=True, slots=True)
class Length:
    """Estimated tokens of all requests of a plan, and most tokens of all replies."""

    input: int
    output: int


class Probe:
    """Makes and runs a plan. `slots`: of the task. Examples are drawn with SEED and not the search's seed, so that
    `doctor` and all searches of a sweep make the same calls."""

    def __init__(self, slots: RetrievalSlots, first: Prompt, draws: int = DRAWS) -> None:
        self._slots, self._task, self._first = slots, slots.task, first
        self._rng, self._draws = Random(SEED), draws
        self._few_shot = FewShot()

    def plan(self) -> Plan:
        """A plan with EXAMPLES examples, or as many as there are. Slow, since it embeds the training inputs."""
        task = self._task
        drawn = self._rng.sample(task.validation, min(EXAMPLES, len(task.validation)))
        if task.program is not None and len(task.program.prompts) > 1:
            # Training examples show what the whole program answers, and nothing of any one of its prompts.
            return Plan(tuple(drawn), self._first, self._first, "", (), self._draws, ())
        prompt, place = self._with_section()
        bare = bare_replies(task.train, task)
        whole = task.kind.name == "reasoning" or not are_read(bare.values(), task)
        count = self._count(prompt, place)
        traces = [ShotPolicy("turns", False, count, replies=True)]
        ways = traces if whole else [ShotPolicy(form, nearest, count) for form, nearest in WAYS]
        now = shown(saved_section(prompt[place]))
        fitting = [way for way in ways if way != now and (whole or self._prompt(way, {}, prompt, place))]
        traced = self._rng.sample(task.train, min(TRACED, len(task.train))) if whole else []
        ways = fitting if task.train else []
        return Plan(tuple(drawn), self._first, prompt, place, tuple(ways), self._draws, tuple(traced))

    def length(self, plan: Plan) -> Length:
        """The estimated length of a plan; full replies to show are counted as bare answers, and each prompt of a
        program is taken to be called once."""
        some = plan.examples[: min(5, len(plan.examples))]
        prompts = [(plan.first, 2 + plan.draws)]
        prompts += [(p, 1) for way in plan.ways if (p := self._prompt(way, {}, plan.prompt, plan.place))]
        tokens = limits = 0.0
        for prompt, times in prompts:
            likely = (likely_requests(self._task, prompt, example.inputs, self._slots.inputs) for example in some)
            requests = [request for each in likely for request in each]
            sent = sum(estimate_turn(message) for request in requests for message in request.messages)
            tokens += sent / max(1, len(some)) * times * len(plan.examples)
            limits += sum(r.max_tokens for r in requests) / max(1, len(some)) * times * len(plan.examples)
        share = 1 + len(plan.traced) / max(1, plan.each * len(plan.examples))
        return Length(round(share * tokens), round(share * limits))

    async def ask(self, plan: Plan, forward: Forward, tell: Tell) -> Figures:
        """Run the plan and return the figures; each result is passed to `tell` as it is known.

        :raises Exception: as `Forward.until`.
        """
        metric = self._task.metric
        results = await forward.drawn(0, TEMPERATURE)(plan.first, plan.examples)
        first = _outcomes(results)
        replies = _replies(metric, [outcome for outcome in first if outcome is not None])
        tell(f"headroom: the first prompt has {replies.value:.2f} on {replies.n} examples")
        seen = []
        traces = await self._traces(plan, forward)
        for way in plan.ways:
            prompt = self._prompt(way, traces, plan.prompt, plan.place)
            if prompt is not None:
                came = _outcomes(await forward.drawn(0, TEMPERATURE)(prompt, plan.examples))
                one = self._compared(way, prompt, first, came, len(plan.ways))
                seen.append(one)
                tell(f"headroom: with {one.form}: {one.value:.2f} ({one.gain:+.2f})")
        again = await self._again(plan, forward, first)
        return Figures(replies, tuple(seen), again)

    async def _traces(self, plan: Plan, forward: Forward) -> Mapping[str, str]:
        if not plan.traced:
            return {}
        task = self._task
        bare = bare_replies(plan.traced, task)
        outcomes = [o for o in await forward.drawn(0, TEMPERATURE)(plan.first, plan.traced) if isinstance(o, Outcome)]
        readable = are_read(bare.values(), task) and task.kind.name != "reasoning"
        return worked_out(outcomes, bare, CHATTER if readable else None, task.good)

    async def _again(self, plan: Plan, forward: Forward, first: Sequence[Outcome | None]) -> Again:
        more = _outcomes(await forward.drawn(1, TEMPERATURE)(plan.first, plan.examples))
        both = [(a, b) for a, b in zip(first, more, strict=True) if a is not None and b is not None]
        drawn = [
            _outcomes(await forward.drawn(2 + number, None)(plan.first, plan.examples))
            for number in range(plan.draws)
        ]
        whole = [(a, d) for a, *d in zip(first, *drawn, strict=True) if a is not None] if drawn else []
        missed = [draws for outcome, draws in whole if outcome.score < 1.0]
        mended = [draws for draws in missed if any(one is not None and one.score >= 1.0 for one in draws)]
        return Again(
            repeated=len(both),
            changed=sum(a.score != b.score for a, b in both),
            draws=plan.draws,
            drawn=len(whole),
            missed=len(missed),
            mended=len(mended),
            chance=chance(self._task),
        )

    def _compared(
        self,
        way: ShotPolicy,
        prompt: Prompt,
        first: Sequence[Outcome | None],
        came: Sequence[Outcome | None],
        ways: int,
    ) -> Shown:
        metric = self._task.metric
        pairs = [(a, b) for a, b in zip(first, came, strict=True) if a is not None and b is not None]
        before, after = [a for a, _ in pairs], [b for _, b in pairs]
        # The best of several forms is reported, so each gets an equal part of the 5 % (Bonferroni).
        low, high = interval(metric, after, before, level=1 - 0.05 / ways) if pairs else (0.0, 0.0)
        return Shown(
            form=in_words(way),
            n=len(pairs),
            value=value_of(metric, after),
            gain=value_of(metric, after) - value_of(metric, before),
            interval=(low, high),
            unreadable=endings(after)["unreadable"],
            tokens=self._slots.tokens(prompt),
        )

    def _with_section(self) -> tuple[Prompt, str]:
        names = [n for n in self._few_shot.targets(self._first, self._task) if not self._first[n].frozen]
        if names:
            return self._first, names[0]
        name = SECTION.name
        while name in {section.name for section in self._first}:
            name += "_"
        *before, last = self._first.sections
        return Prompt((*before, replace(SECTION, name=name), last)), name

    def _count(self, prompt: Prompt, place: str) -> int:
        each = self._slots.each(prompt, "examples", turns=True)
        count = next((count for count in COUNTS if count * each <= LONG), COUNTS[-1])
        return max(1, min(count, len(self._task.train)))

    def _prompt(self, way: ShotPolicy, traces: Mapping[str, str], prompt: Prompt, place: str) -> Prompt | None:
        """The prompt with examples shown in this way; None if no example can be."""
        if way.replies:
            way = replace(way, count=min(way.count, len(traces)))
            if not traces:
                return None
        assignment = Assignment(FIRST, FewShot.name, place, FIRST, prompt, "", (), ())
        context = Context(self._task, _Nobody(), (), Random(0), self._slots, 0.0)
        try:
            return self._few_shot.show(way, traces, assignment, context)
        except InapplicableError:
            return None


class _Nobody:
    """A placeholder for the model of an operator that makes no calls."""

    name = "nobody"

    async def complete(self, request: Request) -> Reply:
        raise AssertionError("few_shot asks no model")


def in_words(way: ShotPolicy) -> str:
    """The way in words, such as `8 nearest examples as turns of the chat`."""
    if way.replies:
        return f"{way.count} whole replies of its own as turns of the chat"
    return f"{way.count} {WAYS[way.form, way.nearest]}"


def chance(task: Task) -> float:
    """The probability that a guess drawn from the distribution of training answers is right; 0 without a closed set
    of answers."""
    if task.kind.name in MANY:  # the closed set holds parts of answers
        return 0.0
    return sum((count / len(task.train)) ** 2 for count in task.answers.values())


def _outcomes(results: Sequence[object]) -> list[Outcome | None]:
    """The outcomes, with None for unanswered examples."""
    return [result if isinstance(result, Outcome) else None for result in results]


def _replies(metric: Metric, outcomes: Sequence[Outcome]) -> Replies:
    n = len(outcomes)
    score = sum(outcome.score for outcome in outcomes) / n if n else 0.0
    right = sum(outcome.score >= 1.0 for outcome in outcomes)
    return Replies(n, value_of(metric, outcomes), score, right, **endings(outcomes))
