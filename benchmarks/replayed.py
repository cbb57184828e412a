"""Which selector, on rewards as language models gave them? `python -m benchmarks.replayed FILE ...`

'A file is `operators.jsonl` of benchmarks.operators, whose rows say what each edit of a search on a language model
earned. Here a selector searches again: it chooses among the operators and sections of one such search, WIDTH edits in
flight, and each edit earns what one of that search's own edits with this operator did, each of them once, and after
these nothing: what was gained once is not gained at will. Edits of the first prompt earn what such edits earned,
while there are any. A survivor's child is a parent, too.

Printed: the worth that a selector has collected by then (its positive rewards, in points of score), the mean over all
searches and draws, and what it is more than uniform's, with a 95 % interval by bootstrap over the searches. The
rewards of edits that were never made are not known, so this says how selectors share out the edits that there are,
and nothing of parents, pace or what a text could become.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import cast, get_args

import numpy as np
import numpy.typing as npt

from agents.config.catalogue import SELECTORS
from agents.selectors.expected import expected
from agents.selectors.msgd_rl import MSGDRL
from agents.selectors.selector import Action, Choice, Selector
from benchmarks.operators import Earned, Row, parse
from benchmarks.rows import read
from memory.experience import situation
from protocols.embedding import HashedNgrams
from protocols.errors import PromptFlowError
from protocols.prompt import Kind

Array = npt.NDArray[np.float64]
STEPS, WIDTH, DRAWS = (8, 16, 24), 3, 200
RESAMPLES = 2000
WITH_PRIOR = "msgd_rl, with the prior"
Make = Callable[[Random, Sequence[str]], Selector]


def with_prior(rng: Random, operators: Sequence[str]) -> Selector:
    """msgd_rl as a user's first search has it."""
    selector = MSGDRL(rng)
    selector.recycle(expected(operators))
    return selector


def plain(selector: Callable[[Random], Selector]) -> Make:
    """A selector of the catalogue, which knows nothing yet."""
    return lambda rng, operators: selector(rng)


ARMS: Mapping[str, Make] = {**{name: plain(made) for name, made in SELECTORS.items()}, WITH_PRIOR: with_prior}


class Outcomes:
    """The outcomes of one measured search, each handed out once, in random order; then only those without a gain."""

    def __init__(self, earned: Sequence[Earned], rng: Random) -> None:
        self._rng = rng
        self._left: dict[tuple[str, bool], list[Earned]] = defaultdict(list)
        self._lost: dict[str, list[Earned]] = defaultdict(list)
        for each in rng.sample(list(earned), len(earned)):
            self._left[each.operator, each.first].append(each)
            self._lost[each.operator] += [each] * (each.reward <= 0)

    def draw(self, operator: str, first: bool) -> Earned:
        """An outcome of an edit with this operator, of the first prompt if one is left."""
        left = self._left[operator, first] or self._left[operator, not first]
        if left:
            return left.pop()
        lost = self._lost[operator]
        return self._rng.choice(lost) if lost else Earned(operator, "", 0.0, "lost", False, 0.0, 0)


def choices(row: Row) -> list[Choice]:
    """The actions of a measured search, as a parent offers them."""
    embedder = HashedNgrams(128)
    made = []
    for operator, section in sorted({(each.operator, each.section) for each in row.earned}):
        kind = cast(Kind, section if section in get_args(Kind) else "task")
        made.append(Choice(Action(operator, section), kind, embedder.vector(situation(kind, "", section))))
    return made


def collected(row: Row, make: Make, seed: int) -> Array:
    """The worth in points that a selector has collected after each assignment, shape (max(STEPS),)."""
    rng = Random(f"{row.key}/{seed}")
    operators = sorted({each.operator for each in row.earned})
    selector, outcomes = make(Random(f"{seed}/selector"), operators), Outcomes(row.earned, rng)
    parents = [choices(row)]
    worth, flying = np.zeros(max(STEPS)), list[tuple[Choice, bool]]()
    for step in range(max(STEPS) + WIDTH - 1):
        parent = rng.randrange(len(parents))
        flying.append((selector.choose(parents[parent]), parent == 0))
        if len(flying) < WIDTH:
            continue
        choice, first = flying.pop(rng.randrange(len(flying)))
        outcome = outcomes.draw(choice.action.operator, first)
        survived = outcome.outcome == "survived"
        if survived:
            parents.append(choices(row))
        selector.learn(choice, outcome.reward, parents[-1] if survived else ())
        worth[step - WIDTH + 1] = 100 * max(outcome.reward, 0.0)
    return np.cumsum(worth)


def measured(rows: Sequence[Row], draws: int) -> dict[str, Array]:
    """The mean worth of every arm on every search at STEPS, shape (searches, len(STEPS))."""
    at = [step - 1 for step in STEPS]
    return {
        name: np.stack([np.mean([collected(row, make, seed)[at] for seed in range(draws)], axis=0) for row in rows])
        for name, make in ARMS.items()
    }


def table(worth: Mapping[str, Array]) -> list[str]:
    """As Markdown."""
    rng = np.random.default_rng(0)
    lines = [f"| selector | {' | '.join(f'after {n}' for n in STEPS)} | less uniform's, after {STEPS[-1]} [95 %] |"]
    lines.append(f"|{'---|' * (len(STEPS) + 2)}")
    for name, mine in worth.items():
        more = mine[:, -1] - worth["uniform"][:, -1]
        drawn = more[rng.integers(0, len(more), (RESAMPLES, len(more)))].mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        means = " | ".join(f"{mean:.1f}" for mean in mine.mean(axis=0))
        lines.append(f"| {name} | {means} | {more.mean():+.1f} [{low:+.1f}, {high:+.1f}] |")
    return lines


def main() -> None:
    """Print the table."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("files", nargs="+", type=Path, help="operators.jsonl of benchmarks.operators")
    made.add_argument("--draws", type=int, default=DRAWS, help="of every selector on every search")
    options = made.parse_args()
    try:
        rows = [row for file in options.files for row in read(file, parse)]
    except PromptFlowError as error:
        sys.exit(f"error: {error}")
    print(
        f"{len(rows)} searches, {sum(len(row.earned) for row in rows)} edits",
        *table(measured(rows, options.draws)),
        sep="\n",
    )


if __name__ == "__main__":
    main()
