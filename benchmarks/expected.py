"""What `doctor` would have expected of runs, and what they spent.

    python -m benchmarks.expected runs/home-1 runs/tickets-1

For each run directory: calls and tokens, expected from the configuration that lies there and spent, with the factor
between them; then what the expectation rests on, as these runs had it: the share of assignments that came to a race,
survivors, and the share of validation that a loser was asked on. Past runs are left out of the expectation.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import anyio

from agents.config.catalogue import open_operators
from agents.config.loading import load_corpus, load_task
from agents.directory.run_directory import FIRST_PROMPT, RESULT, read_configuration
from agents.forecast.composed import composed
from agents.forecast.estimate import Amount, Estimate, estimate
from agents.forecast.past import Past, add_run
from agents.models.budget import kept_prices
from agents.prompting.retrieval_slots import open_slots
from agents.results.finished import read_result
from memory.journals.reading import read_calls
from protocols.errors import InputError
from protocols.files import prompt_file


async def expected(directory: Path) -> Estimate:
    """Of the run in a directory, as if it were the first of its task."""
    configuration = read_configuration(directory)
    task, first = load_task(configuration), prompt_file.load(directory / FIRST_PROMPT)
    slots = open_slots(task, load_corpus(configuration))
    critique = configuration.minibatch(len(task.validation))
    asked = await composed(slots, first, open_operators(configuration.search_operators), critique)
    return estimate(configuration, kept_prices(directory, configuration), task, first, asked)


def factor(amount: Amount, spent: float) -> float:
    """How many times more the one is than the other; at least 1."""
    return math.exp(abs(math.log(max(1.0, amount.expected) / max(1.0, spent))))


async def main(directories: list[Path]) -> None:
    """Print a line for each run, and one for all."""
    past, worst = Past(), 1.0
    print(f"{'run':<30}{'calls':>9}{'spent':>9}{'factor':>8}{'tokens':>12}{'spent':>12}{'factor':>8}")
    for directory in directories:
        if not directory.is_dir() or read_result(directory / RESULT) is None:
            continue
        try:
            found = await expected(directory)
        except InputError as error:  # its files are no longer there
            print(f"{directory.name:<30}{error}")
            continue
        made = list(read_calls(directory / "journal.sqlite"))
        tokens = sum(call.usage.input + call.usage.output for call in made)
        factors = factor(found.calls, len(made)), factor(found.tokens, tokens)
        worst = max(worst, *factors)
        print(
            f"{directory.name:<30}{found.calls.expected:>9,.0f}{len(made):>9,}{factors[0]:>8.2f}"
            f"{found.tokens.expected:>12,.0f}{tokens:>12,}{factors[1]:>8.2f}"
        )
        add_run(past, read_configuration(directory), directory)
    races = past.races / max(1, past.assignments)
    print(
        f"raced {races:.2f} of {past.assignments} assignments; {past.survivors} survivors of {past.races} races in "
        f"{past.runs} runs; losers asked on {past.lost_at / max(1, past.losers):.2f} of validation; worst {worst:.2f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What doctor expects of runs, and what they spent.")
    parser.add_argument("directories", nargs="+", type=Path)
    anyio.run(main, parser.parse_args().directories)
