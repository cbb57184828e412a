"""An invented language and an invented task in it: nothing here can have been learnt by heart."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from protocols.model import ChatMessage, Request
from protocols.providers.embedded import EmbeddedModel

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
FORM = "Answer in this form:\nKind: <kind>"


def pseudo_words(rng: random.Random, number: int) -> list[str]:
    """Distinct words of three syllables."""
    found: dict[str, None] = {}
    while len(found) < number:
        found["".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(3))] = None
    return list(found)


@dataclass(frozen=True)
class Language:
    """Labels, the words that tell each, words that tell nothing, and texts made of both."""

    labels: tuple[str, ...]
    topics: dict[str, tuple[str, ...]]
    filler: tuple[str, ...]

    def text(self, label: str, rng: random.Random) -> str:
        """Two telling words among six that are not."""
        chosen = [*rng.sample(self.topics[label], 2), *rng.sample(self.filler, 6)]
        rng.shuffle(chosen)
        return " ".join(chosen)

    def texts(self, number: int, rng: random.Random) -> list[tuple[str, str]]:
        """Texts with their labels, all labels equally often."""
        labels = [self.labels[i % len(self.labels)] for i in range(number)]
        return [(self.text(label, rng), label) for label in labels]


def language(seed: int, labels: int = 6) -> tuple[Language, random.Random]:
    """A language of its own for each seed, and the generator to go on with."""
    rng = random.Random(seed)
    vocabulary = pseudo_words(rng, labels + 12 * labels + 60)
    names, vocabulary = tuple(vocabulary[:labels]), vocabulary[labels:]
    topics = {name: tuple(vocabulary[12 * i : 12 * i + 12]) for i, name in enumerate(names)}
    return Language(names, topics, tuple(vocabulary[12 * labels :])), rng


def listed(labels: Sequence[str]) -> str:
    """The bare list of the labels."""
    return "Kinds: " + ", ".join(labels)


def definitions(of: Language, known: int = 6) -> str:
    """A line for each label with the first of its words."""
    return "\n".join(f"- {label}: {', '.join(of.topics[label][:known])}" for label in of.labels)


def shots(pairs: Sequence[tuple[str, str]]) -> str:
    """Few-shot examples."""
    return "\n\n".join(f"Text: {text}\nKind: {label}" for text, label in pairs)


def ask(prompt: str, questions: Sequence[str], temperature: float = 0, sample: int = 0) -> list[str]:
    """The replies to the questions after one system message ("" for none)."""
    used = EmbeddedModel()
    system = (ChatMessage("system", prompt),) if prompt else ()
    requests = [
        Request((*system, ChatMessage("user", question)), temperature, sample=sample) for question in questions
    ]

    async def run() -> list[str]:
        return [(await used.complete(request)).text for request in requests]

    return anyio.run(run)


def named(reply: str, labels: Sequence[str]) -> list[str]:
    """The labels that a strict reader finds in a reply."""
    parts = reply.replace(".", " ").replace(";", " ").replace(":", " ").split()
    return [label for label in labels if label in parts]


def accuracy(prompt: str, pairs: Sequence[tuple[str, str]], labels: Sequence[str]) -> float:
    """The share of questions whose reply names the right label and no other."""
    replies = ask(prompt, [text for text, _ in pairs])
    return sum(named(reply, labels) == [label] for reply, (_, label) in zip(replies, pairs, strict=True)) / len(pairs)
