"""Estimates the cost of a search from its configuration before anything is spent: the expected run, and an interval
around it."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Final, Self

from agents.config.configuration import Configuration
from agents.config.metrics import against, compares, grades
from agents.forecast.composed import Asked, tokens_of
from agents.forecast.fitting import Amounts, CapFitting, Use, times
from agents.forecast.least import reply_room, role_of
from agents.forecast.past import Past
from agents.programs.trial import Trial
from agents.prompting.asking import likely_requests, program_limit
from agents.prompting.requests import show_example, show_turns
from agents.prompting.retrieval_slots import EXAMPLES, places, unfilled
from memory.retrieval import CHUNK
from protocols.budget.prices import Price
from protocols.prompt import Prompt, estimate_turn
from protocols.providers.responses.figures import BYTES
from protocols.task import Task

RACED: Final = 0.6
"""Share of assignments whose edit is raced: with a small model every other reply contains no edit."""
LOST_AT: Final = 0.3
"""Share of validation that a loser is run on until its race is lost."""
FOUND, IN = 1.0, 20.0
"""Expected survivors: FOUND in each run, and one more for every IN races. These figures are the means of short runs
on SmolLM2-135M (docs/decisions/headroom.md): `python -m benchmarks.expected RUN_DIR ...`"""
AGAIN: Final = 0.4
"""Share of replies that contain no edit and are asked for again."""
MEASURED: Final = 64
"""Maximum number of examples of a split whose length is measured."""
WRITTEN, VERDICT, THOUGHT, REASONED, ANSWER = 400, 60, 300, 150, 200
"""Tokens of replies: of the critic or a writer, and of a judge. In replies of the task's model: its thinking, if it
thinks by itself, its reasoning, if the prompt asks for that, and an answer where no target tells its length."""
CREDIT: Final = 0.5
"""Share of its allowance that section credit is expected to spend."""
WEIGHT: Final = 10.0
"""Weight of the figures above, in assignments or calls of past runs."""
SPREAD, KNOWN_SPREAD, KNOWN = 2.0, 1.5, 3
"""Eight of ten runs differ from the estimate by at most the factor SPREAD, or KNOWN_SPREAD if KNOWN or more past
runs of the task are known."""


@dataclass(frozen=True, slots=True)
class Amount:
    """`expected`, and an interval from `low` to `high` for eight of ten runs, none above `cap`; None: no cap."""

    expected: float
    low: float
    high: float
    cap: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate within the caps of `[budget]`, also of the `roles`. `dollars` None: the price of the models in
    `unpriced` is not known. `past`: number of past runs of this task used. `assumptions`: in words."""

    calls: Amount
    tokens: Amount
    dollars: Amount | None
    unpriced: tuple[str, ...]
    roles: Mapping[str, Use]
    past: int
    assumptions: str


@dataclass(frozen=True, slots=True)
class Sizes:
    """Mean tokens of the rendered `prompts` by name ("" without a program), of a gold answer (`target`), and of an
    example as text (`shown`) and as `turns`; and the number of the prompt's `sections`."""

    prompts: Mapping[str, int]
    target: int
    shown: int
    turns: int
    sections: int

    @property
    def prompt(self) -> int:
        """Of all prompts together."""
        return sum(self.prompts.values())


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls of one prompt: how many there are for an answer, and the mean tokens of each and of its reply."""

    each: float
    input: float
    output: float


def estimate(
    configuration: Configuration,
    known: Mapping[str, Price],
    task: Task,
    first: Prompt,
    asked: Mapping[str, Asked],
    past: Past | None = None,
    seen: Trial | None = None,
) -> Estimate:
    """The estimate for a search of `task` from the prompt `first`, including the held-out report. `known`: prices;
    `asked`: the result of `composed`; `seen`: of a program, None if it was not tried."""
    past = past or Past()
    caps = CapFitting(configuration, known)
    expected = caps.fitted(Expected(configuration, task, first, asked, past, seen), configuration.search.assignments)
    roles = caps.held(expected.roles)
    unpriced = tuple(sorted({use.model for use in roles.values() if use.calls} - known.keys()))
    spread = KNOWN_SPREAD if past.runs >= KNOWN else SPREAD
    calls = caps.of(roles, "calls")
    least = min(1.0, expected.least / calls) if calls else 1.0

    def amount(name: Amounts) -> Amount:
        limit = caps.run[name]
        limit = float("inf") if limit is None else limit  # dollars are of whole tokens, and may round to above it
        total = min(limit, caps.of(roles, name))
        most = min(limit, caps.of(caps.held(times(roles, spread), name), name))
        return Amount(total, min(total, total * max(1 / spread, least)), max(total, most), caps.run[name])

    return Estimate(
        calls=amount("calls"),
        tokens=amount("tokens"),
        dollars=None if unpriced else amount("dollars"),
        unpriced=unpriced,
        roles=roles,
        past=past.runs,
        assumptions=expected.assumptions,
    )


class Expected:
    """The expected run, of all edits that `[search]` allows or fewer, before caps. `least`: minimum number of calls
    for a result."""

    def __init__(
        self,
        configuration: Configuration,
        task: Task,
        first: Prompt,
        asked: Mapping[str, Asked],
        past: Past,
        seen: Trial | None = None,
    ) -> None:
        self._configuration, self._asked, self._past, self._seen = configuration, asked, past, seen
        self._task, self._first, self._sizes = task, first, measure(task, first)
        self._plan(configuration.search.assignments)

    def with_edits(self, edits: float) -> Self:
        """The same run, ended after so many edits."""
        shorter = copy(self)
        shorter._plan(edits)
        return shorter

    def _plan(self, edits: float) -> None:
        configuration, past, self._edits = self._configuration, self._past, edits
        task, first, asked, sizes = self._task, self._first, self._asked, self._sizes
        critique = min(configuration.minibatch(len(task.validation)), len(task.train))
        whole = len(task.validation) + critique
        self._races = edits * (WEIGHT * RACED + past.races) / (WEIGHT + past.assignments)
        more = (WEIGHT / IN + past.survivors) / (WEIGHT / IN + survivors(past.races, past.runs))
        self._survivors = min(self._races, more * survivors(self._races))
        self._lost_at = (WEIGHT * LOST_AT + past.lost_at) / (WEIGHT + past.losers)
        lost = (self._races - self._survivors) * self._lost_at * len(task.validation)
        lost += bool(edits) * configuration.search.shrink * self._lost_at * len(task.validation)
        repeats = configuration.search.repeats
        of_first = repeats * (whole + len(task.test))
        of_others = repeats * (whole * self._survivors + lost + len(task.test) * bool(edits))
        models = len(configuration.models.each("task"))
        self.least = repeats * models * (len(task.validation) + len(task.test))
        self._compared = (of_first if against(configuration) else 0) + of_others
        opponent = repeats * self._of_opponent(task, critique) if compares(configuration) else 0.0
        self._grown = min(max(one.shows for one in asked.values()), len(task.train)) * sizes.turns
        answers = of_first + of_others + opponent
        grown = self._grown * of_others / answers / len(sizes.prompts)
        self._calls = self._calls_of_an_answer(task, first, sizes, grown)
        prompt = sum(calls.input for calls in self._calls.values()) / models
        self.roles = self._roles(edits, answers, prompt, sizes)

    def _of_opponent(self, task: Task, critique: int) -> float:
        """Examples that the opponent of comparisons answers besides those that the first prompt does anyway: each
        survivor's minibatch has half as many new ones; with an opponent of its own, all."""
        drawn = min(float(len(task.train)), critique * (1 + self._survivors / 2))
        if against(self._configuration) is None:
            return drawn - critique
        return drawn + len(task.validation) + len(task.test)

    def _calls_of_an_answer(self, task: Task, first: Prompt, sizes: Sizes, grown: float) -> dict[str, Calls]:
        """The calls of each prompt by its name, "" without a program; of several models, by the model. `grown`: by
        how many tokens an edited prompt is longer."""
        if several := self._configuration.models.several:
            replies = [self._length_of_replies(task, "", first, sizes, role_of(name)) for name in several]
            whole = sizes.prompts[""] + grown
            return {name: Calls(1.0, whole, reply) for name, reply in zip(several, replies, strict=True)}
        parts = task.program.parts(first) if task.program else {"": first}
        calls = {}
        for name, part in parts.items():
            seen = self._seen.prompts.get(name) if self._seen else None
            if self._seen and seen and seen.usage.total:
                sent, replied = seen.mean(seen.usage.input), seen.mean(seen.usage.output)
                calls[name] = Calls(self._seen.of(name), sent + grown, replied)
            else:
                each = self._seen.of(name) if self._seen else 1.0
                reply = self._length_of_replies(task, name, part, sizes, role_of(name))
                calls[name] = Calls(each, sizes.prompts[name] + grown, reply)
        return calls

    def _length_of_replies(self, task: Task, name: str, part: Prompt, sizes: Sizes, role: str) -> float:
        limit = program_limit(task, name, part)
        room = reply_room(self._configuration, limit, role)
        first_words = REASONED if limit > task.kind.limit or task.kind.name == "reasoning" else 0
        answer = 1.5 * sizes.target + 6 if task.has_targets else ANSWER
        return min(room, answer + first_words + THOUGHT * (room > limit))

    def _roles(self, edits: float, answers: float, prompt: float, sizes: Sizes) -> dict[str, Use]:
        critic = self._configuration.agents.criticises
        share = self._configuration.search.credit_share * CREDIT * (self._survivors >= 1)
        roles = self._task_roles("task", answers)
        credit = self._task_roles("credit", share * answers) if critic and share else {}
        roles |= credit
        if critic:
            calls = 1 + self._survivors
            roles["critic"] = self._use("critic", calls, self._asked["critic"].input + self._grown / 2, WRITTEN)
        writers = {role: one for role, one in self._asked.items() if role.startswith("proposer/")}
        for role, one in writers.items():
            calls = edits / len(writers) * (one.least + AGAIN * (one.most - one.least))
            if one.most:
                roles[role] = self._use(role, calls, one.input + self._grown / 2, WRITTEN)
        credited = share * answers if credit else 0.0
        graded = grades(self._configuration) * len(self._configuration.models.each("task")) * (answers + credited)
        compared = 2 * compares(self._configuration) * (self._compared + credited)
        if graded or compared:
            said = self._reply * (graded + 2 * compared) / (graded + compared)
            roles["judge"] = self._use("judge", graded + compared, prompt + sizes.shown + said, VERDICT)
        if embedder := self._configuration.memory.embedder:  # one call for each distinct section with its gradient
            calls = edits + sizes.sections
            roles["embedder"] = Use(embedder, calls, calls * prompt, 0)
        return roles

    @property
    def _reply(self) -> float:
        """Mean tokens of a reply of the task."""
        return sum(calls.output for calls in self._calls.values()) / len(self._calls)

    def _task_roles(self, role: str, answers: float) -> dict[str, Use]:
        """The calls for some answers; those of a program with several prompts by prompt, and those of several
        models by model."""
        if len(self._calls) == 1:
            [calls] = self._calls.values()
            return {role: self._use(role, answers * calls.each, calls.input, calls.output)}
        return {
            f"{role}/{name}": Use(
                self._configuration.models.of(role_of(name)),
                answers * calls.each,
                answers * calls.each * calls.input,
                answers * calls.each * calls.output,
            )
            for name, calls in self._calls.items()
        }

    def _use(self, role: str, calls: float, prompt: float, reply: float) -> Use:
        """The use of a role; its tokens are averaged with those of past runs."""
        past, known = self._past, self._past.calls[role]
        sent = (WEIGHT * prompt + past.input[role]) / (WEIGHT + known)
        replied = (WEIGHT * reply + past.output[role]) / (WEIGHT + known)
        return Use(self._configuration.models.of(role), calls, calls * sent, calls * replied)

    @property
    def assumptions(self) -> str:
        """The assumptions in words, for a person."""
        most = self._configuration.search.assignments
        enough = f"the caps are enough for about {self._edits:,.0f} edits of {most:,}; " * (self._edits < most)
        runs = self._program() + f"; {self._past.runs} earlier runs of this task say so, too" * bool(self._past.runs)
        return (
            f"{enough}{self._races:,.0f} edits come to a race and {self._survivors:,.0f} of them win; a loser is "
            f"asked on {self._lost_at:.0%} of validation; replies of the task have {self._reply:,.0f} tokens, those "
            f"of critic and writers {WRITTEN}{runs}. Four bytes are a token; retries and discounts for cached input "
            "left out"
        )

    def _program(self) -> str:
        """The assumption about the calls of a program, "" without one."""
        if "" in self._calls or self._configuration.models.several:
            return ""
        if self._seen is None:
            return "; the program calls each prompt once for an example (it was not tried)"
        each = ", ".join(f"{name} {calls.each:.3g}" for name, calls in self._calls.items())
        return f"; for an example, the program calls {each} times, as on {len(self._seen.examples)} examples"


def survivors(races: float, runs: int = 1) -> float:
    """Expected number of survivors of the races of some runs."""
    return min(races, FOUND * runs + races / IN)


def measure(task: Task, first: Prompt) -> Sizes:
    """The lengths from which an estimate is computed."""
    some = task.train[:MEASURED]
    shown = tokens_of([show_example(first, task, example) for example in some])
    pairs = [sum(map(estimate_turn, show_turns(first, task, example))) for example in some]
    turns = round(sum(pairs) / len(pairs)) if pairs else 0
    sent: dict[str, list[int]] = {}
    for example in task.validation[:MEASURED]:
        for request in likely_requests(task, first, example.inputs, unfilled):
            beside = request.offer.size // BYTES if request.offer else 0
            sent.setdefault(request.prompt, []).append(sum(map(estimate_turn, request.messages)) + beside)
    parts = task.program.parts(first) if task.program else {"": first}
    prompts = {
        name: round(sum(sent.get(name, [])) / max(1, len(sent.get(name, [])))) + _filled(part, turns, shown)
        for name, part in parts.items()
    }
    target = tokens_of([task.kind.show(example.target) for example in some])
    return Sizes(prompts, target, shown, turns, len(first.sections))


def _filled(prompt: Prompt, turns: int, shown: int) -> int:
    """Tokens that are filled in for the placeholders of a prompt."""
    return sum(
        int(place.partition(":")[2]) * count * _item(place, turns if section.form == "turns" else shown)
        for section in prompt
        for place, count in places(section.filled).items()
    )


def _item(place: str, example: int) -> int:
    """Tokens of one item filled in for a placeholder."""
    return example if place.startswith(EXAMPLES) else CHUNK // 4
