"""Finds what is most similar to an input: in plain Python the same that `memory/retrieval.py` finds with FAISS."""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from typing import Any

DIMENSION, SCALE, LARGEST = 1024, 4000, 6
MASK, MULTIPLIER, BASE = 2**64 - 1, 0x9E3779B97F4A7C15, 0x100000001B3


def grams(text: str) -> list[int]:
    """The hashes of the text's character n-grams, of 2 to 5 characters, within words."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[\W_]+", " ", folded).strip() or " ".join(folded.split())
    text = f" {words} "
    found = []
    for start in range(len(text)):
        value = 0
        for size, character in enumerate(text[start : start + LARGEST - 1], start=1):
            if size > 2 and text[start + size - 2] == " ":
                break  # a space in the middle
            value = (value * BASE + ord(character) + size) & MASK
            if size > 1:
                mixed = (value * MULTIPLIER) & MASK
                found.append(((mixed ^ (mixed >> 29)) * MULTIPLIER) & MASK)
    return found


class Nearest:
    """Items, found by how similar their keys are to a text."""

    def __init__(self, keys: list[str], items: list[Any]) -> None:
        self.keys, self.items = keys, items
        self.rarity: dict[int, float] = {}
        self.holding: dict[int, list[tuple[int, int]]] = {}

    def fit(self) -> None:
        counted = [count(key) for key in self.keys]
        holding: dict[int, int] = {}
        for counts in counted:
            for gram in counts:
                holding[gram] = holding.get(gram, 0) + 1
        self.rarity = {gram: math.log((1 + len(counted)) / (1 + n)) + 1 for gram, n in holding.items()}
        for place, counts in enumerate(counted):
            for bucket, value in self.vector(counts).items():
                self.holding.setdefault(bucket, []).append((place, value))

    def vector(self, counts: dict[int, int]) -> dict[int, int]:
        """The TF-IDF vector of length SCALE, in whole numbers; without those that are 0."""
        summed: dict[int, float] = {}
        for gram, n in sorted(counts.items()):
            if gram in self.rarity:
                weight = (1 + math.log(n)) * self.rarity[gram]
                bucket = (gram >> 20) % DIMENSION
                summed[bucket] = summed.get(bucket, 0.0) + (weight if gram >> 63 else -weight)
        norm = math.sqrt(math.fsum(value * value for value in summed.values())) or 1.0
        return {bucket: whole for bucket, value in summed.items() if (whole := round(single(value / norm) * SCALE))}

    def nearest(self, query: str, k: int) -> list[Any]:
        """The `k` items most similar to the query, best first; not those whose key equals the query."""
        if not self.rarity and self.keys:
            self.fit()
        likeness = [0] * len(self.keys)
        for bucket, value in self.vector(count(query)).items():
            for place, other in self.holding.get(bucket, ()):
                likeness[place] += value * other
        order = sorted(range(len(self.keys)), key=lambda place: -likeness[place])
        return [self.items[place] for place in order if self.keys[place] != query][:k]


def count(text: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for gram in grams(text):
        counts[gram] = counts.get(gram, 0) + 1
    return counts


def single(value: float) -> float:
    """The nearest number of 32 bits."""
    return float(struct.unpack("f", struct.pack("f", value))[0])
