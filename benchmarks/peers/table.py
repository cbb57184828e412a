"""The rows as a table in Markdown and as a plot."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.peers.catalogue import BY_HAND, FIRST, OURS, PROGRAMS
from benchmarks.peers.rows import Row

RESAMPLES: Final = 10_000
Difference = tuple[float, float, float]
"""A mean difference and its 95 % interval."""
HEAD: Final = (
    "program", "test, mean", "by seed", "PromptFlow less this [95 %]", "prompt tokens", "unread", "task calls",
    "task tokens", "writer calls", "writer tokens", "seconds",
)  # fmt: skip


def show(rows: Sequence[Row], plot: Path) -> None:
    """Print the table of each data set, and draw all of them, if the extra `benchmarks` is there."""
    for data in dict.fromkeys(row.data for row in rows):
        print("\n".join(table([row for row in rows if row.data == data])) + "\n")
    try:
        draw(rows, plot)
    except ModuleNotFoundError:
        print("no plot was drawn: pip install 'promptflow-agents[benchmarks]'")
    else:
        print(f"plot: {plot}")


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of one data set's table, programs in the order of the catalogue."""
    ours = [row for row in rows if row.program == OURS]
    sizes = " / ".join(map(str, rows[0].settings.get("sizes", ()) or ()))  # type: ignore[call-overload]
    lines = [f"### {rows[0].data} ({sizes} examples)", "", line(HEAD), line(["---"] * len(HEAD))]
    measured = [[row for row in rows if row.program == name] for name in PROGRAMS]
    lines += [line(cells(mine, ours)) for mine in measured if mine]
    failed = [f"{PROGRAMS[row.program].title}, seed {row.seed}: {row.error}" for row in rows if row.error]
    return lines + ([""] + [f"- {text}" for text in failed] if failed else [])


def line(texts: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(texts)} |"


def cells(rows: Sequence[Row], ours: Sequence[Row]) -> list[str]:
    """What the table says of one program, over its seeds; rows that failed count nowhere."""
    whole = sorted((row for row in rows if not row.error), key=lambda row: row.seed)
    title = PROGRAMS[rows[0].program].title
    if not whole:
        return [title, "failed", *[""] * (len(HEAD) - 2)]

    def mean(values: Sequence[float]) -> str:
        return f"{statistics.fmean(values):,.0f}"

    found = difference(ours, whole) if rows[0].program != OURS else None
    return [
        title,
        f"{statistics.fmean(row.test for row in whole):.3f}",
        ", ".join(f"{row.test:.2f}" for row in whole),
        "{:+.3f} [{:+.3f}, {:+.3f}]".format(*found) if found else "",
        mean([row.prompt for row in whole]),
        mean([row.unread for row in whole]),
        mean([row.task.calls for row in whole]),
        mean([row.task.input + row.task.output for row in whole]),
        mean([row.writer.calls for row in whole]),
        mean([row.writer.input + row.writer.output for row in whole]),
        mean([row.seconds for row in whole]),
    ]


def difference(ours: Sequence[Row], theirs: Sequence[Row]) -> Difference | None:
    """How much higher our scores are, over the seeds that both have; None if there are none.

    The interval is a paired percentile bootstrap over both seeds and test examples, which are the same for all seeds.
    """
    first, second = ({row.seed: row.scores for row in rows if not row.error} for rows in (ours, theirs))
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        return None
    gaps = np.array([first[seed] for seed in seeds]) - np.array([second[seed] for seed in seeds])
    return float(gaps.mean()), *interval(gaps)


def interval(gaps: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> tuple[float, float]:
    """95 % of the mean of `gaps`, of shape (seeds, examples), both drawn anew."""
    rng, (seeds, examples) = np.random.default_rng(0), gaps.shape
    by_seed = rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    by_example = rng.multinomial(examples, np.full(examples, 1 / examples), RESAMPLES) / examples
    means = ((by_seed @ gaps) * by_example).sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def draw(rows: Sequence[Row], path: Path) -> None:
    """A panel for each data set: a bar for a program's mean, a dot for each seed, and lines for the first prompt and
    for what nearest turns reach by hand.

    :raises ModuleNotFoundError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(row.data for row in rows))
    figure = Figure(figsize=(4 * len(sets), 3.6), layout="constrained")
    for place, data in enumerate(sets, start=1):
        axes = figure.add_subplot(1, len(sets), place)
        mine = {
            name: [r.test for r in rows if (r.data, r.program) == (data, name) and not r.error] for name in PROGRAMS
        }
        bars = [name for name in PROGRAMS if mine[name] and name not in (FIRST, BY_HAND)]
        colours = ["tab:blue" if name == OURS else "lightgrey" for name in bars]
        axes.bar(bars, [statistics.fmean(mine[name]) for name in bars], color=colours)
        for at, name in enumerate(bars):
            axes.plot([at] * len(mine[name]), mine[name], "k.", markersize=5)
        for name, style in ((FIRST, ":"), (BY_HAND, "--")):
            if mine[name]:
                axes.axhline(statistics.fmean(mine[name]), color="black", linestyle=style, linewidth=1)
                axes.annotate(PROGRAMS[name].title, (0, statistics.fmean(mine[name])), fontsize=7, va="bottom")
        axes.set(title=data, ylim=(0, 1), ylabel="test score" if place == 1 else "")
        axes.tick_params("x", rotation=60)
    figure.savefig(path)
