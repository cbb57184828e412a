"""Programs with a fault that is known: `python -m benchmarks.planted_programs [--seeds 20] [--assignments 120]`.

fault      A program of three prompts, each of four sections. An example is answered right if every prompt knows
           its word; two prompts know all words, the faulty one few. A writer that edits the faulty prompt adds a word
           that is missing, with a chance that depends on the operator, divided by `--hard`; one that edits another
           prompt adds a remark, or loses a word. The Critic's model is scripted: it names one section, of the faulty
           one with a chance of 80 %, else of another. Who blames, by row: that critic; one that names any prompt;
           one that always names the same sound prompt; nobody. The rest of the ring is a search's, at width 1.
           Share: of the assignments that edit one prompt and were made while the fault was there, those that edit the
           faulty prompt, of the assignments from the 6th to the 30th, and of those after the 30th. Mended: the
           assignment by which a survivor knows every word.
together   A program of two prompts. A new format of what `extract` writes helps few examples as long as `decide` does
           not read it, and reading it helps few others as long as nothing writes it; both together answer nearly all.
           A writer makes the change in a prompt that it edits with a chance of a tenth: `anywhere`; or only where
           nothing has changed yet, since what one prompt writes suits what the other reads: `apart`. Found: the
           assignment by which a survivor has both, with merge and without, and how many of these merge made.

Each figure is a mean over the seeds, with half the width of its 95 % interval.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from random import Random

import anyio

from agents.archive.aims import Aims
from agents.archive.choices import Choices
from agents.archive.credit import LeaveOneOut
from agents.config.catalogue import SELECTORS
from agents.history.recycling import recycle
from agents.operators.merge import Merge
from agents.operators.operator import Context, Operator
from agents.programs.functions import FunctionProgram
from agents.prompting.forward import Concurrency, Forward
from agents.prompting.retrieval_slots import open_slots
from agents.ring.agent import Agent
from agents.ring.controller import Controller, SearchSettings
from agents.ring.critic import Critic, Silent
from agents.ring.evaluator import Evaluator, RaceSettings
from agents.ring.injected_edit import InjectedEdit
from agents.ring.proposer import Proposer
from agents.ring.shrinking import Shrink
from agents.ring.team import Opening, Team
from agents.selectors.expected import expected
from agents.selectors.selector import Selector
from protocols.answers.labels import LabelParser
from protocols.bus import Bus
from protocols.embedding import HashedNgrams
from protocols.messages import Assignment, Critique, Envelope
from protocols.metrics.match import Accuracy
from protocols.model import ChatModel, Reply, Request
from protocols.program import Call, Prompts
from protocols.prompt import Kind, Prompt, Section, prompt_of
from protocols.task import Example, Task, TaskKind, TaskProgram

PROMPTS = ("extract", "route", "decide")
PARTS: Mapping[str, Kind] = {
    "task": "task",
    "definitions": "definitions",
    "reminders": "reminders",
    "format": "format",
}
WORDS = tuple(f"word{n:02}" for n in range(16))
KNOWN = 4
"""Words that the faulty prompt knows at first."""
WRITERS = {"self_reflection": 0.6, "chain_of_thought": 0.4, "short_instruction": 0.3}
"""The operators, and the chance that each adds a missing word to the faulty prompt."""
LOSES = 0.3
"""The chance that an edit of a prompt without a fault loses a word."""
ACCURATE = 0.8
FIRST, LAST = 6, 30
TRAIN, VALIDATION = 48, 48
TASK_KIND: Kind = "task"
KIND = TaskKind("classification", parse=LabelParser(("no", "yes")))
Blame = Callable[[Random], str]


def examples(split: str, count: int) -> tuple[Example, ...]:
    """Examples with every word in turn."""
    return tuple(
        Example(f"{split}{n}", {"text": f"{split}{n} {WORDS[n % len(WORDS)]}"}, "yes" if n % 3 else "no")
        for n in range(count)
    )


def task_of(program: Callable[..., object], names: Sequence[str]) -> Task:
    """A task that this program answers."""
    task = Task("planted", examples("t", TRAIN), examples("v", VALIDATION), (), Accuracy(KIND), ("text",), KIND)
    return replace(task, program=TaskProgram(FunctionProgram(program), dict.fromkeys(names), (), 60.0))


# A fault in one of three prompts


async def answer(inputs: Mapping[str, str], prompts: Prompts, call: Call) -> str:
    """Right if every prompt knows the word."""
    said = [await call(name, prompts[name].render(inputs)) for name in PROMPTS]
    number = int(inputs["text"].split()[0][1:])
    return ("yes" if number % 3 else "no") if all(word == "known" for word in said) else "neither"


class Knows:
    """The task's model: `known` if the prompt has the word of the input."""

    name = "planted"

    async def complete(self, request: Request) -> Reply:
        """The reply."""
        word = request.messages[-1].text.split()[-1]
        return Reply("known" if word in request.messages[0].text.split() else "lost")


def faulty_program(faulty: str) -> Prompt:
    """Three prompts, of which one lacks most words."""
    sections: list[Section] = []
    for name in PROMPTS:
        words = WORDS[:KNOWN] if name == faulty else WORDS
        texts = {"task": f"Do your part of the work, {name}.", "definitions": " ".join(words), "format": "One word."}
        sections += [Section(f"{name}.{part}", kind, texts.get(part, "")) for part, kind in PARTS.items()]
        sections.append(Section(f"{name}.input", "task", "Input: {text}", frozen=True))
    return Prompt(tuple(sections))


def words_of(prompt: Prompt, name: str) -> set[str]:
    """The words that a prompt of the program knows."""
    return {word for section in prompt.of(name) for word in section.text.split() if word in WORDS}


class ScriptedWriter:
    """An operator that mends the faulty prompt with a chance of `chance`."""

    def __init__(self, name: str, chance: float) -> None:
        self.name, self._chance = name, chance

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Every section but the inputs."""
        return [section.name for section in prompt if not section.frozen]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """A word more that is missing; or a remark, or a word less."""
        prompt, rng, section = assignment.prompt, context.rng, assignment.prompt[assignment.section]
        missing = sorted(set(WORDS) - words_of(prompt, section.prompt))
        text = f"{section.text} Remark {assignment.assignment}."
        if missing and rng.random() < self._chance:
            text = f"{section.text} {rng.choice(missing)}"
        elif not missing and rng.random() < LOSES:
            lost = rng.choice(WORDS)
            text = " ".join(word for word in text.split(" ") if word != lost)
        return prompt.edit(section.name, text.strip(), context.task.placeholders)


class ScriptedCritic:
    """The critic's model: names the section that `blame` draws."""

    name = "critic"

    def __init__(self, blame: Blame, seed: int, parts: Sequence[str] = ("task", "definitions")) -> None:
        self._blame, self._seed, self._parts = blame, seed, parts

    async def complete(self, request: Request) -> Reply:
        """The critique."""
        rng = Random(f"{self._seed}/critic/{request.assignment}")
        return Reply(
            f"<critique>\n[{self._blame(rng)}.{rng.choice(('task', 'definitions'))}] name more words\n</critique>"
        )


def blames(faulty: str) -> dict[str, Blame | None]:
    """The critics, by what they blame; None: there is no critic."""
    others = [name for name in PROMPTS if name != faulty]
    return {
        "right 80 %": lambda rng: faulty if rng.random() < ACCURATE else rng.choice(others),
        "any prompt": lambda rng: rng.choice(PROMPTS),
        "always wrong": lambda rng: others[-1],
        "no blame": None,
    }


# Two prompts that must change together

NEW = "json"
"""The word that stands for the new format, in the prompt that writes it and in the one that reads it."""
MAKES = 0.1
"""The chance that an edit makes the change."""
RIGHT = {
    (False, False): {0, 1, 2},
    (True, False): {0, 1, 2, 3},
    (False, True): {0, 1, 2, 4},
    (True, True): {*range(9)},
}
"""By which prompts have changed, the last digits of the examples that are answered right."""
PAIR = ("extract", "decide")


async def pipeline(inputs: Mapping[str, str], prompts: Prompts, call: Call) -> str:
    """Right where the two prompts together say so."""
    said = [await call(name, prompts[name].render(inputs)) for name in PAIR]
    number = int(inputs["text"].split()[0][1:])
    right = number % 10 in RIGHT[said[0] == NEW, said[1] == NEW]
    return ("yes" if number % 3 else "no") if right else "neither"


class Formats:
    """The task's model: answers in the new format if the prompt has it."""

    name = "planted"

    async def complete(self, request: Request) -> Reply:
        """The reply."""
        return Reply(NEW if NEW in request.messages[0].text.split() else "plain")


class Reformats:
    """An operator that rarely makes the change; `apart`: only where nothing has changed yet."""

    name = "self_reflection"

    def __init__(self, apart: bool) -> None:
        self._apart = apart

    def targets(self, prompt: Prompt, task: Task) -> list[str]:
        """Every section but the inputs."""
        return [section.name for section in prompt if not section.frozen]

    async def edit(self, assignment: Assignment, context: Context) -> Prompt:
        """The change, or a remark."""
        may = not self._apart or not any(NEW in section.text.split() for section in assignment.prompt)
        word = NEW if may and context.rng.random() < MAKES else f"Remark {assignment.assignment}."
        text = f"{assignment.prompt[assignment.section].text} {word}".strip()
        return assignment.prompt.edit(assignment.section, text, context.task.placeholders)


def both(prompt: Prompt) -> bool:
    """Whether both prompts have changed."""
    return all(any(NEW in section.text.split() for section in prompt.of(name)) for name in PAIR)


def two_prompts() -> Prompt:
    """The two prompts before the change."""
    return Prompt(
        tuple(
            Section(f"{name}.{part}", kind, text, frozen)
            for name in PAIR
            for part, kind, text, frozen in (
                ("task", TASK_KIND, f"Do your part of the work, {name}.", False),
                ("format", "format", "", False),
                ("input", TASK_KIND, "Input: {text}", True),
            )
        )
    )


# The ring around both


@dataclass
class Search:
    """One search of a ring without files. `done`: ends it; `log`: every message."""

    task: Task
    first: Prompt
    operators: Sequence[Operator]
    model: ChatModel
    selector: Selector
    critic: ScriptedCritic | None
    seed: int
    assignments: int
    done: Callable[[Prompt], bool]
    target: float = 1.0
    credit_share: float = 0.1
    log: list[Assignment] = field(default_factory=list)
    found: int | None = None

    async def run(self) -> None:
        """Search until a member of the archive is as wanted, or all assignments are made."""
        bus = Bus(time.time, 0)
        slots = open_slots(self.task, ())
        forward = Forward(self.model, self.task, slots, Concurrency(8))
        operators = {operator.name: operator for operator in self.operators}
        settings = SearchSettings(width=1, assignments=self.assignments, aims=Aims(self.target))
        choices = Choices(operators, self.task, HashedNgrams())
        rng = Random(f"{self.seed}/controller")
        self.controller = Controller(self.task, choices, self.selector, settings, None, rng, time.time)
        credit = LeaveOneOut(forward, self.credit_share) if self.credit_share else None
        agents: list[Agent] = [
            Evaluator(forward, self.task, RaceSettings(), self.seed),
            Critic(self.critic, self.task, credit) if self.critic else Silent(),
            InjectedEdit(slots),
            Shrink(slots),
            *(Proposer(operator, self.model, slots, None, self.seed, 1e-5) for operator in self.operators),
        ]
        team = Team(self.controller, agents, bus)
        bus.tap(self._follow)
        await team.run(Opening([(self.controller.begin(self.first), None)]))

    async def _follow(self, envelope: Envelope) -> None:
        match envelope.message:
            case Assignment() as assignment:
                self.log.append(assignment)
            case Critique(evaluation=evaluation, assignment=number) if evaluation.survived and self.found is None:
                if self.done(evaluation.prompt):
                    self.found = number
            case _:
                pass


def opened(name: str, seed: int, operators: Sequence[Operator]) -> Selector:
    """The selector, as a search opens it."""
    selector = SELECTORS[name](Random(f"{seed}/selector"))
    recycle(selector, expected([operator.name for operator in operators]))
    return selector


@dataclass(frozen=True, slots=True)
class Share:
    """How a search went: the shares of the edits that went to the faulty prompt early and late (None: there were
    none), and the assignments until it was mended (None: it was not)."""

    early: float | None
    late: float | None
    mended: int | None


async def search_fault(selector: str, blame: str, seed: int, assignments: int, hard: float = 1.0) -> Share:
    """One search in a program of which one prompt, in turn, has the fault."""
    faulty = PROMPTS[seed % len(PROMPTS)]
    operators: list[Operator] = [ScriptedWriter(name, chance / hard) for name, chance in WRITERS.items()]
    operators.append(Merge())
    whom = blames(faulty)[blame]
    search = Search(
        task_of(answer, PROMPTS), faulty_program(faulty), operators, Knows(), opened(selector, seed, operators),
        ScriptedCritic(whom, seed) if whom else None, seed, assignments,
        lambda prompt: words_of(prompt, faulty) == set(WORDS),
    )  # fmt: skip
    await search.run()
    edits = [(a.assignment, prompt_of(a.section) == faulty) for a in search.log if prompt_of(a.section)]
    return Share(
        share([right for n, right in edits if FIRST <= n <= LAST]), share([right for n, right in edits if n > LAST]),
        search.found,
    )  # fmt: skip


async def search_together(apart: bool, merge: bool, seed: int, assignments: int) -> tuple[int | None, bool]:
    """The assignment that found both changes, None if there is none, and whether merge made it."""
    operators: list[Operator] = [Reformats(apart), *([Merge()] if merge else [])]
    critic = ScriptedCritic(lambda rng: rng.choice(PAIR), seed, ("task", "format"))
    search = Search(
        task_of(pipeline, PAIR), two_prompts(), operators, Formats(), opened("msgd_rl", seed, operators), critic,
        seed, assignments, both, 0.85,
    )  # fmt: skip
    await search.run()
    made = {assignment.assignment: assignment.operator for assignment in search.log}
    return search.found, search.found is not None and made[search.found] == Merge.name


def share(of: Sequence[bool]) -> float | None:
    """The share that is true; None of none."""
    return sum(of) / len(of) if of else None


def shown(values: Sequence[float | None], form: str) -> str:
    """The mean of the values that are not None, and half the width of its 95 % interval."""
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    half = 1.96 * statistics.stdev(there) / len(there) ** 0.5 if len(there) > 1 else 0.0
    return f"{statistics.mean(there):{form}} ± {half:{form}}"


def main(seeds: int, assignments: int, selectors: Sequence[str], hard: float) -> None:
    """Both tables."""
    print(
        f"fault: share of edits in the faulty prompt, {seeds} seeds, at most {assignments} assignments, hard {hard:g}"
    )
    early, late = f"{FIRST} to {LAST}", f"after {LAST}"
    print(f"{'':14}{'who blames':16}{early:>16}{late:>16}{'mended':>12}{'at':>12}")
    for selector in selectors:
        for blame in blames(PROMPTS[0]):
            rows = [anyio.run(search_fault, selector, blame, seed, assignments, hard) for seed in range(seeds)]
            mended = [row.mended for row in rows]
            shares = shown([row.early for row in rows], ".2f"), shown([row.late for row in rows], ".2f")
            count = f"{sum(one is not None for one in mended)} of {seeds}"
            cells = f"{shares[0]:>16}{shares[1]:>16}{count:>12}{shown(mended, '.0f'):>12}"
            print(f"{selector:14}{blame:16}{cells}", flush=True)
    print(f"\ntogether: two prompts, {seeds} seeds, at most {assignments} assignments")
    for apart, merge in product((True, False), repeat=2):
        found = [anyio.run(search_together, apart, merge, seed, assignments) for seed in range(seeds)]
        at, by = [one for one, _ in found], sum(one for _, one in found)
        count = f"{sum(one is not None for one in at)} of {seeds}"
        name = f"{'apart' if apart else 'anywhere'}, {'with merge' if merge else 'without'}"
        print(f"{name:24}found {count}, at {shown(at, '.0f')}, {by} by merge", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="at least 2")
    parser.add_argument("--assignments", type=int, default=120)
    parser.add_argument("--selectors", nargs="+", default=["msgd_rl", "msgd", "uniform"])
    parser.add_argument("--hard", type=float, default=1.0, help="by which the chances of writers are divided")
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.assignments, arguments.selectors, arguments.hard)
