"""What does each operator earn? `python -m benchmarks.operators --out FOLDER [TASK ...]`.

Searches every task on the embedded model. Each assignment goes to one of the ten operators, all as likely, and to one
of the sections that it can edit. There are three first prompts: `bare`, the default sections with nothing in them but
the labels; `wordy`, in which every section has a text, some of it useless, and the worked examples stand first,
farthest from the input; and `long`, in which definitions and worked examples are followed by a list of texts without
labels that is as long as what the embedded model reads of a prompt (its last lines).

Printed for each operator and task: its mean reward, as the selector learns it and failures included, with a 95 %
interval (bootstrap over the searches, since the rewards of one search are not independent), and the number of its
assignments; the same of the edits of the first prompt alone, which mend it before anything else has; then how all
ended. The test splits are not read. `operators.jsonl` holds a line for each assignment.

The corpus of rag is the training split, a passage for each example. Tasks are folders that hold `train.jsonl`,
`validation.jsonl` and `test.jsonl` of a classification task with the one field `text`.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Literal, get_args

import anyio
import numpy as np
import orjson

from agents.runs.catalogue import OPERATORS
from agents.runs.configuration import Configuration, build
from agents.runs.loading import load_task
from agents.runs.opening import open_run
from agents.runs.run_directory import JOURNAL, MEMORY
from agents.selectors.selector import Choice
from agents.selectors.uniform import Uniform
from memory.journal import read_journal
from protocols import prompt_file
from protocols.messages import FIRST, Assignment
from protocols.prompt import Kind, Prompt, Section
from protocols.providers.embedded.attention import WINDOW
from protocols.task import Example, show_text

MODELS = {"default": "embedded"}
TICKETS = Path(__file__).resolve().parent.parent / "examples" / "tickets"
RESAMPLES = 2000
Start = Literal["bare", "wordy", "long"]
STARTS: tuple[Start, ...] = get_args(Start)


class EachOperator(Uniform):
    """Every operator is as likely as any other, however many sections it can edit."""

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """An operator at random, then a section of it."""
        operator = self._rng.choice(sorted({choice.action.operator for choice in choices}))
        return super().choose([choice for choice in choices if choice.action.operator == operator])


@dataclass(frozen=True, slots=True)
class Arm:
    """One search."""

    task: str
    start: Start
    seed: int


@dataclass(frozen=True, slots=True)
class Earned:
    """What one assignment of a search earned, and how it ended. `first`: it was an edit of the first prompt."""

    arm: Arm
    operator: str
    reward: float
    outcome: str
    first: bool


def searched(arm: Arm, assignments: int) -> list[Earned]:
    """One search in a process of its own."""
    return anyio.run(search, arm, assignments, backend_options={"use_uvloop": sys.platform != "win32"})


async def search(arm: Arm, assignments: int) -> list[Earned]:
    """The rewards of one search, read from its memory; the test split is not read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with open_run(configuration(arm, assignments, folder), {}, folder / "run") as run:
            await run.team.run(run.opening)
        made = read_journal(folder / "run" / JOURNAL, (Assignment,), brief=True)
        first = {
            e.message.assignment for e in made if isinstance(e.message, Assignment) and e.message.parent == FIRST
        }
        with closing(sqlite3.connect(folder / "run" / MEMORY)) as memory:
            rows = memory.execute("SELECT operator, reward, outcome, assignment FROM experience").fetchall()
    return [Earned(arm, operator, reward, outcome, n in first) for operator, reward, outcome, n in rows]


def configuration(arm: Arm, assignments: int, folder: Path) -> Configuration:
    """All settings that are not the benchmark's are the defaults; what it needs is written to `folder`."""
    name, splits = Path(arm.task).name, {s: f"{arm.task}/{s}.jsonl" for s in ("train", "validation", "test")}
    train = load_task(build({"task": {"name": name, **splits}, "models": MODELS}, folder)).train
    prompt_file.save(first_prompt(train, arm.start), folder / "prompt.txt")
    passages = [{"text": f"{show_text(example.target)}: {example.inputs['text']}"} for example in train]
    (folder / "corpus.jsonl").write_bytes(b"".join(orjson.dumps(passage) + b"\n" for passage in passages))
    search = {"seed": arm.seed, "assignments": assignments, "operators": list(OPERATORS)}
    tables = {
        "task": {"name": name, "corpus": "corpus.jsonl", **splits},
        "prompt": {"file": "prompt.txt"},
        "models": MODELS,
        "search": {**search, "selector": "benchmarks.operators:EachOperator"},
    }
    return build(tables, folder)


def first_prompt(train: Sequence[Example], start: Start) -> Prompt:
    """A section of every kind; in a wordy one none is empty, and in a long one there is too much knowledge."""
    labels = sorted({show_text(example.target) for example in train})
    kinds: tuple[Kind, ...] = ("task", "definitions", "reasoning", "knowledge", "examples", "format", "reminders")
    texts = {"task": "Choose the one label that fits.\nLabels: " + ", ".join(labels)}
    if start == "wordy":
        texts |= wordy(train, labels)
        kinds = ("examples", "definitions", "knowledge", "reasoning", "format", "reminders", "task")
    if start == "long":
        lines = islice(cycle(" ".join(example.inputs["text"].split()) for example in train), WINDOW)
        told = {kind: text for kind, text in wordy(train, labels).items() if kind in ("definitions", "examples")}
        texts |= told | {"knowledge": "\n".join(lines)}
        kinds = ("task", "definitions", "examples", "knowledge", "reasoning", "format", "reminders")
    asked = Section("input", "task", "Text: {text}\nLabel:", frozen=True)
    return Prompt((*(Section(kind, kind, texts.get(kind, "")) for kind in kinds), asked))


def wordy(train: Sequence[Example], labels: Sequence[str]) -> dict[str, str]:
    """What somebody writes who has looked at an example or two of each label, and wants to leave nothing out."""
    of = {label: [e.inputs["text"] for e in train if show_text(e.target) == label] for label in labels}
    return {
        "definitions": "\n".join(f"- {label}: such as {texts[0]}" for label, texts in of.items()),
        "reasoning": "Read the text from its beginning to its end. Then read it once more, with care. Think of what "
        "it is about, of what it is not about, and of why somebody may have written it. Only then make up your mind.",
        "knowledge": "The texts were written by many different people. Some are long and some are short. They were "
        "collected over a long time, and some of them may have mistakes in them.",
        "examples": "\n\n".join(f"Text: {texts[-1]}\nLabel: {label}" for label, texts in of.items()),
        "format": "Answer with the label alone. Do not explain it. Do not add a greeting or a full stop.",
        "reminders": "Please remember that every text has exactly one label, and that it is important to find it.",
    }


def mean(runs: Sequence[Sequence[float]], rng: np.random.Generator) -> tuple[float, float, float]:
    """The mean over all rewards and a 95 % interval: percentile bootstrap over the runs (Efron & Tibshirani 1993)."""
    sums, counts = np.array([sum(run) for run in runs]), np.array([len(run) for run in runs], float)
    drawn = rng.integers(0, len(runs), (RESAMPLES, len(runs)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1), [0.025, 0.975])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def show(earned: Sequence[Earned]) -> None:
    """The tables. Rewards are in points of score (hundredths)."""
    print("mean reward in points of score [95 % interval] assignments")
    show_rewards(earned)
    print("\nof edits of the first prompt alone")
    show_rewards([e for e in earned if e.first])
    endings = list(dict.fromkeys(e.outcome for e in earned))
    print(f"\n{'how they ended':24}" + "".join(f"{ending:>14}" for ending in endings))
    for operator in OPERATORS:
        counts = Counter(e.outcome for e in earned if e.operator == operator)
        print(f"{operator:24}" + "".join(f"{counts[ending] / max(1, counts.total()):>14.0%}" for ending in endings))


def show_rewards(earned: Sequence[Earned]) -> None:
    """A row for each operator, a column for each task and start."""
    rng = np.random.default_rng(0)
    columns = list(dict.fromkeys((e.arm.task, e.arm.start) for e in earned))
    names = [f"{Path(task).name}, {start}" for task, start in columns]
    print(f"{'operator':24}" + "".join(f"{name:>28}" for name in names))
    for operator in OPERATORS:
        cells = []
        for task, start in columns:
            mine = [e for e in earned if (e.operator, e.arm.task, e.arm.start) == (operator, task, start)]
            runs = [[100 * e.reward for e in mine if e.arm == arm] for arm in dict.fromkeys(e.arm for e in mine)]
            cells.append("{:+.2f} [{:+.2f}, {:+.2f}] {}".format(*mean(runs, rng), len(mine)) if runs else "-")
        print(f"{operator:24}" + "".join(f"{cell:>28}" for cell in cells))


def main(options: argparse.Namespace) -> None:
    """Run the searches, seeds outermost, so that what is there at any time is balanced."""
    tasks = [str(folder.resolve()) for folder in options.tasks or [TICKETS]]
    arms = [
        Arm(task, start, seed)
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for task in tasks
        for start in STARTS
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    earned: list[Earned] = []
    with ProcessPoolExecutor(options.processes) as pool, (options.out / "operators.jsonl").open("wb") as file:
        for found in pool.map(partial(searched, assignments=options.assignments), arms):
            earned += found
            file.write(b"".join(orjson.dumps(asdict(e)) + b"\n" for e in found))
            file.flush()
    show(earned)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", type=Path, help="folders of tasks; examples/tickets without one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--assignments", type=int, default=300)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    main(parser.parse_args())
