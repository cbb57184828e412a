"""Races on candidates of real searches, with the embedded model: parts `replay` and `search` of benchmarks.races."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import anyio
import numpy as np
import orjson

from agents.archive.race import Capital, Race
from agents.config.configuration import Configuration, build
from agents.history.progress import Progress
from agents.ring.evaluator import RaceSettings
from agents.run.opening import open_run
from benchmarks.searches import reach
from protocols.messages import Candidate, Envelope, Evaluation, Scores
from protocols.task import Array

Row = dict[str, object]
ALPHAS = (0.05, 0.1, 0.2, 0.3, 0.5)
FUTILE, CRITIQUE = RaceSettings().futile, RaceSettings().critique
FULL = "full, ahead"
POINTS, RESAMPLES = 400, 4


def race(differences: Array, alpha: float, futile: float, coin: float) -> tuple[bool, int]:
    """As the Evaluator does it."""
    it = Race(Capital(alpha, 0.0, len(differences)), futile, coin)
    for asked, difference in enumerate(differences.tolist(), start=1):
        it.look(difference)
        if it.lost:
            return False, asked
    return it.end(), len(differences)


# Candidates of searches that validated every one in full


def replay(folders: Sequence[Path], calls: int) -> Iterator[Row]:
    """Every alpha, and when to give up. A candidate's differences are drawn anew from those that it had, with
    replacement: their mean is what it truly gains."""
    pairs = [pair for folder in folders for pair in anyio.run(candidates, folder, calls)]
    print(f"\n{len(pairs)} candidates of searches with full validation, each drawn anew {RESAMPLES} times: examples")
    print("asked, true gain of all survivors against that of full validation, of which the one ahead survives, and")
    print("task-model calls saved at the same gain of all survivors, critics' examples included")
    print(f"{'alpha':>6}{'given up below':>16}{'asked':>9}{'gain':>9}{'false':>9}{'calls saved':>13}")
    base = _replayed(pairs, 0.5, 0.0)
    for alpha in ALPHAS:
        for futile in (0.0, 0.2, 0.4, 0.5, 0.6, 0.7):
            asked, gain, false, spent = _replayed(pairs, alpha, futile)
            saved = 1 - (spent / gain) / (base[3] / base[1])
            cells = f"{asked:>9.0%}{gain / base[1]:>9.0%}{false:>9.3f}{saved:>13.0%}"
            print(f"{alpha:>6}{futile:>16}{cells}")
            yield {"part": "replay", "alpha": alpha, "futile": futile, "pairs": len(pairs), "asked": asked} | {
                "gain": gain / base[1], "false": false, "saved": saved,
            }  # fmt: skip


def _replayed(pairs: Sequence[Array], alpha: float, futile: float) -> tuple[float, float, float, float]:
    """The share of examples asked, the gain of all survivors, the share of those that survive of all that gain
    nothing, and calls."""
    rng, asked, gain, calls = np.random.default_rng(0), list[float](), 0.0, 0.0
    false: list[bool] = []
    for differences in [pair for pair in pairs for _ in range(RESAMPLES)]:
        won, looks = race(rng.choice(differences, len(differences)), alpha, futile, rng.random())
        truth = float(differences.mean())
        asked.append(looks / len(differences))
        gain += won * truth
        calls += looks + won * CRITIQUE
        if truth <= 0:
            false.append(won)
    return float(np.mean(asked)), gain, float(np.mean(false)), calls


async def candidates(source: Path, calls: int) -> list[Array]:
    """The differences of every candidate of one search, on all of validation."""
    pairs: list[Array] = []
    parents: dict[int, Scores] = {}

    async def follow(envelope: Envelope) -> None:
        match envelope.message:
            case Candidate(assignment=number, parent_scores=scores):
                parents[number] = scores
            case Evaluation(assignment=number, scores=scores) if parents.get(number):
                pairs.append(np.array(scores, dtype=float) - np.array(parents[number], dtype=float))
            case _:
                pass

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keep_back(source, folder)
        async with open_run(
            configured(source.name, folder, Arm(FULL, 0.5, 0.0), 0, calls), {}, folder / "run"
        ) as run:
            run.evaluator.settings = replace(run.evaluator.settings, futile=0.0)
            run.bus.tap(follow)
            await run.team.run(run.opening)
    return pairs


# Searches


@dataclass(frozen=True, slots=True)
class Arm:
    """One search: `alpha`, and whether races are given up."""

    name: str
    alpha: float
    futile: float


def arms() -> list[Arm]:
    """Full validation of every candidate first: at level 0.5 the test asks who is ahead."""
    return [Arm(FULL, 0.5, 0.0), *(Arm(f"race, {alpha}", alpha, FUTILE) for alpha in ALPHAS)]


def keep_back(source: Path, folder: Path) -> None:
    """The task with a third of its training examples, evenly of every target, in place of its test split."""
    rows = [orjson.loads(line) for line in (source / "train.jsonl").read_bytes().splitlines()]
    Random(7).shuffle(rows)
    seen: dict[bytes, int] = {}
    splits: dict[str, list[object]] = {"train": [], "test": []}
    for row in rows:
        target = orjson.dumps(row["target"])
        seen[target] = seen.get(target, 0) + 1
        splits["train" if seen[target] % 3 else "test"].append(row)
    for name, kept in splits.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in kept))
    for name in ("validation.jsonl", "prompt.txt"):
        if (source / name).exists():
            (folder / name).write_bytes((source / name).read_bytes())


def configured(name: str, folder: Path, arm: Arm, seed: int, calls: int) -> Configuration:
    """All settings that are not the arm's are the defaults, at width 1, where the seed fixes the search."""
    table = {
        "task": {"name": name, **{split: f"{split}.jsonl" for split in ("train", "validation", "test")}},
        "prompt": {"file": "prompt.txt"} if (folder / "prompt.txt").exists() else {},
        "models": {"default": "embedded"},
        "search": {"seed": seed, "width": 1, "assignments": 100_000, "alpha": arm.alpha},
        "budget": {"calls": calls},
    }
    return build(table, folder)


async def search(source: Path, arm: Arm, seed: int, calls: int) -> Row:
    """One search, and how the best validation value rose with the task model's calls."""
    progress, at, values = Progress(), [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keep_back(source, folder)
        async with open_run(configured(source.name, folder, arm, seed, calls), {}, folder / "run") as run:
            run.evaluator.settings = replace(run.evaluator.settings, futile=arm.futile)
            account = run.ledger.account("task", "embedded")

            async def follow(envelope: Envelope) -> None:
                ending = progress.follow(envelope)
                if ending is not None and ending.best and ending.value is not None:
                    at.append(account.calls)
                    values.append(ending.value)

            run.bus.tap(follow)
            result = await run.search()
    assert result.test is not None
    raced = progress.counts["survived"] + progress.counts["lost"]
    return {"part": "search", "task": source.name, "arm": arm.name, "seed": seed, "at": at, "values": values} | {
        "held": result.test.difference, "raced": raced, "survived": progress.counts["survived"],
        "calls": account.calls, "validation": result.best.value,
    }  # fmt: skip


def searches(folders: Sequence[Path], seeds: int, calls: int) -> Iterator[Row]:
    """Every arm on every folder, seeds outermost, so that what is there at any time is balanced."""
    rows: list[Row] = []
    for seed in range(seeds):
        for folder in folders:
            for arm in arms():
                rows.append(anyio.run(search, folder, arm, seed, calls))
                yield rows[-1]
    show_searches(rows, calls)


def show_searches(rows: Sequence[Row], calls: int) -> None:
    """Calls to reach the final value of full validation: of the mean curves of each task, then over tasks."""
    tasks = sorted({str(row["task"]) for row in rows})
    print(f"\nSearches of {calls} calls on {', '.join(tasks)}: means over tasks and seeds")
    print(f"{'':14}{'held-out gain':>20}{'validation':>12}{'raced':>8}{'survived':>10}  calls to the value of full")
    grid = np.linspace(0, calls, POINTS)
    for arm in arms():
        mine = [row for row in rows if row["arm"] == arm.name]
        held = np.array([row["held"] for row in mine], dtype=float)
        shares = []
        for task in tasks:
            full, own = (mean_curve(rows, task, name, grid) for name in (FULL, arm.name))
            shares.append(reach(own, float(full[-1]), grid) / reach(full, float(full[-1]), grid))
        numbers = [float(np.mean([row[key] for row in mine])) for key in ("validation", "raced", "survived")]
        each = ", ".join(f"{share:.0%}" if np.isfinite(share) else "-" for share in shares)
        gain = f"{held.mean():+.3f} ± {1.96 * held.std(ddof=1) / len(held) ** 0.5:.3f}"
        figures = f"{numbers[0]:>12.3f}{numbers[1]:>8.0f}{numbers[2]:>10.0f}"
        print(f"{arm.name:14}{gain:>20}{figures}  {np.median(shares):.0%} ({each})")


def mean_curve(rows: Sequence[Row], task: str, arm: str, grid: Array) -> Array:
    """The best validation value at each point of the grid, mean over seeds."""
    curves = []
    for row in rows:
        if (row["task"], row["arm"]) == (task, arm):
            places = np.searchsorted(np.array(row["at"]), grid, side="right") - 1
            curves.append(np.array(row["values"])[np.maximum(places, 0)])
    return np.asarray(np.mean(curves, axis=0))
