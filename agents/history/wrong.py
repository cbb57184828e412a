"""What a candidate of a run still gets wrong, with what was asked and answered."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.config.metrics import PREFERENCE
from agents.directory.run_directory import JOURNAL, read_configuration
from agents.history.trace import winner
from memory.journals.exchanges import Exchange, worst
from memory.journals.reading import read_exchanges
from protocols.errors import ConfigError
from protocols.metrics.judge import TIED
from protocols.task import SplitName


@dataclass(frozen=True, slots=True)
class Wrong:
    """The examples of a split that a candidate answered less than right, the worst first; `n`: the examples that it
    was asked and has answered. `compared`: nothing is right or wrong, and these are answered worse than the opponent
    of the metric preference. Each of several models' answers is by itself: `models` has how many each has given, {}
    for one model."""

    candidate: int
    split: SplitName
    n: int
    exchanges: Sequence[Exchange]
    compared: bool = False
    models: Mapping[str, int] = field(default_factory=dict)


def wrong(directory: Path, candidate: int | None = None, split: SplitName | None = None) -> Wrong:
    """`candidate` None: the winner, or the best so far. `split` None: the test split if the candidate was asked it,
    else validation.

    :raises ConfigError: it is not a run directory, or the journal keeps nothing of this candidate and split.
    :raises MemoryMismatch, StorageFailed: a file of the run is damaged, or of another version.
    """
    weights = read_configuration(directory).task.metric or ()
    compared = [named.use for named in weights] == [PREFERENCE]
    right = TIED if compared else 1.0
    number = winner(directory) if candidate is None else candidate
    splits: tuple[SplitName, ...] = (split,) if split else ("test", "validation")
    for name in splits:
        if kept := exchanges_of(directory, number, name, by_model=True):
            answered = [each for each in kept if not each.error]
            less = sorted(
                (each for each in answered if each.score < right), key=lambda each: (each.score, order(each.example))
            )
            models = dict(sorted(Counter(each.model for each in answered if each.model).items()))
            return Wrong(number, name, len(answered), less, compared, models)
    raise ConfigError(
        f"{directory} keeps no answers of candidate {number} on {' or '.join(splits)}: it was not asked, or "
        "run.exchanges is false, or an earlier release wrote the run; `evaluate --rows` asks anew"
    )


def order(example: str) -> list[tuple[int, str]]:
    """A key that sorts ids as a person does: their numbers by value."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", example)]


def exchanges_of(directory: Path, candidate: int, split: SplitName, by_model: bool = False) -> list[Exchange]:
    """What was asked and answered for a candidate on a split, once for each example: the last, if an evaluation was
    cut off and repeated; the worst, if it was asked several times, or of several models. `by_model`: once for each
    of these."""
    latest: dict[tuple[str, str], Exchange] = {}
    for _, exchanges in read_exchanges(directory / JOURNAL, candidate, split):
        replies = defaultdict[tuple[str, str], list[Exchange]](list)
        for each in exchanges:
            replies[each.example, each.model if by_model else ""].append(each)
        latest |= {key: worst(several) for key, several in replies.items()}
    return list(latest.values())
