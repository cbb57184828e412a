"""The programs that are compared, by the names that the command line and the rows know them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FIRST: Final = "first"
BY_HAND: Final = "by-hand"
OURS: Final = "promptflow"


@dataclass(frozen=True, slots=True)
class Program:
    """`title`: in the table. `script`: its module in `programs`; "" for what the benchmark itself asks.
    `environment`: the one that it runs in; None: ours. `labels`: it can do nothing but labels. `several`: it can
    train the prompts of a program together."""

    title: str
    script: str = ""
    environment: str | None = None
    labels: bool = False
    several: bool = False


PROGRAMS: Final[Mapping[str, Program]] = {
    FIRST: Program("the first prompt"),
    BY_HAND: Program("nearest turns by hand"),
    "random": Program("random demonstrations", "run_random"),
    OURS: Program("PromptFlow", "run_promptflow", several=True),
    "bootstrap": Program("DSPy, bootstrap with random search", "run_dspy", "dspy", several=True),
    "miprov2": Program("DSPy, MIPROv2", "run_dspy", "dspy", several=True),
    "gepa": Program("gepa", "run_gepa", "gepa", several=True),
    "capo": Program("promptolution, CAPO", "run_promptolution", "promptolution", labels=True),
    "evoprompt-ga": Program("promptolution, EvoPromptGA", "run_promptolution", "promptolution", labels=True),
}
