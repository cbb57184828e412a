"""The cost of earlier runs of a task, read from their run directories, for a forecast of the next run."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agents.config.configuration import Configuration
from agents.directory.run_directory import RESULT, RUNS, read_configuration
from agents.results.by_prompt import THOUSAND
from agents.results.finished import read_result
from protocols.errors import PromptFlowError
from protocols.text import file_name

LATEST: Final = 20
"""Maximum number of runs that are read: the latest."""


@dataclass(slots=True)
class Past:
    """Sums over `runs` of the same task on the same model. `races`: assignments that were evaluated; `survivors` and
    `losers`: how the races ended. `lost_at`: the sum of the shares of validation that losers were run on.
    `calls`, `input` and `output`: by role."""

    runs: int = 0
    assignments: int = 0
    races: int = 0
    survivors: int = 0
    losers: int = 0
    lost_at: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    input: Counter[str] = field(default_factory=Counter)
    output: Counter[str] = field(default_factory=Counter)


def read_past(configuration: Configuration, folder: Path = RUNS) -> Past:
    """The sums over the runs in a folder that have a result and the name that a search gives them. Runs that cannot
    be read are skipped."""
    past, name = Past(), file_name(configuration.task.name)
    numbered = [(int(found[1]), path) for path in folder.glob(f"{name}-*") if (found := _number(name, path))]
    for _, path in sorted(numbered)[-LATEST:]:
        try:
            add_run(past, configuration, path)
        except (PromptFlowError, KeyError, TypeError, AttributeError):
            continue
    return past


def _number(name: str, path: Path) -> re.Match[str] | None:
    return re.fullmatch(rf"{re.escape(name)}-(\d{{1,9}})", path.name)


def add_run(past: Past, configuration: Configuration, path: Path) -> None:
    """Add the run in a directory, if it has a result and the same task's model.

    :raises PromptFlowError, KeyError, TypeError, AttributeError: it cannot be read.
    """
    there, result = read_configuration(path), read_result(path / RESULT)
    if result is None or there.models.answering != configuration.models.answering:
        return
    ends = [Counter(of) for of in result["operators"].values()]
    survivors, declined, losers = (sum(end[kind] for end in ends) for kind in ("survived", "declined", "lost"))
    survivors += declined  # asked in full, too
    validation, test = result["first"]["n"], result["test"]["n"] if result["test"] else 0
    whole = validation + there.minibatch(validation)
    # A result of an earlier release has no `prompts`; a single prompt has none either, and is called once.
    per_answer = sum(costs["first"]["calls"] for costs in result.get("prompts", {}).values()) / THOUSAND or 1.0
    asked = result["roles"].get("task", {}).get("calls", 0) / there.search.repeats + result["saved"]["calls"]
    asked /= per_answer * len(there.models.each("task"))
    # The calls that remain after subtracting all others were made for losers.
    left = asked - whole * (1 + survivors) - test * (1 + (result["candidate"] > 0))
    past.runs += 1
    past.assignments += result["assignments"]
    past.races += survivors + losers
    past.survivors += survivors
    past.losers += losers
    past.lost_at += min(max(left / validation, 0.0), losers) if validation else 0.0
    for role, spent in result["roles"].items():
        past.calls[role] += spent["calls"]
        past.input[role] += spent["input"]
        past.output[role] += spent["output"]
