"""What the selectors learn where the truth is known: `python -m benchmarks.landscape [--seeds 100] [--out DIR]`.

A landscape says what every (operator, section) gains on average; the selectors of the catalogue choose in it as they
would for the Controller, with WIDTH outcomes in flight that come in any order, and are rewarded by the Controller's
own reward for paired minibatch gains: 32 examples first, 200 for those that are not behind, of which a fifth change.
Operators and sections have values of their own, pairs deviate; most edits do harm; some assignments fail.

    stationary   the values stay as they are
    drifting     they are drawn anew midway
    delayed      the edits of one operator gain nothing, but in their descendants, for three generations, all others
                 gain 6 points more; what the critic says there differs
    recycled     stationary, after a run on a landscape whose values are alike: msgd_rl with no memory, with that
                 run's, and with that run's with all rewards turned round (poisoned); a third of the seeds

Regret is the oracle's cumulative true gain less the selector's own, in points of score (hundredths), each in its own
world of the same seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from time import process_time

import numpy as np
import numpy.typing as npt

from agents.archive.reward import Reward
from agents.config.catalogue import SELECTORS
from agents.selectors.msgd_rl import MSGDRL, PastEpisode
from agents.selectors.selector import Action, Choice, Selector
from memory.experience import situation
from protocols.embedding import HashedNgrams, Vector
from protocols.messages import Evaluation
from protocols.prompt import Kind, Prompt, Section

Array = npt.NDArray[np.float64]
Pair = tuple[str, Kind]

OPERATORS = ("chain_of_thought", "self_reflection", "merge", "few_shot", "short_instruction", "rag")
KINDS: tuple[Kind, ...] = ("task", "definitions", "reasoning", "examples", "format")
STEPS, WIDTH, FRONT, DIMENSION = 320, 8, 4, 128
LOOK, FULL, CHANGED, FAILS, FAILURE_REWARD = 32, 200, 0.2, 0.05, -0.02
BONUS, GENERATIONS = 0.06, 3
WORDS = (
    "label text answer input rule case order tone intent detail evidence entity number date name unit request refund "
    "invoice account delivery return question passage sentence topic class format line list hint wrong missing vague "
    "unclear ambiguous confused mixed late early first last short long exact broad narrow"
)
PROMPT = Prompt((Section("task", "task", "-"),))


@dataclass(frozen=True)
class Landscape:
    """True mean gains, shape (phases of drift, operators, sections); None of a pair: it does not apply.

    `prepares`: an operator whose edits gain nothing, but make every other's gain BONUS more in the next GENERATIONS
    of descendants.
    """

    values: Array
    applies: npt.NDArray[np.bool_]
    prepares: str = ""

    def gain(self, action: Action, step: int, ready: int) -> float:
        """The mean gain of an action at a step, at a parent whose lineage has `ready` prepared edits left."""
        if action.operator == self.prepares:
            return 0.0
        era = step * len(self.values) // STEPS
        place = OPERATORS.index(action.operator), [f"{kind}" for kind in KINDS].index(action.section)
        return float(self.values[era][place]) + (BONUS if ready else 0.0)


def draw_values(rng: np.random.Generator) -> Array:
    """Most edits do harm; the best of 30 gains about 4 points."""
    operator, section = rng.normal(0, 0.02, (len(OPERATORS), 1)), rng.normal(0, 0.015, (1, len(KINDS)))
    return np.asarray(-0.015 + operator + section + rng.normal(0, 0.015, (len(OPERATORS), len(KINDS))))


def stationary(rng: np.random.Generator) -> Landscape:
    """The values stay as they are; a fifth of the pairs do not apply."""
    return Landscape(draw_values(rng)[None], rng.random((len(OPERATORS), len(KINDS))) > 0.2)


def drifting(rng: np.random.Generator) -> Landscape:
    """They are drawn anew midway."""
    return replace(stationary(rng), values=np.stack([draw_values(rng), draw_values(rng)]))


def delayed(rng: np.random.Generator) -> Landscape:
    """Gains are halved, and what pays more must be prepared."""
    landscape = stationary(rng)
    return replace(landscape, values=landscape.values / 2, prepares=rng.choice(OPERATORS))


def alike(landscape: Landscape, rng: np.random.Generator) -> Landscape:
    """Values that correlate by about 0.8 with these."""
    return replace(landscape, values=0.8 * landscape.values + 0.6 * draw_values(rng)[None])


@dataclass(slots=True)
class Parent:
    """A member of the archive: `ready` prepared edits left, and the choices that are open there."""

    ready: int
    choices: tuple[Choice, ...]


class World:
    """One search in a landscape: an archive of the last FRONT survivors, and outcomes in flight."""

    def __init__(self, landscape: Landscape, texts: Mapping[tuple[Kind, bool], Sequence[Vector]], seed: int) -> None:
        self._landscape, self._texts, self._rng = landscape, texts, Random(seed)
        self._noise, self._reward = np.random.default_rng(seed), Reward(0.0)
        self._front = [self._parent(0)]

    def run(self, selector: Selector, keep: Callable[[Choice, float], None] = lambda choice, reward: None) -> Array:
        """The true gain of every choice, in the order of choosing, shape (STEPS,)."""
        gains, flying = np.zeros(STEPS), list[tuple[Parent, Choice, float]]()
        for step in range(STEPS):
            parent = self._rng.choice(self._front)
            choice = selector.choose(parent.choices)
            gains[step] = self._landscape.gain(choice.action, step, parent.ready)
            flying.append((parent, choice, gains[step]))
            if len(flying) == WIDTH:
                ended, chosen, gain = flying.pop(self._rng.randrange(WIDTH))
                reward, child = self._outcome(ended, chosen, gain)
                selector.learn(chosen, reward, child.choices if child else ())
                keep(chosen, reward)
        return gains

    def _outcome(self, parent: Parent, choice: Choice, gain: float) -> tuple[float, Parent | None]:
        if self._rng.random() < FAILS:
            return FAILURE_REWARD, None
        differences = self._differences(gain, LOOK)
        if differences.mean() >= 0:
            differences = np.concatenate([differences, self._differences(gain, FULL - LOOK)])
        mean, error = float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)
        survived = mean > 0
        evaluation = Evaluation(1, PROMPT, (), survived, mean, error, len(differences), 0)
        reward = self._reward(evaluation, 0)
        if not survived:
            return reward, None
        ready = GENERATIONS if choice.action.operator == self._landscape.prepares else max(0, parent.ready - 1)
        child = self._parent(ready)
        self._front = [*self._front, child][-FRONT:]
        return reward, child

    def _differences(self, gain: float, count: int) -> Array:
        better = (CHANGED + gain) / 2
        drawn = self._noise.random(count)
        return np.asarray((drawn < better) * 1.0 - (drawn > 1 - (CHANGED - better)))

    def _parent(self, ready: int) -> Parent:
        states = {kind: self._rng.choice(self._texts[kind, ready > 0]) for kind in KINDS}
        return Parent(
            ready,
            tuple(
                Choice(Action(operator, kind), kind, states[kind])
                for row, operator in enumerate(OPERATORS)
                for column, kind in enumerate(KINDS)
                if self._landscape.applies[row, column]
            ),
        )


class Oracle:
    """Knows the landscape: prepares, or takes the best that there is."""

    def __init__(self, landscape: Landscape, ready: Callable[[Choice], bool]) -> None:
        self._landscape, self._ready, self._step = landscape, ready, -1

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """The best."""
        self._step += 1
        ready = self._ready(choices[0])
        for choice in choices:
            if choice.action.operator == self._landscape.prepares and not ready:
                return choice
        return max(choices, key=lambda choice: self._landscape.gain(choice.action, self._step, int(ready)))

    def learn(self, choice: Choice, reward: float, successors: Sequence[Choice]) -> None:
        """There is nothing to learn."""


def situations(seed: int) -> dict[tuple[Kind, bool], list[Vector]]:
    """Embedded states, 12 for each kind of section, before and after preparation: the section's text with what a
    critic said of it. Texts of one phase share half of their words."""
    rng, embedder, words = Random(seed), HashedNgrams(DIMENSION), WORDS.split()
    drawn: dict[tuple[Kind, bool], list[Vector]] = {}
    for kind in KINDS:
        text = rng.choices(words, k=20)
        for ready in (False, True):
            said = rng.choices(words, k=10)
            drawn[kind, ready] = [
                embedder.vector(situation(kind, " ".join(said + rng.choices(words, k=5)), " ".join(text)))
                for _ in range(12)
            ]
    return drawn


LANDSCAPES: Mapping[str, Callable[[np.random.Generator], Landscape]] = {
    "stationary": stationary,
    "drifting": drifting,
    "delayed": delayed,
}
Gains = dict[str, list[Array]]


def measure(make: Callable[[np.random.Generator], Landscape], seeds: int) -> Gains:
    """The true gains of the oracle and of every selector, one array for each seed."""
    gains: Gains = {name: [] for name in ("oracle", *SELECTORS)}
    for seed in range(seeds):
        landscape, texts = make(np.random.default_rng(seed)), situations(seed)
        prepared = {id(vector) for (_, ready), vectors in texts.items() if ready for vector in vectors}
        oracle = Oracle(landscape, lambda choice, known=prepared: id(choice.state) in known)  # type: ignore[misc]
        gains["oracle"].append(World(landscape, texts, seed).run(oracle))
        for name, selector in SELECTORS.items():
            gains[name].append(World(landscape, texts, seed).run(selector(Random(f"{seed}/selector"))))
    return gains


def measure_recycled(seeds: int) -> Gains:
    """msgd_rl with no past, with that of a run on a landscape alike, and with that turned round."""
    gains: Gains = {name: [] for name in ("oracle", "empty", "related", "poisoned")}
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        earlier = stationary(rng)
        landscape, texts = alike(earlier, rng), situations(seed)
        past: list[PastEpisode] = []

        def keep(choice: Choice, reward: float, past: list[PastEpisode] = past) -> None:
            past.append(PastEpisode(choice.action.operator, choice.kind, reward, 1.0, False))

        World(earlier, situations(-1 - seed), -1 - seed & 0xFFFF).run(MSGDRL(Random(f"{seed}/earlier")), keep)
        turned = [replace(episode, reward=-episode.reward) for episode in past]
        gains["oracle"].append(World(landscape, texts, seed).run(Oracle(landscape, lambda choice: False)))
        for name, episodes in (("empty", []), ("related", past), ("poisoned", turned)):
            selector = MSGDRL(Random(f"{seed}/selector"))
            if episodes:
                selector.recycle(episodes)
            gains[name].append(World(landscape, texts, seed).run(selector))
    return gains


def regrets(gains: Gains) -> dict[str, Array]:
    """Cumulative regret in points, shape (seeds, STEPS)."""
    best = np.stack(gains["oracle"])
    return {name: 100 * np.cumsum(best - np.stack(each), axis=1) for name, each in gains.items()}


def interval(values: Array) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval."""
    return float(values.mean()), float(1.96 * values.std(ddof=1) / len(values) ** 0.5)


def show(name: str, regret: Mapping[str, Array], bound: str) -> None:
    """One landscape's table. Slopes are over an eighth of the run: before the middle, and at the end."""
    eighth, middle = STEPS // 8, STEPS // 2
    print(f"\n{name}: regret after {STEPS} assignments, in points")
    print(f"{'':16}{'mean':>8}{'95 %':>8}{'of ' + bound:>12}{'beats ' + bound:>16}{'slope mid':>11}{'slope end':>11}")
    for selector, curve in regret.items():
        mean, half = interval(curve[:, -1])
        share = curve[:, -1].mean() / regret[bound][:, -1].mean()
        wins = f"{(curve[:, -1] < regret[bound][:, -1]).sum()} of {len(curve)}"
        mid = (curve[:, middle - 1] - curve[:, middle - 1 - eighth]).mean() / eighth
        end = (curve[:, -1] - curve[:, -1 - eighth]).mean() / eighth
        print(f"{selector:16}{mean:>8.0f}{half:>+8.0f}{share:>12.0%}{wins:>16}{mid:>11.2f}{end:>11.2f}")


def draw_figure(results: Mapping[str, Mapping[str, Array]], path: Path) -> None:
    """Mean cumulative regret with 95 % bands, one panel for each landscape."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(results), 4.2), layout="constrained")
    for axes, (name, regret) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items(), strict=True):
        for selector, curve in regret.items():
            mean = curve.mean(axis=0)
            half = 1.96 * curve.std(axis=0, ddof=1) / len(curve) ** 0.5
            [line] = axes.plot(mean, label=selector, linewidth=1.2)
            axes.fill_between(np.arange(STEPS), mean - half, mean + half, color=line.get_color(), alpha=0.15)
        axes.set(title=name, xlabel="assignments", ylabel="cumulative regret, points of score")
        axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main(seeds: int, out: Path) -> None:
    """All landscapes: tables to stdout, the figure to `out`."""
    results: dict[str, dict[str, Array]] = {}
    for name, make in LANDSCAPES.items():
        results[name] = regrets(measure(make, seeds))
        show(name, results[name], "uniform")
    results["recycled"] = regrets(measure_recycled(max(2, -(-seeds // 3))))
    show("recycled", results["recycled"], "empty")
    draw_figure(results, out / "landscape.png")
    print(f"\n{process_time():.0f} s of CPU; the figure is {out / 'landscape.png'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="at least 2")
    parser.add_argument("--out", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.out)
