"""What a newcomer writes who has read docs/operators.md, selectors.md, agents.md and python.md."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from agents.operators.writing import Writer
from agents.selectors.selector import Action, Choice
from protocols.messages import Envelope
from protocols.model import Request
from protocols.task import Example, Json, Task


class PlainWords(Writer):
    """An operator that asks a model."""

    name = "plain_words"
    kinds = ("task", "definitions")
    asks = "Rewrite the part {part} in words that a child of ten knows. Keep every rule. {clause}"


class Exp3:
    """A selector: exponential weights with a share `gamma` of exploration."""

    def __init__(self, rng: Random, gamma: float = 0.1) -> None:
        self.rng, self.gamma = rng, gamma
        self.weights: Counter[Action] = Counter()
        self.shares: dict[Choice, float] = {}

    def choose(self, choices: Sequence[Choice]) -> Choice:
        weights = [math.exp(self.weights[choice.action]) for choice in choices]
        shares = [(1 - self.gamma) * w / sum(weights) + self.gamma / len(choices) for w in weights]
        [chosen] = self.rng.choices(range(len(choices)), shares)
        self.shares[choices[chosen]] = shares[chosen]
        return choices[chosen]

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        self.weights[choice.action] += self.gamma * reward / self.shares[choice]  # type: ignore[assignment]


class Rules:
    """A model."""

    def __init__(self, label: str = "invoice") -> None:
        self.label = label

    async def complete(self, request: Request) -> str:
        said = request.messages[-1].text
        if "<new>" in said:
            return f"<new>Which is it? Parcels have boxes, the others are {self.label}.</new>"
        return "parcel" if "box" in said else self.label


class Tally:
    """An observer."""

    def __init__(self, task: Task, directory: Path, file: str = "tally.txt") -> None:
        self.file, self.counts = directory / file, Counter[str]()

    async def observe(self, envelope: Envelope) -> None:
        self.counts[type(envelope.message).__name__] += 1
        self.file.write_text("".join(f"{name} {n}\n" for name, n in self.counts.items()), encoding="utf-8")


def near(example: Example, answer: Json, most: float = 1.0) -> float:
    """A metric with a parameter."""
    return most if answer == example.target else 0.0
