"""Whole searches for tasks whose answers are lists of labels or ratings, against a server that counts along."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from agents.config.configuration import build
from agents.run.opening import open_run
from tests.wire_server import WireServer

pytestmark = pytest.mark.anyio
SIZES = {"train": 16, "validation": 24, "test": 16}
LABELS = ("billing", "refund", "parcel")
Turns = list[tuple[str, str]]


def labels(number: int) -> list[str]:
    """Every set of the labels, in turn."""
    return [label for place, label in enumerate(LABELS) if number >> place & 1]


def listed(number: int, careful: bool) -> str:
    """Without care, one label at most."""
    return f"Labels: {', '.join(labels(number)[: None if careful else 1]) or 'none'}"


def rated(number: int, careful: bool) -> str:
    """Without care, from the middle of the scale."""
    return f"I rate it {number % 5 + 1 if careful else 3}/5."


def answerer(answer: Callable[[int, bool], str]) -> Callable[[Turns], str]:
    """Prompts that say `carefully` are answered with care, and every proposal says it."""

    def reply(turns: Turns) -> str:
        said = "\n".join(text for _, text in turns)
        if "<new> and </new>" in said:
            return "<new>Read carefully: every label counts, and the whole scale.</new>"
        if "<critique> and </critique>" in said:
            return "<critique>\n[task] it is not read with care\n</critique>"
        return answer(int(re.findall(r"message (\d+)", said)[-1]), "carefully" in said)

    return reply


CASES: Mapping[str, tuple[Callable[[int], object], Callable[[int, bool], str], Mapping[str, object]]] = {
    "multilabel": (lambda number: " ; ".join(labels(number)), listed, {"fields": {"separator": ";"}}),
    "ordinal": (lambda number: number % 5 + 1, rated, {"metric": "quadratic_kappa"}),
}


@pytest.mark.parametrize("kind", CASES)
async def test_a_search_finds_what_a_list_or_a_rating_needs(kind: str, tmp_path: Path) -> None:
    target, answer, keys = CASES[kind]
    begin = 0
    for split, size in SIZES.items():
        with (tmp_path / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [(f"message {number}", target(number)) for number in range(begin, begin + size)]
            csv.writer(file).writerows([("text", "target"), *rows])
        begin += size
    async with WireServer(answerer(answer)) as server:
        tables = {
            "task": {"name": kind, "kind": kind, **{split: f"{split}.csv" for split in SIZES}, **keys},
            "models": {"default": "openai/m"},
            "search": {"assignments": 4, "width": 1, "operators": ["self_reflection"], "headroom": False},
        }
        environ = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": server.openai_url}
        async with open_run(build(tables, tmp_path), environ, tmp_path / "out") as run:
            result = await run.search()
    assert result.test is not None
    assert result.first.value < 0.8
    assert (result.best.value, result.test.best) == (1, 1)
    assert not result.leaks
