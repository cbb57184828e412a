"""What the Controller works for an assignment while its archive grows, and how much of that is its selector's.

    python -m benchmarks.controller                  # archives of 100 and of 300 members: a minute
    python -m benchmarks.controller --members 1000

Nothing is asked of a model: every child survives with random scores, so that the archive changes at every assignment,
which is the dearest case. CPU milliseconds of the thread, the mean over the assignments at which the archive has
about so many members.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Sequence
from random import Random
from statistics import mean

import anyio

from agents.archive.choices import Choices
from agents.config.catalogue import OPERATORS, SELECTORS
from agents.ring.controller import Controller, SearchSettings
from agents.selectors.selector import Choice, ParentSelector, Selector
from protocols.answers.labels import LabelParser
from protocols.embedding import HashedNgrams
from protocols.messages import FIRST, Assignment, Critique, Evaluation, Outcome
from protocols.metrics.match import Accuracy
from protocols.prompt import Prompt, Section
from protocols.task import Example, Task, TaskKind

ROUND = 30
"""Assignments that are measured at each size of the archive."""
WORDS = ("card", "bank", "sum", "pay", "box", "van", "street", "post", "order", "bill", "late", "parcel", "reset")
FREE = ("task", "definitions", "reasoning", "format", "reminders")
KIND = TaskKind("classification", parse=LabelParser(("no", "yes")))


class Clocked:
    """A selector, and the CPU seconds that it works."""

    def __init__(self, selector: Selector) -> None:
        self._selector, self.seconds = selector, 0.0

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """As the selector does."""
        begun = time.thread_time()
        choice = self._selector.choose(choices)
        self.seconds += time.thread_time() - begun
        return choice

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """As the selector does."""
        begun = time.thread_time()
        self._selector.learn(choice, reward, successors)
        self.seconds += time.thread_time() - begun


class ClockedParents(Clocked):
    """One that chooses the parent, too."""

    _selector: ParentSelector

    def choose_parent(self, parents: Sequence[tuple[float, Sequence[Choice]]]) -> Choice:
        """As the selector does."""
        begun = time.thread_time()
        choice = self._selector.choose_parent(parents)
        self.seconds += time.thread_time() - begun
        return choice


class World:
    """Makes up what becomes of assignments: `validation` scores at random, and `critique` training examples."""

    def __init__(self, validation: int, critique: int) -> None:
        self._rng = Random(0)
        self._critique = critique
        examples = [
            [Example(f"{split}-{n}", {"text": self._text(12)}, "yes") for n in range(count)]
            for split, count in (("train", 500), ("validation", validation), ("test", 1))
        ]
        train, valid, test = (tuple(split) for split in examples)
        self.task = Task("made up", train, valid, test, Accuracy(KIND), ("text",), KIND)
        sections = [Section(name, name, self._text(20)) for name in FREE]  # type: ignore[arg-type]
        shown = Section("input", "task", "Text: {text}", frozen=True)
        self.first = Prompt((*sections, Section("examples", "examples"), shown))

    def _text(self, words: int) -> str:
        return " ".join(self._rng.choice(WORDS) for _ in range(words))

    def critique(self, assignment: int, prompt: Prompt) -> Critique:
        """Of a candidate that has survived."""
        scores = tuple(float(self._rng.random() < 0.7) for _ in self.task.validation)
        outcomes = tuple(
            Outcome(example.id, example.inputs, "yes", reply, reply, float(reply == "yes"), "")
            for example in self._rng.sample(self.task.train, self._critique)
            for reply in [self._rng.choice(["yes", "yes", "no"])]
        )
        evaluation = Evaluation(
            assignment=assignment,
            prompt=prompt,
            scores=scores,
            survived=True,
            gain=self._rng.gauss(0, 0.05),
            error=0.03,
            paired=len(scores),
            unanswered=0,
            outcomes=outcomes,
            value=mean(scores),
        )
        return Critique(assignment, evaluation, {name: self._text(8) for name in FREE})

    def child(self, assignment: Assignment) -> Prompt:
        """What might have been made of it."""
        name = assignment.section if assignment.section in FREE else self._rng.choice(FREE)
        return assignment.prompt.edit(name, self._text(20), self.task.fields)


async def measure(selector: str, sizes: Sequence[int], width: int, validation: int) -> None:
    """A row for each size."""
    world, made = World(validation, 48), SELECTORS[selector](Random("0/selector"))
    clocked = ClockedParents(made) if isinstance(made, ParentSelector) else Clocked(made)
    operators = {name: open_operator() for name, open_operator in OPERATORS.items() if name != "rag"}
    controller = Controller(
        world.task,
        Choices(operators, world.task, HashedNgrams()),
        clocked,
        SearchSettings(width, 10**6),
        None,
        Random("0/controller"),
        lambda: 0.0,
    )
    waiting = deque(await controller.handle(world.critique(FIRST, world.first)))
    for size in sizes:
        own, chosen = list[float](), list[float]()
        while len(own) < ROUND:
            assignment = waiting.popleft()
            assert isinstance(assignment, Assignment)
            critique = world.critique(assignment.assignment, world.child(assignment))
            begun, clocked.seconds = time.thread_time(), 0.0
            waiting += await controller.handle(critique)
            took = time.thread_time() - begun
            if len(controller.archive.members) >= size - ROUND // 2:
                own.append(1e3 * (took - clocked.seconds))
                chosen.append(1e3 * clocked.seconds)
        members = len(controller.archive.members)
        print(f"{selector:16}{members:>8}{mean(own):>16.2f}{max(own):>10.2f}{mean(chosen):>16.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--selectors", nargs="+", default=["thompson", "msgd_rl"], choices=SELECTORS)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--validation", type=int, default=200, help="examples")
    o = parser.parse_args()
    print(f"{'selector':16}{'members':>8}{'Controller, ms':>16}{'longest':>10}{'selector, ms':>16}")
    for name in o.selectors:
        anyio.run(measure, name, o.members, o.width, o.validation)
