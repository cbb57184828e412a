"""PromptFlow beside its peers: `python -m benchmarks.peers`, then `python -m benchmarks.peers table`.

Every program trains a prompt on the same examples, from the same first instruction, with the same number of calls to
the task's model, on one server with one model for all roles. What it has found is then asked, at temperature 0, for
every test input, and read by one parser. How, and what came of it: docs/decisions/peers.md.

Rows go to `rows.jsonl` in the work folder, one for each data set, seed and program. A row that is there is not
measured again, so that the same command goes on where it was stopped. Each peer has an environment of its own in that
folder, made with pip when it is first needed. A data set is a folder of `train.jsonl`, `validation.jsonl` and
`test.jsonl`, or the configuration of a program of several prompts, `examples/pipeline.toml`, with all of its
examples.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio

from benchmarks.peers.catalogue import PROGRAMS
from benchmarks.peers.chains import chain
from benchmarks.peers.endpoint import served
from benchmarks.peers.material import Material, Sizes, material
from benchmarks.peers.rows import parse
from benchmarks.peers.running import ROOT, Allowed, Bench
from benchmarks.peers.serving import Chosen, upstream
from benchmarks.peers.table import show
from benchmarks.rows import append, check, read
from protocols.errors import PromptFlowError
from protocols.providers.local.quicker import folder as caches

EXAMPLES = ROOT / "examples"
ROWS = "rows.jsonl"


def materials(options: argparse.Namespace) -> Iterator[tuple[int, Material]]:
    """Seeds outermost, so that what is there at any time is balanced."""
    folders = [folder for named in options.data for folder in data_sets(named)] if options.data else None
    sizes = Sizes(options.train, options.validation, options.test, options.labels)
    for seed in options.seeds:
        for folder in folders or (EXAMPLES / "home", EXAMPLES / "tickets"):
            yield seed, chain(folder) if folder.is_file() else material(folder, options.kind, sizes, seed)


def data_sets(folder: Path) -> list[Path]:
    """The folder or the configuration itself, if it is a data set, or those in it that are."""
    if folder.is_file() or (folder / "train.jsonl").exists():
        return [folder]
    return sorted(found.parent for found in folder.glob("*/train.jsonl"))


async def run(options: argparse.Namespace) -> None:
    """Every row that is not there yet, until the minutes are over."""
    path, until = options.work / ROWS, time.monotonic() + 60 * options.minutes
    settings = {
        "model": options.model,
        **{name: getattr(options, name) for name in ("calls", "labels", "reply_tokens", "writer_tokens")},
        "asked": [options.train, options.validation, options.test],
    }
    rows = read(path, parse)
    check(rows, settings, path, "--work")
    there = {row.key for row in rows}
    wanted = [(s, m, p) for s, m in materials(options) for p in options.programs if (m.name, s, p) not in there]
    chosen = Chosen(options.model, options.base_url, options.key_env, options.at_once, options.threads)
    async with upstream(chosen, os.environ) as model, served(model) as endpoint:
        allowed = Allowed(options.calls, options.reply_tokens, options.writer_tokens, options.at_once)
        bench = Bench(endpoint, options.work, allowed, settings, os.environ)
        for done, (seed, drawn, program) in enumerate(wanted):
            if time.monotonic() >= until:
                print(f"{len(wanted) - done} rows are left; the same command goes on", flush=True)
                return
            row = await bench.row(program, drawn, seed)
            append(path, row)
            what = row.error or f"test {row.test:.3f}, {row.task.calls} task calls, {row.seconds:.0f} s"
            print(f"{row.data}, seed {row.seed}, {PROGRAMS[program].title}: {what}", flush=True)


def parsed() -> argparse.Namespace:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("what", nargs="?", choices=("run", "table"), default="run")
    made.add_argument(
        "--work", type=Path, help="folder of rows and environments; one of the user's caches without it"
    )
    made.add_argument(
        "--data", type=Path, action="append", help="a data set, a folder of them, or a configuration; may be repeated"
    )
    made.add_argument("--kind", default="classification", help="of the tasks")
    made.add_argument("--labels", type=int, help="keep only the examples of the most frequent labels")
    for split, count in {"train": 60, "validation": 40, "test": 100}.items():
        made.add_argument(f"--{split}", type=int, default=count, help="examples of this split")
    made.add_argument("--calls", type=int, default=300, help="of the task's model, for each program")
    made.add_argument("--seeds", type=numbers, default=[0, 1, 2], help="such as 0,1,2")
    made.add_argument("--programs", type=names, default=list(PROGRAMS), help=f"of {','.join(PROGRAMS)}")
    made.add_argument("--model", default="local/smollm2-135m", help="for all roles")
    made.add_argument("--base-url", help="where the model is served in OpenAI's format, ending in /v1")
    made.add_argument("--key-env", default="OPENAI_API_KEY", help="the variable that has that server's key")
    made.add_argument("--threads", type=int, help="of a model on this machine")
    made.add_argument("--at-once", type=int, default=4, help="calls in flight")
    made.add_argument("--reply-tokens", type=int, help="of the task's model, at most; as the kind needs")
    made.add_argument("--writer-tokens", type=int, default=512, help="of a reply of the writer, at most")
    made.add_argument("--minutes", type=float, default=float("inf"), help="after which no row is begun")
    options = made.parse_args()
    options.work = (options.work or caches(os.environ) / "peers").resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between them."""
    return [int(part) for part in text.split(",")]


def names(text: str) -> list[str]:
    """Names of programs with commas between them, in the order of the catalogue."""
    if strange := set(text.split(",")) - set(PROGRAMS):
        raise argparse.ArgumentTypeError(f"no such program: {', '.join(sorted(strange))}")
    return [name for name in PROGRAMS if name in text.split(",")]


def main() -> None:
    """Run, or show."""
    options = parsed()
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that the program of the row in progress is ended, too
    try:
        if options.what == "table":
            show(read(options.work / ROWS, parse), options.work / "peers.svg")
        else:
            anyio.run(run, options)
    except PromptFlowError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
