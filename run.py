"""The command line: what people type, and what their shell is told."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import orjson
import typer
from rich.console import Console
from rich.text import Text

from agents import session
from agents.runs import blame as blaming
from agents.runs import trace as tracing
from agents.runs.configuration import Configuration, load
from agents.runs.doctor import diagnose
from agents.runs.grid import load_grid
from agents.runs.prompt_diff import compare_prompts
from agents.runs.scoring import score
from agents.runs.sweep import RESULTS
from agents.views.diagnosis import show_diagnosis
from agents.views.plain import one_line, printable
from agents.views.remembering import import_lines, memory_file, show_stats, write_lines
from agents.views.report import read_report, show_report, show_result, show_scored
from agents.views.sweeping import show_summary, summarise
from agents.views.terminal import Onlooker
from agents.views.tracing import show_blame, show_comparison, show_trace
from memory import upkeep
from protocols.errors import BusError, ConfigError, InputError, PromptFlowError
from protocols.providers.catalogue import EMBEDDED
from protocols.providers.environment import read_environment
from protocols.task import SplitName

T = TypeVar("T")
EXAMPLE = Path(__file__).resolve().parent / "examples" / "tickets.toml"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""Train prompts the way networks are trained.

    Start with `demo`: it needs no key and no network. Then write a configuration of your own, after
    examples/tickets.toml, and `search` with it.

    \b
    Exit codes: 0 done; 1 the run could not be completed; 2 something in the input is wrong, and
    nothing was written; 130 stopped at once. With --json, standard output is one JSON document:
    the answer, or {"error": {"type": ..., "message": ...}}.
    """,
)


Config = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The configuration of the task.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Over the configuration's; may be given many times."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Short for --set search.seed=N.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="The run directory.  [default: the next free runs/<task>-<n>]")
]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="A run directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, and nothing else.")]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="-v: what happens, as it happens. -vv: prompts too.")
]


@app.command()
def search(
    config: Config,
    settings: Settings = None,
    out: Out = None,
    seed: Seed = None,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Train the prompt of a task, then compare it with the first one on the test split.

    Writes a run directory: the best prompt, result.json, and a journal of all that was said. Ctrl-C
    once stops with a result, twice at once. With the run directory of an earlier search as --out, the
    same command goes on with it, however it ended.

    \b
    Examples:
      promptflow search examples/tickets.toml
      promptflow search examples/tickets.toml --set models.default=openai/<model> --set budget.dollars=2
    """
    with exit_codes(as_json):
        result, directory = _search(load(config, _with_seed(settings, seed)), out, verbose)
        if as_json:
            emit({**result, "directory": printable(str(directory))})
        else:
            show_result(stdout(), result)
            say(f"Run directory: {directory}")


@app.command()
def sweep(
    grid: Annotated[Path, typer.Argument(metavar="GRID.toml", help="Which tasks, settings and seeds.")],
    settings: Settings = None,
    verbose: Verbose = 0,
    as_json: AsJson = False,
) -> None:
    """Search every task of a grid with every setting and every seed, several searches at once.

    All share the limits of their accounts, a reply cache and a memory. Writes a run directory for each
    search, and results.jsonl. The same command again runs what has no result yet. Exit code 1 if a
    search failed or was stopped.

    \b
    Example:
      promptflow sweep examples/sweep.toml
    """
    with exit_codes(as_json):
        cells = load_grid(grid, settings or [])
        rows, whole = drive(partial(session.sweep, cells, environment(), Onlooker(stderr=True), verbose))
        results = cells.directory / RESULTS
        if as_json:
            emit({"results": printable(str(results)), "rows": rows, "summary": summarise(rows)})
        else:
            show_summary(stdout(), rows)
            say(f"Results: {results}")
        if not whole:
            tell(f"{len(rows)} of {len(cells.cells)} searches have ended; the same command runs the others")
        if not whole or any(row.error for row in rows):
            raise typer.Exit(1)


@app.command()
def evaluate(
    prompt: Annotated[Path, typer.Argument(metavar="PROMPT", help="A prompt file, such as a run's best_prompt.txt.")],
    config: Config,
    split: Annotated[SplitName, typer.Option(help="The examples to score on.")] = "validation",
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """Score a prompt file on one split of a task. Nothing is written.

    \b
    Example:
      promptflow evaluate runs/tickets-1/best_prompt.txt examples/tickets.toml --split test
    """
    with exit_codes(as_json):
        configuration = load(config, settings or [])
        scored = drive(partial(score, configuration, environment(), prompt, split))
        if scored.plain:
            names = ", ".join(f"{{{name}}}" for name in scored.plain)
            tell(f"{prompt}: {names} is the name of no input field and was taken as plain text")
        if as_json:
            emit(asdict(scored) | {"prompt": printable(scored.prompt)})
        else:
            show_scored(stdout(), scored)


@app.command()
def doctor(
    config: Config,
    settings: Settings = None,
    offline: Annotated[bool, typer.Option("--offline", help="Call no model.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a configuration and all that it names, and estimate what a search takes. Nothing is written.

    One small call is made to each model. Everything that is wrong is listed: exit code 2 where it is in
    the input, 1 where only a model call failed.

    \b
    Example:
      promptflow doctor examples/tickets.toml --set models.default=openai/<model>
    """
    with exit_codes(as_json):
        diagnosis = drive(partial(diagnose, config, settings or [], environment(), offline))
        if as_json:
            emit(asdict(diagnosis))
        else:
            show_diagnosis(stdout(), diagnosis)
    if diagnosis.exit_code:
        raise typer.Exit(diagnosis.exit_code)


@app.command()
def show(directory: RunDirectory, as_json: AsJson = False) -> None:
    """Print what a run found: its result, which edits led to the best prompt, and the prompt itself.

    \b
    Example:
      promptflow show runs/tickets-1
    """
    with exit_codes(as_json):
        report = read_report(directory)
        if as_json:
            emit(asdict(report))
        else:
            show_report(stdout(), report)


@app.command()
def demo(
    settings: Settings = None, out: Out = None, seed: Seed = None, verbose: Verbose = 0, as_json: AsJson = False
) -> None:
    """Train a prompt that routes support messages, with no key and no network, in under a minute.

    The embedded model answers. It is a small in-context learner that reads the prompt's examples and
    definitions; it is no language model, and its scores say nothing about one.

    \b
    Example:
      promptflow demo --seed 1
    """
    with exit_codes(as_json):
        if not EXAMPLE.is_file():
            raise ConfigError(f"the demo needs {EXAMPLE}; run it from a checkout of the project")
        configuration = load(EXAMPLE, _with_seed(settings, seed))
        if not as_json and configuration.models.default == EMBEDDED:
            say("Training a prompt that routes support messages to eight departments (examples/tickets.toml).")
            say("The embedded model answers: a small in-context learner, no language model. Its scores show how the")
            say("search works, and say nothing about a language model.\n")
        result, directory = _search(configuration, out, verbose)
        if as_json:
            emit({**result, "directory": printable(str(directory))})
        else:
            show_result(stdout(), result)
            _next_steps(directory)


OfCandidate = Annotated[
    int | None, typer.Argument(metavar="CANDIDATE", min=0, help="Its number.  [default: the winner, or best so far]")
]


@app.command()
def replay(
    directory: RunDirectory,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="So many times as fast as it was.  [default: as fast as may be]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a search once more from its journal, offline, and check that the same decisions come out.

    Shows it as it was shown then. Nothing is written and no model is asked.

    \b
    Example:
      promptflow replay runs/tickets-1 --speed 60
    """
    with exit_codes(as_json):
        replayed = drive(partial(session.show_again, directory, Onlooker(stderr=True), speed))
        if as_json:
            emit(asdict(replayed))
        else:
            ended = f"stopped by {replayed.stopped_by}" if replayed.stopped_by else "it has not finished"
            say(f"All {replayed.decisions} decisions came out as the journal has them; {ended}.")


@app.command()
def trace(directory: RunDirectory, candidate: OfCandidate = None, as_json: AsJson = False) -> None:
    """Print how a candidate came about: who asked whom what, with models, tokens, latency and cost.

    \b
    Example:
      promptflow trace runs/tickets-1 17
    """
    with exit_codes(as_json):
        links = tracing.trace(directory, candidate)
        if as_json:
            emit({"links": [asdict(link) for link in links]})
        else:
            show_trace(stdout(), links)


@app.command()
def blame(directory: RunDirectory, candidate: OfCandidate = None, as_json: AsJson = False) -> None:
    """Print for each line of a prompt the edit that brought it, its operator, gradient and gain.

    \b
    Example:
      promptflow blame runs/tickets-1
    """
    with exit_codes(as_json):
        lines = blaming.blame(directory, candidate)
        if as_json:
            emit({"lines": [asdict(line) for line in lines]})
        else:
            show_blame(stdout(), lines)


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A prompt file, or a run directory: its best prompt.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    as_json: AsJson = False,
) -> None:
    """Compare two prompts section by section, with their scores where a run has measured them.

    \b
    Example:
      promptflow diff runs/tickets-1/first_prompt.txt runs/tickets-1
    """
    with exit_codes(as_json):
        comparison = compare_prompts(a, b)
        if as_json:
            emit(asdict(comparison))
        else:
            show_comparison(stdout(), comparison)


memory_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after a memory file.")
app.add_typer(memory_app, name="memory")
MemoryFile = Annotated[Path, typer.Argument(metavar="MEMORY", help="A memory file, or a run directory that has one.")]


@memory_app.command("stats")
def memory_stats(path: MemoryFile, as_json: AsJson = False) -> None:
    """Print how many experiences there are, and what they earned by task, operator and kind of section."""
    with exit_codes(as_json):
        found = upkeep.stats(memory_file(path))
        if as_json:
            emit(asdict(found))
        else:
            show_stats(stdout(), found)


@memory_app.command("export")
def memory_export(
    path: MemoryFile,
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="A file that is not there yet.")],
    as_json: AsJson = False,
) -> None:
    """Write the experiences as JSON lines; of a damaged memory those that can still be read."""
    with exit_codes(as_json):
        count, lost = write_lines(out, upkeep.export(memory_file(path)))
        if lost:
            tell(f"{path} is damaged: {lost} experiences cannot be read; `memory import` {out} into a new memory")
        emit({"exported": count, "unreadable": lost}) if as_json else say(f"{count} experiences written to {out}")


@memory_app.command("import")
def memory_import(
    path: MemoryFile,
    source: Annotated[Path, typer.Argument(metavar="IN.jsonl", help="What export wrote.")],
    as_json: AsJson = False,
) -> None:
    """Add experiences from JSON lines; a new memory is made if need be. All lines are checked first."""
    with exit_codes(as_json):
        added, known = drive(partial(import_lines, memory_file(path), source))
        if as_json:
            emit({"imported": added, "known": known})
        else:
            say(f"{added} experiences added, {known} were there already")


@memory_app.command("prune")
def memory_prune(
    path: MemoryFile,
    older_than: Annotated[float | None, typer.Option(metavar="DAYS", min=0, help="Those that are older.")] = None,
    below_evidence: Annotated[int | None, typer.Option(metavar="N", min=0, help="Those with less evidence.")] = None,
    keep: Annotated[int | None, typer.Option(metavar="N", min=0, help="All but the N newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Delete every experience that meets one of the conditions. Nothing is asked; runs that use it notice.

    \b
    Example:
      promptflow memory prune memory.sqlite --older-than 365 --below-evidence 1
    """
    with exit_codes(as_json):
        gone = drive(partial(upkeep.prune, memory_file(path), time.time(), older_than, below_evidence, keep))
        if as_json:
            emit({"removed": sum(gone.values()), "operators": gone})
        else:
            say(f"{sum(gone.values())} experiences removed")
            for operator, count in gone.items():
                say(f"  {operator}: {count}")


def main() -> None:
    """The console script `promptflow`."""
    sys.path.append(os.getcwd())  # for what a configuration names as module:name
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name=_program())


def drive(work: Callable[[], Awaitable[T]]) -> T:
    """Run `work` on uvloop where there is one."""
    return anyio.run(work, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def environment() -> Mapping[str, str]:
    """The process's variables over those of ./.env."""
    return read_environment(Path(".env"), os.environ)


@contextmanager
def exit_codes(as_json: bool) -> Iterator[None]:
    """One line for what is not our bug, and the exit code that says what it was; our bugs are tracebacks."""
    try:
        yield
    except BusError:
        raise
    except InputError as error:
        fail(error, 2, as_json)
    except PromptFlowError as error:
        fail(error, 1, as_json)
    except KeyboardInterrupt as error:
        fail(error, 130, as_json)


def fail(error: BaseException, code: int, as_json: bool) -> None:
    """:raises typer.Exit: always."""
    message = one_line(str(error) or "stopped at once", 2000)
    tell(message)
    if as_json:
        emit({"error": {"type": type(error).__name__, "message": message}})
    raise typer.Exit(code)


def emit(document: object) -> None:
    """The one document of --json: UTF-8, nothing escaped that need not be."""
    sys.stdout.flush()
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """A line for the person, on standard output."""
    stdout().print(Text(text), soft_wrap=True)


def tell(text: str) -> None:
    """A line on standard error."""
    Onlooker(stderr=True).print(Text(one_line(f"promptflow: {text}", 2000)), soft_wrap=True)


def stdout() -> Console:
    """Standard output; as wide as the tables need where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


def _search(configuration: Configuration, out: Path | None, verbose: int) -> tuple[Mapping[str, Any], Path]:
    console = Onlooker(stderr=True)
    trained = drive(partial(session.train, configuration, environment(), out, console, verbose))
    directory = trained.directory
    if trained.result is None:
        raise KeyboardInterrupt(
            f"stopped at once; {directory} holds what was paid for: the same command with --out {directory} goes on"
        )
    if trained.already:
        tell(f"{directory} holds a run that is finished; this is its result")
    return trained.result, directory


def _with_seed(settings: list[str] | None, seed: int | None) -> list[str]:
    return [*(settings or []), *([] if seed is None else [f"search.seed={seed}"])]


def _next_steps(directory: Path) -> None:
    example = os.path.relpath(EXAMPLE)
    say(f"""
Run directory: {directory}
Next:
  {_program()} show {directory}
  {_program()} evaluate {directory}/best_prompt.txt {example} --split test
  {_program()} search {example} --set models.default=openai/<model>""")


def _program() -> str:
    return "python run.py" if Path(sys.argv[0]).suffix == ".py" else "promptflow"


if __name__ == "__main__":
    main()
