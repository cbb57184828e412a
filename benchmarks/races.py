"""What can be trusted of a race and of a report: `python -m benchmarks.races [FOLDER ...] --out RESULTS`.

By simulation, from laws whose truth is known:

    false     how often a child that is no better survives, with a look after every answer, for several alphas, laws
              of the differences and numbers of examples: raced to the end, where alpha must hold, and given up early
    power     how often a better child survives, and the share of the examples that were asked, beside a one-sided
              t-test on all of them, and a mixture of fixed bets (Waudby-Smith & Ramdas 2010.09686) with a coin, too
    coverage  how often the report's 95 % intervals hold the truth, for accuracy and for micro-F1
    missing   the bias of the reported score when a tenth of the calls fails, at random or more often on long inputs

With folders of classification tasks (`train.jsonl`, `validation.jsonl`, `test.jsonl`, maybe a `prompt.txt`), and the
embedded model (benchmarks/raced.py):

    replay    what races would have made of the candidates of searches that validated every one in full
    search    searches on a budget of calls, with races and with full validation of every candidate

The test splits are not read. Rows go to `RESULTS/races.jsonl`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import orjson

from agents.results.comparison import held_out
from benchmarks.raced import ALPHAS, FUTILE, Row, race, replay, searches
from protocols.errors import ModelError, ServerFailed
from protocols.messages import Outcome
from protocols.metrics.bootstrap import interval
from protocols.task import Array, MeanScore, Metric

Law = Callable[[np.random.Generator, int], Array]
BETS = np.array([1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])
MANY = 3.3
"""The normal quantile of 99.9 % intervals, for ninety cells at once."""


# Differences whose mean is known


def votes(gain: float, changed: float) -> Law:
    """Right or wrong: a share `changed` of the examples, and `gain` more of them to the better."""

    def draw(rng: np.random.Generator, n: int) -> Array:
        drawn, better = rng.random(n), (changed + gain) / 2
        return np.asarray((drawn < better) * 1.0 - (drawn > 1 - (changed - better)))

    return draw


def lopsided(rng: np.random.Generator, n: int) -> Array:
    """Many small gains, paid for by rare and total losses; the mean is 0."""
    return np.where(rng.random(n) < 0.05, -1.0, 0.05 / 0.95)


def graded(rng: np.random.Generator, n: int) -> Array:
    """Scores in between, as F1 has; most do not change; the mean is 0."""
    return np.where(rng.random(n) < 0.3, rng.beta(2, 2, n) - rng.beta(2, 2, n), 0.0)


def streaks(rng: np.random.Generator, n: int) -> Array:
    """Each difference has mean 0 given those before it, and twice the spread after a gain."""
    signs = 2.0 * rng.integers(0, 2, n) - 1
    return np.asarray(signs * np.where(np.concatenate([[0.0], signs[:-1]]) > 0, 0.8, 0.4))


NULLS: Mapping[str, Law] = {
    "2 % change": votes(0, 0.02),
    "20 % change": votes(0, 0.2),
    "80 % change": votes(0, 0.8),
    "lopsided": lopsided,
    "graded": graded,
    "streaks": streaks,
}


# Verdicts: whether the child survives, and how many examples were asked


def mixture(differences: Array, alpha: float, coin: float) -> tuple[bool, int]:
    """The mean of capitals under fixed bets, raced to the end."""
    capital = np.cumprod(1 + np.outer(differences, BETS), axis=0).mean(axis=1)
    return bool((capital >= 1 / alpha).any() or coin < alpha * capital[-1]), len(differences)


def t_test(differences: Array, alpha: float) -> tuple[bool, int]:
    """One-sided, on all examples, by the normal law."""
    n, spread = len(differences), differences.std(ddof=1)
    return bool(spread and differences.mean() / spread * n**0.5 > NormalDist().inv_cdf(1 - alpha)), n


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of a share (Wilson 1927); 95 % without a `z`."""
    p = hits / of
    middle, half = p + z * z / (2 * of), z * (p * (1 - p) / of + z * z / (4 * of * of)) ** 0.5
    return (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def false_acceptance(races: int) -> Iterator[Row]:
    """Every alpha, law and number of examples."""
    print(
        f"\nFalse acceptance under looks after every answer, {races} races each: raced to the end, and given up early"
    )
    print(f"{'alpha':>6}{'n':>5}  " + "".join(f"{name:>22}" for name in NULLS))
    for alpha in ALPHAS:
        for n in (50, 168, 300):
            cells = []
            for name, law in NULLS.items():
                rng, hits = np.random.default_rng(n), [0, 0]
                for _ in range(races):
                    differences, coin = law(rng, n), rng.random()
                    hits[0] += race(differences, alpha, 0.0, coin)[0]
                    hits[1] += race(differences, alpha, FUTILE, coin)[0]
                low, high = wilson(hits[0], races, MANY)
                cells.append(f"{hits[0] / races:.3f} ({low:.3f}) {hits[1] / races:.3f}")
                share, early = hits[0] / races, hits[1] / races
                yield {"part": "false", "alpha": alpha, "n": n, "law": name, "races": races} | {
                    "share": share, "low": low, "high": high, "given_up": early,
                }  # fmt: skip
            print(f"{alpha:>6}{n:>5}  " + "".join(f"{cell:>22}" for cell in cells))
    print("In brackets: the lower end of the share's 99.9 % interval, which must not be above alpha.")


def power(races: int) -> Iterator[Row]:
    """Every alpha and gain, and how much of the examples were asked."""
    gains = (-0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1)
    print("\nSurvivors of 168 examples of which 20 % change, and the share of examples that the race asked")
    print(f"{'alpha':>6}  {'':12}" + "".join(f"{gain:>+14.2f}" for gain in gains))
    for alpha in ALPHAS:
        tests: Mapping[str, Callable[[Array, float], tuple[bool, int]]] = {
            "t-test": lambda d, coin, a=alpha: t_test(d, a),  # type: ignore[misc]
            "mixture": lambda d, coin, a=alpha: mixture(d, a, coin),  # type: ignore[misc]
            "race to end": lambda d, coin, a=alpha: race(d, a, 0.0, coin),  # type: ignore[misc]
            "race": lambda d, coin, a=alpha: race(d, a, FUTILE, coin),  # type: ignore[misc]
        }
        for name, test in tests.items():
            cells = []
            for gain in gains:
                rng, law = np.random.default_rng(1), votes(gain, 0.2)
                ends = [test(law(rng, 168), rng.random()) for _ in range(races)]
                survived = float(np.mean([end[0] for end in ends]))
                asked = float(np.mean([end[1] for end in ends])) / 168
                cells.append(f"{survived:.3f} / {asked:.2f}")
                yield {"part": "power", "alpha": alpha, "test": name, "gain": gain, "races": races} | {
                    "survived": survived, "asked": asked,
                }  # fmt: skip
            print(f"{alpha:>6}  {name:12}" + "".join(f"{cell:>14}" for cell in cells))


# Reports


class MicroF1:
    """Of spans, from their counts."""

    async def judge(self, example: object, reply: str, finish: str = "stop") -> None:
        """Nothing is judged here."""

    def corpus(self, totals: Mapping[str, Array]) -> Array:
        """2 tp / (2 tp + fp + fn)."""
        right = 2 * totals["tp"]
        return np.asarray(right / np.maximum(right + totals["fp"] + totals["fn"], 1))


def spans(rng: np.random.Generator, n: int, skill: npt.NDArray[np.float64]) -> list[Outcome]:
    """Examples with a Poisson(2) number of spans, each found with the example's skill, and as often one too many."""
    there = rng.poisson(2, n)
    found, extra = rng.binomial(there, skill), rng.poisson(1 - skill)
    rows = zip(found.tolist(), extra.tolist(), (there - found).tolist(), strict=True)
    return [outcome(0.0, {"tp": tp, "fp": fp, "fn": fn}) for tp, fp, fn in rows]


def answers(rng: np.random.Generator, n: int, skill: npt.NDArray[np.float64]) -> list[Outcome]:
    """Right with the example's skill."""
    return [outcome(float(right)) for right in rng.random(n) < skill]


def outcome(score: float, counts: Mapping[str, float] | None = None) -> Outcome:
    """As the report takes it."""
    return Outcome("", {}, "", "", None, score, "", counts or {})


Draw = Callable[[np.random.Generator, int, npt.NDArray[np.float64]], list[Outcome]]
METRICS: Mapping[str, tuple[Draw, Metric, Callable[[float], float]]] = {
    "accuracy": (answers, MeanScore(), lambda skill: skill),  # type: ignore[dict-item]
    "micro-F1": (spans, MicroF1(), lambda skill: 4 * skill / (3 + skill)),  # type: ignore[dict-item]
}
"""How examples are drawn, the metric, and what it is worth over all that there are, by their mean skill."""
SKILL, GAIN = 0.45, 0.05


def pair(draw: Draw, rng: np.random.Generator, n: int) -> tuple[list[Outcome], list[Outcome]]:
    """Two prompts on the same examples: what is hard for one is hard for the other."""
    skill = SKILL + 0.7 * (rng.beta(2, 2, n) - 0.5)
    return draw(rng, n, skill), draw(rng, n, skill + GAIN)


def coverage(reports: int) -> Iterator[Row]:
    """Of one prompt's value, and of the difference."""
    print(f"\nCoverage of the 95 % intervals, {reports} reports each (target: 0.93 to 0.97)")
    print(f"{'metric':10}{'n':>5}{'value':>24}{'difference':>24}")
    for name, (draw, metric, worth) in METRICS.items():
        truth = worth(SKILL + GAIN), worth(SKILL + GAIN) - worth(SKILL)
        for n in (100, 344, 500):
            rng, held = np.random.default_rng(n), [0, 0]
            for _ in range(reports):
                first, best = pair(draw, rng, n)
                for which, (low, high) in enumerate(
                    (interval(metric, best, (), 1000), interval(metric, best, first, 1000))
                ):
                    held[which] += low <= truth[which] <= high
            shares = [hits / reports for hits in held]
            cells = [
                f"{s:.3f} ({low:.3f} to {high:.3f})"
                for s in shares
                for low, high in [wilson(round(s * reports), reports)]
            ]
            print(f"{name:10}{n:>5}" + "".join(f"{cell:>24}" for cell in cells))
            yield {"part": "coverage", "metric": name, "n": n, "reports": reports} | {
                "value": shares[0], "difference": shares[1],
            }  # fmt: skip


def failing(scores: npt.NDArray[np.float64], fails: npt.NDArray[np.bool_]) -> list[Outcome | ModelError]:
    """The results of calls of which some failed for good."""
    failed = ServerFailed("down", model="m")
    return [failed if fail else outcome(float(score)) for score, fail in zip(scores, fails, strict=True)]


def missing(reports: int) -> Iterator[Row]:
    """Bias of the held-out report against its value with every answer there, in points, with its standard error."""
    print(f"\nBias in points when 10 % of the calls fail, {reports} reports of 344 examples each")
    print(f"{'failures':34}{'value':>18}{'difference':>18}")
    cases = {
        "at random": (0.0, 0.0),
        "on long inputs, which are hard": (1.0, 0.0),
        "on long inputs, where more is gained": (1.0, 1.0),
    }
    for name, (by_length, gains) in cases.items():
        rng, errors = np.random.default_rng(5), np.zeros((reports, 2))
        for report in range(reports):
            length = rng.random(344)
            first, best = 0.8 - 0.4 * length, 0.85 - 0.4 * length + gains * 0.1 * (length - 0.5)
            scores = [(rng.random(344) < skill).astype(float) for skill in (first, best)]
            fails = 0.1 + by_length * 0.2 * (length - 0.5)
            seed, winner = (failing(given, rng.random(344) < fails) for given in scores)
            held = held_out("classification", METRICS["accuracy"][1], seed, winner)
            truth = scores[1].mean(), (scores[1] - scores[0]).mean()
            errors[report] = held.best_score.value - truth[0], held.difference - truth[1]
        mean, error = 100 * errors.mean(axis=0), 100 * errors.std(axis=0, ddof=1) / reports**0.5
        print(f"{name:34}" + "".join(f"{f'{m:+.2f} ± {1.96 * e:.2f}':>18}" for m, e in zip(mean, error, strict=True)))
        yield {"part": "missing", "failures": name, "value": mean[0], "difference": mean[1]} | {
            "value_error": error[0], "difference_error": error[1],
        }  # fmt: skip


def main(options: argparse.Namespace) -> None:
    """All parts that were asked for."""
    options.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, Callable[[], Iterator[Row]]] = {
        "false": lambda: false_acceptance(options.races),
        "power": lambda: power(options.races),
        "coverage": lambda: coverage(options.reports),
        "missing": lambda: missing(options.reports // 5),
    }
    if options.folders:
        parts["replay"] = lambda: replay(options.folders, options.calls)
        parts["search"] = lambda: searches(options.folders, options.seeds, options.calls)
    with (options.out / "races.jsonl").open("wb") as file:
        for name, part in parts.items():
            if name in options.parts:
                for row in part():
                    file.write(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
                    file.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of tasks; without one nothing is searched")
    parser.add_argument("--parts", nargs="+", default=["false", "power", "coverage", "missing", "replay", "search"])
    parser.add_argument("--races", type=int, default=2000)
    parser.add_argument("--reports", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=Path("results"))
    main(parser.parse_args())
