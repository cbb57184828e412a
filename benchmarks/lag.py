"""How long a search holds the event loop, and by what: its longest callbacks, in CPU milliseconds of the thread.

    python -m benchmarks.lag                          # 5,000 examples on the simulator: minutes
    python -m benchmarks.lag --validation 1000 --assignments 80

While the loop is held no reply is read, no deadline kept, and no other search of the process goes on. Garbage is
collected as the command line has it, on asyncio's own loop. Inputs have some 30 words, and every default operator has
its turn. A function is named by where it stands in the stack of who called it; a collection of garbage is named by
whoever it interrupts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from functools import partial
from io import StringIO
from pathlib import Path
from random import Random

import anyio
import orjson
from rich.console import Console

from agents import foreground
from agents.commands.console import collect_rarely
from agents.config.configuration import build
from tests.turns import Turn, counted

LABELS = ("invoice", "parcel", "refund", "account", "login")
WORDS = ("card", "bank", "sum", "pay", "box", "van", "street", "post", "order", "bill", "late", "charge", "reset")
SHOWN, DEEP = 12, 4
"""Rows that are printed, and functions of a stack, the innermost ones."""


def write_split(path: Path, count: int) -> None:
    """Examples with texts that tell their labels, for the most part."""
    rng = Random(path.stem)
    rows = []
    for number in range(count):
        label = LABELS[number % len(LABELS)]
        text = " ".join([*(rng.choice(WORDS) for _ in range(30)), label[: rng.randint(0, 4)], str(number)])
        rows.append({"id": f"{path.stem}-{number}", "input": {"text": text}, "target": label})
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


async def search(folder: Path, assignments: int) -> None:
    """One search, with its log, view and report."""
    splits = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    table = {
        "task": {"name": "lag", **splits},
        "models": {"default": "embedded"},
        "search": {"assignments": assignments},
    }
    await foreground.train(build(table, folder), {}, folder / "run", Console(file=StringIO()), 0)


def report(turns: list[Turn]) -> None:
    """The longest turn by what held it, how often that was so, and for how long in all."""
    by = defaultdict[tuple[str, ...], list[float]](list)
    for turn in turns:
        by[turn.held_by[-DEEP:] or (turn.task,)].append(1000 * turn.seconds)
    print(f"{'longest, ms':>12}{'times':>7}{'in all, ms':>12}  by")
    for functions, held in sorted(by.items(), key=lambda item: -max(item[1]))[:SHOWN]:
        print(f"{max(held):>12.0f}{len(held):>7}{sum(held):>12.0f}  {' > '.join(functions)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--validation", type=int, default=100)
    parser.add_argument("--test", type=int, default=900)
    parser.add_argument("--assignments", type=int, default=40)
    parser.add_argument("--least", type=float, default=5.0, help="CPU milliseconds from which on a turn is listed")
    o = parser.parse_args()
    collect_rarely()
    with tempfile.TemporaryDirectory() as name:
        for split in ("train", "validation", "test"):
            write_split(Path(name, f"{split}.jsonl"), getattr(o, split))
        with counted(o.least / 1000) as counts:
            anyio.run(partial(search, Path(name), o.assignments))
    report(counts.long)
    over = sum(turn.seconds > 0.02 for turn in counts.long)
    print(f"the longest of all: {1000 * counts.longest.seconds:.0f} ms; {over} over 20 ms")
