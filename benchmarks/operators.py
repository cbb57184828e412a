"""What does each operator earn? `python -m benchmarks.operators --out FOLDER [TASK ...]`, and again with `--table`.

Searches every task on a language model. Each assignment goes to one of the operators, all as likely, and to one of
the sections that it can edit. There are two first prompts: `bare`, the default sections with nothing in them but the
labels; and `wordy`, in which every section has a text, some of it useless, and the worked examples stand first,
farthest from the input. For a kind of task other than classification there is one: `bare`, PromptFlow's own layout
for the kind. `--model` answers the task, `--writer` is the critic's and the operators'; `--set` is that of
run.py.

Printed as Markdown for each operator, over all searches: the mean paired gain of its edits that were raced, each
counting by the examples that it was raced on; its mean reward, as the selector learns it and failures included; the
same of the edits of the first prompt alone, which mend it before anything else has. These are in points of score
(hundredths) with a 95 % interval, by bootstrap over the searches, since what one search earns is not independent.
Then how its assignments ended, and the tokens of its own calls, an assignment. The test splits are not read.

A line of `operators.jsonl` is a search; one that is there is not made again, so that the same command goes on. Tasks
are folders that hold `train.jsonl`, `validation.jsonl` and `test.jsonl`; a classification task has the one field
`text`, and its training split is the corpus of rag, a passage for each example.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import anyio
import numpy as np
import orjson

from agents.config.catalogue import OPERATORS
from agents.config.configuration import Configuration, build
from agents.config.reading import override
from agents.directory.run_directory import JOURNAL, MEMORY
from agents.run.opening import open_run
from agents.selectors.baselines import Uniform
from agents.selectors.selector import Choice
from benchmarks.peers.material import Sizes, material
from benchmarks.rows import append, check, read
from memory.journals.reading import read_journal
from protocols.errors import PromptFlowError
from protocols.files import prompt_file
from protocols.messages import FIRST, Assignment, Evaluation
from protocols.prompt import Kind, Prompt, Section
from protocols.task import Example, show_text

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RESAMPLES = 2000
Weighed = Sequence[tuple[float, float]]
"""Values of one search, each with its weight."""
Start = Literal["bare", "wordy"]
STARTS: tuple[Start, ...] = get_args(Start)
LABELS = "classification"
ENDINGS = ("survived", "lost", "unreadable", "rejected", "inapplicable")
HEAD = ("operator", "gain [95 %]", "reward [95 %]", "reward at first [95 %]", "n", *ENDINGS, "other", "tokens")


class EachOperator(Uniform):
    """Every operator is as likely as any other, however many sections it can edit."""

    def choose(self, choices: Sequence[Choice]) -> Choice:
        """An operator at random, then a section of it."""
        operator = self._rng.choice(sorted({choice.action.operator for choice in choices}))
        return super().choose([choice for choice in choices if choice.action.operator == operator])


@dataclass(frozen=True, slots=True)
class Earned:
    """What one assignment earned, and how it ended. `gain`: over the parent, on the `paired` examples that both have
    answered; 0 of none. `first`: it was an edit of the first prompt."""

    operator: str
    section: str
    reward: float
    outcome: str
    first: bool
    gain: float
    paired: int


@dataclass(frozen=True, slots=True)
class Row:
    """One search. `tokens`: of the calls that each operator has made itself. `settings`: what rows must share."""

    task: str
    start: str
    seed: int
    settings: dict[str, Any]
    earned: tuple[Earned, ...]
    tokens: dict[str, int]
    seconds: float

    @property
    def key(self) -> tuple[str, str, int]:
        """What there is one row of."""
        return self.task, self.start, self.seed


async def search(task: Path, start: Start, seed: int, options: argparse.Namespace) -> Row:
    """One search; what it earned is read from its memory and its journal."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with open_run(configuration(task, start, seed, options, folder), os.environ, folder / "run") as run:
            await run.train()
            spent = {role: account.usage for (role, _), account in run.ledger.accounts.items()}
        earned = read_earned(folder / "run")
    tokens = {role.partition("/")[2]: usage.input + usage.output for role, usage in spent.items() if "/" in role}
    return Row(task.name, start, seed, settings(options), earned, tokens, time.monotonic() - begun)


def read_earned(directory: Path) -> tuple[Earned, ...]:
    """What a run directory says of its assignments, in their order."""
    made, raced = dict[int, Assignment](), dict[int, Evaluation]()
    for envelope in read_journal(directory / JOURNAL, (Assignment, Evaluation), brief=True):
        if isinstance(envelope.message, Assignment):
            made[envelope.message.assignment] = envelope.message
        elif isinstance(envelope.message, Evaluation):
            raced[envelope.message.assignment] = envelope.message
    with closing(sqlite3.connect(directory / MEMORY)) as memory:
        rows = memory.execute(
            "SELECT assignment, operator, section, reward, outcome FROM experience ORDER BY assignment"
        ).fetchall()
    return tuple(
        Earned(
            operator,
            section,
            reward,
            outcome,
            first=number in made and made[number].parent == FIRST,
            gain=raced[number].gain if number in raced else 0.0,
            paired=raced[number].paired if number in raced else 0,
        )
        for number, operator, section, reward, outcome in rows
    )


def configuration(task: Path, start: Start, seed: int, options: argparse.Namespace, folder: Path) -> Configuration:
    """All settings that are not the benchmark's are the defaults; what it needs is written to `folder`."""
    found = material(task, options.kind, Sizes(options.train, options.validation, 1, options.labels), seed)
    drawn = found.task
    for split in ("train", "validation", "test"):
        examples: Sequence[Example] = getattr(drawn, split)
        rows = [{"id": e.id, "input": dict(e.inputs), "target": e.target} for e in examples]
        (folder / f"{split}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    splits = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    about = {"name": task.name, "kind": options.kind, **splits}
    first = found.first
    if options.kind == LABELS:
        first = first_prompt(drawn.train, start)
        passages = [{"text": f"{show_text(example.target)}: {example.inputs['text']}"} for example in drawn.train]
        (folder / "corpus.jsonl").write_bytes(b"".join(orjson.dumps(passage) + b"\n" for passage in passages))
        about["corpus"] = "corpus.jsonl"
    prompt_file.save(first, folder / "prompt.txt")
    tables: dict[str, Any] = {
        "task": about,
        "prompt": {"file": "prompt.txt"},
        "models": {"default": options.writer or options.model, "task": options.model},
        "search": {
            "seed": seed,
            "assignments": options.assignments,
            "operators": options.operators,
            "selector": "benchmarks.operators:EachOperator",
        },
    }
    for setting in options.set:
        override(tables, setting)
    return build(tables, folder)


def first_prompt(train: Sequence[Example], start: Start) -> Prompt:
    """A section of every kind; in a wordy one none is empty."""
    labels = sorted({show_text(example.target) for example in train})
    kinds: tuple[Kind, ...] = ("task", "definitions", "reasoning", "knowledge", "examples", "format", "reminders")
    texts = {"task": "Choose the one label that fits.\nLabels: " + ", ".join(labels)}
    if start == "wordy":
        texts |= wordy(train, labels)
        kinds = ("examples", "definitions", "knowledge", "reasoning", "format", "reminders", "task")
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


def mean(runs: Sequence[Weighed], rng: np.random.Generator) -> tuple[float, float, float]:
    """The mean and a 95 % interval: percentile bootstrap over the runs (Efron & Tibshirani 1993)."""
    sums = np.array([sum(value * weight for value, weight in run) for run in runs])
    weights = np.array([sum(weight for _, weight in run) for run in runs], float)
    drawn = rng.integers(0, len(runs), (RESAMPLES, len(runs)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / weights[drawn].sum(axis=1), [0.025, 0.975])
    return float(sums.sum() / weights.sum()), float(low), float(high)


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of the table over these searches, operators in the order of the catalogue, others after them."""
    names = dict.fromkeys((*OPERATORS, *(e.operator for row in rows for e in row.earned)))
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    return lines + [f"| {' | '.join(cells(name, rows))} |" for name in names if any(_of(name, row) for row in rows)]


def cells(name: str, rows: Sequence[Row]) -> list[str]:
    """What the table says of one operator."""
    rng = np.random.default_rng(0)
    every = [_of(name, row) for row in rows]

    def said(runs: Sequence[Weighed]) -> str:
        runs = [run for run in runs if run]
        if len(runs) < 2:
            return f"{mean(runs, rng)[0]:+.2f}" if runs else ""
        return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*mean(runs, rng))

    counts = Counter(e.outcome if e.outcome in ENDINGS else "other" for mine in every for e in mine)
    shares = [f"{counts[ending] / counts.total():.0%}" for ending in (*ENDINGS, "other")]
    return [
        name,
        said([[(100 * e.gain, e.paired) for e in mine if e.paired] for mine in every]),
        said([[(100 * e.reward, 1) for e in mine] for mine in every]),
        said([[(100 * e.reward, 1) for e in mine if e.first] for mine in every]),
        str(counts.total()),
        *shares,
        f"{sum(row.tokens.get(name, 0) for row in rows) / counts.total():,.0f}",
    ]


def _of(name: str, row: Row) -> list[Earned]:
    return [e for e in row.earned if e.operator == name]


def parse(told: Mapping[str, Any]) -> Row:
    """From the JSON of a row.

    :raises ValueError, KeyError, TypeError: it is none.
    """
    return Row(**{**told, "earned": tuple(Earned(**each) for each in told["earned"])})


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What rows must share."""
    names = ("kind", "model", "writer", "assignments", "train", "validation", "labels", "operators", "set")
    return {name: getattr(options, name) for name in names}


async def run(options: argparse.Namespace) -> None:
    """The searches that are not there yet, seeds outermost, so that what is there at any time is balanced."""
    path, until = options.out / "operators.jsonl", time.monotonic() + 60 * options.minutes
    rows = read(path, parse)
    check(rows, settings(options), path, "--out")
    there = {row.key for row in rows}
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    for seed in seeds:
        for task in options.tasks or [EXAMPLES / "home", EXAMPLES / "tickets"]:
            for start in STARTS if options.kind == LABELS else STARTS[:1]:
                if (task.resolve().name, start, seed) in there or time.monotonic() >= until:
                    continue
                rows.append(await search(task.resolve(), start, seed, options))
                append(path, rows[-1])
                print(f"{task.name}, {start}, seed {seed}: {rows[-1].seconds:.0f} s", flush=True)
    show(rows)


def show(rows: Sequence[Row]) -> None:
    """A table over all searches, and one for each task and first prompt."""
    print("\n".join(["", "All searches", "", *table(rows)]))
    for task, start in dict.fromkeys((row.task, row.start) for row in rows):
        mine = [row for row in rows if (row.task, row.start) == (task, start)]
        print("\n".join(["", f"{task}, {start}", "", *table(mine)]))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("tasks", nargs="*", type=Path, help="folders of tasks; those of examples without one")
    made.add_argument("--kind", default=LABELS, help="of the tasks")
    made.add_argument("--model", default="local/smollm2-135m", help="that answers the task")
    made.add_argument("--writer", help="the model of the critic and of the operators; the task's without it")
    made.add_argument("--operators", type=lambda text: text.split(","), default=list(OPERATORS))
    made.add_argument("--seeds", type=int, default=3)
    made.add_argument("--first-seed", type=int, default=0)
    made.add_argument("--assignments", type=int, default=40, help="of each search")
    made.add_argument("--train", type=int, default=60, help="examples of this split")
    made.add_argument("--validation", type=int, default=40, help="examples of this split")
    made.add_argument("--labels", type=int, help="keep only the examples of the most frequent labels")
    made.add_argument("--set", action="append", default=[], help="table.key=value, over the configuration")
    made.add_argument("--minutes", type=float, default=float("inf"), help="after which no search is begun")
    made.add_argument("--table", action="store_true", help="print what is there, and search nothing")
    made.add_argument("--out", type=Path, required=True)
    return made


def main() -> None:
    """Search, or show."""
    options = parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        if options.table:
            show(read(options.out / "operators.jsonl", parse))
        else:
            anyio.run(run, options, backend_options={"use_uvloop": sys.platform != "win32"})
    except PromptFlowError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
